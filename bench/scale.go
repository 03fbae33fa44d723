package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// ScalePlan says how it is measured whether size costs speed.
type ScalePlan struct {
	MeshSetup
	Workloads []Workload // of counters
	Clients   int
	Slots     []int // the first is that of a small mesh, the last that of a large one
	Actors    []int // likewise
	Settle    time.Duration
	Warmup    time.Duration
	Window    time.Duration
}

func (p *ScalePlan) check() error {
	for _, w := range p.Workloads {
		if w != CounterAdd && w != CounterGet {
			return fmt.Errorf("%w: %s; it must be %s or %s", ErrPlan, w, CounterAdd, CounterGet)
		}
	}
	for _, sizes := range [][]int{p.Slots, p.Actors} {
		if len(sizes) != 2 || sizes[0] < 1 || sizes[1] < sizes[0] {
			return fmt.Errorf("%w: sizes %v; they must be two, the smaller one first", ErrPlan, sizes)
		}
	}
	switch {
	case len(p.Workloads) == 0 || p.Clients < 1 || p.Clients > MaxClients:
		return fmt.Errorf("%w: %d clients; it must be from 1 to %d, and at least one workload", ErrPlan, p.Clients, MaxClients)
	case p.Window < minWindow || p.Warmup < 0 || p.Settle < 0:
		return fmt.Errorf("%w: %v measured after %v of warm-up", ErrPlan, p.Window, p.Warmup)
	}
	return p.MeshSetup.check()
}

// size is one mesh of a ScalePlan.
type size struct {
	mesh    Mesh
	slots   int
	actors  int
	cluster *meshCluster
	client  Client
}

// Scale compares a small mesh with one of more slots, and with one of more actors.
// All are woken beforehand; an actor sleeps again where its slot has moved since, as it
// may on a machine that is short of CPU, so that the nodes' count is a column. Unlike elsewhere all three run at a time, as the actors
// take long to wake, and are called in turns: what the two that are not called take is
// the same for all.
func Scale(ctx context.Context, p ScalePlan) (*Study, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	sizes := []*size{{slots: p.Slots[0], actors: p.Actors[0]}, {slots: p.Slots[1], actors: p.Actors[0]}, {slots: p.Slots[0], actors: p.Actors[1]}}
	for _, s := range sizes {
		s.mesh = p.Mesh
		s.mesh.Args = append([]string{"--slots", fmt.Sprint(s.slots)}, p.Mesh.Args...)
	}
	study := &Study{
		Name: "scale",
		How: fmt.Sprintf("%d clients call actors that were all woken before, chosen evenly; all meshes run, and are called in turns, each for %v after %v of warm-up",
			p.Clients, p.Window, p.Warmup),
		Columns: []Column{{"CALLS/S", "calls/s"}, {"P50", "p50-ns"}, {"P99", "p99-ns"}, {"CPU/CALL", "nodes-cpu-ns/op"}, {"RSS/NODE", "rss-B"}, {"AWAKE", "awake"}},
	}
	return p.conduct(ctx, study, []System{&p.Mesh}, func(dir string) error { return p.all(ctx, study, dir, sizes) })
}

// setting is the row's.
func (s *size) setting(w Workload) string {
	return fmt.Sprintf("workload=%s/slots=%d/actors=%d", w, s.slots, s.actors)
}

// all starts the meshes from the first to the last, calls them, and ends them.
func (p *ScalePlan) all(ctx context.Context, study *Study, dir string, sizes []*size) error {
	started := 0
	var next func() error
	next = func() error {
		if started == len(sizes) {
			return p.turns(ctx, study, dir, sizes)
		}
		s := sizes[started]
		started++
		p.say("starting a mesh of %d slots, and waking %d actors", s.slots, s.actors)
		return with(ctx, &s.mesh, filepath.Join(dir, fmt.Sprint(started)), func(c Cluster) (err error) {
			s.cluster = c.(*meshCluster)
			if err := p.wake(ctx, c, 0, s.actors); err != nil {
				return err
			}
			if s.client, err = c.Dial(ctx, p.Via, p.Clients); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.client.Close()) }()
			return next()
		})
	}
	return next()
}

// turns calls the meshes in turns.
func (p *ScalePlan) turns(ctx context.Context, study *Study, dir string, sizes []*size) error {
	if err := pause(ctx, p.Settle); err != nil {
		return err
	}
	for rep := range p.Reps {
		for _, w := range p.Workloads {
			for i := range sizes {
				s := sizes[(rep+i)%len(sizes)]
				v, err := p.turn(ctx, s, w, rep, dir)
				if err != nil {
					return fmt.Errorf("%s: %w", s.setting(w), err)
				}
				study.add(p.Mesh.Name(), s.setting(w), v).Base = p.Mesh.Name() + "/" + sizes[0].setting(w)
				p.say("repetition %d of %d  %-48s %8.0f calls/s  p99 %s", rep+1, p.Reps, s.setting(w), v["calls/s"], show(v["p99-ns"], "ns"))
			}
		}
	}
	return nil
}

// turn calls one mesh for a while.
func (p *ScalePlan) turn(ctx context.Context, s *size, w Workload, rep int, dir string) (Values, error) {
	l := loop{
		client: s.client, workload: w, keys: s.actors, clients: p.Clients, seed: uint64(rep) << 32, warmup: p.Warmup, window: p.Window,
		usage: func(ctx context.Context) (usage, error) { return read(ctx, s.cluster, dir) },
	}
	sample, err := l.drive(ctx)
	if err != nil {
		return nil, err
	}
	if sample.Errors > 0 {
		return nil, fmt.Errorf("%d calls failed; the first error: %s", sample.Errors, sample.FirstError)
	}
	m, err := s.cluster.memory(ctx)
	if err != nil {
		return nil, err
	}
	return Values{
		"awake":   float64(m.awake),
		"calls/s": sample.Rate, "p50-ns": 1e3 * sample.P50us, "p99-ns": 1e3 * sample.P99us,
		"nodes-cpu-ns/op": 1e9 * sample.NodesCPU / float64(sample.Calls), "rss-B": m.resident / float64(p.Mesh.Nodes),
	}, nil
}
