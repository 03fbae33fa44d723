package ring

import "slices"

// placeOwners gives every slot an owner among its replicas.
func (p *placement) placeOwners() {
	b := p.ownerBalance()
	for s := range p.sets {
		if len(p.sets[s]) > 0 {
			p.appoint(s, b)
		}
	}
	b.even()
	p.owning = b
}

// ownerBalance counts the loads of those owners that may stay, and works out
// what they should be.
func (p *placement) ownerBalance() *balance {
	b := &balance{slots: len(p.sets), load: make([]int, len(p.seats))}
	for s, u := range p.owner {
		switch {
		case u < 0:
		case slices.Contains(p.sets[s], u):
			b.load[u]++
		default:
			p.owner[s] = -1
		}
	}
	b.carries = func(slot, u int) bool { return p.owner[slot] == u }
	b.can = func(slot, u, v int) bool {
		return p.owner[slot] == u && p.seats[v].standing == full && u != v && slices.Contains(p.sets[slot], v)
	}
	b.cost = func(slot, _, v int) int { return p.distance(slot, v) }
	b.pass = func(slot, u, v int) {
		p.owner[slot] = v
		b.load[u]--
		b.load[v]++
	}
	claims := make([]claim, len(p.seats))
	for u, s := range p.seats {
		claims[u] = claim{weight: s.weight, most: uint64(len(p.sets))}
		switch s.standing {
		case absent, yielding:
			claims[u].most = 0
		case steadied:
			claims[u].most = uint64(b.load[u])
		}
	}
	b.bound(divide(uint64(len(p.sets)), claims), len(p.sets))
	return b
}

// appoint chooses an owner for a slot that has none, or whose owner must yield
// it and can.
func (p *placement) appoint(slot int, b *balance) {
	old := p.owner[slot]
	if old >= 0 && p.seats[old].standing >= steadied {
		return
	}
	best, bestCost := -1, [3]int{}
	for _, v := range p.sets[slot] {
		cost := [3]int{-int(p.seats[v].standing), b.excess(v), p.distance(slot, v)}
		if v == old {
			cost[1] = -1
		}
		if best < 0 || slices.Compare(cost[:], bestCost[:]) < 0 {
			best, bestCost = v, cost
		}
	}
	p.owner[slot] = best
	b.load[best]++
	if old >= 0 {
		b.load[old]--
	}
}
