package explore

import (
	"slices"

	"actormesh/quorum"
)

// Bug is a planted bug: a search with one must find a violation. The code under
// test is the production code all the same: the bug is in what surrounds it, its
// disk, the views that it is given, or the messages on their way to it.
type Bug string

// The planted bugs of the slot log, by the names of docs/spec where it has them.
const (
	BugLowAppend   Bug = "lowappend"   // a replica takes an append below its promise
	BugNewOnly     Bug = "newonly"     // views list no earlier sets
	BugOnlyLast    Bug = "onlylast"    // views list only the last earlier set
	BugEarlyClear  Bug = "earlyclear"  // `from` is dropped before the owner is active
	BugStaleReport Bug = "stalereport" // ... or on the report of an earlier row's owner
	BugSameBoot    Bug = "sameboot"    // a restarted node uses its boot again
	BugNoSync      Bug = "nosync"      // a restarted node has lost its last record
	BugForget      Bug = "forget"      // a restarted node has lost its promise
	BugEarlyAck    Bug = "earlyack"    // the end of a write is reported when it begins
)

// crashBug does to the disk what the planted bug does in a crash.
func (m *slotMachine) crashBug() {
	switch m.model.bug {
	case BugSameBoot:
		m.boot--
	case BugNoSync:
		if n := len(m.disk.log); n > 0 {
			m.disk.log = slices.Clip(m.disk.log[:n-1])
		}
	case BugForget:
		m.disk.promise = quorum.Promise{}
	}
}

// lowAppend has the replica take an append as if it were of the promised ballot,
// and answer at the ballot of the sender.
func (m *slotMachine) lowAppend(from quorum.NodeID, body *quorum.Message, out *effects) {
	copied := *body
	copied.Ballot = m.slot.Promise().Ballot
	m.slot.Step(m.now, m.slot.Promise().Owner, &copied)
	var answers effects
	m.settle(&answers)
	for i := range answers.sends {
		a := *answers.sends[i].body.(*quorum.Message)
		if a.Kind == quorum.MsgAck {
			a.Ballot = body.Ballot
			out.sends = append(out.sends, slotMessage(m.id, from, &a))
		}
	}
	out.facts = append(out.facts, answers.facts...)
}

// The planted bugs of leases.
const (
	BugAmnesia Bug = "amnesia" // a restarted node grants and promises at once
	BugMargin  Bug = "margin"  // the owner counts the whole lease, as if no clock drifted
	BugArrival Bug = "arrival" // ... from when the answer came, not from when it asked
	BugAhead   Bug = "ahead"   // a heartbeat names an epoch that the slot has not adopted
	BugStopped Bug = "stopped" // the owner's clock stands still
	BugEarly   Bug = "early"   // the clock is read before the request comes
	BugLate    Bug = "late"    // the lease is not looked at when the answer leaves
)

// leaseDrift is the bound that owners and replicas believe in.
func (c *slotLog) leaseDrift() float64 {
	if c.bug == BugMargin {
		return 0
	}
	return clockDrift
}

// quietSince returns since when a node that starts now keeps quiet.
func (m *slotMachine) quietSince() quorum.Instant {
	if m.model.bug == BugAmnesia {
		return m.now.Add(-m.model.term)
	}
	return m.now
}

// sentAt returns from when on a lease is counted.
func (m *slotMachine) sentAt(sent quorum.Instant) quorum.Instant {
	if m.model.bug == BugArrival {
		return m.now
	}
	return sent
}

// beatEpoch is what a heartbeat says that the node knows.
func (m *slotMachine) beatEpoch() quorum.Epoch {
	if m.model.bug == BugAhead {
		return quorum.Epoch(2*len(m.model.plan) - 1)
	}
	return m.view
}

// BugIgnore is a planted bug of the register: a proposer ignores what was
// accepted. BugForget, BugNoSync and BugEarlyAck are others.
const BugIgnore Bug = "ignore"

// crashBug does to the disk what the planted bug does in a crash. The start that
// follows is the same again: a new one asks the other voters what it may have
// promised, and so makes good what the disk has lost.
func (m *registerMachine) crashBug() {
	d := *m.disk
	switch m.model.bug {
	case BugForget:
		d.Promised = d.Accepted
	case BugNoSync:
		d.Accepted, d.Value = quorum.Number{}, quorum.Decree{}
	default:
		return
	}
	m.disk = &d
	m.boot--
}

// heard returns the message as a planted bug lets it be heard.
func (m *registerMachine) heard(body *quorum.RegisterMessage) quorum.RegisterMessage {
	heard := *body
	if m.model.bug == BugIgnore && body.Kind == quorum.RegisterPromise {
		heard.Accepted, heard.View = quorum.Number{}, quorum.Decree{}
	}
	return heard
}

// The planted bugs of what is remembered.
const (
	BugLostAnswers Bug = "lostanswers" // a fold leaves out answers to own keys
	BugLostMarks   Bug = "lostmarks"   // a fold leaves out the marks of sends
	BugFoldEarly   Bug = "foldearly"   // a fold takes what is not committed
	BugUndelete    Bug = "undelete"    // a fold leaves keys that were deleted
)

// foldable returns how much of the log may be folded.
func (m *recordMachine) foldable() int {
	if m.model.bug == BugFoldEarly {
		return len(m.log)
	}
	return m.commit
}

// foldBug does to a fold what the planted bug does. before is what was folded.
func (m *recordMachine) foldBug(s *recordStore, before recordStore) {
	switch m.model.bug {
	case BugLostAnswers:
		s.answers = cloneMap(before.answers)
	case BugLostMarks:
		s.received, s.sent = before.received, before.sent
	case BugUndelete:
		s.keys = cloneMap(s.keys)
		for key, value := range before.keys {
			if _, kept := s.keys[key]; !kept {
				s.keys[key] = value
			}
		}
	}
}
