// Command peers measures a mesh beside systems that keep the same promises, in
// one run on one machine:
//
//	make bench-peers
//
// It is a module of its own, so that what the peers depend on is no part of the
// product. The program is also the peers' nodes: it starts itself as
// "peers start ...", one process a node, as it starts meshnode.
//
// The peers keep a value under a key when a majority of three nodes has it on
// disk: etcd, hashicorp/raft over raft-wal, and NATS JetStream. Proto.Actor's grains,
// which keep nothing, are a peer for calls that change nothing. Beside them are bare
// limits, of the disk and of the network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
		run, args = startNode, args[1:]
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
	clients := flags.String("clients", "1,64,256", "how many clients call at a time")
	workloads := flags.String("workloads", "kv.put,kv.get", "what the calls do")
	names := flags.String("systems", strings.Join(systemNames, ","), "what is measured")
	vias := flags.String("via", "", "how they call (default all ways)")
	seconds := flags.Float64("seconds", 3, "how long each is measured")
	warmup := flags.Float64("warmup-seconds", 1, "how long each runs before it is measured")
	reps := flags.Int("reps", 3, "how often all is measured")
	dir := flags.String("dir", "", "where to make the nodes' directories")
	var o options
	flags.StringVar(&o.meshnode, "meshnode", "bin/meshnode", "the program of the mesh")
	flags.IntVar(&o.etcdConns, "etcd-conns", defaultConns, "connections of etcd's clients")
	flags.BoolVar(&o.etcdAll, "etcd-all", false, "etcd's clients call all nodes, not the leader alone")
	var out bench.Output
	flags.StringVar(&out.JSON, "json", "", "write the whole report to this file as JSON")
	flags.StringVar(&out.Benchstat, "benchstat", "", "write all samples to this file, for benchstat")
	flags.StringVar(&out.Plots, "plots", "", "draw pictures into this directory")
	flags.StringVar(&out.Doc, "doc", "", "put the table into this page")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	plan := bench.Plan{
		Reps: *reps, Dir: *dir, Progress: os.Stderr,
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
		if err != nil {
			return fmt.Errorf("%w: --workloads: %w", errUsage, err)
		}
		plan.Workloads = append(plan.Workloads, w)
	}
	if o.etcdConns < 1 || o.etcdConns > bench.MaxClients {
		return fmt.Errorf("%w: --etcd-conns is %d", errUsage, o.etcdConns)
	}
	var err error
	if o.self, err = os.Executable(); err != nil {
		return err
	}
	var systems []bench.System
	for _, name := range strings.Split(*names, ",") {
		s, err := o.system(name)
		if err != nil {
			return err
		}
		systems = append(systems, s)
		plan.Vias = append(plan.Vias, s.Vias()...)
	}
	if *vias != "" {
		plan.Vias = strings.Split(*vias, ",")
	}
	report, err := bench.Run(ctx, plan, systems...)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := report.WriteTable(&text); err != nil {
		return err
	}
	text.WriteString("\n")
	if err := report.WriteRatios(&text, base); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(text.String()); err != nil {
		return err
	}
	return report.Save(out, text.String())
}

// base is the peer that all others are compared with.
const base = "etcd"
