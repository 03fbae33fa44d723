package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"actormesh/bench"
	"actormesh/mesh"
)

// study is a command of bench for what is no steady load.
type study struct {
	bench.MeshSetup
	output bench.Output
}

// studyCommand makes a command with the flags of all studies, to which flags adds
// its own. At least so many nodes make sense.
func (a *app) studyCommand(cmd *cobra.Command, s *study, least, reps int, flags func(), run func(context.Context) (*bench.Study, error)) *cobra.Command {
	cmd.Args = cobra.NoArgs
	f := cmd.Flags()
	f.SortFlags = false
	flags()
	if f.Lookup("via") == nil {
		f.StringVar(&s.Via, "via", bench.ViaGo, "how the clients call")
	}
	f.IntVar(&s.Reps, "reps", reps, "how often all is measured; the table has medians")
	f.IntVar(&s.Mesh.Nodes, "nodes", 3, "how many nodes to start")
	f.StringVar(&s.Dir, "dir", "", dirUsage)
	addOutputFlags(f, &s.output)
	f.StringVar(&s.output.Doc, "doc", "", "put the table into its place in this page")
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		if err := checkNodes(s.Mesh.Nodes, least); err != nil {
			return err
		}
		s.Progress, s.Mesh.Binary = a.stderr, a.executable
		ctx, cancel := a.untilSignal()
		defer cancel(nil)
		found, err := run(ctx)
		if errors.Is(err, bench.ErrPlan) {
			return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stderr)
		if err := found.WriteTable(a.stdout); err != nil {
			return err
		}
		return found.Save(s.output)
	})
	return cmd
}

func (a *app) benchFailoverCommand() *cobra.Command {
	var s study
	var p bench.FailoverPlan
	cmd := &cobra.Command{
		Use:   "failover [--reps 5] [--clients 32]",
		Short: "Measure how long the actors of a killed owner are away",
		Long: `Kill the owner of actors under load, and measure the longest time that any of them goes
without an answer. Each crash is of a mesh that has just been started, and in turn of
another of its nodes. What is compared with it in the same run is in bench/peers.`,
	}
	return a.studyCommand(cmd, &s, 3, 5, func() {
		f := cmd.Flags()
		f.StringSliceVar(&p.Vias, "via", []string{bench.ViaGo, bench.ViaHTTP}, "how the clients call")
		f.IntVar(&p.Clients, "clients", 32, "how many clients call, each an actor of the node that is killed")
		f.DurationVar(&p.Before, "before", time.Second, "how long they call before the crash")
		f.DurationVar(&p.After, "after", time.Second, "how long they go on when all have had an answer again")
		f.DurationVar(&p.Attempt, "attempt", 100*time.Millisecond, "after which a call without an answer is made again")
	}, func(ctx context.Context) (*bench.Study, error) {
		p.Setup = s.Setup
		return bench.Failover(ctx, p, "", &s.Mesh)
	})
}

func (a *app) benchJoinCommand() *cobra.Command {
	var s study
	var p bench.JoinPlan
	cmd := &cobra.Command{
		Use:   "join [--actors 20000] [--clients 64]",
		Short: "Measure a node that joins under load",
		Long: `Start one more node while clients write, and measure how long it takes until it owns
its share of the slots, and calls and latencies before, meanwhile and after.`,
	}
	return a.studyCommand(cmd, &s, 1, 3, func() {
		f := cmd.Flags()
		f.IntVar(&p.Actors, "actors", 20_000, "how many actors there are, beside those that are called")
		f.IntVar(&p.Clients, "clients", 64, "how many clients call at a time")
		f.DurationVar(&p.Window, "window", 3*time.Second, "how long before and after are measured")
	}, func(ctx context.Context) (*bench.Study, error) {
		p.MeshSetup = s.MeshSetup
		return bench.Join(ctx, p)
	})
}

func (a *app) benchRecoveryCommand() *cobra.Command {
	var s study
	var p bench.RecoveryPlan
	cmd := &cobra.Command{
		Use:   "recovery [--records 10000,100000,1000000]",
		Short: "Measure how long a killed node takes to serve again, by the size of its store",
		Long: `Fill a mesh with more and more records. Kill one of its nodes, and then all of them, and
measure how long it takes from their start until they serve.`,
	}
	return a.studyCommand(cmd, &s, 3, 3, func() {
		cmd.Flags().IntSliceVar(&p.Records, "records", []int{10_000, 100_000, 1_000_000}, "how many records the mesh has, from fewer to more")
	}, func(ctx context.Context) (*bench.Study, error) {
		p.MeshSetup = s.MeshSetup
		return bench.Recovery(ctx, p)
	})
}

func (a *app) benchRestCommand() *cobra.Command {
	var s study
	var p bench.RestPlan
	cmd := &cobra.Command{
		Use:   "rest [--actors 0,10000,100000]",
		Short: "Measure what a mesh takes while nobody calls it",
		Long: `Measure CPU, fsyncs and memory of a mesh that nobody calls, with more and more actors
awake, each of which has been written to once.`,
	}
	return a.studyCommand(cmd, &s, 1, 3, func() {
		f := cmd.Flags()
		f.IntSliceVar(&p.Actors, "actors", []int{0, 10_000, 100_000}, "how many actors are awake, from fewer to more")
		f.DurationVar(&p.Settle, "settle", 5*time.Second, "how long nothing is done before each measurement")
		f.DurationVar(&p.Window, "window", 5*time.Second, "how long each is measured")
	}, func(ctx context.Context) (*bench.Study, error) {
		p.MeshSetup = s.MeshSetup
		return bench.Rest(ctx, p)
	})
}

func (a *app) benchScaleCommand() *cobra.Command {
	var s study
	var p bench.ScalePlan
	var workloads []string
	cmd := &cobra.Command{
		Use:   "scale [--slots 256,4096] [--actors 1000,1000000]",
		Short: "Measure whether slots and actors cost speed",
		Long: `Compare a mesh with one of more slots, and with one of more actors, all of which are
awake. All three run, and are called in turns.`,
	}
	return a.studyCommand(cmd, &s, 1, 5, func() {
		f := cmd.Flags()
		f.StringSliceVar(&workloads, "workloads", []string{"counter.add"}, "what the calls do: counter.add, counter.get")
		f.IntSliceVar(&p.Slots, "slots", []int{256, 4096}, "slots of the small mesh, and of the one with more")
		f.IntSliceVar(&p.Actors, "actors", []int{1000, 1_000_000}, "actors of the small mesh, and of the one with more")
		f.IntVar(&p.Clients, "clients", 64, "how many clients call at a time")
		f.DurationVar(&p.Settle, "settle", 5*time.Second, "how long nothing is done before the first calls")
		f.DurationVar(&p.Warmup, "warmup", 500*time.Millisecond, "how long each runs before it is measured")
		f.DurationVar(&p.Window, "window", 2*time.Second, "how long each is measured")
	}, func(ctx context.Context) (*bench.Study, error) {
		for _, w := range workloads {
			p.Workloads = append(p.Workloads, bench.Workload(w)) // which Scale checks
		}
		p.MeshSetup = s.MeshSetup
		return bench.Scale(ctx, p)
	})
}
