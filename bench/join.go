package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"actormesh/chaos/cluster"
)

// JoinPlan says how it is measured what a node that joins costs those who call.
type JoinPlan struct {
	MeshSetup
	Clients int
	Actors  int           // that are in the mesh, beside those that are called
	Window  time.Duration // before the join, and after it
}

// The phases of a join, in their order; the first is no row.
var joinPhases = []string{"warm-up", "before", "during", "after"}

func (p *JoinPlan) check() error {
	switch {
	case p.Clients < 1 || p.Clients > MaxClients:
		return fmt.Errorf("%w: %d clients; it must be from 1 to %d", ErrPlan, p.Clients, MaxClients)
	case p.Actors < 0 || p.Window < minWindow:
		return fmt.Errorf("%w: %d actors, and windows of %v", ErrPlan, p.Actors, p.Window)
	}
	return p.MeshSetup.check()
}

// Join starts one more node while clients write, and measures how long it takes
// until that node owns its share, and how the clients fare before, during and after.
func Join(ctx context.Context, p JoinPlan) (*Study, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	study := &Study{
		Name: "join",
		How: fmt.Sprintf("a node joins %d that hold %d actors, under %d clients that put %d bytes to %d others; during lasts from its start until it owns its share and no slot is on its way",
			p.Mesh.Nodes, p.Actors, p.Clients, ValueBytes, Keys),
		Columns: []Column{{"LASTED", "lasted-ns"}, {"CALLS/S", "calls/s"}, {"P50", "p50-ns"}, {"P99", "p99-ns"}, {"SLOWEST", "slowest-ns"}, {"FAILED", "failed"}},
	}
	return p.conduct(ctx, study, []System{&p.Mesh}, func(dir string) error {
		for rep := range p.Reps {
			err := with(ctx, &p.Mesh, filepath.Join(dir, fmt.Sprint(rep+1)), func(c Cluster) error {
				ctx, cancel := context.WithTimeout(ctx, stepTimeout+4*p.Window)
				defer cancel()
				return p.once(ctx, study, rep, c.(*meshCluster))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// once is one join.
func (p *JoinPlan) once(ctx context.Context, study *Study, rep int, c *meshCluster) (err error) {
	if err := p.wake(ctx, c, Keys, Keys+p.Actors); err != nil {
		return err
	}
	client, err := c.Dial(ctx, p.Via, max(p.Clients, prepareClients))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := prepare(ctx, client, KVPut); err != nil {
		return err
	}
	load := phases{loop: loop{client: client, workload: KVPut, clients: p.Clients, seed: uint64(rep) << 32}}
	load.begin(ctx, len(joinPhases))
	err = p.through(ctx, c, &load)
	load.end()
	if err != nil {
		return err
	}
	for i, phase := range joinPhases[1:] {
		s, err := load.of(i + 1)
		if err != nil {
			return fmt.Errorf("%s the join: %w", phase, err)
		}
		lasted := load.took[i+1]
		study.add(p.Mesh.Name(), "phase="+phase, Values{
			"lasted-ns": float64(lasted), "calls/s": s.Rate, "p50-ns": 1e3 * s.P50us, "p99-ns": 1e3 * s.P99us,
			"slowest-ns": 1e3 * s.MaxUs, "failed": float64(s.Errors),
		})
		p.say("join %d of %d  %-6s %8v  %8.0f calls/s  p99 %s", rep+1, p.Reps, phase, lasted.Round(time.Millisecond), s.Rate, showMicros(s.P99us))
		if s.Errors > 0 {
			p.say("%d calls failed; the first error: %s", s.Errors, s.FirstError)
		}
	}
	return nil
}

// waitShare waits until a node serves about its share. It asks less than
// WaitShared does, which would itself be a load.
func waitShare(ctx context.Context, c *cluster.Cluster, n *cluster.Node) error {
	return cluster.Until(ctx, func(ctx context.Context) error {
		if !n.Running() {
			return fmt.Errorf("%w: %s exited with code %d:\n%s", cluster.ErrHopeless, n.Name, n.ExitCode(), n.Tail(15))
		}
		s, err := c.Status(ctx, n)
		if share := s.Slots.Total / len(c.Nodes); err == nil && (s.Slots.Active < share*9/10 || s.Slots.Total == 0) {
			err = fmt.Errorf("%s serves %d slots, and its share is %d", n.Name, s.Slots.Active, share)
		}
		return err
	})
}

// through takes the load from phase to phase.
func (p *JoinPlan) through(ctx context.Context, c *meshCluster, load *phases) error {
	for range 2 { // the warm-up, and before
		if err := pause(ctx, p.Window); err != nil {
			return err
		}
		load.next()
	}
	joiner, err := c.processes.Add(p.Mesh.Binary, append(p.Mesh.args(), "--join", c.processes.Nodes[0].Listen)...)
	if err == nil {
		err = joiner.Start()
	}
	if err == nil {
		err = waitShare(ctx, c.processes, joiner)
	}
	if err == nil {
		err = c.processes.WaitShared(ctx)
	}
	if err != nil {
		return err
	}
	load.next()
	return pause(ctx, p.Window)
}
