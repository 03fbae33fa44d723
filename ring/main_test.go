package ring

import "fmt"

// quickMembers returns n members with small identifiers, all in one zone unless
// zones are given, which are then dealt out in turn.
func quickMembers(n int, zones ...string) (members []Member) {
	for i := range n {
		m := Member{ID: NodeID(i + 1), Name: fmt.Sprint("n", i+1), Addr: fmt.Sprintf("127.0.0.1:%d", 7001+i), Weight: 1}
		if len(zones) > 0 {
			m.Zone = zones[i%len(zones)]
		}
		members = append(members, m)
	}
	return members
}

// quickView founds a cluster of n members that all vote, up to 5.
func quickView(n, slots, r int, zones ...string) *View {
	members := quickMembers(n, zones...)
	var voters []NodeID
	for _, m := range members[:min(n, 5)] {
		voters = append(voters, m.ID)
	}
	v, err := Found(members, slots, r, voters)
	if err != nil {
		panic(err)
	}
	return v
}

// allActive says of every slot that its owner serves.
func allActive(v *View) map[SlotID]Epoch {
	active := map[SlotID]Epoch{}
	for s := range v.Slots {
		active[SlotID(s)] = v.Slots[s].Epoch
	}
	return active
}

func allQuiesced(v *View) map[SlotID]bool {
	quiesced := map[SlotID]bool{}
	for s := range v.Slots {
		quiesced[SlotID(s)] = true
	}
	return quiesced
}

func ids(list ...NodeID) map[NodeID]bool {
	m := map[NodeID]bool{}
	for _, id := range list {
		m[id] = true
	}
	return m
}
