package quorum

import (
	"slices"

	"actormesh/quorum/mutant"
)

// registration is how far this start is registered. See the argument at the top
// of register.go.
type registration struct {
	taken   []NodeID // voters of this view that have the start
	full    []NodeID // those of them that did not take it late
	mayVote bool     // a majority of this view's voters has taken it
	done    bool     // ... none of that majority late, in this view or an earlier one
	resend  Instant
}

// nextView forgets the answers, which were for the view before.
func (g *registration) nextView(now Instant) {
	*g = registration{done: g.done, resend: now}
	if g.done {
		g.resend = Never // the view carries the start to its voters
	}
}

func (r *Register) tickRegistration(now Instant) {
	g := &r.registration
	if now < g.resend {
		return
	}
	view := &r.state.View
	if !view.IsMember(r.self.Node) || len(g.full) == len(view.Voters) {
		g.resend = Never
		return
	}
	for _, id := range view.Voters {
		if !slices.Contains(g.full, id) {
			r.send(id, RegisterMessage{Kind: RegisterStart, Start: r.self})
		}
	}
	g.resend = now.Add(registerResend)
	if g.done {
		g.resend = now.Add(startResend)
	}
}

// stepStart registers the start of a member, or refuses it.
func (r *Register) stepStart(from NodeID, m *RegisterMessage) {
	i, found := r.state.findStart(from)
	if !found || m.Start.Node != from || m.Start.Nonce == 0 || r.superseded(from, m.Start) {
		return
	}
	if r.state.Starts[i].Start != m.Start {
		late := !r.state.Accepted.IsZero() && !mutant.On(mutant.LateUnmarked)
		if late {
			r.stats.Late++
		}
		r.state.Starts[i] = RegisteredStart{m.Start, late}
		r.save()
	}
	r.answer(from, RegisterMessage{
		Kind: RegisterTaken, Start: m.Start, Late: r.state.Starts[i].Late,
		Promised: r.state.Promised, Accepted: r.state.Accepted, View: r.state.Value,
	})
}

func (r *Register) stepTaken(now Instant, from NodeID, m *RegisterMessage) {
	g := &r.registration
	view := &r.state.View
	if m.Start != r.self || !view.IsVoter(from) {
		return
	}
	r.takeOver(now, m)
	if !slices.Contains(g.taken, from) {
		g.taken = append(g.taken, from)
	}
	if !m.Late && !slices.Contains(g.full, from) {
		g.full = append(g.full, from)
	}
	majority := Majority(len(view.Voters))
	g.mayVote = g.mayVote || len(g.taken) >= majority
	g.done = g.done || len(g.full) >= majority
}

// takeOver makes what a voter has promised and accepted this voter's own
// knowledge. To report a value that was proposed under a number is always
// right, whoever accepted it; and to promise more is, too.
func (r *Register) takeOver(now Instant, m *RegisterMessage) {
	if !r.state.View.IsVoter(r.self.Node) || r.mayVote() || mutant.On(mutant.TakeoverSkipped) {
		return
	}
	if m.Promised.Compare(r.state.Promised) > 0 && !mutant.On(mutant.NumberReused) {
		r.state.Promised = m.Promised
		r.save()
	}
	next := Version{r.state.View.Incarnation, r.state.View.Epoch + 1}
	if m.Accepted.Compare(r.state.Accepted) > 0 && m.Accepted.Compare(m.Promised) <= 0 &&
		m.View.Version == next && m.View.check() == nil {
		r.stats.Takeover++
		r.state.Accepted, r.state.Value = m.Accepted, m.View
		r.save()
		r.drive = now.Add(driveDelay + r.jitter(driveDelay))
	}
}
