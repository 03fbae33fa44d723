package ring

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// world is a cluster whose facts are known at once and without error: it
// adopts every view that Plan proposes, and checks each.
type world struct {
	rnd      *rand.Rand
	sh       shape
	view     *View
	joins    []Member
	dead     map[NodeID]bool
	gone     map[NodeID]bool
	unsteady map[NodeID]bool
	asked    map[SlotID]bool
	stuck    map[SlotID]bool
	views    int
	met      map[string]int // what the run has come across
}

func newWorld(seed uint64, sh shape, n, slots, r int) *world {
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 7)), sh: sh,
		dead: map[NodeID]bool{}, gone: map[NodeID]bool{}, unsteady: map[NodeID]bool{},
		asked: map[SlotID]bool{}, stuck: map[SlotID]bool{}, met: map[string]int{},
	}
	members := sh.members(w.rnd, n)
	var voters []NodeID
	for _, m := range members[:min(n, 3)] {
		voters = append(voters, m.ID)
	}
	view, err := Found(members, slots, r, voters)
	if err != nil {
		panic(err)
	}
	w.view = view
	return w
}

func (w *world) majority(set []NodeID) bool {
	alive := 0
	for _, id := range set {
		if !w.dead[id] {
			alive++
		}
	}
	return alive > len(set)/2
}

func (w *world) canServe(r *Row) bool {
	return w.majority(r.Replicas) && !slices.ContainsFunc(r.From, func(s []NodeID) bool { return !w.majority(s) })
}

// input gathers the facts. The coordinator stays while it lives.
func (w *world) input() Input {
	in := Input{
		Joins: w.joins, Dead: w.dead, Gone: w.gone, Unsteady: w.unsteady, Quiesced: w.asked, Stuck: w.stuck,
		Active: map[SlotID]Epoch{}, CaughtUp: map[SlotID][]NodeID{}, Progress: map[SlotID]map[NodeID]Position{},
		Coordinator: w.view.Coordinator,
	}
	if w.dead[in.Coordinator] {
		in.Coordinator = w.view.Voters[slices.IndexFunc(w.view.Voters, func(id NodeID) bool { return !w.dead[id] })]
	}
	for s := range w.view.Slots {
		row, slot := &w.view.Slots[s], SlotID(s)
		in.Progress[slot] = map[NodeID]Position{}
		for _, id := range row.Replicas {
			in.Progress[slot][id] = Position{Epoch: row.Epoch, Boot: 1, LSN: w.rnd.Uint64N(2)}
		}
		if w.dead[row.Owner()] || w.stuck[slot] || !w.canServe(row) {
			continue
		}
		in.Active[slot] = row.Epoch
		for _, id := range row.Learners {
			if !w.dead[id] {
				in.CaughtUp[slot] = append(in.CaughtUp[slot], id)
			}
		}
	}
	return in
}

// step plans once and adopts the view; it reports whether anything was done.
func (w *world) step() (bool, error) {
	in := w.input()
	before := w.view.Clone()
	step := Plan(w.view, in)
	if !before.equal(w.view) {
		return false, fmt.Errorf("the view planned for was modified")
	}
	w.asked = map[SlotID]bool{}
	for _, s := range step.Quiesce {
		w.asked[s] = true
	}
	if len(step.Quiesce) > maxHandovers || !slices.IsSorted(step.Quiesce) {
		return false, fmt.Errorf("%d slots to quiesce", len(step.Quiesce))
	}
	if step.Next == nil {
		return len(step.Quiesce) > 0, nil
	}
	if err := w.check(step.Next, in); err != nil {
		return false, fmt.Errorf("view %d: %w", step.Next.Epoch, err)
	}
	w.view, w.joins, w.views = step.Next, nil, w.views+1
	clear(w.stuck)
	return true, nil
}

// check checks everything that may be asked of one view after another.
func (w *world) check(next *View, in Input) error {
	was := w.view
	if err := next.Validate(); err != nil {
		return err
	}
	same := next.Clone()
	same.Epoch = was.Epoch
	if next.Epoch != was.Epoch+1 || same.equal(was) {
		return fmt.Errorf("follows view %d without a difference", was.Epoch)
	}
	if decoded, err := Decode(next.Encode()); err != nil || !decoded.equal(next) {
		return fmt.Errorf("does not survive its encoding: %v", err)
	}
	for s := range next.Slots {
		for _, id := range was.Slots[s].Learners {
			if row := &next.Slots[s]; !row.Has(id) && !slices.Contains(row.Learners, id) {
				w.met["wasted learner"]++
			}
		}
	}
	learning, planned, failed := map[NodeID]int{}, 0, 0
	for s := range next.Slots {
		old, row := &was.Slots[s], &next.Slots[s]
		for _, id := range row.Learners {
			learning[id]++
		}
		if err := w.checkRow(old, row, SlotID(s), next, in); err != nil {
			return fmt.Errorf("slot %d: %w", s, err)
		}
		switch {
		case row.Epoch == old.Epoch:
		case w.dead[old.Owner()] || w.stuck[SlotID(s)]:
			failed++
			w.met["failover"]++
		default:
			planned++
			w.met["planned"]++
		}
	}
	if planned > 0 && failed > 0 {
		return fmt.Errorf("%d planned changes, %d failovers", planned, failed)
	}
	for id, n := range learning {
		if n > maxLearnersPerNode {
			return fmt.Errorf("%s copies %d slots at once", id, n)
		}
	}
	return w.checkVoters(next)
}

func (w *world) checkRow(old, row *Row, s SlotID, next *View, in Input) error {
	moved := old.Owner() != row.Owner()
	reset := !sameSet(old.Replicas, row.Replicas)
	active := in.Active[s] == old.Epoch
	if !moved && !reset {
		dropped := len(old.From) > 0 && len(row.From) == 0
		switch {
		case row.Epoch != old.Epoch:
			return fmt.Errorf("a new slot epoch for nothing")
		case dropped && !active:
			return fmt.Errorf("dropped an earlier set before the owner was active")
		case !dropped && !slices.EqualFunc(old.From, row.From, slices.Equal[[]NodeID]):
			return fmt.Errorf("changed the earlier sets")
		case w.dead[old.Owner()] && w.canServe(row):
			return fmt.Errorf("left with a dead owner")
		}
		return nil
	}
	forced := w.dead[old.Owner()] || w.stuck[s]
	switch {
	case row.Epoch != next.Epoch:
		return fmt.Errorf("changed, and kept its slot epoch")
	case w.dead[row.Owner()]:
		return fmt.Errorf("moved to a dead owner")
	case !forced && (len(old.From) > 0 || !active):
		return fmt.Errorf("a planned change of a slot that is changing")
	case !forced && moved && !in.Quiesced[s]:
		return fmt.Errorf("moved before it was quiesced")
	case forced && reset:
		return fmt.Errorf("a failover changed the set")
	case !w.canServe(old) || !w.majority(row.Replicas):
		return fmt.Errorf("changed without a live majority")
	}
	for _, id := range row.Replicas {
		if !old.Has(id) && !(slices.Contains(old.Learners, id) && slices.Contains(in.CaughtUp[s], id)) {
			return fmt.Errorf("%s is a replica and has not caught up", id)
		}
	}
	must := old.From
	if active {
		must = nil
	}
	if reset {
		w.met["set change"]++
		must = append(slices.Clone(must), old.Replicas)
	}
	for _, set := range must {
		if !slices.ContainsFunc(row.From, func(f []NodeID) bool { return sameSet(f, set) }) {
			return fmt.Errorf("%v is not among the earlier sets %v", set, row.From)
		}
	}
	if len(row.From) != len(must) {
		return fmt.Errorf("%d earlier sets, not %d", len(row.From), len(must))
	}
	return nil
}

func (w *world) checkVoters(next *View) error {
	for _, id := range next.Voters {
		m, _ := next.Member(id)
		if !w.view.IsVoter(id) && (w.dead[id] || w.unsteady[id] || m.State != Up) {
			return fmt.Errorf("unhealthy voter %s was chosen", id)
		}
	}
	for _, id := range w.view.Voters {
		m, ok := next.Member(id)
		if w.dead[id] && !w.gone[id] && !next.IsVoter(id) && ok && m.State != Leaving {
			return fmt.Errorf("voter %s, merely dead, was removed", id)
		}
	}
	if w.dead[next.Coordinator] {
		return fmt.Errorf("the coordinator is dead")
	}
	return nil
}

// settle steps until nothing is left to do.
func (w *world) settle() error {
	for range 4000 {
		busy, err := w.step()
		if err != nil || !busy {
			return err
		}
	}
	return fmt.Errorf("does not settle: %s", Plan(w.view, w.input()).Waiting)
}

func (w *world) pick(ok func(m Member) bool) (Member, bool) {
	var all []Member
	for _, m := range w.view.Members {
		if ok(m) {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return Member{}, false
	}
	return all[w.rnd.IntN(len(all))], true
}

// disturb lets one thing happen. Votes never lose their majority.
func (w *world) disturb() {
	change := func(m Member, state MemberState) { m.State = state; w.joins = append(w.joins, m) }
	up := func(m Member) bool { return m.State == Up && !w.dead[m.ID] }
	switch w.rnd.IntN(9) {
	case 0, 1:
		for range 1 + w.rnd.IntN(2) {
			if len(w.view.Members) < 9 {
				w.met["join"]++
				w.joins = append(w.joins, w.sh.member(w.rnd))
			}
		}
	case 2, 3:
		if m, ok := w.pick(up); ok {
			w.dead[m.ID] = true
			if !w.majority(w.view.Voters) || len(w.dead) > 2 {
				delete(w.dead, m.ID)
			}
		}
	case 4:
		for _, id := range slices.Sorted(maps.Keys(w.dead)) {
			w.met["gone"]++
			w.gone[id] = true
		}
	case 5:
		for _, id := range slices.Sorted(maps.Keys(w.dead)) {
			w.met["return"]++
			delete(w.dead, id)
			delete(w.gone, id)
			w.unsteady[id] = true
		}
	case 6:
		clear(w.unsteady)
	case 7:
		if m, ok := w.pick(up); ok && len(w.view.Members) > 2 {
			w.met["leave"]++
			change(m, Leaving)
		}
	case 8:
		if m, ok := w.pick(up); ok {
			w.met["drain"]++
			change(m, Draining)
		} else if m, ok := w.pick(func(m Member) bool { return m.State == Draining }); ok {
			change(m, Up)
		}
		for range 3 {
			w.stuck[SlotID(w.rnd.IntN(len(w.view.Slots)))] = true
		}
	}
}

// recover lets everybody return and be steady.
func (w *world) recover() {
	clear(w.dead)
	clear(w.gone)
	clear(w.unsteady)
	for i := range w.joins {
		if w.joins[i].State == Draining {
			w.joins[i].State = Up
		}
	}
	for _, m := range w.view.Members {
		if m.State == Draining {
			m.State = Up
			w.joins = append(w.joins, m)
		}
	}
}

// checkSettled checks that the table is what it should be.
func (w *world) checkSettled() error {
	v := w.view
	table := make([][]NodeID, len(v.Slots))
	for s := range v.Slots {
		row := &v.Slots[s]
		if len(row.From) > 0 || len(row.Learners) > 0 {
			return fmt.Errorf("slot %d: %+v is not settled", s, *row)
		}
		table[s] = row.Replicas
	}
	if want := Place(v.Members, len(v.Slots), v.Replication, v.Slots); !slices.EqualFunc(table, want, slices.Equal[[]NodeID]) {
		return fmt.Errorf("the table is not what Place returns")
	}
	if len(v.Voters)%2 == 0 || len(v.Voters) < min(5, len(v.Members)-1+len(v.Members)%2) {
		return fmt.Errorf("%d voters of %d members", len(v.Voters), len(v.Members))
	}
	return checkTable(v.Members, len(v.Slots), v.Replication, table)
}

func TestPlanConverges(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(seed, shape{1 + rnd.IntN(4), 1 + rnd.Uint32N(3)}, 1+rnd.IntN(5), 1+rnd.IntN(64), 1+rnd.IntN(3))
		for range 60 {
			w.disturb()
			for range rnd.IntN(6) {
				if _, err := w.step(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		w.recover()
		if err := w.settle(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := w.checkSettled(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for what, n := range w.met {
			met[what] += n
		}
	}
	for _, what := range []string{"join", "gone", "return", "leave", "drain", "failover", "planned", "set change"} {
		if met[what] == 0 {
			t.Errorf("no run came across: %s", what)
		}
	}
	t.Log(met)
}

// TestPlanWastesLittle: while nothing happens, what a learner copies is used,
// though placement begins anew from each view.
func TestPlanWastesLittle(t *testing.T) {
	wasted, changed := 0, 0
	for seed := range uint64(12) {
		w := newWorld(seed, shape{1 + int(seed%3), 1 + uint32(seed%2)}, 4, 128, 3)
		for range 4 {
			if seed%2 == 0 {
				w.disturb()
			}
			w.joins = append(w.joins, w.sh.member(w.rnd))
			if _, err := w.step(); err != nil {
				t.Fatal(err)
			}
			before := w.met["wasted learner"]
			if err := w.settle(); err != nil {
				t.Fatal(err)
			}
			wasted += w.met["wasted learner"] - before
		}
		changed += w.met["set change"]
	}
	if changed < 1000 || wasted*100 > changed {
		t.Errorf("%d copies were wasted, %d sets changed", wasted, changed)
	}
}
