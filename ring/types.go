package ring

import (
	"encoding/hex"
	"fmt"
)

// NodeID names a member: the random, non-zero identifier of its data
// directory. A wiped disk is a new NodeID.
type NodeID uint64

// String returns the identifier as 16 hexadecimal digits.
func (id NodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Epoch numbers views. There is at most one view for an epoch, ever; 0 is none.
type Epoch uint64

// SlotID numbers the equal arcs of the hash ring, from 0 on.
type SlotID uint16

// Incarnation counts an operator's recoveries from the loss of a majority. It
// is compared before the epoch.
type Incarnation uint32

// ClusterID names a cluster: a hash of the set that founded it.
type ClusterID [16]byte

// String returns the identifier as 32 hexadecimal digits.
func (c ClusterID) String() string { return hex.EncodeToString(c[:]) }

// MemberState says what a member may hold.
type MemberState uint8

// The states of a member.
const (
	Up       MemberState = iota // owns slots, holds replicas, may vote
	Down                        // confirmed dead by the coordinator: owns nothing, keeps replicas and vote for a while
	Draining                    // gives up ownership, keeps replicas and vote; a restart brings it back Up
	Leaving                     // gives up ownership, replicas and vote, for good
)

var stateNames = [...]string{"up", "down", "draining", "leaving"}

// String returns the state in lower case, as it is shown to users.
func (s MemberState) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Position is how far a replica's log of a slot reaches: the ballot (slot epoch
// and boot) and the LSN of its last entry. The zero Position is an empty log,
// or one of which nothing is known.
type Position struct {
	Epoch Epoch
	Boot  uint64
	LSN   uint64
}

// Compare orders positions by ballot, then by LSN: -1, 0 or +1. The higher log
// is the one that a new owner must take.
func (p Position) Compare(q Position) int {
	switch {
	case p == q:
		return 0
	case p.Epoch != q.Epoch:
		if p.Epoch < q.Epoch {
			return -1
		}
		return 1
	case p.Boot != q.Boot:
		if p.Boot < q.Boot {
			return -1
		}
		return 1
	case p.LSN < q.LSN:
		return -1
	}
	return 1
}

// Limits of a view. Decode and Validate refuse what is beyond them.
const (
	MaxMembers     = 1024
	MaxVoters      = 7
	MaxSlots       = 4096
	MaxReplication = 7
	MaxWeight      = 1 << 16

	maxFromSets    = 8
	maxStringBytes = 255
	maxKinds       = 1024
)
