package ring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestVoters(t *testing.T) {
	state := func(m Member, s MemberState) []Member { m.State = s; return []Member{m} }
	for _, tc := range []struct {
		name    string
		members []Member
		voters  []NodeID
		in      Input
		want    []NodeID
	}{
		{"one", quickMembers(1), []NodeID{1}, Input{}, []NodeID{1}},
		{"an even number shrinks", quickMembers(2), []NodeID{1, 2}, Input{}, []NodeID{1}},
		{"two wait for a third", quickMembers(2), []NodeID{1}, Input{}, []NodeID{1}},
		{"three", quickMembers(3), []NodeID{1}, Input{}, []NodeID{1, 2, 3}},
		{"four", quickMembers(4), []NodeID{1, 2, 3}, Input{}, []NodeID{1, 2, 3}},
		{"five at most", quickMembers(9), []NodeID{1}, Input{}, []NodeID{1, 2, 3, 4, 5}},
		{"seven as configured", quickMembers(9), []NodeID{1}, Input{Voters: 7}, []NodeID{1, 2, 3, 4, 5, 6, 7}},
		{"three as configured", quickMembers(9), []NodeID{1, 2, 3, 4, 5}, Input{Voters: 3}, []NodeID{1, 2, 3}},
		{"three as configured, one dead", quickMembers(5), []NodeID{1, 2, 3, 4, 5}, Input{Voters: 3, Dead: ids(2)}, []NodeID{1, 2, 3, 4, 5}},
		{"unsteady is not chosen", quickMembers(4), []NodeID{1}, Input{Unsteady: ids(2)}, []NodeID{1, 3, 4}},
		{"unknown is not chosen", quickMembers(4), []NodeID{1}, Input{Unknown: ids(2)}, []NodeID{1, 3, 4}},
		{"spread over zones", quickMembers(9, "a", "a", "a", "b", "b", "b", "c", "c", "c"), []NodeID{1}, Input{},
			[]NodeID{1, 4, 7, 2, 5}},
		{"seven zones", quickMembers(14, "a", "b", "c", "d", "e", "f", "g"), []NodeID{8}, Input{Coordinator: 8},
			[]NodeID{8, 2, 3, 4, 5, 6, 7}},
		{"a new zone", quickMembers(5, "a", "a", "a", "b", "c"), []NodeID{1, 2, 3, 4, 5}, Input{}, []NodeID{1, 2, 3, 4, 5}},
		{"crowded", quickMembers(6, "a", "a", "a", "a", "a", "b"), []NodeID{1, 2, 3, 4, 5}, Input{}, []NodeID{1, 2, 3, 4, 6}},
		{"dead stays", quickMembers(6), []NodeID{1, 2, 3, 4, 5}, Input{Dead: ids(2)}, []NodeID{1, 2, 3, 4, 5}},
		{"gone is replaced", quickMembers(6), []NodeID{1, 2, 3, 4, 5}, Input{Gone: ids(2)}, []NodeID{1, 3, 4, 5, 6}},
		{"gone without another", quickMembers(5), []NodeID{1, 2, 3, 4, 5}, Input{Gone: ids(2)}, []NodeID{1, 2, 3, 4, 5}},
		{"two gone", quickMembers(5), []NodeID{1, 2, 3, 4, 5}, Input{Gone: ids(2, 4)}, []NodeID{1, 3, 5}},
		{"two gone of three", quickMembers(3), []NodeID{1, 2, 3}, Input{Gone: ids(2, 3)}, []NodeID{1, 2, 3}},
		{"three gone of five, and others", quickMembers(9), []NodeID{1, 2, 3, 4, 5}, Input{Gone: ids(2, 3, 4)}, []NodeID{1, 2, 3, 4, 5}},
		{"even, and one dead", quickMembers(5), []NodeID{1, 2, 3, 4, 5},
			Input{Dead: ids(2), Joins: state(quickMembers(5)[4], Leaving)}, []NodeID{1, 2, 3, 4}},
		{"leaving", quickMembers(5), []NodeID{1, 2, 3, 4, 5}, Input{Joins: state(quickMembers(5)[4], Leaving)}, []NodeID{1, 2, 3}},
		{"leaving proposer", quickMembers(4), []NodeID{1, 2, 3}, Input{Joins: state(quickMembers(4)[0], Leaving)}, []NodeID{1, 2, 3}},
		{"leaving, and one of the others dead", quickMembers(3), []NodeID{1, 2, 3},
			Input{Dead: ids(3), Joins: state(quickMembers(3)[1], Leaving)}, []NodeID{1, 2, 3}},
		{"leaving, and one of the others gone", quickMembers(3), []NodeID{1, 2, 3},
			Input{Gone: ids(3), Joins: state(quickMembers(3)[1], Leaving)}, []NodeID{1}},
		{"the only voter drains", quickMembers(2), []NodeID{1}, Input{Joins: state(quickMembers(2)[0], Draining)}, []NodeID{1, 2}},
		{"the only voter leaves", quickMembers(2), []NodeID{1}, Input{Joins: state(quickMembers(2)[0], Leaving)}, []NodeID{1, 2}},
		{"the only voter drains, and the other is dead", quickMembers(2), []NodeID{1},
			Input{Dead: ids(2), Joins: state(quickMembers(2)[0], Draining)}, []NodeID{1}},
		{"all voters drain", quickMembers(4), []NodeID{1, 2, 3}, Input{Joins: slices.Concat(
			state(quickMembers(4)[0], Draining), state(quickMembers(4)[1], Draining), state(quickMembers(4)[2], Draining))}, []NodeID{1, 2, 3, 4}},
		{"the proposer drains, and the other voters are dead or flap", quickMembers(4), []NodeID{1, 2, 3},
			Input{Dead: ids(3), Unsteady: ids(2), Joins: state(quickMembers(4)[0], Draining)}, []NodeID{1, 2, 3}},
		{"draining keeps its vote", quickMembers(4), []NodeID{1, 2, 3}, Input{Joins: state(quickMembers(4)[1], Draining)}, []NodeID{1, 2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.in.Coordinator == 0 {
				tc.in.Coordinator = 1
			}
			v, err := Found(tc.members, 4, 3, tc.voters)
			if err != nil {
				t.Fatal(err)
			}
			next := Plan(v, tc.in).Next
			if next == nil {
				next = v
			}
			if !slices.Equal(next.Voters, tc.want) {
				t.Errorf("voters %s, want %s", short(next.Voters), short(tc.want))
			}
		})
	}
}

func short(ids []NodeID) string {
	s := ""
	for _, id := range ids {
		s += fmt.Sprintf(" %d", uint64(id))
	}
	return s
}

func TestCoordinator(t *testing.T) {
	v := quickView(5, 8, 3)
	if next := mustNext(t, v, Input{Coordinator: 3, Dead: ids(1, 2)}); next.Coordinator != 3 {
		t.Errorf("%s coordinates", next.Coordinator)
	}
	// A proposer counts as alive, whatever it was told.
	if step := Plan(v, Input{Coordinator: 1, Dead: ids(1)}); step.Next != nil {
		t.Errorf("%+v", step.Next)
	}
	m, _ := v.Member(1)
	m.State = Leaving
	if next := mustNext(t, v, Input{Coordinator: 1, Joins: []Member{m}, Dead: ids(2)}); next.Coordinator != 3 {
		t.Errorf("after one that leaves, %s coordinates", next.Coordinator)
	}
	m.State = Draining
	unsteady := Input{Coordinator: 1, Joins: []Member{m}, Dead: ids(2), Unsteady: ids(3, 4)}
	if next := mustNext(t, v, unsteady); next.Coordinator != 5 {
		t.Errorf("before two unsteady ones, %s coordinates", next.Coordinator)
	}
	// An unsteady one is better than one that waits for somebody to take over.
	unsteady.Unsteady = ids(3, 4, 5)
	if next := mustNext(t, v, unsteady); next.Coordinator != 3 {
		t.Errorf("after one that drains, %s coordinates", next.Coordinator)
	}
	unsteady.Dead = ids(2, 3, 4, 5)
	next := mustNext(t, v, unsteady)
	if step := Plan(next, unsteady); next.Coordinator != 1 || !strings.Contains(step.Waiting, "no other voter") {
		t.Errorf("with nobody else up, %s coordinates, waiting %q", next.Coordinator, step.Waiting)
	}
	alone := quickView(1, 8, 3)
	m = alone.Members[0]
	m.State = Draining
	if next := mustNext(t, alone, Input{Coordinator: 1, Joins: []Member{m}}); next.Coordinator != 1 {
		t.Errorf("%s coordinates", next.Coordinator)
	}
}
