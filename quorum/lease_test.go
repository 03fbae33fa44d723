package quorum

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLeaseMargin holds the slowest owner's clock against the fastest replica's:
// the owner's count ends first, also where a nanosecond was rounded away.
func TestLeaseMargin(t *testing.T) {
	for _, term := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Minute, time.Hour} {
		owner := float64(term-LeaseMargin(term, MaxDrift)) / (1 - MaxDrift) // in true time
		replica := float64(term) / (1 + MaxDrift)
		if owner >= replica {
			t.Errorf("%v: the owner counts %v, the replica %v", term, time.Duration(owner), time.Duration(replica))
		}
		if m := LeaseMargin(term, MaxDrift); m <= 0 || m > term/5 {
			t.Errorf("%v: margin %v", term, m)
		}
	}
}

const leaseTerm = 500 * time.Millisecond

// leases returns the leases of a node that started at 0 and is quiet no more.
func leases() (*Leases, Instant) {
	return NewLeases(0, leaseTerm, MaxDrift), Instant(leaseTerm)
}

// TestLeaseQuiet: a node that starts has forgotten what it granted. For a term
// it grants nothing, and promises nobody but the promised owner.
func TestLeaseQuiet(t *testing.T) {
	l := NewLeases(1000, leaseTerm, MaxDrift)
	end := Instant(1000).Add(leaseTerm)
	if l.Hear(end-1, 2, 1, 1) {
		t.Error("granted while quiet")
	}
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 9, Boot: 4}); got != end {
		t.Errorf("promises another at %d, quiet until %d", got, end)
	}
	if got := l.Bound(1, 2, 2, Ballot{Epoch: 9, Boot: 4}); got != 0 {
		t.Errorf("promises the same owner at %d", got)
	}
	if got := l.Bound(1, 0, 3, Ballot{Epoch: 9, Boot: 4}); got != 0 {
		t.Errorf("promises at %d where nobody is promised", got)
	}
	if !l.Hear(end, 2, 1, 1) {
		t.Error("not granted after the quiet term")
	}
}

// TestLeaseGrantBounds: what was granted puts off another's seal, and no more
// than one term after the last heartbeat that was answered.
func TestLeaseGrantBounds(t *testing.T) {
	l, now := leases()
	l.Hear(now, 2, 1, 5)
	if got, want := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}), now.Add(leaseTerm); got != want {
		t.Errorf("bound %d, want %d", got, want)
	}
	if got := l.Bound(1, 4, 3, Ballot{Epoch: 6, Boot: 4}); got > now {
		t.Errorf("bound %d for an owner that was granted nothing", got)
	}
	if got := l.Bound(1, 1, 3, Ballot{Epoch: 6, Boot: 4}); got != 0 {
		t.Errorf("bound %d for what this node itself owned", got)
	}
	l.Sealed(6)
	if l.Hear(now+1, 2, 1, 5) {
		t.Error("granted to a node that does not know the seal's epoch")
	}
	if got, want := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}), now.Add(leaseTerm); got != want {
		t.Errorf("bound %d after a heartbeat that was refused, want %d", got, want)
	}
	l.Sealed(4)
	if l.Hear(now+1, 2, 1, 5) {
		t.Error("a lower seal made it forget the higher one")
	}
}

// TestLeaseRelease: an owner that says it knows an epoch as high as the seal's
// has stopped; one that has restarted since says nothing yet.
func TestLeaseRelease(t *testing.T) {
	l, now := leases()
	l.Hear(now, 2, 3, 5)
	l.Sealed(6)
	if !l.Hear(now+1, 2, 3, 6) {
		t.Error("not granted to a node that knows the seal's epoch")
	}
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got != 0 {
		t.Errorf("bound %d after the release", got)
	}
	l.Hear(now+2, 2, 3, 5) // late
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got != 0 {
		t.Errorf("bound %d: a late heartbeat took the release back", got)
	}
	if l.Hear(now+3, 2, 2, 9) {
		t.Error("granted to an earlier boot")
	}
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 9, Boot: 4}); got == 0 {
		t.Error("released by an earlier boot")
	}
	l.Hear(now+4, 2, 4, 5)
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got == 0 {
		t.Error("the release of an earlier boot counts for the later one")
	}
}

// TestLeaseOff: with a term of 0 nothing is granted, held or waited for.
// TestLeaseOfEarlierStart has a node start anew while a lease of its earlier start
// lasts: on a copy of its directory the earlier one may run on. Neither the new
// start nor anybody else is promised anything before that lease is over.
func TestLeaseOfEarlierStart(t *testing.T) {
	l, now := leases()
	l.Hear(now, 2, 3, 5)
	end := now.Add(leaseTerm)
	if got := l.Bound(1, 2, 2, Ballot{Epoch: 6, Boot: 3}); got != 0 {
		t.Errorf("the same start waits until %d for its own lease", got)
	}
	l.Started(now+5, 2, 4) // by its seal, before any heartbeat
	if got := l.Bound(1, 2, 2, Ballot{Epoch: 6, Boot: 4}); got != end {
		t.Errorf("the later start is promised at %d before it was heard, the earlier one's lease ends at %d", got, end)
	}
	if l.Hear(now+6, 2, 3, 6) {
		t.Error("the earlier start is granted another lease")
	}
	l.Hear(now+10, 2, 4, 6)
	if got := l.Bound(1, 2, 2, Ballot{Epoch: 6, Boot: 4}); got != end {
		t.Errorf("the later start is promised at %d, the earlier one's lease ends at %d", got, end)
	}
	l.Hear(now+20, 2, 4, 6)
	if got := l.Bound(1, 2, 2, Ballot{Epoch: 6, Boot: 4}); got != end {
		t.Errorf("the later start waits until %d for its own lease", got)
	}
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got != end {
		t.Errorf("another is promised at %d, released by the later start alone", got)
	}
	l.Hear(now+30, 2, 5, 6)
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got != end {
		t.Errorf("another is promised at %d, and waits for who knows that he is replaced", got)
	}
}

func TestLeaseOff(t *testing.T) {
	l := NewLeases(5, 0, MaxDrift)
	if l.Hear(10, 2, 1, 1) {
		t.Error("granted")
	}
	if got := l.Bound(1, 2, 3, Ballot{Epoch: 6, Boot: 4}); got != 0 {
		t.Errorf("bound %d", got)
	}
}

// TestLeaseHeld counts from when the heartbeat was sent, less the margin, and
// only upwards.
func TestLeaseHeld(t *testing.T) {
	l, now := leases()
	all := func(NodeID) bool { return true }
	if got := l.HeldUntil(1, []NodeID{1, 2, 3}, all); got != 0 {
		t.Errorf("held until %d with no lease", got)
	}
	l.Grant(2, now)
	want := now.Add(leaseTerm - LeaseMargin(leaseTerm, MaxDrift))
	if got := l.HeldUntil(1, []NodeID{1, 2, 3}, all); got != want {
		t.Errorf("held until %d, want %d", got, want)
	}
	l.Grant(2, now-100) // an earlier heartbeat's, late
	if got := l.HeldUntil(1, []NodeID{1, 2, 3}, all); got != want {
		t.Errorf("held until %d after a late answer, want %d", got, want)
	}
}

// TestLeaseHeldUntil against the definition: the latest instant at which a
// majority of the set is still held.
func TestLeaseHeldUntil(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for range 5000 {
		l, _ := leases()
		var set []NodeID
		took := map[NodeID]bool{}
		ends := []Instant{maxInstant}
		for id := range NodeID(1 + rng.IntN(5)) {
			set = append(set, id+1)
			took[id+1] = rng.IntN(4) > 0
			if until := Instant(rng.IntN(5)); until > 0 {
				l.held[id+1] = until
				ends = append(ends, until)
			}
		}
		var want Instant
		for _, end := range ends {
			n := 0
			for _, id := range set {
				if took[id] && (id == 1 || l.held[id] >= end) {
					n++
				}
			}
			if 2*n > len(set) {
				want = max(want, end)
			}
		}
		if got := l.HeldUntil(1, set, func(id NodeID) bool { return took[id] }); got != want {
			t.Fatalf("held until %d, want %d: set %v, took %v, held %v", got, want, set, took, l.held)
		}
	}
}

// TestLeaseUntilNeedsItsReplicas walks an owner through what its lease rests on.
func TestLeaseUntilNeedsItsReplicas(t *testing.T) {
	var m *slotMesh
	begin := func() (*slotNode, *Slot) {
		m = newSlotMesh(3, 1, leaseTerm, func(format string, args ...any) { t.Fatalf(format, args...) })
		m.change(0, func(r *Row, e Epoch) { r.place(e, []NodeID{1, 2, 3}) })
		for _, n := range m.nodes {
			n.adopt(1)
		}
		m.runFor(time.Second)
		a := m.node(1)
		return a, a.slots[0]
	}
	a, s := begin()
	until := s.LeaseUntil()
	if until <= a.now() {
		t.Fatal("no lease")
	}
	for _, id := range []NodeID{2, 3} {
		delete(s.lead.took, id)
	}
	if got := s.LeaseUntil(); got != 0 {
		t.Errorf("lease until %d by replicas that never took the ballot", got)
	}

	a, s = begin()
	delete(a.env.Leases.held, 3)
	s.promise.Ballot.Epoch++ // its own replica has gone over
	if got := s.LeaseUntil(); got != 0 {
		t.Errorf("lease until %d by one replica of three", got)
	}

	_, s = begin()
	s.lead.phase = phaseOpening
	if got := s.LeaseUntil(); got != 0 {
		t.Errorf("lease until %d before it is active", got)
	}

	_, s = begin()
	s.env.Leases.term = 0
	if got := s.LeaseUntil(); got != 0 {
		t.Errorf("lease until %d with leases off", got)
	}
}
