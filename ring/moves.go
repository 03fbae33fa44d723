package ring

import "slices"

// standing says what placement may give to a member or leave with it. Members
// that are to have nothing, because they leave or are gone, have no seat.
func (p *planner) standing(m *Member) standing {
	switch {
	case p.dead(m.ID):
		return absent
	case m.State == Draining || m.State == Leaving:
		return yielding
	case p.in.Unsteady[m.ID] || p.unknown(m.ID):
		return steadied
	}
	return full
}

func (p *planner) standingOf(id NodeID) standing {
	m, _ := p.next.Member(id)
	return p.standing(&m)
}

// movePlanned brings rows closer to placement, those with the fewest live
// replicas first.
func (p *planner) movePlanned() {
	var seats []seat
	for i := range p.next.Members {
		if m := &p.next.Members[i]; m.State != Leaving && !p.gone(m.ID) {
			seats = append(seats, newSeat(m, p.standing(m)))
		}
	}
	m := &mover{planner: p, learning: map[NodeID]int{}}
	targets := place(seats, len(p.next.Slots), p.next.Replication, p.next.Slots)
	for s := range targets {
		targets[s] = p.retain(&p.next.Slots[s], targets[s])
		m.dropStrays(s, targets[s])
	}
	for _, s := range p.byNeed() {
		m.approach(s, targets[s])
	}
}

// retain keeps dead replicas in a target while nobody can take their place: a
// smaller set would bear no more failures, and they may yet come back.
func (p *planner) retain(row *Row, target []NodeID) []NodeID {
	if len(target) == 0 {
		return row.Replicas
	}
	for _, id := range row.Replicas {
		if len(target) < p.next.Replication && p.gone(id) && p.state(id) != Leaving {
			target = append(target, id)
		}
	}
	return ownerFirst(target[0], target)
}

// byNeed returns the slots, those with the fewest live replicas first, and of
// them those whose owner has already stopped.
func (p *planner) byNeed() []int {
	need := make([]int, len(p.next.Slots))
	order := make([]int, len(p.next.Slots))
	for s := range p.next.Slots {
		order[s] = s
		for _, id := range p.next.Slots[s].Replicas {
			if !p.dead(id) {
				need[s] += 2
			}
		}
		if !p.in.Quiesced[SlotID(s)] {
			need[s]++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return need[a] - need[b] })
	return order
}

// mover counts what the view in the making uses of its bounds.
type mover struct {
	*planner
	learning  map[NodeID]int // slots of which a node is a learner
	handovers int
}

// settled reports whether a slot may be changed by plan.
func (m *mover) settled(s int) bool {
	return len(m.was.Slots[s].From) == 0 && m.active(s) && !m.dead(m.was.Slots[s].Owner())
}

// dropStrays removes learners that are no longer wanted, and counts the others.
func (m *mover) dropStrays(s int, target []NodeID) {
	row := &m.next.Slots[s]
	row.Learners = slices.DeleteFunc(row.Learners, func(id NodeID) bool { return !slices.Contains(target, id) })
	if len(row.Learners) == 0 {
		row.Learners = nil
	}
	for _, id := range row.Learners {
		m.learning[id]++
	}
}

// approach takes one step with a slot: an owner that must go goes first, within
// the set; then learners copy; then the row becomes what it should be.
func (m *mover) approach(s int, target []NodeID) {
	row := &m.next.Slots[s]
	if slices.Equal(row.Replicas, target) {
		return
	}
	if !m.settled(s) {
		m.wait("slot %d: waiting for its owner to become active", s)
		return
	}
	var missing []NodeID
	for _, id := range target {
		if !row.Has(id) {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	if !m.caughtUp(s, missing) {
		m.wait("slot %d: waiting for learners to catch up", s)
		m.learn(s, missing)
		heir, ok := m.heir(s)
		if !ok || m.standingOf(row.Owner()) > yielding || m.standingOf(heir) <= yielding {
			return
		}
		target = ownerFirst(heir, slices.Clone(row.Replicas))
	}
	m.change(s, target)
}

// caughtUp reports whether all of ids are learners of the view planned for, and
// have copied the slot.
func (m *mover) caughtUp(s int, ids []NodeID) bool {
	return !slices.ContainsFunc(ids, func(id NodeID) bool {
		return !slices.Contains(m.was.Slots[s].Learners, id) || !slices.Contains(m.in.CaughtUp[SlotID(s)], id)
	})
}

// learn makes learners of ids, of all or of none, so that slots do not hold
// learners that wait for each other.
func (m *mover) learn(s int, ids []NodeID) {
	row := &m.next.Slots[s]
	full := func(id NodeID) bool {
		return m.learning[id] >= maxLearnersPerNode && !slices.Contains(row.Learners, id)
	}
	if slices.ContainsFunc(ids, full) {
		return
	}
	for _, id := range ids {
		if !slices.Contains(row.Learners, id) {
			m.learning[id]++
		}
	}
	row.Learners = ids
}

// change makes target the slot's replicas, if that can work and the bounds
// allow it; a new owner needs the old one quiesced.
func (m *mover) change(s int, target []NodeID) {
	row := &m.next.Slots[s]
	handover := target[0] != row.Owner()
	switch {
	case !m.majorityHeard(row.Replicas) || !m.majorityHeard(target):
		m.wait("slot %d: no majority of its replicas is heard", s)
		return
	case handover && m.handovers == maxHandovers:
		m.wait("slot %d: waiting for other slots to move", s)
		return
	}
	if handover {
		m.handovers++
		if !m.in.Quiesced[SlotID(s)] {
			m.quiesce = append(m.quiesce, SlotID(s))
			m.wait("slot %d: waiting for its owner to quiesce", s)
			return
		}
	}
	m.replace(s, target)
}
