package quorum

import (
	"slices"
	"time"

	"actormesh/quorum/mutant"
)

// MaxDrift is how much faster or slower than true time a node's clock may run,
// as a part of 1, where nothing else is configured: 1 %. Leases are safe as long as every clock keeps it; writes are
// fenced by ballots whatever the clocks do.
const MaxDrift = 0.01

// LeaseMargin is how much shorter than term an owner counts a lease, so that
// the slowest owner's count ends before the fastest replica's: at least
// 2ρT/(1+ρ), ρ being the bound on the drift of each clock.
func LeaseMargin(term time.Duration, drift float64) time.Duration {
	if mutant.On(mutant.NoMargin) {
		return 0
	}
	return time.Duration(2*drift/(1+drift)*float64(term)) + time.Millisecond
}

// Leases are one shard's half of the leases between this node and its peers, in
// both directions. A lease is between two nodes and covers every slot of which
// one is the owner and the other a replica. See SlotLease.tla.
//
//	owner ── heartbeat(boot, epoch), sent at s ──► replica, heard at h
//	  counts on it till s+T-margin  ◄── granted ──   waits till h+T
//
// A limit: an owner counts its own replica without a lease, for it is the same
// process. Where the directory of an owner that runs was copied and the copy is
// started, that replica is there twice. If the copy promises, and the one other
// replica whose lease the owner has is not among those that do, the owner may
// read what is old for at most one lease after the next owner is active. Its
// writes are refused all the same. To forbid it a restarted node would have to
// wait for all replicas, dead ones too.
type Leases struct {
	term    time.Duration
	margin  time.Duration
	quiet   Instant            // after a start: grant nothing and promise nobody else before
	seals   Epoch              // highest slot epoch of a seal, waiting or granted
	granted map[NodeID]Instant // until when, to the start that was heard last
	earlier map[NodeID][]earlierLease
	heard   map[NodeID]heardBeat
	held    map[NodeID]Instant
}

// earlierLease is what a start of a node was granted before a later one was heard.
type earlierLease struct {
	until Instant
	boot  Boot
	epoch Epoch // that the start knew
}

type heardBeat struct {
	boot  Boot
	epoch Epoch
}

// NewLeases returns the leases of a node that starts now, with a clock that
// keeps the bound drift. Of what it granted
// before it knows nothing, so it is quiet for one term. A term of 0 turns leases
// off: nothing is granted, nothing is held, and no seal waits.
func NewLeases(now Instant, term time.Duration, drift float64) *Leases {
	quiet := now.Add(term)
	if mutant.On(mutant.RestartGrants) {
		quiet = now
	}
	return &Leases{
		term:    term,
		margin:  LeaseMargin(term, drift),
		quiet:   quiet,
		granted: map[NodeID]Instant{},
		earlier: map[NodeID][]earlierLease{},
		heard:   map[NodeID]heardBeat{},
		held:    map[NodeID]Instant{},
	}
}

// Hear takes a heartbeat and reports whether it is answered with a lease. It is
// not while this shard holds a seal, waiting or granted, of a higher slot epoch
// than the sender knows: the sender must see the newer view first.
func (l *Leases) Hear(now Instant, from NodeID, boot Boot, epoch Epoch) bool {
	if boot < l.heard[from].boot {
		return false
	}
	l.Started(now, from, boot)
	h := l.heard[from]
	h.epoch = max(h.epoch, epoch)
	l.heard[from] = h
	if l.term == 0 || now < l.quiet || epoch < l.seals && !mutant.On(mutant.SealedStillGrants) {
		return false
	}
	l.granted[from] = now.Add(l.term)
	return true
}

// Sealed notes a seal, when it comes and again when it is granted.
func (l *Leases) Sealed(epoch Epoch) { l.seals = max(l.seals, epoch) }

// Started notes a start of a node, by a heartbeat or by a seal of its own. Most often
// an earlier one is dead by then. It is not where the directory was copied, and may
// read on until it hears of this one.
func (l *Leases) Started(now Instant, node NodeID, boot Boot) {
	h := l.heard[node]
	if boot <= h.boot {
		return
	}
	over := func(e earlierLease) bool { return e.until <= now }
	l.earlier[node] = append(slices.DeleteFunc(l.earlier[node], over), earlierLease{l.granted[node], h.boot, h.epoch})
	l.heard[node] = heardBeat{boot: boot}
	delete(l.granted, node)
}

// Bound returns the first instant at which a replica at self may promise the
// ballot to next, in a slot whose promised owner is the node promised (0 if
// none). It must be asked when the promise is made, not when the seal came.
func (l *Leases) Bound(self, promised, next NodeID, ballot Ballot) Instant {
	unaware := func(e earlierLease) bool { return e.epoch < ballot.Epoch }
	switch {
	case l.term == 0 || promised == 0 || promised == self || mutant.On(mutant.LeaseAtOnce):
		return 0
	case promised == next:
		return l.ofEarlier(promised, func(e earlierLease) bool { return e.boot < ballot.Boot })
	case l.heard[promised].epoch >= ballot.Epoch:
		return l.ofEarlier(promised, unaware) // it knows that it is replaced: the release
	}
	return max(l.granted[promised], l.ofEarlier(promised, unaware), l.quiet)
}

// ofEarlier returns until when those leases of earlier starts of a node last that
// count.
func (l *Leases) ofEarlier(node NodeID, counts func(earlierLease) bool) Instant {
	var until Instant
	for _, e := range l.earlier[node] {
		if counts(e) {
			until = max(until, e.until)
		}
	}
	return until
}

// Grant notes that peer answered the heartbeat that this node sent at sent with
// a lease.
func (l *Leases) Grant(peer NodeID, sent Instant) {
	if until := sent.Add(l.term - l.margin); until > l.held[peer] {
		l.held[peer] = until
	}
}

// HeldUntil returns until when a majority of the set lets its owner self answer
// reads alone, or 0. counts says of which replicas the lease counts: those that
// have promised, or acknowledged an append at, the owner's ballot. The owner
// counts itself if counts says so.
func (l *Leases) HeldUntil(self NodeID, set []NodeID, counts func(NodeID) bool) Instant {
	var buf [8]Instant
	until := buf[:0]
	for _, r := range set {
		switch {
		case !counts(r):
		case r == self:
			until = append(until, maxInstant)
		case l.held[r] > 0:
			until = append(until, l.held[r])
		}
	}
	need := Majority(len(set))
	if len(until) < need {
		return 0
	}
	slices.Sort(until)
	return until[len(until)-need]
}

const maxInstant = Instant(1<<63 - 1)
