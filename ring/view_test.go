package ring

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestStates(t *testing.T) {
	for s, want := range map[MemberState]string{Up: "up", Down: "down", Draining: "draining", Leaving: "leaving", 9: "state(9)"} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := NodeID(0xab).String(); got != "00000000000000ab" {
		t.Error(got)
	}
	if got := (ClusterID{1, 15: 2}).String(); got != "01000000000000000000000000000002" {
		t.Error(got)
	}
}

func TestPositionCompare(t *testing.T) {
	ascending := []Position{{}, {0, 0, 9}, {1, 0, 0}, {1, 1, 0}, {1, 1, 2}, {1, 2, 1}, {2, 0, 0}}
	for i, p := range ascending {
		for j, q := range ascending {
			want := max(-1, min(1, i-j))
			if got := p.Compare(q); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", p, q, got, want)
			}
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	v := quickView(5, 8, 3)
	v.Members[0].Kinds = []string{"a"}
	v.Slots[0].Learners = []NodeID{v.Members[0].ID}
	v.Slots[0].From = [][]NodeID{{1, 2}}
	c := v.Clone()
	if !reflect.DeepEqual(v, c) {
		t.Fatal("the copy differs")
	}
	c.Members[0].Kinds[0] = "b"
	c.Members[1].Addr = "elsewhere"
	c.Voters[0] = 9
	c.Slots[0].Replicas[0], c.Slots[0].Learners[0], c.Slots[0].From[0][0] = 9, 9, 9
	c.Slots[1].Epoch = 9
	if v.Members[0].Kinds[0] != "a" || v.Members[1].Addr == "elsewhere" || v.Voters[0] == 9 || v.Slots[1].Epoch == 9 ||
		v.Slots[0].Owner() == 9 || v.Slots[0].Learners[0] == 9 || v.Slots[0].From[0][0] == 9 {
		t.Error("the copy shares memory")
	}
}

// TestValidate breaks one rule at a time.
func TestValidate(t *testing.T) {
	valid := func() *View {
		v := quickView(5, 8, 3)
		v.Epoch = 7
		v.Members[0].Kinds = []string{"cart", "wallet"}
		v.Slots[0] = Row{Epoch: 3, Replicas: []NodeID{2, 1, 3}, Learners: []NodeID{4}, From: [][]NodeID{{1, 2, 5}}}
		return v
	}
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	row := func(f func(r *Row)) func(v *View) { return func(v *View) { f(&v.Slots[0]) } }
	long := string(make([]byte, 256))
	for name, spoil := range map[string]func(v *View){
		"cluster":           func(v *View) { v.Cluster = ClusterID{} },
		"epoch":             func(v *View) { v.Epoch = 0 },
		"replication":       func(v *View) { v.Replication = 0 },
		"replication high":  func(v *View) { v.Replication = 8 },
		"no members":        func(v *View) { v.Members = nil },
		"many members":      func(v *View) { v.Members = make([]Member, MaxMembers+1) },
		"no voters":         func(v *View) { v.Voters = nil },
		"many voters":       func(v *View) { v.Voters = make([]NodeID, MaxVoters+1) },
		"no slots":          func(v *View) { v.Slots = nil },
		"many slots":        func(v *View) { v.Slots = make([]Row, MaxSlots+1) },
		"order":             func(v *View) { slices.Reverse(v.Members) },
		"member twice":      func(v *View) { v.Members[1].ID = v.Members[0].ID },
		"member 0":          func(v *View) { v.Members[0].ID = 0 },
		"weight":            func(v *View) { v.Members[0].Weight = 0 },
		"weight high":       func(v *View) { v.Members[0].Weight = MaxWeight + 1 },
		"state":             func(v *View) { v.Members[0].State = 4 },
		"name":              func(v *View) { v.Members[0].Name = long },
		"addr":              func(v *View) { v.Members[0].Addr = long },
		"http":              func(v *View) { v.Members[0].HTTP = long },
		"zone":              func(v *View) { v.Members[0].Zone = long },
		"many kinds":        func(v *View) { v.Members[0].Kinds = make([]string, maxKinds+1) },
		"kind":              func(v *View) { v.Members[0].Kinds[1] = long },
		"kind empty":        func(v *View) { v.Members[0].Kinds[0] = "" },
		"kinds order":       func(v *View) { slices.Reverse(v.Members[0].Kinds) },
		"voter":             func(v *View) { v.Voters[0] = 99 },
		"voter twice":       func(v *View) { v.Voters[1] = v.Voters[0] },
		"coordinator":       func(v *View) { v.Coordinator = 99 },
		"slot epoch":        row(func(r *Row) { r.Epoch = 0 }),
		"slot epoch high":   row(func(r *Row) { r.Epoch = 8 }),
		"no replicas":       row(func(r *Row) { r.Replicas = nil }),
		"many replicas":     row(func(r *Row) { r.Replicas = []NodeID{1, 2, 3, 5} }),
		"replica":           row(func(r *Row) { r.Replicas[2] = 99 }),
		"replica twice":     row(func(r *Row) { r.Replicas[2] = r.Replicas[0] }),
		"learner":           row(func(r *Row) { r.Learners[0] = 99 }),
		"many learners":     row(func(r *Row) { r.Learners = make([]NodeID, MaxReplication+1) }),
		"learner replica":   row(func(r *Row) { r.Learners[0] = 1 }),
		"from empty":        row(func(r *Row) { r.From[0] = nil }),
		"from long":         row(func(r *Row) { r.From[0] = make([]NodeID, MaxReplication+1) }),
		"from member":       row(func(r *Row) { r.From[0][0] = 99 }),
		"from twice":        row(func(r *Row) { r.From = append(r.From, []NodeID{5, 2, 1}) }),
		"from now":          row(func(r *Row) { r.From[0] = []NodeID{1, 2, 3} }),
		"from repeats":      row(func(r *Row) { r.From[0] = []NodeID{1, 1, 2} }),
		"many earlier sets": row(func(r *Row) { r.From = make([][]NodeID, maxFromSets+1) }),
	} {
		v := valid()
		spoil(v)
		if err := v.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRowReplaced(t *testing.T) {
	row := Row{Epoch: 1, Replicas: []NodeID{3, 1, 2}, Learners: []NodeID{4, 5}}
	owner := row.replaced([]NodeID{1, 2, 3}, 5)
	if want := (Row{Epoch: 5, Replicas: []NodeID{1, 2, 3}, Learners: []NodeID{4, 5}}); !owner.equal(&want) {
		t.Errorf("a new owner: %+v", owner)
	}
	set := owner.replaced([]NodeID{1, 2, 4}, 6)
	if want := (Row{Epoch: 6, Replicas: []NodeID{1, 2, 4}, Learners: []NodeID{5}, From: [][]NodeID{{1, 2, 3}}}); !set.equal(&want) {
		t.Errorf("a new set: %+v", set)
	}
	again := set.replaced([]NodeID{4, 5, 1}, 7)
	if want := (Row{Epoch: 7, Replicas: []NodeID{4, 5, 1}, From: [][]NodeID{{1, 2, 3}, {1, 2, 4}}}); !again.equal(&want) {
		t.Errorf("a second set: %+v", again)
	}
	back := again.replaced([]NodeID{2, 1, 3}, 8)
	if want := (Row{Epoch: 8, Replicas: []NodeID{2, 1, 3}, From: [][]NodeID{{1, 2, 4}, {1, 4, 5}}}); !back.equal(&want) {
		t.Errorf("back to the first: %+v", back)
	}
	for id, want := range map[NodeID]bool{1: true, 4: true, 5: true, 6: false} {
		if back.Names(id) != want {
			t.Errorf("Names(%d) is not %v", id, want)
		}
	}
}
