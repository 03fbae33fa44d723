package ring

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestFound(t *testing.T) {
	members := quickMembers(4, "a", "b")
	members[1].Kinds = []string{"wallet", "cart", "cart"}
	members[2].Weight = 0
	v, err := Found(members, 64, 3, []NodeID{3, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if v.Epoch != 1 || v.Coordinator != 3 || !slices.Equal(v.Voters, []NodeID{3, 1, 2}) || v.Replication != 3 {
		t.Errorf("%+v", v)
	}
	if !slices.Equal(v.Members[1].Kinds, []string{"cart", "wallet"}) || v.Members[2].Weight != 1 {
		t.Errorf("members are not in their normal form: %+v", v.Members)
	}
	for s := range v.Slots {
		if r := &v.Slots[s]; r.Epoch != 1 || len(r.Replicas) != 3 || r.From != nil || r.Learners != nil {
			t.Fatalf("slot %d: %+v", s, r)
		}
	}
	slices.Reverse(members)
	again, err := Found(members, 64, 3, []NodeID{3, 1, 2})
	if err != nil || !bytes.Equal(v.Encode(), again.Encode()) {
		t.Errorf("the order of the set matters (%v)", err)
	}
	for name, other := range map[string]func() (*View, error){
		"members":     func() (*View, error) { return Found(members[1:], 64, 3, []NodeID{3}) },
		"slots":       func() (*View, error) { return Found(members, 65, 3, []NodeID{3}) },
		"replication": func() (*View, error) { return Found(members, 64, 2, []NodeID{3}) },
	} {
		if o, err := other(); err != nil || o.Cluster == v.Cluster {
			t.Errorf("the cluster id does not depend on %s (%v)", name, err)
		}
	}
}

func TestFoundRefuses(t *testing.T) {
	members := quickMembers(3)
	for name, f := range map[string]func() (*View, error){
		"no slots":      func() (*View, error) { return Found(members, 0, 3, []NodeID{1}) },
		"many slots":    func() (*View, error) { return Found(members, MaxSlots+1, 3, []NodeID{1}) },
		"replication 0": func() (*View, error) { return Found(members, 8, 0, []NodeID{1}) },
		"no voter":      func() (*View, error) { return Found(members, 8, 3, nil) },
		"strange voter": func() (*View, error) { return Found(members, 8, 3, []NodeID{9}) },
		"no members":    func() (*View, error) { return Found(nil, 8, 3, []NodeID{1}) },
		"twice":         func() (*View, error) { return Found(append(members, members[0]), 8, 3, []NodeID{1}) },
		"weight":        func() (*View, error) { return Found([]Member{{ID: 1, Weight: MaxWeight + 1}}, 8, 1, []NodeID{1}) },
	} {
		if v, err := f(); v != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}
