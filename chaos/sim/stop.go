package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/local"
	"actormesh/mesh/core"
	"actormesh/quorum"
)

// How long things may take at the end of a process.
const (
	stopPatience = 5 * time.Second       // of who told it to end
	remainsTime  = 20 * time.Millisecond // until the last task of a node that has stopped is over
	drainTimeout = 20 * time.Second
)

// stop tells a machine's process to end, as a signal does, and at times crashes it
// before it has. then is called when it is gone.
func (m *machine) stop(then func()) {
	p, w := m.process, m.w
	w.count("node told to stop")
	p.then = then
	if w.chance(4) {
		w.after(w.between(0, 3*time.Millisecond), evFault, nil, func() {
			if m.process == p {
				w.count("crash within a stop")
				m.crash()
				then()
			}
		})
	}
	w.happensOn(p, action(func() {
		if p.node == nil {
			p.cancel()
			return
		}
		p.begin(func() { _ = p.node.Close() }) // its error is looked at by who waits for the node's end
	}))
	w.after(stopPatience, evFault, p, p.late)
}

// late finds that a process has not ended though it was told to.
func (p *process) late() {
	if p.w.time-p.pausedUntil < stopPatience {
		p.w.after(stopPatience, evFault, p, p.late)
		return
	}
	p.w.broken("%s was told to stop, and has not ended in %v%s", p.m.name, stopPatience, p.stacks())
}

// ended is the end of a machine's process: its node has stopped, or did not start.
// Nothing of it may go on, unless its store has failed, when it gives up as it is.
func (m *machine) ended(p *process, err error) {
	w := m.w
	w.tracef("%s: ends: %v", m.name, err)
	if p.then != nil && (err == nil || errors.Is(err, context.Canceled)) {
		w.count("process stopped")
	} else {
		w.count("process ended")
		if !m.mayEnd(p, err) {
			w.broken("%s ended by itself: %v", m.name, err)
		}
	}
	if !errors.Is(err, local.ErrFailed) && !errors.Is(err, local.ErrDamaged) {
		p.sleep(remainsTime)
		if text := p.remains(); text != "" {
			w.broken("%s has stopped, and of it remains %s", m.name, text)
		}
	}
	m.process = nil
	p.end()
	w.gone(p)
	m.disk.disk = m.disk.disk.Clone() // what it held open is let go
	if m.hasLeft(err) {
		m.left, m.wanted = true, false
	}
	switch {
	case p.then != nil:
		p.then()
	case !m.wanted:
	case err != nil && strings.Contains(err.Error(), "wipe"):
		m.wipe()
	case m.full == 0 && m.dying == 0: // else the end of that fault starts it
		w.after(w.between(0, time.Second), evFault, nil, m.startWanted)
	}
}

// wipe does what a node's last words ask of the operator.
func (m *machine) wipe() {
	w := m.w
	w.count("directory wiped")
	found := w.since()
	w.after(w.between(time.Second, 3*time.Second), evFault, nil, func() {
		if m.process == nil && m.wanted {
			m.replaceDisk(m.disk.fresh())
			m.foreign = false
			m.start()
		}
		// It may have been found long after it was done.
		w.stalls = append(w.stalls, workload.Band{
			Verb: workload.Stall, Text: m.name + " is given an empty directory", Nodes: []string{m.name}, Begin: found, End: w.since(),
		})
	})
}

// startWanted starts a process unless it is to stay down.
func (m *machine) startWanted() {
	if m.wanted {
		m.start()
	}
}

// mayEnd reports whether a process may end by itself, with this error: not without
// a cause that the run has given it.
func (m *machine) mayEnd(p *process, err error) bool {
	var refused *quorum.RefusedError
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return p.full
	case errors.Is(err, syscall.EIO):
		return p.dying
	case errors.Is(err, local.ErrDamaged):
		return m.disk.disk.Damaged() || m.foreign
	case errors.As(err, &refused), errors.Is(err, local.ErrOtherName):
		return m.foreign
	}
	return m.hasLeft(err)
}

// hasLeft reports whether a process ended because its node has left, as it was told.
func (m *machine) hasLeft(err error) bool {
	return m.leaving && err != nil && (errors.Is(err, core.ErrLeft) || strings.Contains(err.Error(), "has left its mesh for good"))
}

// remains says what of a process goes on beside the running task, empty for nothing.
func (p *process) remains() string {
	open := 0
	for _, c := range p.ctxs {
		if c.err == nil {
			open++
		}
	}
	switch {
	case len(p.tasks) > 1:
		return fmt.Sprintf("%d tasks%s", len(p.tasks)-1, p.stacks())
	case open > 0:
		return fmt.Sprintf("%d contexts that nobody has cancelled", open)
	case p.m.disk.disk.InUse():
		return "its store, which is open"
	}
	return ""
}

// stacks ends a process's tasks but the running one, and returns where they were.
func (p *process) stacks() (text string) {
	p.told = func() { text += "\n" + string(debug.Stack()) }
	p.end()
	return text
}

// retire has a node give up what it owns, for good or not, and end.
func (d *deed) retire(m *machine) bool {
	p, w := m.process, d.w
	if p == nil || p.node == nil || p.retiring {
		return false
	}
	m.wanted, p.retiring = false, true
	p.begin(func() {
		retire := p.node.Drain
		if d.fault.Verb == script.Leave {
			m.leaving = true
			retire = p.node.Leave
		}
		limit := min(drainTimeout, w.limit-w.since())
		if w.chance(8) { // whoever waits has no patience
			limit = w.between(0, 200*time.Millisecond)
		}
		ctx, cancel := p.WithDeadline(context.Background(), p.About().Add(limit))
		err := retire(ctx)
		cancel()
		w.tracef("%s: %s: %v", m.name, d.fault.Verb, err)
		if err != nil {
			w.count("retirement given up")
		} else {
			w.count("node gone by " + string(d.fault.Verb))
			m.left = d.fault.Verb == script.Leave
		}
		if m.process == p && p.then == nil {
			m.stop(func() { d.retired(m) })
		}
	})
	if d.fault.Verb == script.Drain {
		d.undo = append(d.undo, func() {
			if m.process == nil {
				d.start(m)
			}
		})
	}
	return true
}

// retired starts a machine's process again that has given up what it owned, unless
// that was for good, or the end of the fault will do it.
func (d *deed) retired(m *machine) {
	d.goesOn()
	if m.left || d.fault.Verb == script.Drain && !d.over {
		return
	}
	d.w.after(d.w.between(0, time.Second), evFault, nil, func() { d.start(m) })
}
