package ring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// dumbShares divides total by water-filling in floating point: give everybody
// its part, hold those who are out of bounds, and begin again with the rest.
func dumbShares(total float64, weight, least, most []float64) []float64 {
	share := make([]float64, len(weight))
	level := 0.0
	for step := 1e9; step > 1e-12; step /= 2 {
		sum := 0.0
		for i := range weight {
			sum += min(max((level+step)*weight[i], least[i]), most[i])
		}
		if sum <= total {
			level += step
		}
	}
	for i := range weight {
		share[i] = min(max(level*weight[i], least[i]), most[i])
	}
	return share
}

// dumbReplicaShares is what each member should hold of all replicas.
func dumbReplicaShares(members []Member, slots, r int) map[NodeID]float64 {
	zones := map[string][]Member{}
	for _, m := range members {
		zones[m.Zone] = append(zones[m.Zone], m)
	}
	r = min(r, len(members))
	var names []string
	var weight, least, most []float64
	for name, in := range zones {
		w, low := 0.0, 0.0
		for _, m := range in {
			w += float64(m.Weight)
		}
		if len(zones) <= r {
			low = float64(slots)
		}
		names, weight, least = append(names, name), append(weight, w), append(least, low)
		most = append(most, float64(slots*min(len(in), max(1, r-len(zones)+1))))
	}
	shares := map[NodeID]float64{}
	for i, zone := range dumbShares(float64(slots*r), weight, least, most) {
		in := zones[names[i]]
		w, l, m := make([]float64, len(in)), make([]float64, len(in)), make([]float64, len(in))
		for j := range in {
			w[j], m[j] = float64(in[j].Weight), float64(slots)
		}
		for j, share := range dumbShares(zone, w, l, m) {
			shares[in[j].ID] = share
		}
	}
	return shares
}

func dumbOwnerShares(members []Member, slots int) map[NodeID]float64 {
	sum := 0.0
	for _, m := range members {
		sum += float64(m.Weight)
	}
	shares := map[NodeID]float64{}
	for _, m := range members {
		shares[m.ID] = float64(slots) * float64(m.Weight) / sum
	}
	return shares
}

// most is 1.10 of a share, rounded up.
func most(share float64) int { return int(math.Ceil(1.1*share - 1e-3)) }

func loads(rows [][]NodeID) (owned, held map[NodeID]int) {
	owned, held = map[NodeID]int{}, map[NodeID]int{}
	for _, row := range rows {
		owned[row[0]]++
		for _, id := range row {
			held[id]++
		}
	}
	return owned, held
}

func asRows(table [][]NodeID) []Row {
	rows := make([]Row, len(table))
	for i, set := range table {
		rows[i] = Row{Epoch: 1, Replicas: set}
	}
	return rows
}

// checkTable checks everything that placement promises of a table.
func checkTable(members []Member, slots, r int, table [][]NodeID) error {
	zoneOf := map[NodeID]string{}
	zones := map[string]bool{}
	for _, m := range members {
		zoneOf[m.ID] = m.Zone
		zones[m.Zone] = true
	}
	want := min(r, len(members))
	for s, row := range table {
		in := map[string]bool{}
		for i, id := range row {
			if _, ok := zoneOf[id]; !ok || slices.Contains(row[:i], id) {
				return fmt.Errorf("slot %d: %v is not a set of members", s, row)
			}
			in[zoneOf[id]] = true
		}
		if len(row) != want || len(in) != min(want, len(zones)) || !slices.IsSorted(row[1:]) {
			return fmt.Errorf("slot %d: %v spans %d zones", s, row, len(in))
		}
	}
	owned, held := loads(table)
	ownerShares, replicaShares := dumbOwnerShares(members, slots), dumbReplicaShares(members, slots, r)
	for _, m := range members {
		if owned[m.ID] > most(ownerShares[m.ID]) {
			return fmt.Errorf("%s owns %d, its share is %.2f", m.ID, owned[m.ID], ownerShares[m.ID])
		}
		if held[m.ID] > most(replicaShares[m.ID]) {
			return fmt.Errorf("%s holds %d, its share is %.2f", m.ID, held[m.ID], replicaShares[m.ID])
		}
	}
	return nil
}

// moved counts the slots with a new owner, and the replicas at new places.
func moved(before, after [][]NodeID) (owners, replicas int) {
	for s := range after {
		if before[s][0] != after[s][0] {
			owners++
		}
		for _, id := range after[s] {
			if !slices.Contains(before[s], id) {
				replicas++
			}
		}
	}
	return owners, replicas
}

// shape is how random members differ.
type shape struct {
	zones  int
	weight uint32
}

func (sh shape) member(rnd *rand.Rand) Member {
	id := NodeID(rnd.Uint64() | 1)
	return Member{ID: id, Name: id.String(), Weight: 1 + rnd.Uint32N(sh.weight), Zone: fmt.Sprint("z", rnd.IntN(sh.zones))}
}

func (sh shape) members(rnd *rand.Rand, n int) (members []Member) {
	for range n {
		members = append(members, sh.member(rnd))
	}
	sortMembers(members)
	return members
}

// seedsAnd returns the seeds from 0 on and those that once found something.
func seedsAnd(n uint64, found ...uint64) (seeds []uint64) {
	for seed := range n {
		seeds = append(seeds, seed)
	}
	return append(seeds, found...)
}

func TestPlaceFromNothing(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		sh := shape{1 + rnd.IntN(6), 1 + rnd.Uint32N(5)}
		members := sh.members(rnd, 1+rnd.IntN(14))
		slots, r := 1+rnd.IntN(300), 1+rnd.IntN(5)
		table := Place(members, slots, r, nil)
		if err := checkTable(members, slots, r, table); err != nil {
			t.Fatalf("seed %d, %d members, %+v, slots %d, r %d: %v", seed, len(members), sh, slots, r, err)
		}
		if again := Place(members, slots, r, asRows(table)); !slices.EqualFunc(table, again, slices.Equal[[]NodeID]) {
			t.Fatalf("seed %d: placing a placed table changes it", seed)
		}
		if again := Place(members, slots, r, nil); !slices.EqualFunc(table, again, slices.Equal[[]NodeID]) {
			t.Fatalf("seed %d: placing twice gives two tables", seed)
		}
	}
}

// TestPlaceMovement lets members come and go. Where zones do not interfere, no
// step may move more than 1.2 of the least possible: the newcomer's share (less
// its rounding), or what the one who left had.
func TestPlaceMovement(t *testing.T) {
	for _, seed := range seedsAnd(30, 46, 82, 739, 803, 998) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		sh := shape{1, 1 + rnd.Uint32N(4)*rnd.Uint32N(2)}
		slots, r := 256, 1+rnd.IntN(3)
		members := sh.members(rnd, 3+rnd.IntN(8))
		table := Place(members, slots, r, nil)
		for step := range 20 {
			var owners, replicas int // the least
			what := "join"
			if rnd.IntN(2) == 0 && len(members) > r+1 {
				what = "leave"
				i := rnd.IntN(len(members))
				owned, held := loads(table)
				owners, replicas = owned[members[i].ID], held[members[i].ID]
				members = slices.Delete(slices.Clone(members), i, i+1)
			} else {
				m := sh.member(rnd)
				members = append(slices.Clone(members), m)
				sortMembers(members)
				owners = int(math.Ceil(dumbOwnerShares(members, slots)[m.ID]))
				replicas = int(math.Ceil(dumbReplicaShares(members, slots, r)[m.ID]))
			}
			next := Place(members, slots, r, asRows(table))
			if err := checkTable(members, slots, r, next); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			o, n := moved(table, next)
			if float64(o) > 1.2*float64(owners) || float64(n) > 1.2*float64(replicas) {
				t.Errorf("seed %d step %d: a %s (%d members, r %d, %+v) moved %d owners of %d, %d replicas of %d",
					seed, step, what, len(members), r, sh, o, owners, n, replicas)
			}
			table = next
		}
	}
}

// TestPlaceChurn is the same with zones, where a step may have to move more:
// the table stays within bounds.
func TestPlaceChurn(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		sh := shape{2 + rnd.IntN(5), 1 + rnd.Uint32N(4)}
		slots, r := 1+rnd.IntN(256), 1+rnd.IntN(4)
		members := sh.members(rnd, 1+rnd.IntN(8))
		table := Place(members, slots, r, nil)
		for step := range 20 {
			if rnd.IntN(2) == 0 && len(members) > 1 {
				i := rnd.IntN(len(members))
				members = slices.Delete(members, i, i+1)
			} else {
				members = append(members, sh.member(rnd))
				sortMembers(members)
			}
			table = Place(members, slots, r, asRows(table))
			if err := checkTable(members, slots, r, table); err != nil {
				t.Errorf("seed %d step %d, %d members, r %d, %+v, slots %d: %v", seed, step, len(members), r, sh, slots, err)
			}
			if again := Place(members, slots, r, asRows(table)); !slices.EqualFunc(table, again, slices.Equal[[]NodeID]) {
				t.Errorf("seed %d step %d: placing a placed table changes it", seed, step)
			}
		}
	}
}

// seatsOf returns seats of these weights that may take everything.
func seatsOf(weights ...uint64) (seats []seat) {
	for i, w := range weights {
		seats = append(seats, seat{id: NodeID(i + 1), weight: w, standing: full})
	}
	return seats
}

// TestPlaceAroundOthers: who may get nothing does not count when shares are
// divided.
func TestPlaceAroundOthers(t *testing.T) {
	seats := seatsOf(3, 1, 4)
	seats[2].standing = steadied
	for r := 1; r <= 2; r++ {
		owned, held := loads(place(seats, 256, r, nil))
		if held[3] > 0 || owned[1] > most(192) || owned[2] > most(64) {
			t.Errorf("r %d: a newcomer that may get nothing changes the shares: %v", r, owned)
		}
	}
	seats[2].standing = full
	current := asRows(place(seats, 256, 3, nil))
	for _, s := range []standing{absent, yielding} {
		seats[2].standing = s
		owned, held := loads(place(seats, 256, 3, current))
		if held[3] != 256 || owned[3] > 0 || owned[1] > most(192) || owned[2] > most(64) {
			t.Errorf("standing %d: owned %v", s, owned)
		}
	}
	for s := range current {
		current[s].Replicas = ownerFirst(NodeID(1+s%2), current[s].Replicas)
	}
	seats[2].standing = steadied
	if owned, _ := loads(place(seats, 256, 3, current)); owned[3] > 0 || owned[1] > most(192) || owned[2] > most(64) {
		t.Errorf("a steadied seat that owned nothing: %v", owned)
	}
}

// TestPlaceKeepsOwners: among those that all should yield, nothing moves.
func TestPlaceKeepsOwners(t *testing.T) {
	members := quickMembers(3)
	current := asRows(Place(members, 32, 3, nil))
	for i := range members {
		members[i].State = Draining
	}
	for s, row := range Place(members, 32, 3, current) {
		if !slices.Equal(row, current[s].Replicas) {
			t.Errorf("slot %d moved from %v to %v", s, current[s].Replicas, row)
		}
	}
	members[0].State = Down
	for s, row := range Place(members, 32, 3, current) {
		if row[0] == 1 || current[s].Owner() != 1 && row[0] != current[s].Owner() {
			t.Errorf("slot %d moved from %v to %v", s, current[s].Replicas, row)
		}
	}
}

func TestPlaceLearners(t *testing.T) {
	members := quickMembers(4)
	row := Row{Epoch: 1, Replicas: []NodeID{1, 2}, Learners: []NodeID{4}}
	if got := Place(members, 1, 3, []Row{row}); !slices.Equal(got[0], []NodeID{1, 2, 4}) {
		t.Errorf("the learner is not used: %v", got[0])
	}
	members[3].State = Down
	if got := Place(members, 1, 3, []Row{row}); !slices.Equal(got[0], []NodeID{1, 2, 3}) {
		t.Errorf("a dead learner is used: %v", got[0])
	}
	members[2].State = Leaving
	if got := Place(members, 1, 3, []Row{row}); !slices.Equal(got[0], []NodeID{1, 2}) {
		t.Errorf("a dead learner is used for want of another: %v", got[0])
	}
}

// TestPlaceDropsLearners: what was begun is given up where it is not wanted any
// more, or would take from a member that has no more than its share.
func TestPlaceDropsLearners(t *testing.T) {
	for name, owners := range map[string][]NodeID{"not wanted": {1, 1, 1, 2, 3, 3}, "from one that is not rich": {2, 1, 1, 1, 2, 3}} {
		var current []Row
		for _, id := range owners {
			current = append(current, Row{Epoch: 1, Replicas: []NodeID{id}})
		}
		current[0].Learners = []NodeID{3}
		for s, row := range Place(quickMembers(3), 6, 1, current) {
			if row[0] != owners[s] {
				t.Errorf("%s: slot %d moved from %d to %d", name, s, owners[s], row[0])
			}
		}
	}
}

// TestPlaceCounts: the loads that decide are those of the table.
func TestPlaceCounts(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		sh := shape{1 + rnd.IntN(3), 1 + rnd.Uint32N(3)}
		members := sh.members(rnd, 4+rnd.IntN(4))
		current := asRows(Place(members, 64, 3, nil))
		var seats []seat
		for i := range members {
			seats = append(seats, newSeat(&members[i], standing(rnd.IntN(int(full)+1))))
		}
		p := newPlacement(seats[1:], 64, 3)
		for s := range current {
			p.load(s, &current[s])
		}
		p.placeReplicas()
		p.placeOwners()
		owned := make([]int, len(p.seats))
		for _, u := range p.owner {
			owned[u]++
		}
		if !slices.Equal(owned, p.owning.load) {
			t.Errorf("seed %d: counted %v, are %v", seed, p.owning.load, owned)
		}
	}
}
