package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// Plan says what to measure. All of it is needed.
type Plan struct {
	Workloads []Workload
	Clients   []int     // numbers of clients, each measured on its own
	Rates     []float64 // calls per second, each an open loop of its own; empty for closed loops
	Vias      []string  // those of each system that are measured
	Reps      int
	Warmup    time.Duration // before each window
	Window    time.Duration // of each sample
	Dir       string        // parent of the data directories; empty: see TempDir
	Progress  io.Writer     // a line for each sample
}

// The bounds of a Plan.
const (
	MaxClients = 10_000
	MaxReps    = 1000
	maxRate    = 10_000_000
	minWindow  = 100 * time.Millisecond
)

// ErrPlan says that a plan makes no sense.
var ErrPlan = errors.New("not a plan")

func (p *Plan) check(systems []System) error {
	var vias []string
	for _, s := range systems {
		vias = append(vias, s.Vias()...)
	}
	for _, via := range p.Vias {
		if !slices.Contains(vias, via) {
			return fmt.Errorf("%w: there is no way %q to call: it is one of %v", ErrPlan, via, vias)
		}
	}
	for _, n := range p.Clients {
		if n < 1 || n > MaxClients {
			return fmt.Errorf("%w: %d clients; it must be from 1 to %d", ErrPlan, n, MaxClients)
		}
	}
	for _, rate := range p.Rates {
		if !(rate > 0 && rate <= maxRate) {
			return fmt.Errorf("%w: %v calls per second; it must be above 0, and at most %d", ErrPlan, rate, maxRate)
		}
	}
	switch {
	case len(p.Workloads) == 0 || len(p.Clients) == 0 || len(p.Vias) == 0:
		return fmt.Errorf("%w: there is nothing to measure", ErrPlan)
	case p.Reps < 1 || p.Reps > MaxReps:
		return fmt.Errorf("%w: %d repetitions; it must be from 1 to %d", ErrPlan, p.Reps, MaxReps)
	case p.Window < minWindow || p.Warmup < 0:
		return fmt.Errorf("%w: %v measured after %v of warm-up; at least %v are measured", ErrPlan, p.Window, p.Warmup, minWindow)
	}
	return nil
}

// Run measures the systems, and takes the first error for the end. What they
// leave on disk is removed, unless something failed.
func Run(ctx context.Context, plan Plan, systems ...System) (*Report, error) {
	if err := plan.check(systems); err != nil {
		return nil, err
	}
	r := &run{plan: plan, began: time.Now(), report: &Report{Warmup: plan.Warmup, Window: plan.Window, Reps: plan.Reps}}
	err := inDir(plan.Dir, func(dir string) error { return r.all(ctx, dir, systems) })
	if err != nil {
		return nil, err
	}
	return r.report, nil
}

// run is a Run on its way.
type run struct {
	plan   Plan
	dir    string
	report *Report
	began  time.Time
	cells  int // of all repetitions
	done   int
}

// all is the whole of a run.
func (r *run) all(ctx context.Context, dir string, systems []System) (err error) {
	r.dir = dir
	if r.report.Conditions, err = conditions(ctx, dir, systems); err != nil {
		return err
	}
	for _, s := range systems {
		r.cells += r.plan.Reps * len(r.plan.cells(s))
	}
	for rep := range r.plan.Reps {
		for i := range systems {
			if err := r.repetition(ctx, rep, systems[(rep+i)%len(systems)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// cells returns what is measured of a system, in its order.
func (p *Plan) cells(s System) []Cell {
	var cells []Cell
	for _, w := range p.Workloads {
		if !slices.Contains(s.Workloads(), w) {
			continue
		}
		for _, via := range s.Vias() {
			if !slices.Contains(p.Vias, via) {
				continue
			}
			for _, n := range p.Clients {
				for _, rate := range p.rates() {
					cells = append(cells, Cell{System: s.Name(), Via: via, Workload: w, Clients: n, Rate: rate})
				}
			}
		}
	}
	return cells
}

// rates returns the rates of the loops; that of a closed one is 0.
func (p *Plan) rates() []float64 {
	if len(p.Rates) == 0 {
		return []float64{0}
	}
	return p.Rates
}

// repetition starts a system, measures all of its cells once, and ends it.
// With the first, it is seen whether what the system calls durable is so.
func (r *run) repetition(ctx context.Context, rep int, s System) error {
	cells := r.plan.cells(s)
	if len(cells) == 0 {
		return nil
	}
	dir := filepath.Join(r.dir, fmt.Sprintf("%d-%s", rep+1, s.Name()))
	r.say("repetition %d of %d: starting %s", rep+1, r.plan.Reps, s.Name())
	return with(ctx, s, dir, func(c Cluster) error {
		if err := r.samples(ctx, rep, c, cells, dir); err != nil || rep > 0 {
			return err
		}
		i := slices.IndexFunc(cells, func(c Cell) bool { return c.Workload.durable() })
		if i < 0 {
			return nil
		}
		proof, err := prove(ctx, c, cells[i], dir)
		r.report.Proofs = append(r.report.Proofs, proof)
		return err
	})
}

// samples measures all cells of a cluster once.
func (r *run) samples(ctx context.Context, rep int, c Cluster, cells []Cell, dir string) error {
	for i, cell := range cells {
		mine := cell.Workload.traits()
		fresh := !slices.ContainsFunc(cells[:i], func(c Cell) bool {
			t := c.Workload.traits()
			return t.writer == mine.writer && t.first >= mine.first
		})
		sample, err := r.measure(ctx, c, cell, rep, fresh, dir)
		if err != nil {
			return fmt.Errorf("%s, %s, %s clients: %w", cell.Label(), cell.Workload, cell.load(), err)
		}
		result := r.report.result(cell)
		result.Samples = append(result.Samples, sample)
		r.done++
		r.told(cell, sample)
	}
	return nil
}

// measure takes one sample. Where the cluster is fresh for this kind of workload,
// it is given all keys first.
func (r *run) measure(ctx context.Context, c Cluster, cell Cell, rep int, fresh bool, dir string) (s Sample, err error) {
	client, err := c.Dial(ctx, cell.Via, max(cell.Clients, prepareClients))
	if err != nil {
		return Sample{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if fresh {
		if err := prepare(ctx, client, cell.Workload); err != nil {
			return Sample{}, fmt.Errorf("writing all keys first: %w", err)
		}
	}
	l := &loop{
		client: client, workload: cell.Workload, clients: cell.Clients, rate: cell.Rate, seed: uint64(rep) << 32,
		warmup: r.plan.Warmup, window: r.plan.Window,
		usage: func(ctx context.Context) (usage, error) { return read(ctx, c, dir) },
	}
	return l.drive(ctx)
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.plan.Progress, format+"\n", args...)
}

// told says what a sample was, and how long the rest will take.
func (r *run) told(c Cell, s Sample) {
	left := time.Since(r.began) / time.Duration(r.done) * time.Duration(r.cells-r.done)
	r.say("%3d/%d  %-11s %-10s %5s clients  %8.0f calls/s  p50 %-8s p99 %-8s  %v left",
		r.done, r.cells, c.Workload, c.Label(), c.load(), s.Rate, showMicros(s.P50us), showMicros(s.P99us), left.Round(time.Second))
	if s.Errors > 0 {
		r.say("%d calls failed; the first error: %s", s.Errors, s.FirstError)
	}
}
