package core

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

const (
	reportDelay   = 2 * time.Millisecond // facts that come together are told together
	reportRefresh = 2 * time.Second      // facts are told again, as messages may be lost
	reportAlarm   = 500 * time.Millisecond
	positionsWait = 30 * time.Millisecond // for the shards' positions, before facts go without
	// quiescedFor is how long a slot counts as quiesced: less than what its
	// shard waits for the view before turns go on.
	quiescedFor = quiescePatience * 7 / 10
)

// reporting is what this node knows of its own slots, and when it tells it.
type reporting struct {
	active    map[quorum.SlotID]quorum.Ballot
	quiesced  map[quorum.SlotID]quiescedSlot
	caughtUp  map[slotLearner]bool
	positions map[quorum.NodeID]*positionsOf // by owner that is not heard
	at        quorum.Instant
	seq       uint64
	last      []byte // the facts told last, under seq 0
	lastAt    quorum.Instant
}

type quiescedSlot struct {
	ballot quorum.Ballot
	until  quorum.Instant
}

// positionsOf is how far the local logs of one owner's slots go.
type positionsOf struct {
	left   int // shards that have not answered
	asked  quorum.Instant
	merged []SlotPosition
}

// Report takes what a shard reports of a slot.
func (c *Control) Report(now quorum.Instant, r SlotReport) {
	if c.view == nil || int(r.Slot) >= len(c.view.Slots) {
		return
	}
	f := &c.report
	switch r.Kind {
	case ReportActive:
		put(&f.active, r.Slot, r.Ballot)
	case ReportLost:
		if f.active[r.Slot] == r.Ballot {
			delete(f.active, r.Slot)
		}
	case ReportCaughtUp:
		put(&f.caughtUp, slotLearner{r.Slot, r.Ballot.Epoch, r.Node}, true)
	case ReportQuiesced:
		put(&f.quiesced, r.Slot, quiescedSlot{r.Ballot, now.Add(quiescedFor)})
	case ReportBehind:
		c.Behind(now, r.Node, r.Epoch)
		return
	}
	c.wantReport(now)
	c.wantPlan(now, planDelay)
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

// rowsChanged forgets what a new view makes untrue.
func (f *reporting) rowsChanged(v *ring.View) {
	row := func(s quorum.SlotID) *ring.Row { return &v.Slots[s] }
	maps.DeleteFunc(f.quiesced, func(s quorum.SlotID, q quiescedSlot) bool {
		return q.ballot.Epoch != quorum.Epoch(row(s).Epoch)
	})
	maps.DeleteFunc(f.caughtUp, func(l slotLearner, _ bool) bool {
		return l.Epoch != quorum.Epoch(row(l.Slot).Epoch) || !slices.Contains(row(l.Slot).Learners, ring.NodeID(l.Node))
	})
}

// askPositions asks the shards how far they have the slots of an owner that is
// not heard: whoever has most should take over.
func (c *Control) askPositions(now quorum.Instant, owner quorum.NodeID) {
	put(&c.report.positions, owner, &positionsOf{left: len(c.shards.adopted), asked: now})
	c.out.Positions = append(c.out.Positions, owner)
}

// awaits reports whether shards have not told how far they have an owner's slots,
// and until when to wait for them.
func (f *reporting) awaits(owner quorum.NodeID) (until quorum.Instant, waits bool) {
	p := f.positions[owner]
	if p == nil || p.left == 0 {
		return 0, false
	}
	return p.asked.Add(positionsWait), true
}

// Positions takes one shard's answer to ControlReady.Positions.
func (c *Control) Positions(now quorum.Instant, owner quorum.NodeID, list []SlotPosition) {
	p := c.report.positions[owner]
	if p == nil {
		return
	}
	p.left--
	p.merged = append(p.merged, list...)
	if p.left == 0 {
		slices.SortFunc(p.merged, func(a, b SlotPosition) int { return cmp.Compare(a.Slot, b.Slot) })
		c.report.at = min(c.report.at, now)
		c.wantPlan(now, 0)
		c.settle(now)
	}
}

func (c *Control) wantReport(now quorum.Instant) {
	c.report.at = min(c.report.at, now.Add(reportDelay))
}

// sendFacts tells what this node knows, if that has changed or was told long ago.
func (c *Control) sendFacts(now quorum.Instant) {
	r := &c.report
	r.at = quorum.Never
	if c.view == nil {
		return
	}
	for owner := range r.positions {
		if wait, waits := r.awaits(owner); waits && now < wait {
			r.at = min(r.at, wait)
		}
	}
	if r.at != quorum.Never {
		return
	}
	f := c.ownFacts(now)
	refresh := reportRefresh
	if len(f.Unheard) > 0 {
		refresh = reportAlarm
	}
	r.at = now.Add(refresh)
	encoded := f.encode()
	if bytes.Equal(encoded, r.last) && now < r.lastAt.Add(refresh) {
		r.at = r.lastAt.Add(refresh)
		return
	}
	r.last, r.lastAt = encoded, now
	r.seq++
	f.Seq = r.seq
	body := f.encode()
	everybody := len(c.view.Members) <= smallMesh
	for _, p := range c.everybody() {
		id := ring.NodeID(p.id)
		if p.gone == 0 && (everybody || c.view.IsVoter(id) || c.view.Coordinator == id) {
			c.send(p.id, ControlFacts, body)
		}
	}
}

// ownFacts returns what this node knows.
func (c *Control) ownFacts(now quorum.Instant) *facts {
	r := &c.report
	f := &facts{Boot: c.cfg.Start.Boot, Unheard: c.unheard(), Unsure: c.unsure()}
	for _, s := range slices.Sorted(maps.Keys(r.active)) {
		f.Active = append(f.Active, slotBallot{s, r.active[s]})
	}
	for _, s := range slices.Sorted(maps.Keys(r.quiesced)) {
		if q := r.quiesced[s]; now < q.until {
			f.Quiesced = append(f.Quiesced, slotBallot{s, q.ballot})
		}
	}
	f.CaughtUp = slices.SortedFunc(maps.Keys(r.caughtUp), func(a, b slotLearner) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Node, b.Node))
	})
	maps.DeleteFunc(r.positions, func(owner quorum.NodeID, _ *positionsOf) bool {
		return !slices.Contains(f.Unheard, owner)
	})
	for _, owner := range slices.Sorted(maps.Keys(r.positions)) {
		if p := r.positions[owner]; p.left == 0 {
			f.Positions = append(f.Positions, p.merged...)
		}
	}
	return f
}

// stepFacts takes what another member knows.
func (c *Control) stepFacts(now quorum.Instant, from quorum.NodeID, f *facts) {
	p := c.peers[from]
	if p == nil || f.Boot < p.boot || p.facts != nil && f.Boot == p.facts.Boot && f.Seq <= p.facts.Seq {
		return
	}
	p.boot, p.facts, p.factsAt = f.Boot, f, now
	p.active = make(map[quorum.SlotID]quorum.Epoch, len(f.Active))
	for _, s := range f.Active {
		p.active[s.Slot] = s.Ballot.Epoch
	}
	c.hear(now, p)
	c.wantPlan(now, planDelay)
}

// isActive reports whether the owner that the view names for a slot is known to
// serve it.
func (c *Control) isActive(s quorum.SlotID) bool {
	row := &c.view.Slots[s]
	owner, epoch := quorum.NodeID(row.Owner()), quorum.Epoch(row.Epoch)
	if owner == c.self {
		return c.report.active[s].Epoch == epoch
	}
	p := c.peers[owner]
	return p != nil && p.active[s] == epoch
}
