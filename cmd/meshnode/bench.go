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

// benchOptions are the flags of bench.
type benchOptions struct {
	workloads []string
	clients   []int
	vias      []string
	seconds   float64
	warmup    float64
	reps      int
	nodes     int
	dir       string
	running   []string // HTTP addresses of a mesh that runs
	certs     string
	as        string
	systems   []string
	rates     []float64
	output    bench.Output
}

func (a *app) benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [--clients 1,64,256] [--seconds 3] [--reps 3] [--workloads NAME,...] [--http ADDR,...]",
		Short: "Measure calls per second, latencies and CPU",
		Long: `Measure how many calls a mesh answers per second, how fast, and at what cost of CPU
and fsyncs. For each repetition it starts nodes on this machine, each a process of
its own with a directory on disk, and is their clients itself. With --http it
measures a mesh that runs; actors "bench-0" to "bench-999" of the kinds counter and
kv are written to, and stay.

Workloads: kv.put (200 bytes), counter.add and account.transfer (a turn that sends a
message) are durable, counter.get and kv.get read under the lease; each over 1,000
actors. counter.hot is counter.add on one actor, counter.zipf on a few of a million
more than on the others, counter.wake is counter.get on 20,000, and kv.large is kv.put
of 64 KiB.

The systems are meshes: "mesh" has defaults, "mesh-no-lease" asks a majority for each
read, and in "mesh-asleep" an actor leaves memory right after its call, so that each
counter.wake is an activation. With --rate the loop is open: calls come at fixed times, and
one that comes late was late from its time on.

The table goes to standard output, progress to standard error.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.workloads, "workloads", []string{"kv.put", "counter.add", "counter.get"}, "what the calls do")
	f.IntSliceVar(&o.clients, "clients", []int{1, 64, 256}, "how many clients call at a time")
	f.StringSliceVar(&o.vias, "via", []string{bench.ViaGo, bench.ViaHTTP}, "how they call")
	f.Float64Var(&o.seconds, "seconds", 3, "how long each is measured")
	f.Float64Var(&o.warmup, "warmup-seconds", 1, "how long each runs before it is measured")
	f.IntVar(&o.reps, "reps", 3, "how often all is measured; the table has medians")
	f.IntVar(&o.nodes, "nodes", 3, "how many nodes to start")
	f.StringVar(&o.dir, "dir", "", "where to make the nodes' directories (default that of temporary files, if it is on a disk)")
	f.StringSliceVar(&o.running, "http", nil, "HOST:PORT,... of the nodes of a mesh that runs; measure that one")
	f.StringVar(&o.certs, "certs", "", "with --http: the directory with ca.crt, and NAME.crt and NAME.key of --as")
	f.StringVar(&o.as, "as", "", "with --certs: the client's name")
	f.StringSliceVar(&o.systems, "systems", []string{meshDefault}, "which meshes to start: mesh, mesh-no-lease, mesh-asleep")
	f.Float64SliceVar(&o.rates, "rate", nil, "calls per second of all clients together (default as many as are answered)")
	f.StringVar(&o.output.JSON, "json", "", "write the whole report to this file as JSON")
	f.StringVar(&o.output.Benchstat, "benchstat", "", "write all samples to this file, for benchstat")
	f.StringVar(&o.output.Plots, "plots", "", "draw pictures into this directory")
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.runBench(&o) })
	cmd.AddCommand(a.benchRestCommand())
	return cmd
}

// The meshes that bench can start.
const (
	meshDefault = "mesh"
	meshNoLease = "mesh-no-lease"
	meshAsleep  = "mesh-asleep"
)

// benchMesh returns the mesh of that name.
func (a *app) benchMesh(name string, nodes int) (*bench.Mesh, error) {
	m := &bench.Mesh{Binary: a.executable, Nodes: nodes, Label: name}
	switch name {
	case meshDefault:
	case meshNoLease:
		m.Args, m.Only = []string{"--lease", "0s"}, []bench.Workload{bench.KVGet, bench.CounterGet}
	case meshAsleep:
		m.Args, m.Only = []string{"--idle-timeout", "1ms"}, []bench.Workload{bench.CounterWake}
	default:
		return nil, fmt.Errorf("%w: --systems: there is no %q", mesh.ErrUsage, name)
	}
	return m, nil
}

// untilSignal returns a context that a signal ends.
func (a *app) untilSignal() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case s := <-a.signals:
			cancel(fmt.Errorf("ended by a signal: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (a *app) runBench(o *benchOptions) error {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	plan.Progress = a.stderr
	systems, err := a.benchSystems(o)
	if err != nil {
		return err
	}
	ctx, cancel := a.untilSignal()
	defer cancel(nil)
	report, err := bench.Run(ctx, plan, systems...)
	if errors.Is(err, bench.ErrPlan) {
		return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	if err != nil {
		return err
	}
	if err := report.Save(o.output, ""); err != nil {
		return err
	}
	fmt.Fprintln(a.stderr)
	return report.WriteTable(a.stdout)
}

func (o *benchOptions) plan() (bench.Plan, error) {
	p := bench.Plan{
		Clients: o.clients, Rates: o.rates, Vias: o.vias, Reps: o.reps, Dir: o.dir,
		Warmup: time.Duration(o.warmup * float64(time.Second)),
		Window: time.Duration(o.seconds * float64(time.Second)),
	}
	for _, name := range o.workloads {
		w, err := bench.ParseWorkload(name)
		if err != nil {
			return p, fmt.Errorf("%w: --workloads: %w", mesh.ErrUsage, err)
		}
		p.Workloads = append(p.Workloads, w)
	}
	return p, nil
}

// benchSystems returns the meshes to measure.
func (a *app) benchSystems(o *benchOptions) ([]bench.System, error) {
	switch {
	case len(o.running) > 0:
		m := &bench.RunningMesh{HTTP: o.running, Calls: mesh.ClientConfig{CertsDir: o.certs, Name: o.as}}
		if o.certs != "" {
			var err error
			if m.TLS, err = mesh.ClientTLS(o.certs, o.as); err != nil {
				return nil, err
			}
		}
		return []bench.System{m}, nil
	case o.certs != "" || o.as != "":
		return nil, fmt.Errorf("%w: --certs and --as are for a mesh that runs: give --http as well", mesh.ErrUsage)
	case o.nodes < 1 || o.nodes > maxDevNodes:
		return nil, fmt.Errorf("%w: --nodes is %d, it must be from 1 to %d", mesh.ErrUsage, o.nodes, maxDevNodes)
	}
	var systems []bench.System
	for _, name := range o.systems {
		m, err := a.benchMesh(name, o.nodes)
		if err != nil {
			return nil, err
		}
		systems = append(systems, m)
	}
	return systems, nil
}

func (a *app) benchRestCommand() *cobra.Command {
	plan := bench.RestPlan{Progress: a.stderr}
	var nodes int
	cmd := &cobra.Command{
		Use:   "rest [--actors 0,10000,100000]",
		Short: "Measure what a mesh takes while nobody calls it",
		Long: `Measure CPU, fsyncs and memory of a mesh that nobody calls, with more and more actors
awake, each of which has been written to once.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntSliceVar(&plan.Actors, "actors", []int{0, 10_000, 100_000}, "how many actors are awake, from fewer to more")
	f.DurationVar(&plan.Settle, "settle", 10*time.Second, "how long nothing is done before each measurement")
	f.DurationVar(&plan.Window, "window", 10*time.Second, "how long each is measured")
	f.IntVar(&nodes, "nodes", 3, "how many nodes to start")
	f.StringVar(&plan.Dir, "dir", "", "where to make the nodes' directories (default that of temporary files, if it is on a disk)")
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		if nodes < 1 || nodes > maxDevNodes {
			return fmt.Errorf("%w: --nodes is %d, it must be from 1 to %d", mesh.ErrUsage, nodes, maxDevNodes)
		}
		plan.Mesh = bench.Mesh{Binary: a.executable, Nodes: nodes}
		ctx, cancel := a.untilSignal()
		defer cancel(nil)
		rests, err := bench.MeasureRest(ctx, plan)
		if errors.Is(err, bench.ErrPlan) {
			return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
		}
		if err != nil {
			return err
		}
		return bench.WriteRest(a.stdout, rests)
	})
	return cmd
}
