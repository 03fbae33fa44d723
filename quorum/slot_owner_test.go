package quorum

import (
	"slices"
	"testing"
	"time"
)

// sealer returns the slot of node 1, which owns it at 2.1 with 2 and 3, has
// nothing, and fetches 1.1:1-4 from 2.
func sealer(t *testing.T) (*Env, *Slot, []Entry) {
	env := &Env{Self: 1, Boot: 1, Leases: NewLeases(0, 0, MaxDrift), Enabled: true}
	s := NewSlot(0, env, SlotState{})
	s.SetRow(1, 2, Row{Epoch: 2, Replicas: []NodeID{1, 2, 3}})
	entries := chain(Position{}, 0, ballots(1, 4)...)
	s.Step(1, 1, &Message{Kind: MsgPromise, Ballot: Ballot{2, 1}})
	s.Step(1, 2, &Message{Kind: MsgPromise, Ballot: Ballot{2, 1}, At: entries[3].Position()})
	settle(env, s)
	if s.lead.phase != phaseFetching {
		t.Fatalf("it is %v", s.lead.phase)
	}
	return env, s, entries
}

// opened goes on from sealer: 1.1:1-4 is here and durable, and so is the barrier
// 2.1:5.
func opened(t *testing.T) (*Env, *Slot) {
	env, s, entries := sealer(t)
	s.Step(1, 2, &Message{Kind: MsgFetched, Ballot: Ballot{2, 1}, Entries: entries})
	settle(env, s)
	if s.lead.phase != phaseOpening {
		t.Fatalf("it is %v", s.lead.phase)
	}
	return env, s
}

func ackFrom(s *Slot, now Instant, id NodeID, lsn LSN, round uint64) {
	s.Step(now, id, &Message{Kind: MsgAck, Ballot: s.Ballot(), At: Position{LSN: lsn}, Commit: lsn, Round: round})
}

// TestSlotFetchedNonsense answers a fetch with what was not asked for. Nothing of
// it is taken.
func TestSlotFetchedNonsense(t *testing.T) {
	_, _, entries := sealer(t)
	high := chain(Position{}, 0, Ballot{1, 1}, Ballot{3, 1})
	for _, test := range []struct {
		name string
		from NodeID
		msg  Message
	}{
		{"from another", 3, Message{Entries: entries}},
		{"from elsewhere in the log", 2, Message{At: entries[1].Position(), Entries: entries[2:]}},
		{"with a gap", 2, Message{Entries: entries[1:]}},
		{"with a gap inside", 2, Message{Entries: []Entry{entries[0], entries[2]}}},
		{"with a higher ballot", 2, Message{Entries: high}},
		{"with nothing", 2, Message{}},
		{"with a lower place, and entries", 2, Message{At: Position{Ballot{0, 1}, 1}, Entries: entries}},
		{"of another ballot", 2, Message{Ballot: Ballot{2, 2}, Entries: entries}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env, s, _ := sealer(t)
			if test.msg.Kind = MsgFetched; test.msg.Ballot.IsZero() {
				test.msg.Ballot = Ballot{2, 1}
			}
			s.Step(1, test.from, &test.msg)
			if len(env.Writes) > 0 || s.lead.phase != phaseFetching {
				t.Errorf("%d writes, %v", len(env.Writes), s.lead.phase)
			}
			if sends, _ := settle(env, s); len(sends) > 0 {
				t.Errorf("sent %+v: it asks again at its time", sends)
			}
		})
	}
}

// TestSlotFetchedEntriesAreNotWritten: the barrier joins the write of what was
// fetched, and not the message's memory.
func TestSlotFetchedEntriesAreNotWritten(t *testing.T) {
	env, s, entries := sealer(t)
	room := append(make([]Entry, 0, len(entries)+1), entries...)
	s.Step(1, 2, &Message{Kind: MsgFetched, Ballot: Ballot{2, 1}, Entries: room})
	if w := env.Writes; len(w) != 1 || len(w[0].Entries) != 5 {
		t.Fatalf("writes %+v", w)
	}
	if e := room[:5][4]; e.LSN != 0 {
		t.Errorf("%v was written behind the message's entries", e.Position())
	}
}

// TestSlotActiveWhenDurableHere: an activation is loaded from the store, so the
// barrier must be in it.
func TestSlotActiveWhenDurableHere(t *testing.T) {
	env, s, entries := sealer(t)
	s.Step(1, 2, &Message{Kind: MsgFetched, Ballot: Ballot{2, 1}, Entries: entries})
	env.Flush(1, 1)
	ackFrom(s, 1, 2, 5, 0)
	ackFrom(s, 1, 3, 5, 0)
	if s.Commit() != 5 || s.Active() {
		t.Fatalf("commit %d, active %t", s.Commit(), s.Active())
	}
	if s.Persisted(1, 1); !s.Active() {
		t.Fatal("not active")
	}
	if s.Staged(1, 2, Ballot{2, 1}, SlotState{Base: Position{Ballot{2, 1}, 9}}, nil) {
		t.Error("an active owner put a snapshot in place of its log")
	}
}

// TestSlotMismatchNonsense: a mismatch that came late, or that makes no sense,
// moves nothing.
func TestSlotMismatchNonsense(t *testing.T) {
	env, s := opened(t)
	ackFrom(s, 1, 2, 5, 0)
	for range 3 {
		s.Append("", nil)
	}
	settle(env, s)
	ackFrom(s, 1, 2, 7, 0)
	p := s.lead.peers[0]
	for _, at := range []Position{{Ballot{1, 1}, 2}, {Ballot{2, 1}, 20}, {Ballot{9, 1}, 1<<64 - 1}} {
		s.Step(1, 2, &Message{Kind: MsgMismatch, Ballot: Ballot{2, 1}, At: at})
		if p.match != 7 || p.next != 9 || p.state != stateStream {
			t.Errorf("after a mismatch at %v: match %d, next %d, %v", at, p.match, p.next, p.state)
		}
	}
	s.Step(1, 9, &Message{Kind: MsgMismatch, Ballot: Ballot{2, 1}, At: Position{Ballot{1, 1}, 2}}) // a stranger
	s.Step(1, 9, &Message{Kind: MsgAck, Ballot: Ballot{2, 1}, At: Position{LSN: 8}, Round: 7})
	if s.Commit() != 7 {
		t.Errorf("commit %d", s.Commit())
	}
}

// TestSlotBehind: only a refusal for the sake of a higher ballot says that there
// is a newer view.
func TestSlotBehind(t *testing.T) {
	env, s := opened(t)
	for _, test := range []struct {
		promised Ballot
		want     int
	}{{Ballot{1, 9}, 0}, {Ballot{2, 1}, 0}, {Ballot{3, 0}, 1}} {
		s.Step(1, 3, &Message{Kind: MsgRefuse, Ballot: Ballot{2, 1}, Promised: Promise{test.promised, 3}})
		if _, events := settle(env, s); len(events) != test.want {
			t.Errorf("refused for %v: %+v", test.promised, events)
		}
	}
}

// TestSlotFloor: an owner keeps what any replica or learner may lack.
func TestSlotFloor(t *testing.T) {
	_, s, _ := sealer(t)
	if got := s.Floor(); got != 0 {
		t.Errorf("floor %d before anything is known of the others", got)
	}
	_, s = opened(t)
	ackFrom(s, 1, 2, 5, 0)
	if got := s.Floor(); got != 0 {
		t.Errorf("floor %d, and one replica has nothing", got)
	}
	ackFrom(s, 1, 3, 4, 0)
	if got := s.Floor(); got != 4 {
		t.Errorf("floor %d, and one replica has 4", got)
	}
	_, s = replica(t)
	s.SetRow(1, 3, Row{Epoch: 3, Replicas: []NodeID{2, 1, 3}})
	if got := s.Floor(); got != 0 {
		t.Errorf("floor %d while it seals, with a log of its own", got)
	}
	_, s = replica(t)
	if got := s.Floor(); got != s.Applied() || got != 4 {
		t.Errorf("floor %d of a node that does not own the slot", got)
	}
}

// TestSlotReadDone: entries come from the store when they no longer fit.
func TestSlotReadDone(t *testing.T) {
	env, s := opened(t)
	ackFrom(s, 1, 2, 5, 0)
	settle(env, s)
	entries := slices.Clone(s.log.tail)
	s.Evict(0)
	s.Step(1, 3, &Message{Kind: MsgMismatch, Ballot: Ballot{2, 1}})
	_, events := settle(env, s)
	if len(events) != 1 || events[0].Kind != SlotRead || len(events[0].Tail) != 5 {
		t.Fatalf("%+v", events)
	}
	// More than the log holds is not from this log.
	s.ReadDone(1, 3, Ballot{2, 1}, append(slices.Clone(entries), chain(entries[4].Position(), entries[4].Hash, Ballot{2, 1})...))
	if len(env.Sends) > 0 {
		t.Errorf("sent %+v", env.Sends)
	}
	ackFrom(s, 1, 3, 2, 0) // it had more than it said at first
	for _, read := range [][]Entry{entries, nil, {{LSN: 99}}} {
		s.ReadDone(1, 3, Ballot{2, 1}, read)
		for _, e := range env.Sends {
			if len(e.Entries) > 0 {
				t.Errorf("sent %s, which node 3 has", renderEntries(e.Entries))
			}
		}
		env.Sends = nil
	}
	if p := s.lead.peers[1]; p.next != 3 {
		t.Errorf("next %d", p.next)
	}
}

// TestSlotStrangerWithOwnBallot: nobody else appends at this node's ballot.
func TestSlotStrangerWithOwnBallot(t *testing.T) {
	env, s := opened(t)
	last := s.Log().Last()
	entries := chain(last, s.log.hash(last.LSN), Ballot{2, 1})
	s.Step(1, 3, &Message{Kind: MsgAppend, Ballot: Ballot{2, 1}, At: last, Entries: entries})
	if sends, _ := settle(env, s); len(sends) > 0 || s.Log().Last() != last {
		t.Errorf("sent %+v, log up to %v", sends, s.Log().Last())
	}
}

// TestSlotRounds: a round is confirmed by those who heard it, and by nothing
// else; it is repeated if it got lost.
func TestSlotRounds(t *testing.T) {
	env, s, _ := sealer(t)
	if s.Ask(); s.Confirmed() != 0 {
		t.Error("confirmed by an owner that nobody follows yet")
	}
	env, s = opened(t)
	ackFrom(s, 1, 2, 5, 99)
	for _, id := range []NodeID{2, 3} {
		ackFrom(s, 1, id, 5, 0) // and there is nothing else to send
	}
	round := s.Ask()
	if s.Confirmed() != 0 {
		t.Errorf("round %d confirmed before it was asked", round)
	}
	if again := s.Ask(); again != round {
		t.Errorf("round %d before round %d was sent", again, round)
	}
	heard := func(now Instant) (n int) {
		s.Tick(now)
		env.Flush(now, 2)
		for i := range env.Sends {
			if env.Sends[i].Kind == MsgAppend && env.Sends[i].Round == round {
				n++
			}
		}
		env.Sends = nil
		return n
	}
	if n := heard(1); n != 2 {
		t.Errorf("%d replicas asked, of 2", n)
	}
	if n := heard(2); n != 0 {
		t.Errorf("%d replicas asked again at once", n)
	}
	later := Instant(2).Add(resendAfter)
	if n := heard(later); n != 2 {
		t.Errorf("%d replicas asked again, of 2", n)
	}
	ackFrom(s, later, 3, 5, round-1)
	if s.Confirmed() != 0 {
		t.Error("confirmed by an earlier round")
	}
	ackFrom(s, later, 3, 5, round)
	if s.Confirmed() != round {
		t.Errorf("confirmed %d of %d", s.Confirmed(), round)
	}
	if again := s.Ask(); again == round {
		t.Error("a new reader joins a round that was sent before")
	}
	heard(later)
	ackFrom(s, later, 2, 5, round+1)
	row := s.Row()
	row.Epoch = 3
	if s.SetRow(later, 3, row); s.Ask() <= s.Confirmed() {
		t.Errorf("round %d is confirmed already", s.Ask())
	}
}

// TestSlotRoundBelowTheBase: whoever waits for a snapshot hears a round all the
// same, and so does one whose log begins above what the owner knows of it.
func TestSlotRoundBelowTheBase(t *testing.T) {
	env, s := replica(t)
	s.Forget(4, func(ActorKey, LSN, int) {})
	s.Step(1, 1, &Message{Kind: MsgAppend, Ballot: Ballot{2, 1}, Round: 3})
	sends, _ := settle(env, s)
	if len(sends) != 1 || sends[0].Kind != MsgAck || sends[0].Round != 3 {
		t.Errorf("sent %+v", sends)
	}
}

// TestSlotEvict: what is not durable cannot be read from the store, and stays; the
// rest stays as long as a replica lacks it and there is room.
func TestSlotEvict(t *testing.T) {
	env, s := opened(t)
	cached := func(want LSN, when string) {
		t.Helper()
		if s.log.cached != want {
			t.Errorf("%s: entries from %d on are here, want %d", when, s.log.cached, want)
		}
	}
	ackFrom(s, 1, 2, 5, 0)
	s.Append("", nil)
	env.Flush(1, 2)
	env.Writes = nil
	ackFrom(s, 1, 2, 6, 0)
	s.Evict(1 << 30)
	cached(1, "one replica has nothing")
	ackFrom(s, 1, 3, 6, 0)
	s.Evict(1 << 30)
	cached(6, "all have everything, and 6 is not durable here")
	s.Persisted(1, 2)
	s.Evict(1 << 30)
	cached(7, "all of it is durable")
	s.Append("", nil)
	settle(env, s)
	s.Evict(0)
	cached(8, "there is no room")
}

// TestSlotLearnerCaughtUp: a learner has caught up when it has what is committed.
func TestSlotLearnerCaughtUp(t *testing.T) {
	env, s := opened(t)
	row := s.Row()
	row.Learners = []NodeID{4}
	s.SetRow(1, 3, row)
	caughtUp := func(now Instant, lsn LSN) (n int) {
		ackFrom(s, now, 4, lsn, 0)
		_, events := settle(env, s)
		for _, e := range events {
			if e.Kind == SlotCaughtUp && e.Node == 4 {
				n++
			}
		}
		return n
	}
	if n := caughtUp(0, 5); n != 0 {
		t.Errorf("%d reports by an owner that is not active", n)
	}
	ackFrom(s, 1, 2, 5, 0)
	s.lead.peers[2].match = 0
	for _, step := range []struct {
		now  time.Duration
		lsn  LSN
		want int
	}{{0, 0, 0}, {1, 4, 0}, {2, 5, 1}, {3, 5, 0}, {2 + repeatCaughtUp, 5, 1}} {
		if got := caughtUp(Instant(step.now), step.lsn); got != step.want {
			t.Errorf("at %d with %d: %d reports, want %d", step.now, step.lsn, got, step.want)
		}
	}
}

// TestLeaseSealsOfAppends: a promise made by an append, and one that was made
// before a restart, keep owners that know less from getting leases too.
func TestLeaseSealsOfAppends(t *testing.T) {
	env := &Env{Self: 2, Boot: 1, Leases: NewLeases(0, leaseTerm, MaxDrift), Enabled: true}
	s := NewSlot(0, env, SlotState{})
	now := Instant(2 * leaseTerm)
	if !env.Leases.Hear(now, 1, 1, 5) {
		t.Fatal("not granted")
	}
	s.Step(now, 3, &Message{Kind: MsgAppend, Ballot: Ballot{9, 1}})
	if s.Promise() != (Promise{Ballot{9, 1}, 3}) {
		t.Fatalf("promised %v: an append of a sealed ballot waits for no lease", s.Promise())
	}
	if env.Leases.Hear(now, 1, 1, 8) || !env.Leases.Hear(now, 3, 1, 9) {
		t.Error("granted to one that does not know the promised epoch, or not to one that does")
	}
	leases := NewLeases(0, leaseTerm, MaxDrift)
	NewSlot(0, &Env{Leases: leases}, SlotState{Promise: Promise{Ballot{9, 1}, 3}})
	if leases.Hear(now, 1, 1, 8) || !leases.Hear(now, 3, 1, 9) {
		t.Error("after a restart: granted to one that does not know the promised epoch, or not to one that does")
	}
}
