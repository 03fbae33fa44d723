// Command peers measures a mesh beside systems that keep the same promises, in
// one run on one machine:
//
//	make bench-peers
//
// It is a module of its own, so that what the peers depend on is no part of the
// product. The program is also the peers' nodes: it starts itself as
// "peers start ...", one process a node, as it starts meshnode.
//
// The peer is etcd: three nodes with defaults, fsync on, which keep a value
// under a key when a majority has it on disk, and read linearizably.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"actormesh/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run := compare
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "start" {
		run, args = startEtcd, args[1:]
	}
	err := run(ctx, args)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, bench.ErrPlan), errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

// nodes is how many nodes each system has.
const nodes = 3

// compare runs the comparison.
func compare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	meshnode := flags.String("meshnode", "bin/meshnode", "the program of the mesh")
	clients := flags.String("clients", "1,64,256", "how many clients call at a time")
	workloads := flags.String("workloads", "kv.put,kv.get", "what the calls do")
	vias := flags.String("via", bench.ViaGo+","+bench.ViaHTTP+","+viaGRPC, "how they call")
	seconds := flags.Float64("seconds", 3, "how long each is measured")
	warmup := flags.Float64("warmup-seconds", 1, "how long each runs before it is measured")
	reps := flags.Int("reps", 3, "how often all is measured")
	dir := flags.String("dir", "", "where to make the nodes' directories")
	conns := flags.Int("etcd-conns", defaultConns, "connections of etcd's clients")
	all := flags.Bool("etcd-all", false, "etcd's clients call all nodes, not the leader alone")
	out := flags.String("json", "", "write the whole report to this file as JSON")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	plan := bench.Plan{
		Vias: strings.Split(*vias, ","), Reps: *reps, Dir: *dir, Progress: os.Stderr,
		Warmup: time.Duration(*warmup * float64(time.Second)),
		Window: time.Duration(*seconds * float64(time.Second)),
	}
	for _, text := range strings.Split(*clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%w: --clients: %w", errUsage, err)
		}
		plan.Clients = append(plan.Clients, n)
	}
	for _, name := range strings.Split(*workloads, ",") {
		w, err := bench.ParseWorkload(name)
		if err != nil || !etcdDoes(w) {
			return fmt.Errorf("%w: --workloads: %q: etcd does %s and %s", errUsage, name, bench.KVPut, bench.KVGet)
		}
		plan.Workloads = append(plan.Workloads, w)
	}
	if *conns < 1 || *conns > bench.MaxClients {
		return fmt.Errorf("%w: --etcd-conns is %d", errUsage, *conns)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, plan,
		&etcd{binary: self, conns: *conns, all: *all},
		&bench.Mesh{Binary: *meshnode, Nodes: nodes})
	if err != nil {
		return err
	}
	return write(os.Stdout, report, *out)
}

// write writes the table, the ratios, and the JSON if it is wanted.
func write(w io.Writer, report *bench.Report, path string) error {
	if path != "" {
		text, err := json.MarshalIndent(report, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if err := report.WriteTable(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return report.WriteRatios(w, "etcd")
}
