package quorum

import (
	"fmt"
	"slices"

	"actormesh/quorum/mutant"
)

// proposal is the state of this node's own proposal for the next view.
type proposal struct {
	active bool
	own    *Decree // nil for one that only finishes what is accepted

	number   Number
	promises []promise // of number, one for each voter
	asking   bool      // Value was chosen, and accept sent
	value    Decree
	covers   []Start // the starts that the promises for value knew; accept carries it
	accepted []NodeID

	known    []Start // all starts that promises and refusals have named
	highest  Number  // that a refusal has named
	attempts int
	resend   Instant // of what is not answered
	retry    Instant // with a higher number, after a refusal
}

type promise struct {
	from     NodeID
	start    Start
	accepted Number
	value    Decree
}

func (p *proposal) idle() { *p = proposal{resend: Never, retry: Never} }

// Propose asks for next to be the view after the newest one, which it must
// follow: the compare-and-swap of a view change. Starts lists the members of
// next; what it says of their starts is joined with what the voters know. The
// view that is decided may be another one. A second call before the voters were
// asked replaces the first.
//
// The errors are ErrStale, ErrNotVoter, ErrNotRegistered and ErrBusy, or say
// what is wrong with the view's shape.
func (r *Register) Propose(now Instant, next Decree) error {
	view := &r.state.View
	if next.Version != (Version{view.Incarnation, view.Epoch + 1}) {
		return fmt.Errorf("%w: %s changes %s", ErrStale, next.Version, view.Version)
	}
	switch err := next.check(); {
	case r.refused != nil:
		return r.refused
	case err != nil:
		return err
	case !view.IsVoter(r.self.Node):
		return ErrNotVoter
	case !r.mayVote():
		return ErrNotRegistered
	case r.proposal.asking:
		return ErrBusy
	}
	r.proposal.own = &next
	if !r.proposal.active {
		r.prepare(now)
	}
	r.settle(now)
	return nil
}

// Withdraw takes back what this node has proposed, if the voters were not asked to
// accept it yet: it may have been outlived while no majority answered. What this
// voter has itself accepted it goes on to finish.
func (r *Register) Withdraw() {
	p := &r.proposal
	if p.own == nil || p.asking {
		return
	}
	r.stats.Withdrawn++
	p.own = nil
	if r.state.Accepted.IsZero() {
		p.active = false // what refusals have named stays
		p.resend, p.retry = Never, Never
	}
}

// prepare begins a round with a number above all that were heard of.
func (r *Register) prepare(now Instant) {
	p := &r.proposal
	round := max(p.number.Round, p.highest.Round, r.state.Promised.Round) + 1
	p.active, p.asking = true, false
	p.number = Number{round, r.self.Boot, r.self.Node}
	if mutant.On(mutant.NumberReused) {
		p.number.Boot = 1
	}
	p.promises, p.accepted = nil, nil
	p.attempts++
	p.retry = Never
	p.resend = now.Add(registerResend)
	r.stats.Rounds++
	for _, id := range r.state.View.Voters {
		r.resendTo(id)
	}
}

func (r *Register) tickProposal(now Instant) {
	p := &r.proposal
	if now >= r.drive {
		r.drive = Never
		if !p.active {
			r.driveAccepted(now)
		}
	}
	switch {
	case now >= p.retry:
		r.prepare(now)
	case now >= p.resend:
		p.resend = now.Add(registerResend)
		for _, id := range r.state.View.Voters {
			r.resendTo(id)
		}
	}
}

// driveAccepted begins a proposal to finish what this voter has accepted, as
// whoever proposed it may be gone.
func (r *Register) driveAccepted(now Instant) {
	if !r.mayVote() || !r.state.View.IsVoter(r.self.Node) {
		r.drive = now.Add(r.jitter(driveDelay))
		return
	}
	r.stats.Driven++
	r.prepare(now)
}

// resendTo sends the request that the voter has not answered, if there is one.
func (r *Register) resendTo(id NodeID) {
	p := &r.proposal
	switch {
	case !p.active || !r.state.View.IsVoter(id):
	case p.asking && !slices.Contains(p.accepted, id):
		r.send(id, RegisterMessage{Kind: RegisterAccept, Number: p.number, Start: r.self, View: p.value, Starts: p.covers})
	case !p.asking && !slices.ContainsFunc(p.promises, func(v promise) bool { return v.from == id && p.counts(v) }):
		r.send(id, RegisterMessage{Kind: RegisterPrepare, Number: p.number, Start: r.self})
	}
}

// counts reports whether a promise is of the newest process of its voter.
func (p *proposal) counts(v promise) bool {
	i, found := findStart(p.known, v.from)
	return found && (p.known[i] == v.start || mutant.On(mutant.PromiseOfAnyStart))
}

func (r *Register) stepPromise(now Instant, from NodeID, m *RegisterMessage) {
	p := &r.proposal
	if !p.active || p.asking || m.Number != p.number || !r.state.View.IsVoter(from) || checkStarts(m.Starts) != nil {
		return
	}
	p.promises = slices.DeleteFunc(p.promises, func(v promise) bool { return v.from == from })
	p.promises = append(p.promises, promise{from, m.Start, m.Accepted, m.View})
	p.known = joinStarts(p.known, m.Starts)
	n := 0
	for _, v := range p.promises {
		if p.counts(v) {
			n++
		} else if i, found := findStart(p.known, v.from); found && p.known[i].rulesOut(v.start) {
			r.send(v.from, RegisterMessage{Kind: RegisterRefused, Start: p.known[i]})
		}
	}
	if n >= Majority(len(r.state.View.Voters)) || mutant.On(mutant.LiveMajority) && n >= Majority(len(p.promises)) {
		r.ask(now)
	}
}

// ask chooses the value: the one that was accepted under the highest number,
// and only if there is none this node's own.
func (r *Register) ask(now Instant) {
	p := &r.proposal
	var highest Number
	value := p.own
	for i, v := range p.promises {
		if v.accepted.Compare(highest) > 0 && !mutant.On(mutant.ValueIgnored) {
			highest, value = v.accepted, &p.promises[i].value
		}
	}
	switch {
	case !highest.IsZero():
		r.stats.Finished++
	case value == nil:
		value = &r.state.Value // accepted here: it is as free to be proposed as any
	}
	p.asking = true
	p.value = *value
	p.covers = slices.Clone(p.known)
	p.value.Starts = restrictStarts(value.Starts, p.covers)
	p.resend = now.Add(registerResend)
	for _, id := range r.state.View.Voters {
		r.resendTo(id)
	}
}

func (r *Register) stepAccepted(now Instant, from NodeID, m *RegisterMessage) {
	p := &r.proposal
	if !p.asking || m.Number != p.number || !r.state.View.IsVoter(from) || slices.Contains(p.accepted, from) {
		return
	}
	p.accepted = append(p.accepted, from)
	if len(p.accepted) < Majority(len(r.state.View.Voters)) && !mutant.On(mutant.LiveMajority) {
		return
	}
	told := slices.Concat(r.state.View.Voters, p.value.Voters)
	r.adopt(now, p.value)
	for _, id := range told {
		if id != r.self.Node {
			r.sendView(id)
		}
	}
	r.telling.resend = now.Add(registerResend)
}

func (r *Register) stepNack(now Instant, from NodeID, m *RegisterMessage) {
	p := &r.proposal
	if !p.active || m.Number != p.number || !r.state.View.IsVoter(from) || checkStarts(m.Starts) != nil {
		return
	}
	r.stats.Nacks++
	if m.Promised.Compare(p.highest) > 0 {
		p.highest = m.Promised
	}
	p.known = joinStarts(p.known, m.Starts)
	if p.retry == Never {
		p.retry = now.Add(r.jitter(registerBackoff << min(p.attempts, backoffDoubles)))
	}
}
