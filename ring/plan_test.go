package ring

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func mustNext(t *testing.T, v *View, in Input) *View {
	t.Helper()
	step := Plan(v, in)
	if step.Next == nil {
		t.Fatalf("no view: %s", step.Waiting)
	}
	if err := step.Next.Validate(); err != nil {
		t.Fatal(err)
	}
	return step.Next
}

func TestPlanNothing(t *testing.T) {
	v := quickView(3, 16, 3)
	if step := Plan(v, Input{Coordinator: 1}); step.Next != nil || step.Quiesce != nil || step.Waiting != "" {
		t.Errorf("%+v", step)
	}
	if step := Plan(v, Input{Coordinator: 9}); step.Next != nil || !strings.Contains(step.Waiting, "no voter") {
		t.Errorf("a stranger: %+v", step)
	}
}

// TestPlanGrowth grows one node to three: the sets grow once, from [a] to
// [a,b,c].
func TestPlanGrowth(t *testing.T) {
	w := newWorld(1, shape{1, 1}, 1, 16, 3)
	w.joins = w.sh.members(w.rnd, 2)
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if err := w.checkSettled(); err != nil {
		t.Fatal(err)
	}
	// Members, voters and learners; the sets; from dropped and some owners
	// moved, twice.
	if w.views > 5 {
		t.Errorf("took %d views", w.views)
	}
	if w.met["set change"] != 16 {
		t.Errorf("16 slots took %d changes of their sets", w.met["set change"])
	}
}

func TestPlanFailover(t *testing.T) {
	v := quickView(4, 64, 3)
	in := Input{Coordinator: 2, Dead: ids(1), Progress: map[SlotID]map[NodeID]Position{}}
	ahead := map[SlotID]NodeID{}
	for s := range v.Slots {
		row := &v.Slots[s]
		if s%2 == 0 {
			ahead[SlotID(s)] = row.Replicas[2]
			in.Progress[SlotID(s)] = map[NodeID]Position{row.Replicas[2]: {Epoch: 1, Boot: 1, LSN: 3}}
		}
	}
	next := mustNext(t, v, in)
	owned := map[NodeID]int{}
	for s := range v.Slots {
		old, row := &v.Slots[s], &next.Slots[s]
		owned[row.Owner()]++
		if old.Owner() != 1 {
			if !row.equal(old) {
				t.Errorf("slot %d, of a live owner, moved", s)
			}
			continue
		}
		if want := ahead[SlotID(s)]; want != 0 && row.Owner() != want {
			t.Errorf("slot %d went to %s, %s is ahead", s, row.Owner(), want)
		}
		if row.Epoch != 2 || row.From != nil || !sameSet(row.Replicas, old.Replicas) {
			t.Errorf("slot %d: %+v after %+v", s, row, old)
		}
	}
	if owned[1] != 0 || slices.Max([]int{owned[2], owned[3], owned[4]}) > 26 {
		t.Errorf("owned after the failover: %v", owned)
	}
	if m, _ := next.Member(1); m.State != Down || next.Coordinator != 2 || !next.IsVoter(1) {
		t.Errorf("%s, coordinator %s, voters %v", m.State, next.Coordinator, next.Voters)
	}
	back := mustNext(t, next, Input{Coordinator: 2, Unsteady: ids(1), Active: allActive(next)})
	if m, _ := back.Member(1); m.State != Up {
		t.Errorf("came back and is %s", m.State)
	}
	if step := Plan(back, Input{Coordinator: 2, Unsteady: ids(1), Active: allActive(back)}); step.Next != nil || step.Quiesce != nil {
		t.Errorf("an unsteady member gets slots: %v", step.Quiesce)
	}
	if step := Plan(back, Input{Coordinator: 2, Unknown: ids(1), Active: allActive(back)}); step.Next != nil || step.Quiesce != nil {
		t.Errorf("an unknown member gets slots: %v", step.Quiesce)
	}
	if step := Plan(back, Input{Coordinator: 2, Active: allActive(back)}); len(step.Quiesce) == 0 {
		t.Error("a steady member gets none")
	}
}

func TestPlanFailoverSpreads(t *testing.T) {
	v := quickView(3, 90, 3)
	next := mustNext(t, v, Input{Coordinator: 1, Dead: ids(3)})
	owned := map[NodeID]int{}
	for s := range next.Slots {
		owned[next.Slots[s].Owner()]++
	}
	if owned[1]-owned[2] > 1 || owned[2]-owned[1] > 1 {
		t.Errorf("%v", owned)
	}
}

func TestPlanWithoutMajority(t *testing.T) {
	v := quickView(2, 8, 2)
	v.Voters, v.Coordinator = []NodeID{1}, 1
	next := mustNext(t, v, Input{Coordinator: 1, Dead: ids(2)}) // marks it Down
	for s := range next.Slots {
		if !next.Slots[s].equal(&v.Slots[s]) {
			t.Errorf("slot %d moved, which helps nobody", s)
		}
	}
	step := Plan(next, Input{Coordinator: 1, Dead: ids(2), Active: allActive(next)})
	if step.Next != nil || !strings.Contains(step.Waiting, "no majority") {
		t.Errorf("%+v", step)
	}
}

func TestPlanStuck(t *testing.T) {
	v := quickView(3, 8, 3)
	next := mustNext(t, v, Input{Coordinator: 1, Stuck: map[SlotID]bool{5: true}})
	for s := range v.Slots {
		if moved := next.Slots[s].Owner() != v.Slots[s].Owner(); moved != (s == 5) {
			t.Errorf("slot %d moved: %v", s, moved)
		}
	}
	// It became active after all.
	in := Input{Coordinator: 1, Stuck: map[SlotID]bool{5: true}, Active: allActive(v)}
	if step := Plan(v, in); step.Next != nil {
		t.Error("an active slot was moved")
	}
}

// TestPlanReplacement takes a dead replica's slots through grace, learner, set,
// and the dropping of the earlier set.
func TestPlanReplacement(t *testing.T) {
	v := quickView(4, 4, 3)
	dead := Input{Coordinator: 1, Dead: ids(4)}
	v = mustNext(t, v, dead)
	dead.Active = allActive(v)
	for step := Plan(v, dead); step.Next != nil || step.Quiesce != nil; step = Plan(v, dead) {
		dead.Quiesced = map[SlotID]bool{}
		for _, s := range step.Quiesce {
			dead.Quiesced[s] = true
		}
		if step.Next != nil {
			v = step.Next
		}
		dead.Active = allActive(v)
	}
	s := slices.IndexFunc(v.Slots, func(r Row) bool { return r.Has(4) })
	if s < 0 {
		t.Fatal("the dead member lost its replicas within the grace")
	}
	old, slot := v.Slots[s], SlotID(s)

	gone := Input{Coordinator: 1, Gone: ids(4), Active: allActive(v)}
	v = mustNext(t, v, gone)
	if row := &v.Slots[s]; len(row.Learners) != 1 || row.Epoch != old.Epoch || !row.Has(4) {
		t.Fatalf("no learner: %+v", row)
	}
	if v.IsVoter(4) {
		t.Error("a voter that is gone and not needed stays")
	}
	if step := Plan(v, gone); step.Next != nil || !strings.Contains(step.Waiting, "learners") {
		t.Fatalf("did not wait for the learner: %+v", step)
	}
	learner := v.Slots[s].Learners[0]
	gone.CaughtUp = map[SlotID][]NodeID{slot: {learner}}
	v = mustNext(t, v, gone)
	row := &v.Slots[s]
	if !row.Has(learner) || row.Has(4) || row.Epoch != v.Epoch || row.Learners != nil ||
		len(row.From) != 1 || !sameSet(row.From[0], old.Replicas) || row.Owner() != old.Owner() {
		t.Fatalf("%+v after %+v", row, old)
	}
	// The report of the old row does not count, that of the new one does.
	gone.CaughtUp = nil
	stale := gone
	if step := Plan(v, stale); step.Next != nil {
		t.Fatalf("From was dropped on a stale report: %+v", step.Next.Slots[s])
	}
	gone.Active = allActive(v)
	epoch := row.Epoch
	v = mustNext(t, v, gone)
	if row := &v.Slots[s]; row.From != nil || row.Epoch != epoch {
		t.Errorf("%+v", row)
	}
}

// TestPlanKeepsGone: with nobody to take its place, a dead replica stays.
func TestPlanKeepsGone(t *testing.T) {
	v := mustNext(t, quickView(3, 8, 3), Input{Coordinator: 1, Gone: ids(3)})
	step := Plan(v, Input{Coordinator: 1, Gone: ids(3), Active: allActive(v)})
	if step.Next != nil || step.Quiesce != nil {
		t.Errorf("%+v", step)
	}
	for s := range v.Slots {
		if !v.Slots[s].Has(3) {
			t.Errorf("slot %d lost the replica", s)
		}
	}
	if !v.IsVoter(3) {
		t.Error("the vote was lost")
	}
}

func TestPlanDrain(t *testing.T) {
	v := quickView(3, 9, 3)
	m, _ := v.Member(1)
	m.State = Draining
	in := Input{Coordinator: 1, Joins: []Member{m}, Active: allActive(v)}
	step := Plan(v, in)
	if len(step.Quiesce) == 0 || step.Next == nil || step.Next.Coordinator == 1 {
		t.Fatalf("%+v", step)
	}
	v = step.Next
	in = Input{Coordinator: v.Coordinator, Active: allActive(v), Quiesced: map[SlotID]bool{}}
	for _, s := range step.Quiesce {
		in.Quiesced[s] = true
	}
	v = mustNext(t, v, in)
	for s := range v.Slots {
		if row := &v.Slots[s]; row.Owner() == 1 || !row.Has(1) || row.From != nil {
			t.Errorf("slot %d: %+v", s, row)
		}
	}
	if !v.IsVoter(1) {
		t.Error("lost its vote")
	}
}

// TestPlanDrainDoesNotCopy: an owner that must go does not wait for learners.
func TestPlanDrainDoesNotCopy(t *testing.T) {
	v := quickView(3, 9, 3)
	leaver, _ := v.Member(1)
	leaver.State = Leaving
	joiner := Member{ID: 9, Name: "n9", Weight: 1}
	in := Input{Coordinator: 2, Joins: []Member{leaver, joiner}, Active: allActive(v)}
	step := Plan(v, in)
	for s := range v.Slots {
		if owned := v.Slots[s].Owner() == 1; owned != slices.Contains(step.Quiesce, SlotID(s)) {
			t.Errorf("slot %d, owned by who leaves: %v, quiesced: %v", s, owned, !owned)
		}
	}
	v = step.Next
	in = Input{Coordinator: 2, Active: allActive(v), Quiesced: map[SlotID]bool{}}
	for _, s := range step.Quiesce {
		in.Quiesced[s] = true
	}
	v = mustNext(t, v, in)
	for s := range v.Slots {
		if row := &v.Slots[s]; row.Owner() == 1 || !row.Has(1) || !slices.Equal(row.Learners, []NodeID{9}) {
			t.Errorf("slot %d: %+v", s, row)
		}
	}
}

func TestPlanLeaveEnds(t *testing.T) {
	w := newWorld(3, shape{1, 1}, 4, 32, 3)
	m := w.view.Members[0]
	m.State = Leaving
	w.joins = []Member{m}
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.view.Member(m.ID); ok {
		t.Error("the member is still there")
	}
	w.joins = []Member{m} // it has not heard of it
	if busy, err := w.step(); busy || err != nil {
		t.Errorf("it came back: %v", err)
	}
}

// TestPlanLeaveBesideUnknown has one of three nodes leave while nothing has been
// heard of another, which may be gone for good: with two replicas and two voters,
// nothing could ever be decided again.
func TestPlanLeaveBesideUnknown(t *testing.T) {
	v := quickView(3, 8, 3)
	m, _ := v.Member(3)
	m.State = Leaving
	in := Input{Coordinator: 1, Joins: []Member{m}, Unknown: ids(2), Active: allActive(v), Quiesced: allQuiesced(v)}
	for range 5 {
		step := Plan(v, in)
		if step.Next == nil {
			break
		}
		v = step.Next
		in.Active, in.Quiesced = allActive(v), allQuiesced(v)
	}
	for s := range v.Slots {
		if len(v.Slots[s].Replicas) != 3 {
			t.Fatalf("slot %d has %v", s, v.Slots[s].Replicas)
		}
	}
	if slices.Contains(v.Voters, 2) && len(v.Voters) < 3 {
		t.Errorf("voters %s", short(v.Voters))
	}
	if step := Plan(v, in); !strings.Contains(step.Waiting, "heard") {
		t.Errorf("waits for %q", step.Waiting)
	}
	in.Unknown = nil
	for range 5 {
		in.Active, in.Quiesced = allActive(v), allQuiesced(v)
		if step := Plan(v, in); step.Next != nil {
			v = step.Next
		}
	}
	if _, ok := v.Member(3); ok || len(v.Slots[0].Replicas) != 2 {
		t.Errorf("it does not leave: %+v", v.Slots[0])
	}
}

// TestPlanReplacedDisk: a node comes back without its disk.
func TestPlanReplacedDisk(t *testing.T) {
	w := newWorld(4, shape{1, 1}, 3, 16, 3)
	old := w.view.Members[2]
	w.dead[old.ID], w.gone[old.ID] = true, true
	w.joins = []Member{{ID: 12345, Name: old.Name, Weight: 1}}
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.view.Member(old.ID); ok || len(w.view.Members) != 3 {
		t.Errorf("members %+v", w.view.Members)
	}
	if err := w.checkSettled(); err != nil {
		t.Error(err)
	}
}

func TestPlanJoins(t *testing.T) {
	v := quickView(1, 4, 3)
	bad := Member{ID: 5, Addr: string(make([]byte, 300))}
	step := Plan(v, Input{Coordinator: 1, Joins: []Member{bad, {Name: "no id"}}})
	if step.Next != nil || !strings.Contains(step.Waiting, "300 bytes") {
		t.Errorf("%+v", step)
	}
	changed := v.Members[0]
	changed.Addr, changed.Kinds, changed.State = "10.0.0.1:7001", []string{"b", "a", "b"}, Down
	next := mustNext(t, v, Input{Coordinator: 1, Joins: []Member{changed}})
	want := changed
	want.Kinds, want.State = []string{"a", "b"}, Up
	if !next.Members[0].equal(&want) {
		t.Errorf("%+v", next.Members[0])
	}
	if step := Plan(next, Input{Coordinator: 1, Joins: []Member{changed}, Active: allActive(v)}); step.Next != nil {
		t.Error("the same news twice make a view")
	}
}

func TestPlanBoundsLearners(t *testing.T) {
	v := quickView(3, 256, 3)
	in := Input{Coordinator: 1, Joins: []Member{{ID: 8, Weight: 1}, {ID: 9, Weight: 1}}, Active: allActive(v)}
	next := mustNext(t, v, in)
	count := map[NodeID]int{}
	for s := range next.Slots {
		for _, id := range next.Slots[s].Learners {
			count[id]++
		}
	}
	if count[8] != maxLearnersPerNode || count[9] != maxLearnersPerNode {
		t.Errorf("%v", count)
	}
}

func benchmarkPlan(b *testing.B, v *View, in Input) {
	b.ReportAllocs()
	for b.Loop() {
		Plan(v, in)
	}
}

func BenchmarkPlan(b *testing.B) {
	v := quickView(10, 256, 3, "a", "b", "c", "d")
	b.Run("nothing", func(b *testing.B) { benchmarkPlan(b, v, Input{Coordinator: 1, Active: allActive(v)}) })
	b.Run("join", func(b *testing.B) {
		benchmarkPlan(b, v, Input{Coordinator: 1, Active: allActive(v), Joins: []Member{{ID: 99, Zone: "a"}}})
	})
	b.Run("failover", func(b *testing.B) { benchmarkPlan(b, v, Input{Coordinator: 1, Active: allActive(v), Dead: ids(2)}) })
	b.Run("replacement", func(b *testing.B) {
		failed := Plan(v, Input{Coordinator: 1, Active: allActive(v), Dead: ids(2)}).Next
		benchmarkPlan(b, failed, Input{Coordinator: 1, Active: allActive(failed), Gone: ids(2)})
	})
	rnd := rand.New(rand.NewPCG(1, 6))
	large := quickView(100, 256, 3)
	b.Run("large", func(b *testing.B) {
		benchmarkPlan(b, large, Input{Coordinator: 1, Active: allActive(large), Joins: shape{3, 3}.members(rnd, 5)})
	})
}

func BenchmarkEncode(b *testing.B) {
	v := quickView(10, 256, 3)
	for b.Loop() {
		v.Encode()
	}
}

// TestPlanSealsEarlierSets: a slot whose earlier set has no live majority cannot
// become active anywhere, and is left alone.
func TestPlanSealsEarlierSets(t *testing.T) {
	v := quickView(4, 1, 3)
	v.Epoch = 2
	v.Slots[0] = Row{Epoch: 2, Replicas: []NodeID{1, 2, 3}, From: [][]NodeID{{1}}}
	if next := mustNext(t, v, Input{Coordinator: 2, Dead: ids(1)}); next.Slots[0].Epoch != 2 {
		t.Errorf("moved: %+v", next.Slots[0])
	}
	v.Slots[0].From = [][]NodeID{{1, 2, 4}}
	if next := mustNext(t, v, Input{Coordinator: 2, Dead: ids(1)}); next.Slots[0].Owner() == 1 {
		t.Error("did not move, though it could")
	}
}

// TestPlanHeir: a member that may be given slots comes before one that is ahead.
func TestPlanHeir(t *testing.T) {
	v := quickView(3, 1, 3)
	v.Slots[0].Replicas = []NodeID{1, 2, 3}
	ahead := map[SlotID]map[NodeID]Position{0: {2: {Epoch: 1, Boot: 1, LSN: 9}}}
	next := mustNext(t, v, Input{Coordinator: 2, Dead: ids(1), Unsteady: ids(2), Progress: ahead})
	if next.Slots[0].Owner() != 3 {
		t.Errorf("%s owns it", next.Slots[0].Owner())
	}
}

// TestPlanOneAtATime: with an earlier set still listed, a slot is not changed
// even if everything else is ready.
func TestPlanOneAtATime(t *testing.T) {
	v := quickView(4, 1, 3)
	v.Epoch = 2
	v.Slots[0] = Row{Epoch: 2, Replicas: []NodeID{1, 2, 3}, Learners: []NodeID{4}, From: [][]NodeID{{1, 2}}}
	v.Members[2].State = Leaving
	in := Input{Coordinator: 1, Active: allActive(v), CaughtUp: map[SlotID][]NodeID{0: {4}}}
	next := mustNext(t, v, in)
	if row := &next.Slots[0]; row.From != nil || row.Epoch != 2 {
		t.Errorf("changed: %+v", row)
	}
	if next = mustNext(t, next, in); !sameSet(next.Slots[0].Replicas, []NodeID{1, 2, 4}) {
		t.Errorf("not changed: %+v", next.Slots[0])
	}
}

// TestPlanOldNews: that a node has caught up counts only for a learner.
func TestPlanOldNews(t *testing.T) {
	v := quickView(3, 1, 3)
	leaver := v.Members[slices.IndexFunc(v.Members, func(m Member) bool { return m.ID != 1 && m.ID != v.Slots[0].Owner() })]
	leaver.State = Leaving
	in := Input{Coordinator: 1, Joins: []Member{leaver, {ID: 9}}, Active: allActive(v), CaughtUp: map[SlotID][]NodeID{0: {9}}}
	if next := mustNext(t, v, in); next.Slots[0].Has(9) || !slices.Equal(next.Slots[0].Learners, []NodeID{9}) {
		t.Errorf("%+v", next.Slots[0])
	}
}

// TestPlanLostSlot: a slot without a live majority is not copied or changed.
func TestPlanLostSlot(t *testing.T) {
	v := quickView(2, 16, 2)
	v.Voters, v.Coordinator = []NodeID{1}, 1
	in := Input{Coordinator: 1, Gone: ids(2), Joins: []Member{{ID: 9}}, Active: allActive(v)}
	v = mustNext(t, v, in)
	in.CaughtUp = map[SlotID][]NodeID{}
	for s := range v.Slots {
		row := &v.Slots[s]
		if row.Owner() == 2 && row.Learners != nil {
			t.Errorf("slot %d of a dead owner has learners", s)
		}
		in.CaughtUp[SlotID(s)] = row.Learners
	}
	if step := Plan(v, in); step.Next != nil {
		t.Errorf("%+v", step.Next.Slots)
	}
}

// TestPlanShrinks: a member that left for good and died is not waited for.
func TestPlanShrinks(t *testing.T) {
	w := newWorld(5, shape{1, 1}, 3, 8, 3)
	m := w.view.Members[2]
	m.State = Leaving
	w.joins = []Member{m}
	w.dead[m.ID], w.gone[m.ID] = true, true
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if len(w.view.Members) != 2 || len(w.view.Slots[0].Replicas) != 2 {
		t.Errorf("%d members, %v", len(w.view.Members), w.view.Slots[0].Replicas)
	}
}

// TestPlanDrainAll: ownership does not go from one that drains to another.
func TestPlanDrainAll(t *testing.T) {
	v := quickView(3, 8, 2)
	for i := range v.Members {
		v.Members[i].State = Draining
	}
	joined := mustNext(t, v, Input{Coordinator: 1, Joins: []Member{{ID: 9}}, Active: allActive(v)})
	leave, _ := joined.Member(2)
	leave.State = Leaving
	step := Plan(joined, Input{Coordinator: 1, Joins: []Member{leave}, Active: allActive(joined)})
	if len(step.Quiesce) > 0 {
		t.Errorf("quiesces %v", step.Quiesce)
	}
}

// TestPlanMovesQuiescedFirst: what has stopped moves before more is stopped.
func TestPlanMovesQuiescedFirst(t *testing.T) {
	v := quickView(3, 256, 3)
	m, _ := v.Member(2)
	m.State = Draining
	in := Input{Coordinator: 1, Joins: []Member{m}, Active: allActive(v), Quiesced: map[SlotID]bool{}}
	for s := len(v.Slots) - 1; len(in.Quiesced) < maxHandovers; s-- {
		if v.Slots[s].Owner() == 2 {
			in.Quiesced[SlotID(s)] = true
		}
	}
	step := Plan(v, in)
	if len(step.Quiesce) != 0 {
		t.Errorf("quiesces %v", step.Quiesce)
	}
	for s := range in.Quiesced {
		if step.Next.Slots[s].Owner() == 2 {
			t.Errorf("slot %d did not move", s)
		}
	}
}

// TestPlanSameName: only one that is gone is given up for its namesake.
func TestPlanSameName(t *testing.T) {
	v := quickView(3, 4, 3)
	in := Input{Coordinator: 1, Dead: ids(3), Joins: []Member{{ID: 9, Name: "n3"}}}
	next := mustNext(t, v, in)
	if m, _ := next.Member(3); m.State != Down {
		t.Errorf("is %s", m.State)
	}
	in.Gone = in.Dead
	next = mustNext(t, v, in)
	if m, _ := next.Member(3); m.State != Leaving {
		t.Errorf("is %s", m.State)
	}
	// The new disk's node is gone for a while, and nobody misses the old one any more:
	// it is not given up for one that leaves.
	next = mustNext(t, next, Input{Coordinator: 1, Dead: ids(9), Gone: ids(9), Active: allActive(next)})
	if m, ok := next.Member(9); !ok || m.State != Down {
		t.Errorf("the new one: %t, %s", ok, m.State)
	}
}

// TestPlanWaitsForActive: after a failover, nothing planned happens to a slot
// before its new owner serves.
func TestPlanWaitsForActive(t *testing.T) {
	v := quickView(3, 1, 3)
	leaver := v.Members[slices.IndexFunc(v.Members, func(m Member) bool { return m.ID != 1 && m.ID != v.Slots[0].Owner() })]
	leaver.State = Leaving
	v = mustNext(t, v, Input{Coordinator: 1, Joins: []Member{leaver, {ID: 9}}, Active: allActive(v)})
	in := Input{Coordinator: 1, CaughtUp: map[SlotID][]NodeID{0: {9}}}
	if step := Plan(v, in); step.Next != nil || !strings.Contains(step.Waiting, "become active") {
		t.Errorf("%+v", step)
	}
	in.Active = allActive(v)
	if next := mustNext(t, v, in); !next.Slots[0].Has(9) {
		t.Errorf("%+v", next.Slots[0])
	}
}

// TestPlanNeediestFirst: slots that lack a live replica are copied first.
func TestPlanNeediestFirst(t *testing.T) {
	v := quickView(4, 256, 3)
	in := Input{Coordinator: 1, Gone: ids(4), Joins: []Member{{ID: 8}, {ID: 9}}}
	v = mustNext(t, v, in)
	in.Active, in.Joins = allActive(v), nil
	v = mustNext(t, v, in)
	copied := 0
	for s := range v.Slots {
		if row := &v.Slots[s]; row.Learners != nil {
			copied++
			if !row.Has(4) {
				t.Errorf("slot %d, with all its replicas, is copied", s)
			}
		}
	}
	if copied < maxLearnersPerNode {
		t.Errorf("%d slots are copied", copied)
	}
}

func TestPlanBoundsMembers(t *testing.T) {
	members := quickMembers(MaxMembers)
	v, err := Found(members, 1, 1, []NodeID{1})
	if err != nil {
		t.Fatal(err)
	}
	next := mustNext(t, v, Input{Coordinator: 1, Joins: []Member{{ID: MaxMembers + 1}}}) // chooses voters
	if len(next.Members) != MaxMembers {
		t.Errorf("%d members", len(next.Members))
	}
}
