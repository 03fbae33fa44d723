// Package ring holds a cluster's configuration and the mathematics around it:
// views and their slot tables, the placement of slots on members, and the plan
// that turns one into the other by small steps.
//
//	             members, weights, zones
//	                      │
//	view (what is) ──► Place (what should be)
//	      │               │
//	      └──► Plan ◄─────┘ ◄── facts: who is dead, which learner caught up, ...
//	            │
//	            └──► the next view, for the register to decide on
//
// Everything here is a pure function. A view, once made, is never modified:
// nodes share it between goroutines.
package ring

import (
	"slices"

	"actormesh/quorum/mutant"
)

// Member is one node of the cluster as the view knows it.
type Member struct {
	ID     NodeID
	Name   string // chosen by the operator
	Addr   string // host:port of QUIC and gossip
	HTTP   string // host:port of the HTTP API
	Zone   string // failure domain; members without one share the zone ""
	Weight uint32 // 1 to MaxWeight: its share of slots, relative to the others
	Kinds  []string
	State  MemberState
}

func (m *Member) equal(o *Member) bool {
	return m.ID == o.ID && m.Name == o.Name && m.Addr == o.Addr && m.HTTP == o.HTTP && m.Zone == o.Zone &&
		m.Weight == o.Weight && m.State == o.State && slices.Equal(m.Kinds, o.Kinds)
}

// normal returns the member with its kinds sorted, without repeats, and with
// the weight 1 if it names none.
func (m Member) normal() Member {
	m.Kinds = slices.Compact(slices.Sorted(slices.Values(m.Kinds)))
	m.Weight = max(m.Weight, 1)
	return m
}

// Row is the place of one slot.
type Row struct {
	// Epoch is the slot epoch: that of the view that last changed the slot's
	// owner or set. Dropping From or adding a learner does not change it.
	Epoch    Epoch
	Replicas []NodeID   // the owner first
	Learners []NodeID   // copy the log, and do not count
	From     [][]NodeID // earlier sets that a new owner must seal as well
}

// Owner returns the node that appends to the slot's log.
func (r *Row) Owner() NodeID { return r.Replicas[0] }

// Has reports whether id is one of the slot's replicas.
func (r *Row) Has(id NodeID) bool { return slices.Contains(r.Replicas, id) }

// Names reports whether the row needs id in any way: as a replica, as a
// learner, or in one of the sets in From.
func (r *Row) Names(id NodeID) bool {
	return r.Has(id) || slices.Contains(r.Learners, id) ||
		slices.ContainsFunc(r.From, func(set []NodeID) bool { return slices.Contains(set, id) })
}

func (r *Row) equal(o *Row) bool {
	return r.Epoch == o.Epoch && slices.Equal(r.Replicas, o.Replicas) && slices.Equal(r.Learners, o.Learners) &&
		slices.EqualFunc(r.From, o.From, slices.Equal[[]NodeID])
}

// replaced returns the row after the view of epoch e made replicas of the slot.
// Only a change of the set, not one of the order, needs the old set sealed.
func (r *Row) replaced(replicas []NodeID, e Epoch) Row {
	next := Row{Epoch: e, Replicas: replicas}
	for _, set := range append(slices.Clone(r.From), r.Replicas) {
		listed := func(other []NodeID) bool { return sameSet(other, set) }
		if !sameSet(set, replicas) && !slices.ContainsFunc(next.From, listed) {
			next.From = append(next.From, slices.Sorted(slices.Values(set)))
		}
	}
	if n := len(next.From); n > 1 && mutant.On(mutant.FromLastOnly) {
		next.From = next.From[n-1:]
	}
	for _, id := range r.Learners {
		if !slices.Contains(replicas, id) {
			next.Learners = append(next.Learners, id)
		}
	}
	return next
}

// sameSet compares two sets without repeats.
func sameSet(a, b []NodeID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id NodeID) bool { return !slices.Contains(b, id) })
}

// View is the committed configuration of a cluster at one epoch.
type View struct {
	Cluster     ClusterID
	Incarnation Incarnation
	Epoch       Epoch
	Replication int      // replicas a slot should have; fewer while there are fewer members
	Members     []Member // ascending by ID
	Voters      []NodeID // of the next view, in the order in which they take over coordination
	Coordinator NodeID   // a voter
	Slots       []Row    // by SlotID
}

// Member returns the member named id.
func (v *View) Member(id NodeID) (Member, bool) {
	if i, ok := v.index(id); ok {
		return v.Members[i], true
	}
	return Member{}, false
}

func (v *View) index(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(v.Members, id, func(m Member, id NodeID) int {
		switch {
		case m.ID < id:
			return -1
		case m.ID > id:
			return 1
		}
		return 0
	})
}

// IsVoter reports whether id votes on the next view.
func (v *View) IsVoter(id NodeID) bool { return slices.Contains(v.Voters, id) }

// Clone returns a copy that shares nothing with v.
func (v *View) Clone() *View {
	c := *v
	c.Members = slices.Clone(v.Members)
	for i := range c.Members {
		c.Members[i].Kinds = slices.Clone(c.Members[i].Kinds)
	}
	c.Voters = slices.Clone(v.Voters)
	c.Slots = slices.Clone(v.Slots)
	for i := range c.Slots {
		row := &c.Slots[i]
		row.Replicas, row.Learners, row.From = slices.Clone(row.Replicas), slices.Clone(row.Learners), slices.Clone(row.From)
		for j := range row.From {
			row.From[j] = slices.Clone(row.From[j])
		}
	}
	return &c
}

// equal compares everything.
func (v *View) equal(o *View) bool {
	return v.Cluster == o.Cluster && v.Incarnation == o.Incarnation && v.Epoch == o.Epoch &&
		v.Replication == o.Replication && v.Coordinator == o.Coordinator && slices.Equal(v.Voters, o.Voters) &&
		slices.EqualFunc(v.Members, o.Members, func(a, b Member) bool { return a.equal(&b) }) &&
		slices.EqualFunc(v.Slots, o.Slots, func(a, b Row) bool { return a.equal(&b) })
}
