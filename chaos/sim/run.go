package sim

import (
	"fmt"
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/ring"
)

// Options say how a plan is run.
type Options struct {
	// Seed is of everything that the plan leaves open: what the network, the
	// disks, the clocks and the nodes' own lots do.
	Seed uint64

	// Pebble has the nodes use Pebble, on a disk in memory, in the place of the
	// modelled store. Its goroutines are not the world's, so two such runs may
	// differ.
	Pebble bool

	// Trace, if not nil, is called with what happens, a line at a time.
	Trace func(format string, args ...any)

	// Progress, if not nil, is called now and then with the virtual time.
	Progress func(now time.Duration)
}

// Result is what a run has shown.
type Result struct {
	workload.Run
	Seed     uint64
	Hash     uint64 // of all that has happened, in its order: the same for the same plan and seed
	Events   uint64
	Virtual  time.Duration
	Elapsed  time.Duration
	Findings []workload.Finding // what is wrong; empty if nothing is
}

// foundingTime is how long a mesh may take to begin to serve, before the plan's
// time begins.
const foundingTime = 30 * time.Second

// Run runs a plan. The error says that the plan cannot be run; what is wrong with
// the mesh is in the result.
func Run(plan *script.Plan, o Options) (*Result, error) {
	if err := plan.CheckEngine(script.Sim); err != nil {
		return nil, err
	}
	began := time.Now()
	w := newWorld(o.Seed)
	w.trace = o.Trace
	if err := w.build(plan, o); err != nil {
		return nil, err
	}
	defer w.end()
	w.spread()
	w.found(plan)
	if len(w.findings) == 0 {
		w.live(plan, o)
	}
	r := &Result{
		Run:  workload.Run{Plan: plan, History: w.history, Bands: w.bands(), Saw: w.saw(), SawAll: true},
		Seed: o.Seed, Hash: w.hash, Events: w.events, Virtual: w.time,
	}
	for _, text := range w.findings {
		r.Findings = append(r.Findings, workload.Finding{Check: "invariant", Text: text})
	}
	for _, f := range w.finals {
		r.Finals = append(r.Finals, *f)
	}
	if len(r.Findings) == 0 {
		r.Findings = workload.Check(&r.Run)
	}
	r.Elapsed = time.Since(began)
	return r, nil
}

// build makes the machines of a plan.
func (w *world) build(plan *script.Plan, o Options) error {
	var seeds []string
	for _, name := range plan.Names() {
		m := w.addMachine(name, o.Pebble)
		if m.index < plan.Nodes {
			seeds = append(seeds, m.addr)
		}
	}
	for _, m := range w.machines {
		if err := m.configure(&plan.Header, seeds); err != nil {
			return err
		}
	}
	w.clients = w.newProcess(nil)
	w.clients.m = &machine{w: w, index: -1, name: "clients", clock: clock{base: 1, rate: 1}}
	return nil
}

// found starts the founders, and waits until all of them serve.
func (w *world) found(plan *script.Plan) {
	for _, m := range w.machines[:plan.Nodes] {
		w.after(w.between(0, 100*time.Millisecond), evFault, nil, m.start)
	}
	serving := func() bool {
		for _, m := range w.machines[:plan.Nodes] {
			if m.process == nil || m.process.node == nil {
				return false
			}
		}
		return true
	}
	for !serving() && len(w.findings) == 0 {
		if w.time > foundingTime {
			w.broken("the mesh was not founded")
			return
		}
		w.run(w.time + 50*time.Millisecond)
	}
}

// live runs the plan's time: calls and faults, and then calls alone.
func (w *world) live(plan *script.Plan, o Options) {
	zero := w.time
	w.zero = zero
	w.limit = plan.Time
	w.plan(plan)
	w.startClients(plan)
	length := plan.Length()
	for at := time.Duration(0); at < length && len(w.findings) == 0; at += time.Second {
		w.run(zero + min(at+time.Second, length))
		if o.Progress != nil {
			o.Progress(w.time - zero)
		}
	}
	if len(w.findings) > 0 {
		return
	}
	w.calm = true
	w.run(w.time + quietTime)
	if w.leaves() {
		// Who could take its place may have been dead twice, and is given nothing
		// before it has been steady.
		w.run(w.time + steadyTime)
	}
	w.checkHealth()
	w.readFinals(plan, w.time+finalTime)
	w.run(w.time + finalTime + time.Second)
}

// leaves reports whether a node runs that is about to leave.
func (w *world) leaves() bool {
	return w.facts.newest != nil && slices.ContainsFunc(w.machines, func(m *machine) bool {
		if !m.wanted || m.process == nil || m.process.port == nil {
			return false
		}
		member, ok := w.facts.newest.Member(ring.NodeID(m.process.port.conf.Self))
		return ok && member.State == ring.Leaving
	})
}

// checkHealth looks whether the mesh is well: all that should run is, as the newest
// view knows, and every slot is where it should be.
func (w *world) checkHealth() {
	v := w.facts.newest
	if v == nil || len(w.findings) > 0 {
		return
	}
	for _, m := range w.machines {
		if !m.wanted || m.left {
			continue
		}
		p := m.process
		if p == nil || p.node == nil {
			w.broken("%s does not serve, and nothing is in its way", m.name)
			return
		}
		member, ok := v.Member(ring.NodeID(p.port.conf.Self))
		switch {
		case !ok:
			w.broken("%s serves, and the view of epoch %d does not have it", m.name, v.Epoch)
		case member.State != ring.Up:
			w.broken("%s serves, and the view of epoch %d has it %v", m.name, v.Epoch, member.State)
		case p.view == nil || p.view.view.Epoch != v.Epoch:
			w.broken("%s has not heard of the view of epoch %d", m.name, v.Epoch)
		}
	}
	for i := range v.Slots {
		row := &v.Slots[i]
		if owner, _ := v.Member(row.Owner()); owner.State != ring.Up {
			w.broken("slot %d is owned by %s, which is %v", i, owner.Name, owner.State)
		}
		// It may have fewer replicas than it should: who was dead twice is given
		// none for a minute.
		if len(row.From) > 0 {
			w.broken("slot %d is still read from %d earlier sets", i, len(row.From))
		}
	}
}

// quietTime is how long what was sent last may be under way.
const quietTime = 3 * time.Second

// steadyTime is how long a member is given nothing after it flapped, and a little.
const steadyTime = 62 * time.Second

// finalTime is how long it may take to read the last states.
const finalTime = 10 * time.Second

// end lets go of all processes.
func (w *world) end() {
	for _, m := range w.machines {
		if m.process != nil {
			m.process.end()
		}
		m.disk.close()
	}
	w.clients.end()
	for _, c := range w.idle {
		c.stop()
	}
}

// saw returns what the run has counted.
func (w *world) saw() map[string]int {
	d := &w.disks
	for name, n := range map[string]uint64{
		"disk crash": d.Crashes, "unsynced batch lost": d.LostBatches,
		"fsync failed": d.FailedSyncs, "disk full": d.FullWrites, "bit flipped": d.BitFlips,
		"write misdirected": d.Misdirections, "damage found": d.DamageFound,
	} {
		w.counts[name] = int(n)
	}
	return w.counts
}

// String says how the run ended, in a line or more.
func (r *Result) String() string {
	text := fmt.Sprintf("seed %d: %d events, %v of virtual time in %v, %d attempts, hash %016x", r.Seed, r.Events,
		r.Virtual.Round(time.Millisecond), r.Elapsed.Round(time.Millisecond), len(r.History), r.Hash)
	for _, f := range r.Findings {
		text += "\n" + f.String()
	}
	return text
}
