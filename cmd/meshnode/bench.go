package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
	json      string
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

Workloads: kv.put (200 bytes) and counter.add are durable, counter.get and kv.get
read under the lease; each over 1,000 actors. The table goes to standard output,
progress to standard error.`,
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
	f.StringVar(&o.json, "json", "", "write the whole report to this file as JSON")
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.runBench(&o) })
	return cmd
}

func (a *app) runBench(o *benchOptions) error {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	plan.Progress = a.stderr
	system, err := a.benchSystem(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-a.signals:
			cancel(fmt.Errorf("ended by a signal: %v", s))
		case <-ctx.Done():
		}
	}()
	report, err := bench.Run(ctx, plan, system)
	if errors.Is(err, bench.ErrPlan) {
		return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	if err != nil {
		return err
	}
	if o.json != "" {
		text, err := json.MarshalIndent(report, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stderr)
	return report.WriteTable(a.stdout)
}

func (o *benchOptions) plan() (bench.Plan, error) {
	p := bench.Plan{
		Clients: o.clients, Vias: o.vias, Reps: o.reps, Dir: o.dir,
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

// benchSystem returns the mesh to measure.
func (a *app) benchSystem(o *benchOptions) (bench.System, error) {
	switch {
	case len(o.running) > 0:
		m := &bench.RunningMesh{HTTP: o.running, Calls: mesh.ClientConfig{CertsDir: o.certs, Name: o.as}}
		if o.certs != "" {
			var err error
			if m.TLS, err = mesh.ClientTLS(o.certs, o.as); err != nil {
				return nil, err
			}
		}
		return m, nil
	case o.certs != "" || o.as != "":
		return nil, fmt.Errorf("%w: --certs and --as are for a mesh that runs: give --http as well", mesh.ErrUsage)
	case o.nodes < 1 || o.nodes > maxDevNodes:
		return nil, fmt.Errorf("%w: --nodes is %d, it must be from 1 to %d", mesh.ErrUsage, o.nodes, maxDevNodes)
	}
	return &bench.Mesh{Binary: a.executable, Nodes: o.nodes}, nil
}
