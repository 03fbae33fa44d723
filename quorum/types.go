package quorum

import (
	"fmt"
	"time"

	"actormesh/quorum/mutant"
)

// NodeID names a member of the mesh for the protocol: the random, non-zero
// identifier of its data directory. A wiped disk is a new NodeID.
type NodeID uint64

// String returns the identifier as 16 hexadecimal digits.
func (id NodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Epoch numbers views. There is at most one view for an epoch, ever; 0 is none.
type Epoch uint64

// Boot counts the starts of one data directory; 0 is none.
type Boot uint64

// Nonce is drawn at random for each start. Two processes that run on copies of
// one data directory have the same Boot, and differ in their Nonce.
type Nonce uint64

// LSN is the place of an entry in its slot's log, from 1 on without gaps; 0 is
// the place before the first entry.
type LSN uint64

// SlotID numbers the equal arcs of the hash ring, from 0 on.
type SlotID uint16

// Instant is a reading of this node's one monotonic clock, in nanoseconds. It
// is compared only with readings of the same clock.
type Instant int64

// Add returns the instant d later.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// IsZero reports whether t is no instant.
func (t Instant) IsZero() bool { return t == 0 }

// Ballot fences every promise, append and answer of a slot: the slot epoch,
// and the boot of the owner that this epoch's view names. One owner process
// has it, and nobody else ever: a slot epoch has one owner, and an owner never
// uses a boot twice. The zero Ballot is below all others.
type Ballot struct {
	Epoch Epoch
	Boot  Boot
}

// Compare orders ballots by epoch, then by boot: -1, 0 or +1.
func (b Ballot) Compare(c Ballot) int {
	switch {
	case b.Epoch < c.Epoch || b.Epoch == c.Epoch && b.Boot < c.Boot:
		return -1
	case b == c:
		return 0
	}
	return 1
}

// Less reports whether b is lower than c.
func (b Ballot) Less(c Ballot) bool { return b.Compare(c) < 0 }

// IsZero reports whether b is no ballot at all.
func (b Ballot) IsZero() bool { return b == Ballot{} }

// String returns "epoch.boot".
func (b Ballot) String() string { return fmt.Sprintf("%d.%d", b.Epoch, b.Boot) }

// Position is a place in a slot's log with the ballot of the entry there. Two
// logs that agree on a position agree on everything before it.
type Position struct {
	Ballot Ballot
	LSN    LSN
}

// Compare orders positions by ballot, then by LSN: the higher one belongs to
// the log that a new owner must take.
func (p Position) Compare(q Position) int {
	if c := p.Ballot.Compare(q.Ballot); c != 0 {
		return c
	}
	switch {
	case p.LSN < q.LSN:
		return -1
	case p.LSN > q.LSN:
		return 1
	}
	return 0
}

// String returns "epoch.boot.lsn", the form in which fences are shown.
func (p Position) String() string { return fmt.Sprintf("%s.%d", p.Ballot, p.LSN) }

// Start is one start of a node: which disk, its how-manieth start, and the
// random number drawn for it.
type Start struct {
	Node  NodeID
	Boot  Boot
	Nonce Nonce
}

// Promise is what a replica has promised for a slot: to refuse every ballot
// lower than Ballot. Owner is the node whose ballot it is.
type Promise struct {
	Ballot Ballot
	Owner  NodeID
}

// Majority returns how many of n make a majority of n.
func Majority(n int) int {
	if mutant.On(mutant.HalfMajority) {
		return (n + 1) / 2
	}
	return n/2 + 1
}
