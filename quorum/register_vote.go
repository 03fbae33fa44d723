package quorum

import "actormesh/quorum/mutant"

// The acceptor's part of the register: what it promises and accepts, and when
// it refuses.

// mayVote reports whether this start may promise and accept.
func (r *Register) mayVote() bool {
	return r.registration.done || r.registration.mayVote || mutant.On(mutant.UnregisteredVoter)
}

// superseded answers a request of a process that must not run, and reports
// whether it did.
func (r *Register) superseded(from NodeID, start Start) bool {
	known, found := r.state.startOf(from)
	if !found || start.Node != from || !known.rulesOut(start) {
		return false
	}
	r.answer(from, RegisterMessage{Kind: RegisterRefused, Start: known.Start})
	return true
}

func (r *Register) stepPrepare(from NodeID, m *RegisterMessage) {
	switch {
	case !r.mayVote() || m.Number.Node != from || r.superseded(from, m.Start):
		return
	case m.Number.Compare(r.state.Promised) < 0:
		r.nack(from, m)
		return
	case m.Number == r.state.Accepted:
		return // a late copy: the proposer has its promises
	}
	if m.Number != r.state.Promised {
		r.state.Promised = m.Number
		r.save()
	}
	r.answer(from, RegisterMessage{
		Kind: RegisterPromise, Number: m.Number, Start: r.self,
		Accepted: r.state.Accepted, View: r.state.Value, Starts: r.state.table(),
	})
}

func (r *Register) stepAccept(now Instant, from NodeID, m *RegisterMessage) {
	next := Version{r.state.View.Incarnation, r.state.View.Epoch + 1}
	switch {
	case !r.mayVote() || m.Number.Node != from || r.superseded(from, m.Start):
		return
	case m.View.Version != next || m.View.check() != nil || checkStarts(m.Starts) != nil:
		return
	case m.Number.Compare(r.state.Promised) < 0 && !mutant.On(mutant.LowAccept),
		!r.state.coveredBy(m.Starts) && !mutant.On(mutant.StartsUncovered):
		r.nack(from, m)
		return
	}
	// The join covers this start, as the table has it. If it is above it, then
	// another process of this node is the one that votes.
	if i, found := findStart(m.Starts, r.self.Node); found && m.Starts[i].rulesOut(r.self) {
		r.refuse(m.Starts[i])
		return
	}
	if m.Number != r.state.Accepted {
		r.state.joinTable(m.Starts, !r.state.Accepted.IsZero())
		r.state.Promised, r.state.Accepted, r.state.Value = m.Number, m.Number, m.View
		r.save()
		r.drive = now.Add(driveDelay + r.jitter(driveDelay))
	}
	r.answer(from, RegisterMessage{Kind: RegisterAccepted, Number: m.Number})
}

func (r *Register) nack(from NodeID, m *RegisterMessage) {
	r.answer(from, RegisterMessage{
		Kind: RegisterNack, Number: m.Number, Promised: r.state.Promised, Starts: r.state.table(),
	})
}
