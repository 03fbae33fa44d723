package sim

import (
	"strings"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/sim/disk"
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

// restart restarts a machine's process, perhaps on another disk. Where it keeps its
// own, it is told to stop as often as it is killed.
func (d *deed) restart(m *machine) bool {
	w := d.w
	start := func() { w.after(w.between(0, 300*time.Millisecond), evFault, nil, func() { d.start(m) }) }
	if p := m.process; p != nil && p.then == nil && d.fault.Mode == "" && w.chance(2) {
		m.stop(start)
		return true
	}
	m.crash()
	switch d.fault.Mode {
	case script.Empty:
		m.replaceDisk(m.disk.fresh())
		m.foreign = false
	case script.RolledBack:
		if m.disk.earlier != nil {
			m.replaceDisk(m.disk.earlier)
			m.foreign = true
		}
	case script.OfNode:
		for _, name := range d.fault.Of.Resolve(view{w: w}) {
			if o := w.machine(name); o != nil && o != m {
				m.replaceDisk(o.disk.disk.Clone())
				m.foreign = true
			}
		}
	}
	start()
	return true
}

// replaceDisk puts another disk in a machine, of which nothing is known.
func (m *machine) replaceDisk(d *disk.Disk) {
	m.disk.disk = d
	for key := range m.w.facts.promises {
		if key.machine == m.index {
			delete(m.w.facts.promises, key)
		}
	}
}

// clone starts a second process from a copy of the machine's disk, at another
// address. At the end one of them is left, on the disk of the one that was let in.
func (d *deed) clone(m *machine) bool {
	w := d.w
	twin := w.addMachine(m.name+"'", m.disk.pebble)
	twin.conf = m.conf
	twin.conf.Listen = twin.addr
	twin.disk.disk = m.disk.disk.Clone()
	twin.foreign, m.foreign = true, true
	twin.start()
	d.undo = append(d.undo, func() {
		twin.wanted = false
		twin.crash()
		if n := w.facts.newest; n != nil {
			if member, ok := memberNamed(n, m.conf.Name); ok && member.Addr == twin.addr {
				m.crash()
				m.disk.disk = twin.disk.disk // its promises and its log are the node's
			}
		}
		m.start()
	})
	return true
}

// setClock has a machine's clock go wrong.
func (d *deed) setClock(m *machine) bool {
	f := d.fault
	usual := m.clock.rate
	switch f.Mode {
	case script.Jump:
		m.clock.ahead += f.Delay
		return true
	case script.Stop:
		// To the node it is as if it was paused, and nobody had noticed. While
		// it lasts others may take over, which the bound on drift forbids.
		d.w.clocksOff = true
		m.setRate(0)
	case script.Drift:
		if d := f.Drift.Float(); d > quorum.MaxDrift || d < -quorum.MaxDrift {
			m.w.clocksOff = true
		}
		m.setRate(1 + f.Drift.Float())
	}
	d.undo = append(d.undo, func() { m.setRate(usual) })
	return true
}

// disturb does something to a machine's disk. Pebble, when a file fails in one of
// its goroutines, ends the program, and its own damage is not modelled.
func (d *deed) disturb(m *machine) bool {
	f, w := d.fault, d.w
	if m.disk.pebble && f.Mode != script.Slow && f.Mode != script.Lose {
		return false
	}
	switch f.Mode {
	case script.Full:
		d.fill(m)
	case script.EIO:
		m.dying++
		m.disk.disk.FailSync(1 + w.rng.IntN(4))
		if m.process != nil {
			m.process.dying = true
		}
		d.undo = append(d.undo, func() {
			if m.dying--; m.dying == 0 {
				m.disk.disk.FailSync(0)
			}
			m.start()
		})
	case script.Slow:
		m.disk.slow = f.Delay
		d.undo = append(d.undo, func() { m.disk.slow = 0 })
	case script.Flip, script.Misdirect:
		damage := m.disk.disk.FlipBit
		if f.Mode == script.Misdirect {
			damage = m.disk.disk.MisdirectWrite
		}
		if !damage(w.rng) {
			return false
		}
	case script.Torn:
		m.torn = true
		d.undo = append(d.undo, func() { m.torn = false })
	case script.Lose: // as every crash here does
	}
	return true
}

// fill leaves a disk little room, or none.
func (d *deed) fill(m *machine) {
	usage, err := m.disk.disk.GetDiskUsage("")
	if err != nil {
		panic(err) // a disk in memory knows
	}
	room := uint64(64) // it fills up in the middle of a write
	if d.w.chance(2) {
		room = 8 << 20 // or slowly enough that the node can give way
	}
	m.full++
	m.disk.disk.SetCapacity(usage.UsedBytes + room)
	if m.process != nil {
		m.process.full = true
	}
	d.undo = append(d.undo, func() {
		if m.full--; m.full == 0 {
			m.disk.disk.SetCapacity(0)
		}
		m.start()
	})
}

// gossip has gossip say what is false, or nothing.
func (d *deed) gossip(m *machine) bool {
	if d.fault.Mode == script.Silence {
		m.silent++
		d.undo = append(d.undo, func() { m.silent-- })
		return true
	}
	if m.process == nil || m.process.port == nil {
		return false
	}
	told := false
	for _, name := range d.fault.Of.Resolve(view{w: d.w}) {
		if o := d.w.machine(name); o != nil && o != m && o.process.hint(hint{m.process.port.conf.Self, "127.0.0.1:1", 1 << 40}) {
			d.w.count("false hint")
			told = true
		}
	}
	return told
}
