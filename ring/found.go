package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Found returns the first view of a cluster: a pure function of the founding
// set, whatever its order. The cluster id is a hash of the members' identifiers
// and of the two numbers that are fixed at birth or shape the table; the first
// voter coordinates. The error wraps ErrInvalid.
func Found(members []Member, slots, replication int, voters []NodeID) (*View, error) {
	if slots < 1 || slots > MaxSlots || replication < 1 || replication > MaxReplication {
		return nil, invalid("%d slots of %d replicas", slots, replication)
	}
	if len(voters) == 0 || len(members) > MaxMembers {
		return nil, invalid("%d voters, %d members", len(voters), len(members))
	}
	v := &View{
		Epoch:       1,
		Replication: replication,
		Voters:      slices.Clone(voters),
		Coordinator: voters[0],
		Slots:       make([]Row, slots),
	}
	for _, m := range members {
		v.Members = append(v.Members, m.normal())
	}
	sortMembers(v.Members)
	v.Cluster = clusterOf(v.Members, slots, replication)
	for i, replicas := range Place(v.Members, slots, replication, nil) {
		v.Slots[i] = Row{Epoch: 1, Replicas: replicas}
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return v, nil
}

func clusterOf(members []Member, slots, replication int) (id ClusterID) {
	b := []byte("actormesh founding set 1")
	b = binary.BigEndian.AppendUint32(b, uint32(slots))
	b = binary.BigEndian.AppendUint32(b, uint32(replication))
	for i := range members {
		b = binary.BigEndian.AppendUint64(b, uint64(members[i].ID))
	}
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}
