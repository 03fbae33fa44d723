//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/local"
	"actormesh/chaos/script"
)

// Run runs a plan. The error says that it cannot be run, and what this machine lacks
// for it; what is wrong with the mesh is in the result.
func Run(ctx context.Context, plan *script.Plan, o local.Options) (*local.Result, error) {
	if err := plan.CheckEngine(script.Netns); err != nil {
		return nil, err
	}
	if err := Probe(plan); err != nil {
		return nil, err
	}
	g, err := newGround(plan)
	if err != nil {
		return nil, err
	}
	o.Dial = g.network.dial
	return local.RunOn(ctx, g, plan, o)
}

// ground is what the processes of a run stand on.
type ground struct {
	needs   needs
	network *network

	mu     sync.Mutex
	homes  map[*cluster.Node]*home
	counts map[string]int
	failed error // what could not be counted
}

var _ local.Ground = (*ground)(nil)

// home is what a node's processes have.
type home struct {
	place *place
	disk  *disk // nil if no fault of the plan is one of disks

	mu     sync.Mutex
	fails  int           // faults by which fsyncs fail
	delay  time.Duration // by which they take longer
	tracer *tracer       // what has them do so; nil if nothing has
}

func newGround(plan *script.Plan) (*ground, error) {
	network, err := newNetwork()
	if err != nil {
		return nil, err
	}
	g := &ground{needs: needsOf(plan), network: network, homes: map[*cluster.Node]*home{}, counts: map[string]int{}}
	if g.needs.filter {
		if err := network.filter(); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// Place implements local.Ground.
func (g *ground) Place(n *cluster.Node) (address string, err error) {
	h := &home{}
	if h.place, err = g.network.add(n.Name); err != nil {
		return "", err
	}
	n.Listen, n.HTTP = fmt.Sprintf("%v:%d", h.place.addr, meshPort), fmt.Sprintf("%v:%d", h.place.addr, httpPort)
	if g.needs.disks {
		if h.disk, err = newDisk(n.Data); err != nil {
			return "", err
		}
		n.Data = filepath.Join(n.Data, "data")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.homes[n] = h
	return n.Listen, nil
}

func (g *ground) home(n *cluster.Node) *home {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.homes[n]
}

// Start implements local.Ground.
func (g *ground) Start(n *cluster.Node) error {
	h := g.home(n)
	if h.disk != nil {
		if err := h.disk.sync(); err != nil { // whoever has wiped it, or copied another, has done so
			return err
		}
	}
	if err := h.place.space.do(n.Start); err != nil {
		return err
	}
	return g.injectInto(h, n, 0, 0)
}

// Between implements local.Ground.
func (g *ground) Between(f *script.Fault, pairs []script.Pair) (undo func() error, err error) {
	return g.network.between(f, pairs)
}

// Below implements local.Ground.
func (g *ground) Below(f *script.Fault, n *cluster.Node) (undo func() error, err error) {
	h := g.home(n)
	switch {
	case f.Verb == script.PowerLoss:
		g.saw(map[string]int{"disk crash": 1})
		return nil, h.disk.losePower()
	case f.Mode == script.Full:
		return h.disk.fill()
	case f.Mode == script.EIO:
		return g.inject(h, n, 1, 0)
	case f.Mode == script.Slow:
		return g.inject(h, n, 0, f.Delay)
	}
	return nil, fmt.Errorf("the engine has no %s %s", f.Verb, f.Mode)
}

// inject has a node's fsyncs fail, or take longer, until the function is called.
func (g *ground) inject(h *home, n *cluster.Node, fails int, delay time.Duration) (undo func() error, err error) {
	if err := g.injectInto(h, n, fails, delay); err != nil {
		return nil, err
	}
	return func() error { return g.injectInto(h, n, -fails, -delay) }, nil
}

// injectInto adds to what happens to a node's fsyncs, and has it happen to the
// process that runs now, of which there may be none.
func (g *ground) injectInto(h *home, n *cluster.Node, fails int, delay time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails += fails
	h.delay += delay
	if err := g.release(h); err != nil {
		return err
	}
	pid := n.PID()
	if pid == 0 || h.fails == 0 && h.delay == 0 {
		return nil
	}
	var err error
	h.tracer, err = trace(pid, h.fails > 0, h.delay, n.Log+".strace")
	return err
}

// release ends what happens to a node's fsyncs. The caller has the home's lock.
func (g *ground) release(h *home) error {
	if h.tracer == nil {
		return nil
	}
	did, err := h.tracer.end()
	h.tracer = nil
	g.saw(did)
	return err
}

func (g *ground) saw(did map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for what, n := range did {
		g.counts[what] += n
	}
}

// Saw implements local.Ground.
func (g *ground) Saw() map[string]int {
	saw := map[string]int{}
	if g.needs.filter {
		packets, err := g.network.saw()
		if err != nil {
			g.mu.Lock()
			g.failed = err
			g.mu.Unlock()
		}
		saw = packets
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for what, n := range g.counts {
		saw[what] = n
	}
	return saw
}

// Close implements local.Ground.
func (g *ground) Close() error {
	g.mu.Lock()
	homes := g.homes
	g.homes = nil
	err := g.failed
	g.mu.Unlock()
	for _, h := range homes {
		h.mu.Lock()
		err = errors.Join(err, g.release(h))
		h.mu.Unlock()
		if h.disk != nil {
			err = errors.Join(err, h.disk.close())
		}
	}
	g.network.close()
	return err
}
