package sim

import (
	"slices"
	"strings"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/quorum"
	"actormesh/ring"
)

// armed is a fault that waits for a step of a handover.
type armed struct {
	fault *script.Fault
	until time.Duration
}

// handover is who took part in the step that a fault has waited for.
type handover struct{ giver, taker string }

// plan has the faults of a plan happen.
func (w *world) plan(p *script.Plan) {
	for i := range p.Faults {
		f := &p.Faults[i]
		w.after(f.At, evFault, nil, func() {
			if f.When != "" {
				w.waiting = append(w.waiting, armed{f, w.time + f.Window})
				return
			}
			w.begin(f, handover{})
		})
	}
}

// step tells of a step of a handover, at which a fault may wait.
func (w *world) step(s script.Step, giver, taker string) {
	w.counts["step "+string(s)]++
	for i, a := range w.waiting {
		if a.fault.When != s || w.time > a.until {
			continue
		}
		w.waiting = append(w.waiting[:i:i], w.waiting[i+1:]...)
		w.after(0, evFault, nil, func() { w.begin(a.fault, handover{giver, taker}) })
		return
	}
}

// view is the mesh as a fault's targets are found in it.
type view struct {
	w *world
	handover
}

var _ script.World = view{}

// Members implements script.World.
func (v view) Members() []string {
	var names []string
	for _, m := range v.w.machines {
		if n := v.w.facts.newest; n == nil {
			if m.wanted {
				names = append(names, m.name)
			}
		} else if _, ok := memberNamed(n, m.name); ok {
			names = append(names, m.name)
		}
	}
	return names
}

func memberNamed(v *ring.View, name string) (ring.Member, bool) {
	for _, m := range v.Members {
		if m.Name == name {
			return m, true
		}
	}
	return ring.Member{}, false
}

// Replicas implements script.World.
func (v view) Replicas(a script.Actor) []string {
	n := v.w.facts.newest
	if n == nil {
		return nil
	}
	slot := ring.SlotOf(len(n.Slots), "", workload.HostName(a.Kind), a.ID)
	var names []string
	for _, id := range n.Slots[slot].Replicas {
		if name := v.w.nameOf(quorum.NodeID(id)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Coordinator implements script.World.
func (v view) Coordinator() string {
	if n := v.w.facts.newest; n != nil {
		return v.w.nameOf(quorum.NodeID(n.Coordinator))
	}
	return ""
}

// Handover implements script.World.
func (v view) Handover() (giver, taker string) { return v.giver, v.taker }

func (w *world) machine(name string) *machine {
	for _, m := range w.machines {
		if m.name == name {
			return m
		}
	}
	return nil
}

// deed is a fault that is done.
type deed struct {
	w     *world
	fault *script.Fault
	band  workload.Band // from its beginning to when nothing of it is left
	undo  []func()
	over  bool // it is undone
}

// begin begins a fault, and sees to its end. One that cannot be done, as its nodes
// are down or its disk is another one, was none.
func (w *world) begin(f *script.Fault, h handover) {
	if w.calm {
		return
	}
	sides := f.Resolve(view{w, h})
	var nodes []string
	for _, s := range sides {
		nodes = append(nodes, s...)
	}
	w.tracef("fault: %s %s %v", f.Verb, f.Mode, sides)
	w.note(uint64(len(nodes)))
	d := &deed{w: w, fault: f, band: workload.Band{
		Line: f.Line, Verb: f.Verb, Text: describe(f, sides), Nodes: nodes, Begin: w.since(),
	}}
	d.band.End = f.Over(d.band.Begin, w.limit)
	if !d.inject(sides) {
		w.count("fault that could not be done")
		return
	}
	w.count("fault " + strings.TrimSpace(string(f.Verb)+" "+string(f.Mode)))
	w.deeds = append(w.deeds, d)
	if len(d.undo) > 0 {
		w.after(d.band.End-d.band.Begin, evFault, nil, d.end)
	}
}

// end undoes the fault: when its time is over, or with a calm.
func (d *deed) end() {
	if d.over || len(d.undo) == 0 {
		return
	}
	d.over = true
	d.band.End = d.w.since()
	for _, u := range d.undo {
		u()
	}
}

// goesOn says that something of the fault is left until now.
func (d *deed) goesOn() { d.band.End = max(d.band.End, d.w.since()) }

// start starts a machine's process after what the fault has done to it.
func (d *deed) start(m *machine) {
	m.start()
	d.goesOn()
}

// bands returns what was done, and from when until when.
func (w *world) bands() []workload.Band {
	list := slices.Clone(w.stalls)
	for _, d := range w.deeds {
		list = append(list, d.band)
	}
	return list
}

// inject does what the fault does, and reports whether it did anything.
func (d *deed) inject(sides [][]string) (done bool) {
	w := d.w
	switch d.fault.Verb {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring:
		return d.cut(sides)
	case script.LinkFault:
		return d.impair(sides)
	case script.Heal, script.Calm:
		for _, o := range w.deeds {
			if d.fault.Verb == script.Calm || o.ofNetwork() {
				o.end()
			}
		}
		return true
	}
	for _, side := range sides {
		for _, name := range side {
			if m := w.machine(name); m != nil && d.into(m) {
				done = true
			}
		}
	}
	return done
}

// ofNetwork reports whether the fault is one that a heal ends.
func (d *deed) ofNetwork() bool {
	switch d.fault.Verb {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring, script.LinkFault:
		return true
	}
	return false
}

// routes returns the directions of the network between sides.
func (d *deed) routes(sides [][]string) map[[2]int]bool {
	routes := map[[2]int]bool{}
	for _, pair := range d.fault.Pairs(sides) {
		from, to := d.w.machine(pair.From), d.w.machine(pair.To)
		if from != nil && to != nil {
			routes[[2]int{from.index, to.index}] = true
		}
	}
	return routes
}

// cut is in the way of some directions until it is undone.
func (d *deed) cut(sides [][]string) bool {
	net := &d.w.net
	c := &cut{d.routes(sides)}
	net.cuts = append(net.cuts, c)
	d.undo = []func(){func() { net.cuts = slices.DeleteFunc(net.cuts, func(o *cut) bool { return o == c }) }}
	return len(c.routes) > 0
}

// impair does something to what takes some directions, or any.
func (d *deed) impair(sides [][]string) bool {
	net := &d.w.net
	l := &linkFault{Link: d.fault.Link, busy: map[[2]int]time.Duration{}}
	if len(d.fault.Sides) > 0 {
		l.pairs = d.routes(sides)
	}
	net.links = append(net.links, l)
	d.undo = []func(){func() { net.links = slices.DeleteFunc(net.links, func(o *linkFault) bool { return o == l }) }}
	return l.pairs == nil || len(l.pairs) > 0
}

// into does to one machine what the fault does, and reports whether it did
// anything.
func (d *deed) into(m *machine) bool {
	f, w := d.fault, d.w
	switch f.Verb {
	case script.Kill, script.PowerLoss:
		p := m.process
		if p == nil {
			return false
		}
		w.crashSoon(m)
		d.undo = append(d.undo, func() {
			if m.process == p { // it has not come to it yet
				m.crash()
			}
			m.start()
		})
		return true
	case script.Pause:
		return d.pause(m)
	case script.Restart:
		return d.restart(m)
	case script.Clock:
		return d.setClock(m)
	case script.Disk:
		return d.disturb(m)
	case script.Gossip:
		return d.gossip(m)
	case script.Join:
		if m.process != nil || m.left {
			return false
		}
		m.start()
		return true
	case script.Clone:
		return d.clone(m)
	case script.Leave, script.Drain:
		return d.retire(m)
	}
	return false
}

// pause has a machine's process stand still: at once, within a step, or as an
// answer leaves that is true while a lease lasts, and for which somebody waits.
func (d *deed) pause(m *machine) bool {
	p, w := m.process, d.w
	if p == nil {
		return false
	}
	p.pausedBy, p.pauseEnd = d, w.zero+d.band.End
	switch w.rng.IntN(3) {
	case 0:
		p.pause(p.pauseEnd)
	case 1:
		p.pauseIn = 1 + w.rng.IntN(40)
	case 2:
		p.pauseAtRead = w.between(700*time.Millisecond, 1400*time.Millisecond)
	}
	d.undo = append(d.undo, func() {
		if p.pausedBy == d { // what has not come by now does not come any more
			p.pauseIn, p.pauseAtRead = 0, 0
			d.band.End = max(d.band.End, p.pausedUntil-w.zero)
		}
	})
	return true
}

// crashSoon crashes a machine's process: now, or at one of the next points at
// which crashes hurt.
func (w *world) crashSoon(m *machine) {
	p := m.process
	m.wanted = false
	at := crashPoint(w.rng.IntN(int(crashAtSend) + 1))
	if m.torn {
		at = crashBeforeSync
	}
	if at != crashNowhere && p.node != nil {
		p.crashAt, p.crashIn = at, 1+w.rng.IntN(6)
		w.after(200*time.Millisecond, evFault, nil, func() { // if it does not come to that
			if m.process == p {
				m.crash()
			}
		})
		return
	}
	m.crash()
}
