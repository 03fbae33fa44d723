package ring

import "slices"

// balance evens out how many slots each seat carries, as a replica or as an
// owner, with the fewest moves: it passes slots along shortest paths from seats
// that carry much to seats that carry little.
type balance struct {
	slots           int
	load            []int // of each seat
	low, fair, high []int // of each seat: low <= load <= high is wanted, fair is its share

	carries func(slot, u int) bool
	can     func(slot, u, v int) bool // v may take the slot from u
	cost    func(slot, u, v int) int  // lower is better
	pass    func(slot, u, v int)      // also keeps load
}

// surplus is how many slots more than its share a seat carries.
func (b *balance) surplus(u int) int { return b.load[u] - b.fair[u] }

// even brings loads down to high where that is possible, first to those who
// have less than their share, and then loads up to low.
func (b *balance) even() {
	poor := func(u int) bool { return b.load[u] < b.low[u] }
	b.flow(b.over, b.wants)
	b.flow(b.over, b.room)
	b.flow(b.rich, poor)
}

// rich and wants report whether a seat carries more or less than its share, over
// whether it carries too much, room whether it can take another slot.
func (b *balance) room(u int) bool  { return b.load[u] < b.high[u] }
func (b *balance) over(u int) bool  { return b.load[u] > b.high[u] }
func (b *balance) rich(u int) bool  { return b.surplus(u) > 0 }
func (b *balance) wants(u int) bool { return b.surplus(u) < 0 }

// bound works out what a load should be from its share, at most most.
func (b *balance) bound(shares []uint64, most int) {
	for _, share := range shares {
		b.low = append(b.low, min(int(share*9/10>>shareShift), most))
		b.fair = append(b.fair, min(int(share>>shareShift), most))
		b.high = append(b.high, min(int((share*11/10+shareOne-1)>>shareShift), most))
	}
}

// excess is by how much one slot more would exceed the share; below it, 0.
func (b *balance) excess(u int) int { return max(0, b.surplus(u)+1) }

// flow passes slots from seats that give to seats that take until no path is
// left or nobody gives or takes. A pass makes the sum of what is wrong smaller
// by one, so it ends.
func (b *balance) flow(gives, takes func(u int) bool) {
	for {
		givers, anyTakes := []int(nil), false
		for u := range b.load {
			if gives(u) {
				givers = append(givers, u)
			}
			anyTakes = anyTakes || takes(u)
		}
		if !anyTakes {
			return
		}
		slices.SortStableFunc(givers, func(u, v int) int { return b.surplus(v) - b.surplus(u) })
		if !b.shortest(givers, takes) {
			return
		}
	}
}

// shortest relieves the first of the givers, richest first, that has a path of
// one hop, or else one of any length, and reports whether there was one.
func (b *balance) shortest(givers []int, takes func(v int) bool) bool {
	for _, hops := range [...]int{1, len(b.load)} {
		if slices.ContainsFunc(givers, func(u int) bool { return b.relieve(u, takes, hops) }) {
			return true
		}
	}
	return false
}

// hop is how a path comes to a seat: it takes slot from the seat before it.
type hop struct {
	slot, from, cost int
}

// relieve finds a shortest path, of so many hops at most, from a seat to one
// that takes, breadth first, the cheapest of the shortest, and passes slots
// along it.
func (b *balance) relieve(giver int, takes func(v int) bool, limit int) bool {
	hops := make([]hop, len(b.load))
	reached := make([]bool, len(b.load))
	reached[giver] = true
	for level := []int{giver}; len(level) > 0 && limit > 0; limit-- {
		level = b.reach(level, hops, reached, func(v int) bool { return limit > 1 || takes(v) })
		best := -1
		for _, v := range level {
			if takes(v) && (best < 0 || hops[v].cost < hops[best].cost) {
				best = v
			}
		}
		if best >= 0 {
			return b.follow(giver, best, hops)
		}
	}
	return false
}

// reach returns the seats that are one hop from a level, not yet reached, and of
// use.
func (b *balance) reach(level []int, hops []hop, reached []bool, useful func(v int) bool) []int {
	var next, open []int
	for v := range b.load {
		if !reached[v] && useful(v) {
			open = append(open, v)
		}
	}
	for _, u := range level {
		for slot := range b.slots {
			if !b.carries(slot, u) {
				continue
			}
			for _, v := range open {
				if !b.can(slot, u, v) {
					continue
				}
				h := hop{slot, u, b.cost(slot, u, v)}
				if !slices.Contains(next, v) {
					next = append(next, v)
					hops[v] = h
				} else if h.cost < hops[v].cost {
					hops[v] = h
				}
			}
		}
	}
	for _, v := range next {
		reached[v] = true
	}
	slices.Sort(next)
	return next
}

// follow passes slots along the path that ends at v, the last hop first: what
// was done is a valid path even if the rest of it turns out to be impossible,
// because two hops of it change the same slot.
func (b *balance) follow(giver, v int, hops []hop) bool {
	for v != giver {
		h := hops[v]
		if !b.can(h.slot, h.from, v) {
			return false
		}
		b.pass(h.slot, h.from, v)
		v = h.from
	}
	return true
}
