package explore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"actormesh/quorum"
)

// leaseLog is the model of one slot's log with leases, and of a read that is
// answered under one. Time is a global tick that nobody sees: with each, every
// clock goes on by one of its rates. Between two ticks anything may happen, or
// nothing for as long as one likes: that is also how a process is paused, while
// its clock runs on.
//
// Clocks are far worse than in production, so that few ticks show what drift
// does: true time is three units a tick, and a clock may show two to four.
type leaseLog struct {
	slotLog
	rates  [][]uint32      // of each node's clock, in units a tick
	beats  []quorum.NodeID // who sends heartbeats
	reads  int             // 0 or 1
	delays bool            // answers to heartbeats travel, too
	fenced bool            // clocks are beyond the bound: only the log is asked to be safe
}

// clockDrift is the bound that the clocks of 2, 3 or 4 units a tick of 3 keep.
const clockDrift = 1.0 / 3

// unit is longer than any timer of a slot.
const unit = time.Hour

// Places in globals beside those of the slot log.
const (
	readAt    = iota + slotTicks + 1
	readOwner // the read's owner, boot and epoch
	readNeed  // what was committed when it came; later what it has seen
)

// States of the read.
const (
	readIdle    = iota
	readChecked // a planted bug: the clock was read before the request came
	readAsked
	readRan
	readStale // ran, and has not seen all that it must
	readReplied
)

// leaseLook is what a slotLook has of leases.
type leaseLook struct {
	holds   bool                   // may answer reads now
	beats   [maxNodes]quorum.Epoch // what those on their way say, by receiver; 0 for none
	answers [maxNodes]bool         // ... and are answered with a lease
	heard   [maxNodes]quorum.Epoch // the highest that came, by sender
}

// start returns a node that is quiet no more.
func (c *leaseLog) start(node int) machine {
	m := &leaseMachine{slotMachine: c.settle(&effects{})[node], delays: c.delays}
	m.now = m.now.Add(2 * c.term)
	return m
}

func (c *leaseLog) actions(v *view, emit func(action)) {
	c.slotLog.actions(v, emit)
	c.clockActions(v, emit, 0, 0)
	for i := range c.size {
		l := v.looks[i].(*slotLook)
		if !slices.Contains(c.beats, l.node) {
			continue
		}
		leads := c.leads(l)
		if leads || !c.heardOf(v, l) {
			emit(action{node: i, event: event{kind: evBeat}, globals: v.globals})
		}
		for to := range c.size {
			epoch := l.lease.beats[to]
			if epoch > 0 && (leads || v.looks[to].(*slotLook).lease.heard[i] < epoch) {
				heard := event{kind: evHear, arg: uint32(l.node) | uint32(l.boot)<<8 | uint32(epoch)<<16}
				emit(action{node: to, event: heard, answer: answer{i, event{kind: evAnswer, arg: uint32(to)}}, globals: v.globals})
			}
			if l.lease.answers[to] {
				emit(action{node: i, event: event{kind: evGrant, arg: uint32(to)}, globals: v.globals})
			}
		}
	}
	if c.reads > 0 {
		c.readActions(v, emit)
	}
}

// leads reports whether leases mean anything to the node: it owns the slot by
// the newest view that it knows, or by a later one.
func (c *leaseLog) leads(l *slotLook) bool {
	for _, set := range c.plan[l.row/2:] {
		if set[0] == l.node {
			return true
		}
	}
	return false
}

// heardOf reports whether everybody has heard that the node knows its newest view.
func (c *leaseLog) heardOf(v *view, l *slotLook) bool {
	for i := range c.size {
		if o := v.looks[i].(*slotLook); o.node != l.node && o.lease.heard[l.node-1] < l.view {
			return false
		}
	}
	return true
}

// final: there is nothing more to come from who has the last owner's barrier,
// and is that owner or owns nothing more; its leases may still matter. It is not
// so while there are records to come, or that owner may restart.
func (c *leaseLog) final(look any) bool {
	l, last := look.(*slotLook), c.plan[len(c.plan)-1][0]
	epoch := quorum.Epoch(2*len(c.plan) - 1)
	if n := len(l.log); c.records > 0 || slices.Contains(c.victims, last) || n == 0 || l.log[n-1].ballot.Epoch < epoch {
		return false
	}
	return l.active && l.ballot.Epoch == epoch || !c.leads(l)
}

// clockActions emits a tick for each choice of rates.
func (c *leaseLog) clockActions(v *view, emit func(action), node int, arg uint32) {
	if node == c.size {
		emit(action{node: everybody, event: event{kind: evClock, arg: arg}, globals: v.globals})
		return
	}
	for _, r := range c.rates[node] {
		c.clockActions(v, emit, node+1, arg|r<<(8*node))
	}
}

// readActions are the steps of a read at the owner, as mesh/core takes them: it
// comes, its turn sees the newest state, and the answer leaves when that is
// committed and the lease holds.
func (c *leaseLog) readActions(v *view, emit func(action)) {
	at, need := v.globals[readAt], v.globals[readNeed]
	for i := range c.size {
		l := v.looks[i].(*slotLook)
		owner := uint8(l.node-1)<<6 | uint8(l.boot)<<4 | uint8(l.ballot.Epoch)
		if !l.active || at >= readAsked && v.globals[readOwner] != owner {
			continue
		}
		step := func(at uint8, need int, broken string) {
			n := v.globals
			n[readAt], n[readOwner], n[readNeed] = at, owner, uint8(need)
			emit(action{node: nobody, event: event{kind: evRead, arg: uint32(i)}, globals: n, broken: broken})
		}
		switch at {
		case readIdle, readChecked:
			if at == readIdle && c.bug == BugEarly {
				if l.lease.holds {
					step(readChecked, 0, "")
				}
				continue
			}
			if at == readIdle || v.globals[readOwner] == owner {
				step(readAsked, committed(v.facts), "")
			}
		case readAsked:
			if c.bug == BugLate && !l.lease.holds {
				continue
			}
			ran := uint8(readRan)
			if len(l.log) < int(need) {
				ran = readStale
			}
			step(ran, len(l.log), "")
		case readRan, readStale:
			if l.commit >= quorum.LSN(need) && (l.lease.holds || c.bug == BugLate || c.bug == BugEarly) {
				step(readReplied, 0, c.replied(v, l))
			}
		}
	}
}

// replied returns what is wrong with an answer that leaves now.
func (c *leaseLog) replied(v *view, l *slotLook) string {
	if v.globals[readAt] == readStale {
		return fmt.Sprintf("NoStaleRead: %s answers without what was committed when it was asked", nodeName(l.node))
	}
	for _, f := range v.facts {
		if f := f.(*slotFact); f.barrier && l.ballot.Less(f.ballot) && c.bug != BugEarly {
			return fmt.Sprintf("NoLateReply: %s answers at %v when %v is active", nodeName(l.node), l.ballot, f.ballot)
		}
	}
	return ""
}

// committed returns how much of the log is known to be committed by anybody.
func committed(facts []any) int {
	n := 0
	for _, f := range facts {
		if f := f.(*slotFact); !f.barrier {
			n = max(n, len(f.log))
		}
	}
	return n
}

// check holds a world to the invariants of docs/spec/SlotLease.tla, and of the
// slot log, which does not depend on clocks.
func (c *leaseLog) check(v *view) string {
	for i := range c.size {
		l := v.looks[i].(*slotLook)
		if !l.lease.holds || c.fenced {
			continue
		}
		for k := range i {
			if o := v.looks[k].(*slotLook); o.lease.holds {
				return fmt.Sprintf("LeaseUniqueness: %s and %s hold the lease", nodeName(o.node), nodeName(l.node))
			}
		}
		for _, f := range v.facts {
			switch f := f.(*slotFact); {
			case f.barrier && l.ballot.Less(f.ballot):
				return fmt.Sprintf("LeaseUniqueness: %s holds the lease at %v, %v is active", nodeName(l.node), l.ballot, f.ballot)
			case !f.barrier && quorum.LSN(len(f.log)) > l.commit:
				return fmt.Sprintf("LeaseFresh: %s holds the lease and does not know that %v has committed %d", nodeName(l.node), f.ballot, len(f.log))
			}
		}
	}
	return c.slotLog.check(v)
}

func (c *leaseLog) describe(a *action, v *view) string {
	switch a.event.kind {
	case evClock:
		var clocks []string
		for i := range c.size {
			clocks = append(clocks, fmt.Sprintf("%s %d", nodeName(quorum.NodeID(i+1)), a.event.arg>>(8*i)&0xff))
		}
		return "the clocks go on: " + strings.Join(clocks, ", ")
	case evBeat:
		return nodeName(quorum.NodeID(a.node+1)) + " sends heartbeats"
	case evHear:
		from, _, epoch := heardBeat(a.event.arg)
		return fmt.Sprintf("%s hears %s's heartbeat of epoch %d", nodeName(quorum.NodeID(a.node+1)), nodeName(from), epoch)
	case evGrant:
		return fmt.Sprintf("%s has %s's answer", nodeName(quorum.NodeID(a.node+1)), nodeName(quorum.NodeID(a.event.arg+1)))
	case evRead:
		text := [...]string{readChecked: "looks at its clock", readAsked: "is asked", readRan: "runs the read", readStale: "runs the read", readReplied: "answers the read"}
		return nodeName(quorum.NodeID(a.event.arg+1)) + " " + text[a.globals[readAt]]
	}
	return c.slotLog.describe(a, v)
}

// heardBeat returns what a heartbeat says, from the argument of evHear.
func heardBeat(arg uint32) (from quorum.NodeID, boot quorum.Boot, epoch quorum.Epoch) {
	return quorum.NodeID(arg & 0xff), quorum.Boot(arg >> 8 & 0xff), quorum.Epoch(arg >> 16)
}
