package ring

import "slices"

// placeReplicas repairs the sets: their size, their zones, the loads.
func (p *placement) placeReplicas() {
	p.owning = p.ownerBalance()
	b := p.replicaBalance()
	for s := range p.sets {
		p.finish(s, b)
	}
	for s := range p.sets {
		p.fill(s, b)
	}
	for s := range p.sets {
		p.widen(s, b)
	}
	b.even()
}

// replicaBalance counts the loads and works out what they should be.
func (p *placement) replicaBalance() *balance {
	b := &balance{slots: len(p.sets), load: make([]int, len(p.seats))}
	for _, set := range p.sets {
		for _, u := range set {
			b.load[u]++
		}
	}
	b.carries = func(slot, u int) bool { return slices.Contains(p.sets[slot], u) }
	b.can = p.canReplace
	b.cost = func(slot, u, v int) int {
		cost := 0
		if owner := p.owner[slot]; p.owning.wants(v) && (owner < 0 || !p.owning.rich(owner)) {
			cost++ // v finds nobody there from whom it can take the ownership
		}
		if p.owner[slot] == u {
			cost += 2 // moving a replica should not move the ownership as well
		}
		return cost*len(p.seats) + p.distance(slot, v)
	}
	b.pass = func(slot, u, v int) {
		p.sets[slot][slices.Index(p.sets[slot], u)] = v
		if owner := p.owner[slot]; owner >= 0 && p.owning.wants(v) && p.owning.rich(owner) {
			p.owning.load[owner]-- // which v is then likely to take
			p.owning.load[v]++
		}
		b.load[u]--
		b.load[v]++
	}
	b.bound(p.replicaShares(b.load), len(p.sets))
	return b
}

// replicaShares divides all replicas among the zones, and those of each zone
// among its seats. Where every zone can have a replica of every slot, it must;
// where there are more zones than that, none can have two.
func (p *placement) replicaShares(load []int) []uint64 {
	slots := uint64(len(p.sets))
	zones := make([]claim, p.zones)
	seats := make([][]claim, p.zones)
	for u, s := range p.seats {
		c := claim{weight: s.weight, most: slots}
		if s.standing != full {
			c.most = uint64(load[u])
		}
		z := p.zone[u]
		seats[z] = append(seats[z], c)
		zones[z].weight += c.weight
		zones[z].most += c.most
	}
	for z := range zones {
		zones[z].most = min(zones[z].most, slots*uint64(max(1, p.replicas-p.zones+1)))
		if p.zones <= p.replicas {
			zones[z].least = min(slots, zones[z].most)
		}
	}
	ofZone := make([][]uint64, p.zones)
	for z, share := range divide(slots*uint64(p.replicas), zones) {
		ofZone[z] = divideFraction(share, seats[z])
	}
	shares := make([]uint64, len(p.seats))
	for u := range p.seats {
		z := p.zone[u]
		shares[u], ofZone[z] = ofZone[z][0], ofZone[z][1:]
	}
	return shares
}

// canReplace reports whether v may take u's replica of the slot: that must not
// leave the slot in fewer zones.
func (p *placement) canReplace(slot, u, v int) bool {
	set := p.sets[slot]
	if p.seats[v].standing != full || slices.Contains(set, v) || !slices.Contains(set, u) {
		return false
	}
	if p.zone[u] == p.zone[v] {
		return true
	}
	return p.crowd(slot, p.zone[u]) > 1 || p.crowd(slot, p.zone[v]) == 0
}

// finish makes replicas of learners that are still wanted, so that what was
// begun is not begun again elsewhere.
func (p *placement) finish(slot int, b *balance) {
	for _, v := range p.begun[slot] {
		if len(p.sets[slot]) < p.replicas {
			p.add(slot, v, b)
			continue
		}
		if !b.wants(v) {
			continue
		}
		richest := -1
		for _, u := range p.sets[slot] {
			if b.rich(u) && p.canReplace(slot, u, v) &&
				(richest < 0 || b.surplus(u) > b.surplus(richest)) {
				richest = u
			}
		}
		if richest >= 0 {
			b.pass(slot, richest, v)
		}
	}
}

func (p *placement) add(slot, v int, b *balance) {
	p.sets[slot] = append(p.sets[slot], v)
	if p.owner[slot] < 0 && p.owning.wants(v) {
		p.owning.load[v]++ // which it is then likely to own
	}
	b.load[v]++
}

// fill gives the slot the replicas that it lacks: in new zones while there are
// any, of the members below their share the nearest on the ring.
func (p *placement) fill(slot int, b *balance) {
	for len(p.sets[slot]) < p.replicas {
		best, bestCost := -1, [4]int{}
		wantZone := p.span(slot) < p.spread
		for v := range p.seats {
			if p.seats[v].standing != full || slices.Contains(p.sets[slot], v) {
				continue
			}
			cost := [4]int{1: b.excess(v), 3: p.distance(slot, v)}
			if wantZone && p.crowd(slot, p.zone[v]) > 0 {
				cost[0] = 1
			}
			if p.owner[slot] < 0 && !p.owning.wants(v) {
				cost[2] = 1
			}
			if best < 0 || slices.Compare(cost[:], bestCost[:]) < 0 {
				best, bestCost = v, cost
			}
		}
		if best < 0 {
			return
		}
		p.add(slot, best, b)
	}
}

// widen exchanges replicas in a zone that has several for some in zones that
// have none.
func (p *placement) widen(slot int, b *balance) {
	for p.span(slot) < p.spread {
		out, in := -1, -1
		for _, u := range p.sets[slot] {
			if p.crowd(slot, p.zone[u]) > 1 &&
				(out < 0 || out == p.owner[slot] || u != p.owner[slot] && b.surplus(u) > b.surplus(out)) {
				out = u
			}
		}
		for v := range p.seats {
			if p.seats[v].standing == full && p.crowd(slot, p.zone[v]) == 0 &&
				(in < 0 || b.excess(v) < b.excess(in) ||
					b.excess(v) == b.excess(in) && p.distance(slot, v) < p.distance(slot, in)) {
				in = v
			}
		}
		if out < 0 || in < 0 {
			return
		}
		b.pass(slot, out, in)
	}
}
