package quorum

import (
	"cmp"
	"maps"
	"slices"
)

// This file writes down the whole state of the state machines: two that write
// the same do the same from then on, given the same events. chaos/explore tells
// states apart by it.
//
// An instant counts only by how far it is from the time of the next event, and
// no timer is longer than horizon: what is further in the past is as far away.

const horizon = snapshotPatience

// appendInstant appends how far t is from at.
func appendInstant(b []byte, t, at Instant) []byte {
	if t > at {
		return appendUint(append(b, 1), uint64(t-at))
	}
	return appendUint(append(b, 0), uint64(min(at.Sub(max(t, 0)), horizon)))
}

// appendDeadline is appendInstant where what is past is past.
func appendDeadline(b []byte, t, at Instant) []byte {
	return appendUint(b, uint64(max(0, t-at)))
}

func appendPosition(b []byte, p Position) []byte {
	return appendUint(appendBallot(b, p.Ballot), uint64(p.LSN))
}

func appendBallot(b []byte, v Ballot) []byte {
	return appendUint(appendUint(b, uint64(v.Epoch)), uint64(v.Boot))
}

func appendPromise(b []byte, p Promise) []byte {
	return appendUint(appendBallot(b, p.Ballot), uint64(p.Owner))
}

// appendMap appends a map in the order of its keys.
func appendMap[K cmp.Ordered, V any](b []byte, m map[K]V, item func([]byte, K, V) []byte) []byte {
	b = appendUint(b, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = item(b, k, m[k])
	}
	return b
}

// AppendState appends the canonical encoding of the slot's whole state to b,
// without what its Env holds, which is drained. The slot's next event comes at
// the instant at.
func (s *Slot) AppendState(b []byte, at Instant) []byte {
	b = appendUint(b, uint64(s.id))
	b = appendUint(b, uint64(s.view))
	b = s.row.appendState(b)
	b = s.log.appendState(b)
	b = appendPromise(b, s.promise)
	b = appendUint(b, uint64(s.commit))
	b = appendUint(b, uint64(s.wall))
	b = appendMap(b, s.senders, func(b []byte, k ActorKey, lsn LSN) []byte {
		return appendUint(appendString(b, string(k)), uint64(lsn))
	})
	b = s.sync.appendState(b)
	b = appendBallot(b, s.wait.ballot)
	b = appendUint(b, uint64(s.wait.owner))
	b = appendInstant(b, s.wait.since, at)
	f := &s.follow
	b = appendUint(appendUint(appendUint(b, uint64(f.matched)), uint64(f.acked)), f.round)
	b = appendBool(appendBool(b, f.promised), f.ack)
	b = appendBool(b, s.lead != nil)
	if s.lead != nil {
		b = s.lead.appendState(b, at)
	}
	return b
}

func (r *Row) appendState(b []byte) []byte {
	b = appendUint(b, uint64(r.Epoch))
	b = appendNodes(appendNodes(b, r.Replicas), r.Learners)
	b = appendUint(b, uint64(len(r.From)))
	for _, set := range r.From {
		b = appendNodes(b, set)
	}
	return b
}

// appendState leaves out the data of entries: the rolling hash stands for it.
func (l *Log) appendState(b []byte) []byte {
	b = appendUint(appendPosition(b, l.base), l.baseHash)
	b = appendUint(appendUint(b, uint64(l.cached)), uint64(len(l.tail)))
	for i := range l.tail {
		e := &l.tail[i]
		b = appendUint(appendBallot(appendPosition(b, e.Position()), e.Prev), e.Hash)
		b = appendUint(appendString(b, string(e.Actor)), uint64(l.sizes[i]))
	}
	return b
}

// appendState counts the writes under way from the oldest: how many there were
// before makes no difference.
func (y *syncState) appendState(b []byte) []byte {
	b = appendPromise(appendUint(b, uint64(y.lsn)), y.promise)
	b = appendUint(appendBool(b, y.dirty), uint64(len(y.marks)))
	for _, m := range y.marks {
		b = appendUint(appendUint(b, m.seq-y.marks[0].seq), uint64(m.lsn))
		b = appendPromise(b, m.promise)
	}
	return b
}

func (l *lead) appendState(b []byte, at Instant) []byte {
	b = append(appendBallot(b, l.ballot), byte(l.phase))
	b = appendBool(appendBool(b, l.kept), l.queued)
	b = appendMap(b, l.answers, func(b []byte, id NodeID, p Position) []byte {
		return appendPosition(appendUint(b, uint64(id)), p)
	})
	b = appendMap(b, l.took, func(b []byte, id NodeID, took bool) []byte {
		return appendBool(appendUint(b, uint64(id)), took)
	})
	b = appendPosition(appendPosition(appendUint(b, uint64(l.best)), l.highest), l.asked)
	b = appendInstant(appendInstant(b, l.retryAt, at), l.heardAt, at)
	b = appendUint(b, uint64(l.barrier))
	b = appendUint(appendUint(appendUint(b, l.rounds.asked), l.rounds.sent), l.rounds.confirmed)
	b = appendUint(b, uint64(len(l.peers)))
	for _, p := range l.peers {
		b = appendBool(appendUint(b, uint64(p.id)), p.learner)
		b = appendUint(appendUint(b, uint64(p.match)), uint64(p.next))
		b = append(appendUint(b, uint64(p.bytes)), byte(p.state))
		b = appendUint(appendUint(b, uint64(p.commit)), p.round)
		b = appendInstant(appendInstant(b, p.movedAt, at), p.reported, at)
	}
	return b
}

// AppendState appends the canonical encoding of the leases' whole state to b.
// The next event comes at the instant at. What has ended by then is as if it had
// never been.
func (l *Leases) AppendState(b []byte, at Instant) []byte {
	b = appendUint(appendUint(b, uint64(l.term)), uint64(l.margin))
	b = appendDeadline(appendUint(b, uint64(l.seals)), l.quiet, at)
	for _, m := range []map[NodeID]Instant{l.granted, l.held} {
		for _, id := range slices.Sorted(maps.Keys(m)) {
			if m[id] > at {
				b = appendUint(appendUint(b, uint64(id)), uint64(m[id]-at))
			}
		}
		b = appendUint(b, 0) // no node's identifier
	}
	for _, id := range slices.Sorted(maps.Keys(l.earlier)) {
		for _, e := range l.earlier[id] {
			if e.until > at {
				b = appendUint(appendUint(appendUint(b, uint64(id)), uint64(e.until-at)), uint64(e.epoch))
				b = appendUint(b, uint64(e.boot))
			}
		}
	}
	b = appendUint(b, 0)
	return appendMap(b, l.heard, func(b []byte, id NodeID, h heardBeat) []byte {
		return appendUint(appendUint(appendUint(b, uint64(id)), uint64(h.boot)), uint64(h.epoch))
	})
}

// AppendState appends the canonical encoding of the register's whole state to b,
// without what the next Ready returns once, which is drained. The next event
// comes at the instant at. Left out are the counts of Stats and the source of
// random numbers, which does nothing but move timers.
func (r *Register) AppendState(b []byte, at Instant) []byte {
	b = r.self.appendTo(b)
	b = r.state.AppendTo(b)
	b = appendBool(appendBool(b, r.dirty), r.issued > r.durable)
	b = appendUint(b, r.viewSeq-min(r.viewSeq, r.durable))
	b = appendUint(b, uint64(len(r.held)))
	for i := range r.held {
		h := &r.held[i]
		b = appendUint(b, h.need-min(h.need, r.durable))
		b = h.Message.AppendTo(appendUint(b, uint64(h.To)))
	}
	b = appendBool(appendBool(b, r.refused != nil), r.armed)
	b = appendTimer(b, r.drive, at)
	b = r.proposal.appendState(b, at)
	g := &r.registration
	b = appendNodes(appendNodes(b, sorted(g.taken)), sorted(g.full))
	b = appendBool(appendBool(b, g.mayVote), g.done)
	b = appendTimer(b, g.resend, at)
	return appendTimer(appendNodes(b, sorted(r.telling.stored)), r.telling.resend, at)
}

func (p *proposal) appendState(b []byte, at Instant) []byte {
	b = appendBool(appendBool(b, p.active), p.asking)
	b = appendBool(b, p.own != nil)
	if p.own != nil {
		b = p.own.AppendTo(b)
	}
	b = p.number.appendTo(b)
	b = appendUint(b, uint64(len(p.promises)))
	for i := range p.promises {
		v := &p.promises[i]
		b = v.accepted.appendTo(v.start.appendTo(appendUint(b, uint64(v.from))))
		b = v.value.AppendTo(b)
	}
	b = p.value.AppendTo(b)
	b = appendNodes(appendStarts(b, p.covers), sorted(p.accepted))
	b = p.highest.appendTo(appendStarts(b, p.known))
	b = appendUint(b, uint64(min(p.attempts, backoffDoubles)))
	return appendTimer(appendTimer(b, p.resend, at), p.retry, at)
}

// appendTimer is appendDeadline for a timer that may be Never.
func appendTimer(b []byte, t, at Instant) []byte {
	if t == Never {
		return append(b, 1)
	}
	return appendDeadline(append(b, 0), t, at)
}

func sorted(ids []NodeID) []NodeID { return slices.Sorted(slices.Values(ids)) }
