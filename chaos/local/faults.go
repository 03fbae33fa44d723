package local

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/ring"
)

// active is a fault that goes on.
type active struct {
	network bool // that heal ends
	end     func()
}

// fault does one fault, when its time has come, and undoes it.
func (e *engine) fault(ctx context.Context, f *script.Fault) {
	if !e.sleep(ctx, f.At) {
		return
	}
	sides := f.Resolve(e.view(ctx))
	began := e.since()
	over := f.Over(began, e.plan.Time)
	undo, err := e.inject(ctx, f, sides)
	if err != nil {
		e.find("%s: %v", f.Text(sides), err)
	}
	a := &active{network: f.Verb == script.LinkFault || len(f.Sides) > 0 && undoesCuts(f.Verb)}
	ended := make(chan struct{})
	a.end = sync.OnceFunc(func() {
		for _, u := range undo {
			if err := u(); err != nil {
				e.find("the end of %s: %v", f.Text(sides), err)
			}
		}
		e.band(f, sides, began)
		close(ended)
	})
	e.mu.Lock()
	e.counts["fault "+string(f.Verb)]++
	e.active = append(e.active, a)
	e.mu.Unlock()
	timer := time.NewTimer(over - e.since())
	defer timer.Stop()
	select {
	case <-ended: // by heal, or by calm
	case <-timer.C:
	case <-ctx.Done():
	}
	a.end()
}

// band tells of a fault that is over.
func (e *engine) band(f *script.Fault, sides [][]string, began time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addBand(workload.Band{
		Line: f.Line, Verb: f.Verb, Text: f.Text(sides), Nodes: slices.Concat(sides...), Begin: began, End: e.since(),
	})
}

// addBand adds a band in the order of time. The caller has the lock.
func (e *engine) addBand(b workload.Band) {
	e.bands = append(e.bands, b)
	slices.SortStableFunc(e.bands, func(a, b workload.Band) int { return int(a.Begin - b.Begin) })
}

// undoesCuts reports whether heal ends what the verb does.
func undoesCuts(v script.Verb) bool {
	switch v {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring:
		return true
	}
	return false
}

// inject does what a fault does, and returns what undoes it.
func (e *engine) inject(ctx context.Context, f *script.Fault, sides [][]string) (undo []func() error, err error) {
	switch f.Verb {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring, script.LinkFault:
		u, err := e.ground.Between(f, f.Pairs(sides))
		if err != nil {
			return nil, err
		}
		return []func() error{u}, nil
	case script.Heal, script.Calm:
		e.endActive(f.Verb == script.Calm)
		return nil, nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, name := range slices.Concat(sides...) {
		h := e.hosts[name]
		if h == nil {
			continue // the twin of a clone
		}
		wg.Go(func() { // all at the same moment
			u, failed := e.injectInto(ctx, f, h)
			mu.Lock()
			defer mu.Unlock()
			if u != nil {
				undo = append(undo, u)
			}
			if failed != nil {
				err = failed
			}
		})
	}
	wg.Wait()
	return undo, err
}

// endActive ends faults before their time: all, or those of the network.
func (e *engine) endActive(all bool) {
	e.mu.Lock()
	was := e.active
	e.active = nil
	e.mu.Unlock()
	for _, a := range was {
		if all || a.network {
			a.end()
			continue
		}
		e.mu.Lock()
		e.active = append(e.active, a)
		e.mu.Unlock()
	}
}

// injectInto does to one node what a fault does, and returns what undoes it.
func (e *engine) injectInto(ctx context.Context, f *script.Fault, h *host) (undo func() error, err error) {
	switch f.Verb {
	case script.Kill:
		return h.hold(h.node.Kill)
	case script.PowerLoss:
		return h.hold(func() error { return h.losePower(f) })
	case script.Disk:
		if f.Mode == script.Flip {
			return nil, h.flip(f) // on whatever ground
		}
		return h.below(f)
	case script.Drain:
		return h.hold(h.drain)
	case script.Pause:
		return h.pause()
	case script.Join:
		return nil, h.start()
	case script.Leave:
		return nil, e.leave(ctx, h)
	case script.Restart:
		return nil, e.restart(ctx, f, h)
	case script.Clone:
		return e.clone(h)
	}
	return nil, fmt.Errorf("the engine has no %s", f.Verb)
}

// leave has a node leave for good.
func (e *engine) leave(ctx context.Context, h *host) error {
	h.mu.Lock()
	h.wanted = false
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := e.cluster.Client.Post(ctx, h.node.HTTP, "/v1/leave"); err != nil && h.node.Running() {
		e.count("leave was not answered", 1)
	}
	return nil
}

func (e *engine) restart(ctx context.Context, f *script.Fault, h *host) error {
	if f.Mode != "" {
		h.blame()
	}
	err := h.restart(func() error {
		switch f.Mode {
		case script.Empty:
			return os.RemoveAll(h.node.Data)
		case script.RolledBack:
			return copyDir(h.earlier(), h.node.Data)
		case script.OfNode:
			for _, name := range f.Of.Resolve(e.view(ctx)) {
				if other := e.hosts[name]; other != nil && other != h {
					return other.copyTo(h.node.Data)
				}
			}
		}
		return nil
	})
	return err
}

func (h *host) blame() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blamed = true
}

// clone starts a second process on a copy of the node's directory, and ends it.
func (e *engine) clone(h *host) (undo func() error, err error) {
	h.blame()
	e.cloning.Lock()
	defer e.cloning.Unlock()
	n, err := e.cluster.Add(e.options.Binary, h.node.Args...)
	if err != nil {
		return nil, err
	}
	n.Name = h.node.Name
	if _, err := e.ground.Place(n); err != nil {
		return nil, err
	}
	if err := h.copyTo(n.Data); err != nil {
		return nil, err
	}
	return func() error {
		if err := n.Kill(); err != nil {
			return err
		}
		return h.start()
	}, e.ground.Start(n)
}

// rollsBack reports whether a fault of the plan needs directories of before.
func (e *engine) rollsBack() bool {
	return slices.ContainsFunc(e.plan.Faults, func(f script.Fault) bool { return f.Mode == script.RolledBack })
}

// view is the mesh as a fault's targets are found in it: what the node knows that
// knows the newest view.
type view struct {
	status cluster.Status
	slots  []cluster.Slot
	plan   *script.Plan
}

var _ script.World = view{}

// viewTime is how long a node may take to tell what it knows.
const viewTime = 300 * time.Millisecond

// view asks all nodes, and takes what the one with the newest view says.
func (e *engine) view(ctx context.Context) view {
	best := view{plan: e.plan}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(ctx, viewTime)
	defer cancel()
	for _, h := range e.hosts {
		if !h.node.Running() {
			continue
		}
		wg.Go(func() {
			status, err := e.cluster.Status(ctx, h.node)
			if err != nil {
				return
			}
			slots, err := e.cluster.Slots(ctx, h.node)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && status.Epoch >= best.status.Epoch {
				best.status, best.slots = status, slots
			}
		})
	}
	wg.Wait()
	return best
}

// Members implements script.World.
func (v view) Members() []string {
	var names []string
	for _, name := range v.plan.Names() {
		for _, m := range v.status.Members {
			if m.Name == name && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Replicas implements script.World.
func (v view) Replicas(a script.Actor) []string {
	slot := int(ring.SlotOf(v.plan.Slots, "", workload.HostName(a.Kind), a.ID))
	for _, s := range v.slots {
		if s.Slot == slot {
			return s.Replicas
		}
	}
	return nil
}

// Coordinator implements script.World.
func (v view) Coordinator() string { return v.status.Coordinator }

// Handover implements script.World: this engine sees no steps.
func (v view) Handover() (giver, taker string) { return "", "" }
