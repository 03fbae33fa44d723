package ring

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// pointsPerSeat is the number of virtual points of a seat of average weight.
const pointsPerSeat = 64

// point is a virtual point of a seat on the hash ring.
type point struct {
	at   uint64
	seat int
}

// ringOf returns the consistent-hash ring of the seats: virtual points in
// proportion to their weights, ascending.
func ringOf(seats []seat) []point {
	var weights uint64
	for _, s := range seats {
		weights += s.weight
	}
	var points []point
	for i, s := range seats {
		n := max(1, pointsPerSeat*uint64(len(seats))*s.weight/weights)
		var key [16]byte
		binary.BigEndian.PutUint64(key[:], uint64(s.id))
		for j := range n {
			binary.BigEndian.PutUint64(key[8:], j)
			points = append(points, point{xxhash.Sum64(key[:]), i})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seat, b.seat))
	})
	return points
}

// ranks returns in which order the ring meets the seats, clockwise from the
// beginning of the slot's arc: ranks[seat] is 0 for the first.
func ranks(points []point, seats int, slot, slots int) []int {
	ranks := make([]int, seats)
	for i := range ranks {
		ranks[i] = -1
	}
	from := slotPoint(slot, slots)
	start, _ := slices.BinarySearchFunc(points, from, func(p point, at uint64) int { return cmp.Compare(p.at, at) })
	for i, met := 0, 0; met < seats; i++ {
		p := points[(start+i)%len(points)]
		if ranks[p.seat] < 0 {
			ranks[p.seat] = met
			met++
		}
	}
	return ranks
}
