// Command peers measures a mesh beside systems that keep the same promises, in
// one run on one machine:
//
//	make bench-peers
//	make bench-failover
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
	if len(args) > 0 {
		switch args[0] {
		case "start":
			run, args = startNode, args[1:]
		case "failover":
			run, args = failover, args[1:]
		}
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

// settings are what the flags say.
type settings struct {
	options
	plan    bench.Plan
	systems []bench.System
	out     bench.Output
}

// parse reads the flags.
func parse(args []string) (*settings, error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	s := settings{out: bench.Output{Part: "calls"}}
	clients := flags.String("clients", "1,64,256", "how many clients call at a time")
	workloads := flags.String("workloads", "kv.put,kv.get", "what the calls do")
	names := flags.String("systems", strings.Join(systemNames, ","), "what is measured")
	vias := flags.String("via", "", "how they call (default all ways)")
	seconds := flags.Float64("seconds", 3, "how long each is measured")
	warmup := flags.Float64("warmup-seconds", 1, "how long each runs before it is measured")
	flags.IntVar(&s.plan.Reps, "reps", 3, "how often all is measured")
	flags.StringVar(&s.plan.Dir, "dir", "", "where to make the nodes' directories")
	flags.StringVar(&s.meshnode, "meshnode", "bin/meshnode", "the program of the mesh")
	flags.IntVar(&s.etcdConns, "etcd-conns", defaultConns, "connections of etcd's clients")
	flags.BoolVar(&s.etcdAll, "etcd-all", false, "etcd's clients call all nodes, not the leader alone")
	flags.StringVar(&s.out.JSON, "json", "", "write the whole report to this file as JSON")
	flags.StringVar(&s.out.Benchstat, "benchstat", "", "write all samples to this file, for benchstat")
	flags.StringVar(&s.out.Plots, "plots", "", "draw pictures into this directory")
	flags.StringVar(&s.out.Doc, "doc", "", "put the table into this page")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	s.plan.Progress = os.Stderr
	s.plan.Warmup = time.Duration(*warmup * float64(time.Second))
	s.plan.Window = time.Duration(*seconds * float64(time.Second))
	if s.etcdConns < 1 || s.etcdConns > bench.MaxClients {
		return nil, fmt.Errorf("%w: --etcd-conns is %d", errUsage, s.etcdConns)
	}
	for _, text := range strings.Split(*clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%w: --clients: %w", errUsage, err)
		}
		s.plan.Clients = append(s.plan.Clients, n)
	}
	for _, name := range strings.Split(*workloads, ",") {
		w, err := bench.ParseWorkload(name)
		if err != nil {
			return nil, fmt.Errorf("%w: --workloads: %w", errUsage, err)
		}
		s.plan.Workloads = append(s.plan.Workloads, w)
	}
	return &s, s.choose(*names, *vias)
}

// choose makes the systems.
func (s *settings) choose(names, vias string) (err error) {
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	for _, name := range strings.Split(names, ",") {
		system, err := s.system(name)
		if err != nil {
			return err
		}
		s.systems = append(s.systems, system)
		s.plan.Vias = append(s.plan.Vias, system.Vias()...)
	}
	if vias != "" {
		s.plan.Vias = strings.Split(vias, ",")
	}
	return nil
}

// compare runs the comparison.
func compare(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, s.plan, s.systems...)
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
	return report.Save(s.out, text.String())
}

// base is the peer that all others are compared with.
const base = "etcd"
