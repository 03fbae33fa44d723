package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"actormesh/bench"
)

// failoverSettings are what the flags of failover say.
type failoverSettings struct {
	plan    bench.FailoverPlan
	systems []bench.System
	out     bench.Output
}

// parseFailover reads the flags.
func parseFailover(args []string) (*failoverSettings, error) {
	flags := flag.NewFlagSet("peers failover", flag.ContinueOnError)
	s := failoverSettings{plan: bench.FailoverPlan{Setup: bench.Setup{Progress: os.Stderr}}}
	meshnode := flags.String("meshnode", "bin/meshnode", "the program of the mesh")
	names := flags.String("systems", "mesh,"+quickEtcd+",etcd", "what is killed")
	flags.IntVar(&s.plan.Reps, "reps", 5, "how many crashes of each")
	flags.IntVar(&s.plan.Clients, "clients", 32, "how many clients call")
	flags.DurationVar(&s.plan.Before, "before", time.Second, "how long they call before the crash")
	flags.DurationVar(&s.plan.After, "after", time.Second, "how long they go on when all have had an answer again")
	flags.DurationVar(&s.plan.Attempt, "attempt", 100*time.Millisecond, "after which a call without an answer is made again")
	flags.StringVar(&s.plan.Dir, "dir", "", "where to make the nodes' directories")
	flags.StringVar(&s.out.JSON, "json", "", "write all that was found to this file as JSON")
	flags.StringVar(&s.out.Benchstat, "benchstat", "", "write all samples to this file, for benchstat")
	flags.StringVar(&s.out.Doc, "doc", "", "put the table into its place in this page")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(*names, ",") {
		switch name {
		case "mesh":
			s.systems = append(s.systems, &bench.Mesh{Binary: *meshnode, Nodes: nodes})
		case "etcd", quickEtcd:
			s.systems = append(s.systems, &etcd{binary: self, conns: defaultConns, roving: true, quick: name == quickEtcd})
		default:
			return nil, fmt.Errorf("%w: --systems: %q is not killed: it is one of mesh, %s, etcd", errUsage, name, quickEtcd)
		}
	}
	return &s, nil
}

// failover kills the owners and leaders of systems under load.
func failover(ctx context.Context, args []string) error {
	s, err := parseFailover(args)
	if err != nil {
		return err
	}
	study, err := bench.Failover(ctx, s.plan, quickEtcd+"/"+viaGRPC, s.systems...)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr)
	if err := study.WriteTable(os.Stdout); err != nil {
		return err
	}
	return study.Save(s.out)
}
