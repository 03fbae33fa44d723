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

// begin begins a fault, and sees to its end.
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
	band := workload.Band{Line: f.Line, Verb: f.Verb, Text: describe(f, sides), Nodes: nodes, Begin: w.since()}
	band.End = f.Over(band.Begin, w.limit)
	undo := w.inject(f, sides)
	w.count("fault " + strings.TrimSpace(string(f.Verb)+" "+string(f.Mode)))
	w.bands = append(w.bands, band)
	if len(undo) > 0 {
		l := &lasting{w: w, band: len(w.bands) - 1, undo: undo}
		w.lasting = append(w.lasting, l)
		w.after(band.End-band.Begin, evFault, nil, l.end)
	}
}

// lasting is a fault that has an end: when its time is over, or with a calm.
type lasting struct {
	w    *world
	band int // its place in world.bands
	undo []func()
	over bool
}

func (l *lasting) end() {
	if l.over {
		return
	}
	l.over = true
	l.w.bands[l.band].End = l.w.since()
	for _, u := range l.undo {
		u()
	}
}

// inject does what a fault does, and returns what undoes it.
func (w *world) inject(f *script.Fault, sides [][]string) (undo []func()) {
	switch f.Verb {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring:
		return w.cut(f, sides)
	case script.LinkFault:
		return w.impair(f, sides)
	case script.Heal:
		w.net.cuts, w.net.links = nil, nil
		return nil
	case script.Calm:
		for _, l := range w.lasting {
			l.end()
		}
		return nil
	}
	for _, side := range sides {
		for _, name := range side {
			if m := w.machine(name); m != nil {
				if u := w.injectInto(f, m); u != nil {
					undo = append(undo, u)
				}
			}
		}
	}
	return undo
}

// cut is in the way of some directions until it is undone.
func (w *world) cut(f *script.Fault, sides [][]string) []func() {
	c := &cut{map[[2]int]bool{}}
	for _, pair := range f.Pairs(sides) {
		from, to := w.machine(pair.From), w.machine(pair.To)
		if from != nil && to != nil {
			c.routes[[2]int{from.index, to.index}] = true
		}
	}
	w.net.cuts = append(w.net.cuts, c)
	return []func(){func() { w.net.cuts = slices.DeleteFunc(w.net.cuts, func(o *cut) bool { return o == c }) }}
}

func (w *world) impair(f *script.Fault, sides [][]string) []func() {
	l := &linkFault{Link: f.Link, busy: map[[2]int]time.Duration{}}
	if pairs := f.Pairs(sides); len(pairs) > 0 {
		l.pairs = map[[2]int]bool{}
		for _, pair := range pairs {
			from, to := w.machine(pair.From), w.machine(pair.To)
			if from != nil && to != nil {
				l.pairs[[2]int{from.index, to.index}] = true
			}
		}
	}
	w.net.links = append(w.net.links, l)
	return []func(){func() {
		for i, o := range w.net.links {
			if o == l {
				w.net.links = append(w.net.links[:i:i], w.net.links[i+1:]...)
				return
			}
		}
	}}
}

// injectInto does to one machine what a fault does, and returns what undoes it.
func (w *world) injectInto(f *script.Fault, m *machine) (undo func()) {
	switch f.Verb {
	case script.Kill, script.PowerLoss:
		p := m.process
		w.crashSoon(m)
		return func() {
			if m.process == p { // it has not come to it yet
				m.crash()
			}
			m.start()
		}
	case script.Pause:
		if p := m.process; p != nil {
			d := f.Over(w.since(), w.limit) - w.since()
			switch w.rng.IntN(3) {
			case 0:
				p.pause(d)
			case 1: // in the middle of something
				p.pauseIn, p.pauseFor = 1+w.rng.IntN(40), d
			case 2: // as an answer leaves that is true while a lease lasts; who asked still waits
				p.pauseAtRead = min(d, w.between(700*time.Millisecond, 1400*time.Millisecond))
			}
		}
	case script.Restart:
		return w.restart(f, m)
	case script.Clock:
		return w.setClock(f, m)
	case script.Disk:
		return w.disturb(f, m)
	case script.Gossip:
		return w.gossip(f, m)
	case script.Join:
		m.start()
	case script.Clone:
		return w.clone(m)
	case script.Leave, script.Drain:
		w.retire(f, m)
	}
	return nil
}

// crashSoon crashes a machine's process: now, or at one of the next points at
// which crashes hurt.
func (w *world) crashSoon(m *machine) {
	p := m.process
	if p == nil {
		return
	}
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
