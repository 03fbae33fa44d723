package ring

import (
	"slices"

	"actormesh/quorum/mutant"
)

// failOver moves every slot whose owner is dead or stuck to another of its
// replicas, where that can help, and reports whether it moved any.
func (p *planner) failOver() (moved bool) {
	for s := range p.next.Slots {
		row := &p.next.Slots[s]
		stuck := p.in.Stuck[SlotID(s)] && !p.active(s) && !mutant.On(mutant.StuckStays)
		dead := p.dead(row.Owner()) && !mutant.On(mutant.DeadOwns)
		if !stuck && !dead {
			continue
		}
		if !p.canSeal(row) {
			p.wait("slot %d: no majority of its replicas is alive", s)
			continue
		}
		heir, ok := p.heir(s)
		if !ok {
			p.wait("slot %d: there is no other replica", s)
			continue
		}
		p.replace(s, ownerFirst(heir, slices.Clone(row.Replicas)))
		moved = true
	}
	return moved
}

// replace makes replicas the slot's set, the owner first.
func (p *planner) replace(s int, replicas []NodeID) {
	row := &p.next.Slots[s]
	p.owned[row.Owner()]--
	p.owned[replicas[0]]++
	*row = row.replaced(replicas, p.epoch)
}

// canSeal reports whether an owner could become active: a majority of the set
// and of each earlier one is alive.
func (p *planner) canSeal(row *Row) bool {
	return p.majorityAlive(row.Replicas) &&
		!slices.ContainsFunc(row.From, func(set []NodeID) bool { return !p.majorityAlive(set) })
}

func (p *planner) majorityAlive(set []NodeID) bool {
	return majorityOf(set, func(id NodeID) bool { return !p.dead(id) })
}

// majorityHeard reports whether a majority is known to be alive. A change that is
// only planned, and that takes members away, must not rely on any other: whoever
// is left might never agree on anything.
func (p *planner) majorityHeard(set []NodeID) bool {
	return majorityOf(set, func(id NodeID) bool { return !p.dead(id) && !p.unknown(id) })
}

func majorityOf(set []NodeID, counts func(NodeID) bool) bool {
	n := 0
	for _, id := range set {
		if counts(id) {
			n++
		}
	}
	return 2*n > len(set)
}

// heir returns the replica, other than the owner, that should own the slot: one
// that may be given slots before one that may not, those before the dead, then
// the one with the most advanced log, then the one that owns the least for its
// weight. Where a majority is alive, so is the heir.
func (p *planner) heir(s int) (best NodeID, ok bool) {
	row := &p.next.Slots[s]
	progress := p.in.Progress[SlotID(s)]
	better := func(a, b NodeID) bool {
		if x, y := p.standingOf(a), p.standingOf(b); x != y {
			return x > y
		}
		if c := progress[a].Compare(progress[b]); c != 0 {
			return c > 0
		}
		ma, _ := p.next.Member(a)
		mb, _ := p.next.Member(b)
		// (owned+1)/weight, without a division.
		x, y := uint64(p.owned[a]+1)*uint64(mb.Weight), uint64(p.owned[b]+1)*uint64(ma.Weight)
		return x < y || x == y && a < b
	}
	for _, id := range row.Replicas[1:] {
		if !ok || better(id, best) {
			best, ok = id, true
		}
	}
	return best, ok
}
