package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	o := benchOptions{output: bench.Output{Part: "workloads"}}
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

The table goes to standard output, progress to standard error. It ends with how it was
seen that durable calls are so: by what a few of them made the nodes and the disk do.

What is no steady load has commands of its own: failover, join, recovery, rest, scale.`,
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
	f.StringVar(&o.dir, "dir", "", dirUsage)
	f.StringSliceVar(&o.running, "http", nil, "HOST:PORT,... of the nodes of a mesh that runs; measure that one")
	f.StringVar(&o.certs, "certs", "", "with --http: the directory with ca.crt, and NAME.crt and NAME.key of --as")
	f.StringVar(&o.as, "as", "", "with --certs: the client's name")
	f.StringSliceVar(&o.systems, "systems", []string{meshDefault}, "which meshes to start: mesh, mesh-no-lease, mesh-asleep")
	f.Float64SliceVar(&o.rates, "rate", nil, "calls per second of all clients together (default as many as are answered)")
	addOutputFlags(f, &o.output)
	f.StringVar(&o.output.Doc, "doc", "", "put the table into its place in this page")
	f.StringVar(&o.output.Plots, "plots", "", "draw pictures into this directory")
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.runBench(&o) })
	cmd.AddCommand(a.benchFailoverCommand(), a.benchJoinCommand(), a.benchRecoveryCommand(), a.benchRestCommand(), a.benchScaleCommand())
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

const dirUsage = "where to make the nodes' directories (default that of temporary files, if it is on a disk)"

func addOutputFlags(f *pflag.FlagSet, o *bench.Output) {
	f.StringVar(&o.JSON, "json", "", "write all that was found to this file as JSON")
	f.StringVar(&o.Benchstat, "benchstat", "", "write all samples to this file, for benchstat")
}

// checkNodes checks how many nodes are to be started.
func checkNodes(nodes, least int) error {
	if nodes < least || nodes > maxDevNodes {
		return fmt.Errorf("%w: --nodes is %d, it must be from %d to %d", mesh.ErrUsage, nodes, least, maxDevNodes)
	}
	return nil
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
	fmt.Fprintln(a.stderr)
	var text strings.Builder
	if err := report.WriteTable(&text); err != nil {
		return err
	}
	if _, err := io.WriteString(a.stdout, text.String()); err != nil {
		return err
	}
	return report.Save(o.output, text.String())
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
	}
	if err := checkNodes(o.nodes, 1); err != nil {
		return nil, err
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
