package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// RestPlan says how a mesh at rest is measured.
type RestPlan struct {
	MeshSetup
	Actors []int // how many are awake, from fewer to more
	Settle time.Duration
	Window time.Duration
}

// wakers is how many clients wake actors.
const wakers = 256

func (p *RestPlan) check() error {
	if err := rising(p.Actors); err != nil {
		return err
	}
	if p.Window < minWindow || p.Settle < 0 {
		return fmt.Errorf("%w: %v measured after %v", ErrPlan, p.Window, p.Settle)
	}
	return p.MeshSetup.check()
}

// Rest measures what a mesh takes while nobody calls it, with more and more actors
// awake. What an actor takes is what a mesh takes more than it did with fewer, so
// that the mesh itself is in no actor's account.
func Rest(ctx context.Context, p RestPlan) (*Study, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	study := &Study{
		Name: "rest",
		How: fmt.Sprintf("nobody calls; actors are awake on one of %d nodes each, and were written to once; CPU is of one core; an actor's memory is what all nodes take more than in the row above",
			p.Mesh.Nodes),
		Columns: []Column{
			{"CPU/NODE", "cpu-%"}, {"FSYNCS/S", "fsyncs/s"}, {"RSS/NODE", "rss-B"}, {"HEAP/NODE", "heap-B"}, {"DISK/NODE", "disk-B"},
			{"RSS/ACTOR", "rss/actor-B"}, {"HEAP/ACTOR", "heap/actor-B"},
		},
	}
	return p.conduct(ctx, study, []System{&p.Mesh}, func(dir string) error {
		for rep := range p.Reps {
			err := with(ctx, &p.Mesh, filepath.Join(dir, fmt.Sprint(rep+1)), func(c Cluster) error {
				return p.once(ctx, study, c.(*meshCluster))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// once is one mesh with more and more actors.
func (p *RestPlan) once(ctx context.Context, study *Study, c *meshCluster) error {
	nodes := float64(p.Mesh.Nodes)
	awake, before := 0, memory{}
	for i, n := range p.Actors {
		p.say("waking %d actors", n-awake)
		if err := p.wake(ctx, c, awake, n); err != nil {
			return err
		}
		if err := pause(ctx, p.Settle); err != nil {
			return err
		}
		v, err := c.rest(ctx, p.Window)
		if err != nil {
			return err
		}
		now, err := c.memory(ctx)
		if err != nil {
			return err
		}
		if now.awake < n {
			return fmt.Errorf("%d actors were written to, and %d are awake", n, now.awake)
		}
		v["rss-B"], v["heap-B"], v["disk-B"] = now.resident/nodes, now.heap/nodes, now.store/nodes
		if more := float64(n - awake); i > 0 {
			v["rss/actor-B"], v["heap/actor-B"] = (now.resident-before.resident)/more, (now.heap-before.heap)/more
		}
		study.add(p.Mesh.Name(), fmt.Sprintf("actors=%d", n), v)
		awake, before = n, now
	}
	return nil
}

// wake writes to the counters from one number up to, but without, another.
func (s *MeshSetup) wake(ctx context.Context, c Cluster, from, to int) (err error) {
	client, err := c.Dial(ctx, s.Via, wakers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return write(ctx, client, CounterAdd, wakers, from, to, func(n int) int { return n })
}

// rest watches the nodes for a while.
func (c *meshCluster) rest(ctx context.Context, window time.Duration) (Values, error) {
	before, err := c.Counters(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, window); err != nil {
		return nil, err
	}
	after, err := c.Counters(ctx)
	if err != nil {
		return nil, err
	}
	nodes, seconds := float64(len(c.addrs)), window.Seconds()
	return Values{
		"cpu-%":    100 * (after.CPU - before.CPU).Seconds() / nodes / seconds,
		"fsyncs/s": float64(after.Fsyncs-before.Fsyncs) / seconds,
	}, nil
}

// memory is what all nodes together take.
type memory struct {
	awake    int     // actors
	resident float64 // bytes
	heap     float64 // bytes, reachable or not yet collected
	store    float64 // bytes on disk
}

// memory asks the nodes.
func (c *meshCluster) memory(ctx context.Context) (m memory, err error) {
	for _, addr := range c.addrs {
		values, err := Scrape(ctx, &c.pages, "http://"+addr+"/metrics",
			"process_resident_memory_bytes", "go_memstats_heap_alloc_bytes", "mesh_store_bytes", "mesh_activations")
		if err != nil {
			return m, err
		}
		m.resident += values[0]
		m.heap += values[1]
		m.store += values[2]
		m.awake += int(values[3])
	}
	return m, nil
}
