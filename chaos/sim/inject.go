package sim

import (
	"context"
	"strings"
	"time"

	"actormesh/chaos/script"
	"actormesh/quorum"
)

// describe returns a fault as people read it, with the names of nodes.
func describe(f *script.Fault, sides [][]string) string {
	text := string(f.Verb)
	if f.Mode != "" {
		text += " " + string(f.Mode)
	}
	for i, s := range sides {
		if i > 0 {
			text += " |"
		}
		text += " " + strings.Join(s, " ")
	}
	return text
}

// restart restarts a machine's process, perhaps on another disk.
func (w *world) restart(f *script.Fault, m *machine) func() {
	m.crash()
	switch f.Mode {
	case script.Empty:
		m.forget()
		m.disk.disk = m.disk.fresh()
	case script.RolledBack:
		if m.disk.earlier != nil {
			m.forget()
			m.disk.disk = m.disk.earlier
		}
	case script.OfNode:
		for _, name := range f.Of.Resolve(view{w: w}) {
			if o := w.machine(name); o != nil && o != m {
				m.forget()
				m.disk.disk = o.disk.disk.Clone()
			}
		}
	}
	w.after(w.between(0, 300*time.Millisecond), evFault, nil, m.start)
	return nil
}

// forget drops what is known of the disk that the machine had: another one takes
// its place, and a process that finds it so may refuse to run.
func (m *machine) forget() {
	m.w.blame[m.index] = true
	m.w.clonesMade = true
	for key := range m.w.facts.promises {
		if key.machine == m.index {
			delete(m.w.facts.promises, key)
		}
	}
}

// clone starts a second process from a copy of the machine's disk, at another
// address. At the end one of them is left, on the disk of the one that was let in.
func (w *world) clone(m *machine) func() {
	twin := w.addMachine(m.name+"'", false)
	twin.conf = m.conf
	twin.conf.Listen = twin.addr
	twin.disk.disk = m.disk.disk.Clone()
	w.blame[twin.index], w.blame[m.index], w.clonesMade = true, true, true
	twin.start()
	return func() {
		twin.wanted = false
		twin.crash()
		if n := w.facts.newest; n != nil {
			if member, ok := memberNamed(n, m.conf.Name); ok && member.Addr == twin.addr {
				m.crash()
				m.disk.disk = twin.disk.disk // its promises and its log are the node's
			}
		}
		m.start()
	}
}

// setClock has a machine's clock go wrong.
func (w *world) setClock(f *script.Fault, m *machine) func() {
	usual := m.clock.rate
	switch f.Mode {
	case script.Jump:
		m.clock.ahead += f.Delay
		return nil
	case script.Stop:
		// To the node it is as if it was paused, and nobody had noticed. While
		// it lasts others may take over, which the bound on drift forbids.
		w.clocksOff = true
		m.setRate(0)
	case script.Drift:
		if d := f.Drift.Float(); d > quorum.MaxDrift || d < -quorum.MaxDrift {
			w.clocksOff = true
		}
		m.setRate(1 + f.Drift.Float())
	}
	return func() { m.setRate(usual) }
}

// disturb does something to a machine's disk.
func (w *world) disturb(f *script.Fault, m *machine) func() {
	d := m.disk.disk
	if m.disk.pebble && f.Mode != script.Slow && f.Mode != script.Torn {
		return nil // Pebble, when a file fails in one of its goroutines, ends the program
	}
	switch f.Mode {
	case script.Full:
		w.blame[m.index] = true
		usage, err := d.GetDiskUsage("")
		if err != nil {
			return nil
		}
		room := uint64(64) // it fills up in the middle of a write
		if w.chance(2) {
			room = 8 << 20 // or slowly enough that the node can give way
		}
		d.SetCapacity(usage.UsedBytes + room)
		return func() {
			m.disk.disk.SetCapacity(0)
			m.start()
		}
	case script.EIO:
		w.blame[m.index] = true
		d.FailSync(1 + w.rng.IntN(4))
		return func() {
			m.disk.disk.FailSync(0)
			m.start()
		}
	case script.Slow:
		m.disk.slow = f.Delay
		return func() { m.disk.slow = 0 }
	case script.Flip, script.Misdirect:
		w.blame[m.index] = true
		damage := d.FlipBit
		if f.Mode == script.Misdirect {
			damage = d.MisdirectWrite
		}
		if damage(w.rng) {
			w.count("pair damaged")
		}
	case script.Torn:
		m.torn = true
		return func() { m.torn = false }
	case script.Lose: // as every crash here does
	}
	return nil
}

// gossip tells a node something false: that the named one has another address,
// and a view from the future.
func (w *world) gossip(f *script.Fault, m *machine) func() {
	if f.Mode != script.Suspect || m.process == nil || m.process.port == nil {
		return nil
	}
	id := m.process.port.conf.Self
	for _, name := range f.Of.Resolve(view{w: w}) {
		if o := w.machine(name); o != nil && o.process != nil && o.process.port != nil {
			if h, ok := o.process.port.conf.Handler.(hinted); ok {
				w.count("false hint")
				w.after(0, evMessage, o.process, func() { h.Hint(id, "127.0.0.1:1", quorum.Epoch(1)<<40) })
			}
		}
	}
	return nil
}

// hinted is a node's handler of the network, which takes hints of gossip too.
type hinted interface {
	Hint(id quorum.NodeID, addr string, epoch quorum.Epoch)
}

// retire has a node give up what it owns, for good or not, and end.
func (w *world) retire(f *script.Fault, m *machine) {
	p := m.process
	if p == nil || p.node == nil {
		return
	}
	m.wanted = false
	p.begin(func() {
		retire := p.node.Drain
		if f.Verb == script.Leave {
			m.leaving = true
			retire = p.node.Leave
		}
		ctx, cancel := p.WithDeadline(context.Background(), p.About().Add(20*time.Second))
		defer cancel()
		err := retire(ctx)
		w.tracef("%s: %s: %v", m.name, f.Verb, err)
		if err == nil {
			w.count("node gone by " + string(f.Verb))
			m.left = f.Verb == script.Leave
		}
		if m.process == p {
			m.crash()
		}
		if err != nil {
			w.count("retirement given up")
		}
		if !m.left {
			w.after(w.between(0, time.Second), evFault, nil, m.start)
		}
	})
}
