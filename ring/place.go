package ring

import (
	"cmp"
	"slices"
)

// Place returns what the slot table should be: for each slot its replicas, the
// owner first and the others ascending. members are ascending by ID, current is
// the table that is (nil, or a row for each slot).
//
// No function of the members alone can keep loads within 1.10 of each share and
// also move little: when a bound that tight shifts, a stateless ring (Mirrokni
// et al., Consistent Hashing with Bounded Loads, 2017) cascades. So placement
// begins with the current table and repairs it:
//
//  1. Replicas of members that may hold none are taken out.
//  2. Slots with too few replicas get more, and slots that could span more
//     zones exchange one.
//  3. Replicas pass from members above 1.10 of their share, and to members
//     below 0.90 of it, along shortest paths; then ownership does.
//
// What was begun (learners in current) is preferred, and where several choices
// are equally good the ring decides: the member that a clockwise walk from the
// slot's arc meets first over the members' weighted virtual points. With no
// current table it is therefore a bounded-load ring. Placing a placed table
// changes nothing.
//
// A share is in proportion to weight, held to what distinct zones leave
// possible. Members that are Up take part in everything; those Down keep
// replicas; those Draining keep replicas, and own what no other can.
func Place(members []Member, slots, r int, current []Row) [][]NodeID {
	seats := make([]seat, 0, len(members))
	for i := range members {
		standing := full
		switch members[i].State {
		case Down:
			standing = absent
		case Draining:
			standing = yielding
		case Leaving:
			continue
		}
		seats = append(seats, newSeat(&members[i], standing))
	}
	return place(seats, slots, r, current)
}

// standing says what a seat may carry, each more than the one before.
type standing uint8

const (
	absent   standing = iota // keeps its replicas, owns nothing
	yielding                 // keeps its replicas, owns only what no other can
	steadied                 // keeps its replicas and what it owns, gets no more
	full
)

// seat is a member that may hold replicas, as placement sees it.
type seat struct {
	id       NodeID
	zone     string
	weight   uint64
	standing standing
}

func newSeat(m *Member, s standing) seat {
	return seat{id: m.ID, zone: m.Zone, weight: uint64(max(m.Weight, 1)), standing: s}
}

// placement is a table in the making. Seats are numbered by their place.
type placement struct {
	seats    []seat
	zone     []int // of each seat
	zones    int
	replicas int // that a slot should have
	spread   int // zones that a slot should span
	sets     [][]int
	begun    [][]int  // learners
	owner    []int    // of each slot, -1 if its owner holds no replica any more
	owning   *balance // of ownership; an estimate until owners are placed
	ring     []point  // nil until it is needed
	rank     [][]int  // of each slot, nil until it is needed
}

func place(seats []seat, slots, r int, current []Row) [][]NodeID {
	p := newPlacement(seats, slots, r)
	for s := range current {
		p.load(s, &current[s])
	}
	p.placeReplicas()
	p.placeOwners()
	rows := make([][]NodeID, slots)
	for s, set := range p.sets {
		for _, i := range set {
			rows[s] = append(rows[s], p.seats[i].id)
		}
		if len(set) > 0 {
			rows[s] = ownerFirst(p.seats[p.owner[s]].id, rows[s])
		}
	}
	return rows
}

// ownerFirst orders a set in place: the owner, then the others ascending.
func ownerFirst(owner NodeID, set []NodeID) []NodeID {
	slices.SortFunc(set, func(a, b NodeID) int {
		switch {
		case a == b:
			return 0
		case a == owner:
			return -1
		case b == owner:
			return 1
		}
		return cmp.Compare(a, b)
	})
	return set
}

func newPlacement(seats []seat, slots, r int) *placement {
	p := &placement{
		seats:    seats,
		zone:     make([]int, len(seats)),
		replicas: min(r, len(seats)),
		sets:     make([][]int, slots),
		begun:    make([][]int, slots),
		owner:    make([]int, slots),
		rank:     make([][]int, slots),
	}
	number := map[string]int{}
	for i, s := range seats {
		if _, ok := number[s.zone]; !ok {
			number[s.zone] = len(number)
		}
		p.zone[i] = number[s.zone]
	}
	p.zones = len(number)
	p.spread = min(p.replicas, p.zones)
	for s := range p.owner {
		p.owner[s] = -1
	}
	return p
}

// load takes over what the current row has of seats.
func (p *placement) load(slot int, r *Row) {
	for i, id := range r.Replicas {
		if u, ok := p.seatOf(id); ok {
			p.sets[slot] = append(p.sets[slot], u)
			if i == 0 {
				p.owner[slot] = u
			}
		}
	}
	for _, id := range r.Learners {
		if u, ok := p.seatOf(id); ok && p.seats[u].standing == full {
			p.begun[slot] = append(p.begun[slot], u)
		}
	}
}

func (p *placement) seatOf(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(p.seats, id, func(s seat, id NodeID) int { return cmp.Compare(s.id, id) })
}

// distance returns how late the ring meets the seat from the slot on.
func (p *placement) distance(slot, u int) int {
	if p.ring == nil {
		p.ring = ringOf(p.seats)
	}
	if p.rank[slot] == nil {
		p.rank[slot] = ranks(p.ring, len(p.seats), slot, len(p.sets))
	}
	return p.rank[slot][u]
}

// crowd returns how many of the slot's replicas are in a zone.
func (p *placement) crowd(slot, zone int) (n int) {
	for _, u := range p.sets[slot] {
		if p.zone[u] == zone {
			n++
		}
	}
	return n
}

// span returns in how many zones the slot has replicas.
func (p *placement) span(slot int) (n int) {
	for i, u := range p.sets[slot] {
		same := func(v int) bool { return p.zone[v] == p.zone[u] }
		if !slices.ContainsFunc(p.sets[slot][:i], same) {
			n++
		}
	}
	return n
}
