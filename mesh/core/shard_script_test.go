package core

import (
	"testing"
	"time"

	"actormesh/quorum"
)

func state(s string) TurnResult { return TurnResult{State: []byte(s), Reply: []byte("re " + s)} }

var failed = TurnResult{Err: &quorum.AppError{Code: "no"}}

func TestReplyWaitsForMajority(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	for _, n := range r.nodes {
		n.holdDisk = true
	}
	c := r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	r.sync(r.nodes[1])
	r.settle()
	r.open(c)
	r.sync(r.nodes[3])
	r.settle()
	o := r.ends(c, CodeOK)
	if string(o.Reply) != "re 1" || o.Fence.LSN != r.last() || o.LSN != r.last() || o.Replayed {
		t.Errorf("the answer is %+v", o)
	}
}

// When a replica acknowledges before the owner's own disk does, the commit is not
// known until the owner's write ends, and must be told then.
func TestCommitIsToldAfterSlowDisk(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2)
	n := r.nodes[1]
	r.pass(time.Second)
	n.holdDisk = true
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	r.pass(time.Second)
	r.sync(n)
	r.settle()
	n.holdDisk = false
	r.pass(300 * time.Millisecond)
	for _, id := range r.ids() {
		if got := r.nodes[id].s.slots[rigSlot].q.Commit(); got != r.last() {
			t.Errorf("node %v knows of the commit up to %d, not %d", id, got, r.last())
		}
	}
}

func TestNoLeaseBeforeRegistration(t *testing.T) {
	s := NewShard(0, ShardConfig{Self: 1, Boot: 1, Lease: time.Millisecond}, nil)
	now := quorum.Instant(time.Second)
	for seq, want := range []bool{false, true} {
		s.Beat(now, 2, 1, 1, uint64(seq))
		if y := s.Ready(now); len(y.Verdicts) != 1 || y.Verdicts[0] != (BeatVerdict{2, uint64(seq), want}) {
			t.Errorf("the verdicts are %+v, not %t", y.Verdicts, want)
		}
		s.Register(now)
	}
}

func TestKeptOwnerGoesOn(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	other := quorum.MakeActorKey("a", "y")
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	first := r.call("add", sessionID(2))
	running := r.turn()
	second := r.call("add", sessionID(3)) // in the mailbox

	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
	third := r.call("add", sessionID(4))                                        // in the queue
	elsewhere := r.call("add", sessionID(5), func(c *Call) { c.Actor = other }) // too
	r.done(running, state("2"))
	r.noTurn()
	r.open(first)

	r.nodes[2].deaf, r.nodes[3].deaf = false, false
	r.pass(200 * time.Millisecond)
	r.ends(first, CodeOK)
	n := r.nodes[1]
	if len(n.turns) != 2 || n.turns[0].Call != second || n.turns[1].Call != elsewhere {
		t.Fatalf("the turns that begin are %+v", n.turns)
	}
	next := n.turns[0]
	n.turns = nil
	if next.Load || next.Activation != running.Activation || next.Fence.Turn <= running.Fence.Turn {
		t.Errorf("after turn %+v comes %+v", running.Fence, next)
	}
	r.done(next, state("3"))
	if turn := r.turn(); turn.Call != third {
		t.Errorf("the queued call is overtaken by %+v", turn.Call)
	}
}

// The turns of a kept owner go on counting: a late result of an abandoned turn
// must not be that of a later one.
func TestAbandonedResultAfterReseal(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.call("add", sessionID(1), func(c *Call) { c.Deadline = r.now.Add(500 * time.Millisecond) })
	late := r.turn()
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
	r.pass(600 * time.Millisecond)
	if got := r.nodes[1].abandoned; len(got) != 1 || got[0].Turn != late.Fence.Turn {
		t.Fatalf("abandoned is %+v", got)
	}
	c := r.call("add", sessionID(2))
	next := r.turn()
	r.done(late, state("late"))
	r.open(c)
	r.done(next, state("next"))
	if o := r.ends(c, CodeOK); string(o.Reply) != "re next" {
		t.Errorf("the answer is %q", o.Reply)
	}
}

// A turn that is begun and abandoned in one batch is not begun at all.
func TestAbandonedBeforeItBegan(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	n := r.nodes[1]
	for i, wait := range []time.Duration{time.Second, 2 * time.Second, 10 * time.Second} {
		c := &Call{Slot: rigSlot, Actor: rigActor, Request: sessionID(uint64(2 + i)), Deadline: r.now.Add(wait)}
		n.s.Call(r.now, c)
	}
	n.s.Tick(r.now.Add(1500 * time.Millisecond))
	n.s.Tick(r.now.Add(3 * time.Second))
	r.settle()
	if turn := r.turn(); turn.Call.Request != sessionID(4) || len(n.abandoned) != 0 {
		t.Errorf("turn %+v begins, and %+v are abandoned", turn.Call.Request, n.abandoned)
	}
}

func TestWallTimeGrows(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	wall := int64(5000)
	for i, actor := range []quorum.ActorKey{"p", "q", "p"} {
		if i == 2 {
			r.view(quorum.Row{Replicas: []quorum.NodeID{2, 1, 3}})
			r.pass(200 * time.Millisecond)
			r.view(quorum.Row{Replicas: []quorum.NodeID{1, 2, 3}})
			r.pass(200 * time.Millisecond)
		}
		r.call("add", sessionID(uint64(i+1)), func(c *Call) { c.Actor = actor })
		turn := r.turn()
		if i > 0 && turn.Wall != wall {
			t.Errorf("turn %d is given the wall time %d, and the slot's last is %d", i, turn.Wall, wall)
		}
		res := state("x")
		if res.Wall = 4000; i == 0 {
			res.Wall = wall
		}
		r.done(turn, res)
		for _, e := range slotIn(r.nodes[1].disk.seen, rigSlot).sorted() {
			if e.Actor != "" && quorum.RecordWall(e.Data) < wall {
				t.Errorf("a record has the wall time %d", quorum.RecordWall(e.Data))
			}
		}
	}
}

func TestLostOwnerEndsCalls(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	written := r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	read := r.call("get", quorum.RequestID{})
	r.done(r.turn(), TurnResult{Unchanged: true})
	running := r.call("add", sessionID(2))
	r.turn()
	waiting := r.call("add", sessionID(3))
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 1, 3}})
	r.ends(written, CodeOutcomeUnknown)
	for _, c := range []*Call{read, running, waiting, r.call("add", sessionID(4))} {
		r.ends(c, CodeUnavailable)
	}
	if n := r.nodes[1]; len(n.abandoned) != 1 || len(n.s.actors) != 0 || n.s.external != 0 {
		t.Errorf("abandoned %v, %d activations, %d calls", n.abandoned, len(n.s.actors), n.s.external)
	}
}

// Calls that wait for a slot which never becomes active here end when it moves.
func TestQueueEndsWhenSlotMoves(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 1, 3}})
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 2, 3}})
	c := r.call("add", sessionID(1))
	r.open(c)
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 1, 3}})
	r.ends(c, CodeUnavailable)
}

func TestReads(t *testing.T) {
	get := func(r *rig) *Call {
		c := r.call("get", quorum.RequestID{})
		r.done(r.turn(), TurnResult{Unchanged: true, Reply: []byte("v")})
		return c
	}
	t.Run("without leases asks a majority", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		c := get(r)
		r.open(c)
		r.nodes[3].deaf = false
		r.pass(400 * time.Millisecond)
		if o := r.ends(c, CodeOK); o.Until != 0 || o.Fence.LSN != 0 {
			t.Errorf("the answer is %+v", o)
		}
	})
	t.Run("under leases", func(t *testing.T) {
		r := newRig(t, ShardConfig{Lease: 500 * time.Millisecond}, 1, 2, 3)
		r.pass(500 * time.Millisecond)
		r.beat()
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		sent := r.now
		if o := r.ends(get(r), CodeOK); o.Until <= sent || o.Until >= sent.Add(500*time.Millisecond) {
			t.Errorf("the answer holds until %v", o.Until.Sub(sent))
		}
	})
	t.Run("waits for what it saw", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		r.call("add", sessionID(1))
		r.done(r.turn(), state("1"))
		c := get(r)
		r.open(c)
		r.nodes[2].deaf = false
		r.pass(700 * time.Millisecond)
		if o := r.ends(c, CodeOK); o.Fence.LSN != r.last() || o.LSN != r.last() {
			t.Errorf("the answer is %+v", o)
		}
	})
	t.Run("is asked again after a seal", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		for range 3 {
			r.ends(get(r), CodeOK) // so that rounds are counted
		}
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		c := get(r)
		r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
		r.open(c)
		r.nodes[2].deaf, r.nodes[3].deaf = false, false
		r.pass(time.Second)
		r.ends(c, CodeOK)
	})
	t.Run("whose commit is known before the barrier is durable", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		r.call("add", sessionID(1))
		r.done(r.turn(), state("1"))
		c := get(r)
		r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
		r.nodes[2].deaf, r.nodes[3].deaf = false, false
		for len(r.nodes[1].s.slots[rigSlot].q.Promise().Ballot.String()) == 0 || r.nodes[1].s.slots[rigSlot].q.Promise().Ballot.Epoch < r.epoch {
			r.pass(5 * time.Millisecond)
		}
		r.nodes[1].holdDisk = true
		r.pass(400 * time.Millisecond)
		r.open(c)
		r.nodes[1].holdDisk = false
		r.pass(400 * time.Millisecond)
		r.ends(c, CodeOK)
	})
}

func TestLapsedLeaseStopsTurns(t *testing.T) {
	r := newRig(t, ShardConfig{Lease: 500 * time.Millisecond}, 1, 2, 3)
	r.pass(500 * time.Millisecond)
	r.beat()
	r.call("add", sessionID(1))
	r.turn()
	r.pass(600 * time.Millisecond)
	n := r.nodes[1]
	other := r.call("add", sessionID(2), func(c *Call) { c.Actor = quorum.MakeActorKey("a", "y") })
	r.noTurn()
	if n.lapsed != 1 {
		t.Errorf("%d slots have lapsed, not 1", n.lapsed)
	}
	n.s.Lease(r.now, 2, r.now.Add(-time.Second)) // an answer that came too late
	r.settle()
	r.noTurn()
	if n.lapsed != 1 {
		t.Errorf("a slot that stays lapsed has lapsed %d times", n.lapsed)
	}
	r.beat()
	if turn := r.turn(); turn.Call != other {
		t.Errorf("the turn that begins is %+v", turn.Call)
	}
}

func TestQuiesce(t *testing.T) {
	quiesced := func(r *rig) int {
		n := 0
		for _, rep := range r.nodes[1].reports {
			if rep.Kind == ReportQuiesced {
				n++
			}
		}
		return n
	}
	t.Run("waits for the running turn and its commit", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		r.call("add", sessionID(1))
		turn := r.turn()
		r.nodes[1].s.Quiesce(r.now, rigSlot)
		r.settle()
		c := r.call("add", sessionID(2))
		r.nodes[2].deaf, r.nodes[3].deaf = true, true
		r.done(turn, state("1"))
		r.noTurn()
		r.pass(50 * time.Millisecond)
		if n := quiesced(r); n != 0 {
			t.Fatalf("%d reports before the commit", n)
		}
		r.nodes[2].deaf, r.nodes[3].deaf = false, false
		r.pass(20 * time.Millisecond)
		r.pass(100 * time.Millisecond)
		if n := quiesced(r); n != 1 {
			t.Fatalf("%d reports, not 1", n)
		}
		r.noTurn()
		r.pass(time.Second) // no view came
		if turn := r.turn(); turn.Call != c {
			t.Errorf("the turn that begins is %+v", turn.Call)
		}
	})
	t.Run("reports after a while whatever runs", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1, 2, 3)
		r.call("add", sessionID(1))
		r.turn()
		r.nodes[1].s.Quiesce(r.now, rigSlot)
		r.pass(quiesceLimit - 20*time.Millisecond)
		if n := quiesced(r); n != 0 {
			t.Fatalf("%d reports while a turn runs", n)
		}
		r.pass(40 * time.Millisecond)
		if n := quiesced(r); n != 1 {
			t.Errorf("%d reports, not 1", n)
		}
	})
}

func TestAwait(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	r.call("add", sessionID(2))
	seen := r.turn().Seen
	await := func(lsn quorum.LSN, d time.Duration) *Call {
		c := &Call{Slot: rigSlot, Method: "await", Deadline: r.now.Add(d)}
		r.nodes[1].s.Await(r.now, lsn, c)
		r.settle()
		return c
	}
	short, long := await(seen, 300*time.Millisecond), await(seen, time.Minute)
	r.ends(await(seen-1, time.Minute), CodeOK)
	r.open(long)
	if s := r.nodes[1].s; s.internal != 2 || s.external != 2 {
		t.Errorf("%d internal and %d external calls, not 2 and 2", s.internal, s.external)
	}
	r.pass(400 * time.Millisecond)
	r.ends(short, CodeOutcomeUnknown)
	r.nodes[2].deaf = false
	r.pass(time.Second)
	r.ends(long, CodeOK)
	if s := r.nodes[1].s; s.internal != 0 {
		t.Errorf("%d internal calls are left", s.internal)
	}
}

func TestTicksUnderLoad(t *testing.T) {
	s := NewShard(0, ShardConfig{Self: 1, Boot: 1}, nil)
	s.Tick(1)
	for now := quorum.Instant(1); now < quorum.Instant(time.Second); now = now.Add(time.Millisecond) {
		s.Ready(now)
		if now >= s.Deadline(now) {
			return // an idle shard's tick comes, however often it is given something
		}
	}
	t.Error("a shard that is given something every millisecond is never ticked")
}

// A fold ordered before the slot's log was discarded or replaced is none of the
// log that follows.
func TestFoldOfDiscardedLog(t *testing.T) {
	conf := ShardConfig{FoldRecords: 2, KeepEntries: 1, LaggardBytes: 1}
	r := newRig(t, conf, 1, 2, 3)
	for i := range uint64(8) {
		r.call("add", sessionID(i+1))
		r.done(r.turn(), TurnResult{State: []byte("1"), Sends: []quorum.Send{{Target: "t"}}})
	}
	n := r.nodes[1]
	if len(n.folds) == 0 {
		t.Fatal("nothing was folded")
	}
	f := n.folds[0]
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 3}})
	if len(n.s.slots[rigSlot].unfolded) > 0 || n.s.slots[rigSlot].q.Log().Last().LSN != 0 {
		t.Fatal("the log was not discarded")
	}
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 3}, Learners: []quorum.NodeID{1}})
	copied := slotIn(r.nodes[2].disk.seen, rigSlot).clone()
	if !n.s.Staged(r.now, 2, r.nodes[2].s.slots[rigSlot].q.Ballot(), copied.stored(rigSlot), copied) {
		t.Fatal("a snapshot is not taken")
	}
	r.settle()
	sl := n.s.slots[rigSlot]
	before := len(sl.q.Senders())
	if before == 0 {
		t.Fatal("the new log has no senders")
	}
	n.s.Folded(f, true)
	if len(sl.q.Senders()) != before {
		t.Error("a fold of the old log counts for the new one")
	}
}

// TestFoldOrderedWithDiscard has a fold and the end of the log in one batch.
func TestFoldOrderedWithDiscard(t *testing.T) {
	r := newRig(t, ShardConfig{FoldRecords: 2, KeepEntries: 1, LaggardBytes: 1}, 1)
	n := r.nodes[1]
	n.holdDisk = true
	for i := range uint64(8) {
		r.call("add", sessionID(i+1))
		r.done(r.turn(), state("1"))
	}
	n.folds = nil
	for _, b := range n.pending { // all at once
		n.s.Persisted(r.now, b.seq)
	}
	if len(n.s.out.Folds) == 0 {
		t.Fatal("nothing is folded")
	}
	n.s.Adopt(r.now, 9, []SlotRow{{rigSlot, quorum.Row{Epoch: 9, Replicas: []quorum.NodeID{2, 3}}}})
	if y := n.s.Ready(r.now); len(y.Folds) > 0 {
		t.Errorf("a log that is discarded is folded: %+v", y.Folds)
	}
}

// Actors that were called once, and never again, are folded when they are many:
// what is counted for each would fill the memory in the end.
func TestFoldOfColdActors(t *testing.T) {
	const most, actors = 4, 40
	r := newRig(t, ShardConfig{MaxUnfolded: most, KeepEntries: 1, LaggardBytes: 1}, 1)
	n := r.nodes[1]
	for i := range uint64(actors) {
		cold := quorum.MakeActorKey("a", string(rune('A'+i)))
		r.call("add", sessionID(i+1), func(c *Call) { c.Actor = cold })
		r.done(r.turn(), state("1"))
		hot := r.call("add", sessionID(100+i))
		r.done(r.turn(), state("1"))
		r.ends(hot, CodeOK)
		for _, f := range n.folds {
			n.s.Folded(f, i%7 != 0) // now and then one fails
		}
		n.folds = nil
		if sl := n.s.slots[rigSlot]; len(sl.waiting) > most+2 || len(sl.unfolded) > most+2 { // two have come since it was looked at
			t.Fatalf("after %d actors %d are counted, and %d wait", i+1, len(sl.unfolded), len(sl.waiting))
		}
	}
	if sl := n.s.slots[rigSlot]; len(sl.unfolded) == 0 {
		t.Error("nobody waits: the log is not forgotten, or all is folded at once")
	}
}

// The data of entries that all replicas have is not kept in memory, also where
// the log is short.
func TestDataIsEvicted(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 2}})
	for i := range uint64(4) {
		r.call("add", sessionID(i+1))
		r.done(r.turn(), state("1"))
	}
	r.pass(100 * time.Millisecond)
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 2}, Learners: []quorum.NodeID{3}})
	r.call("add", sessionID(5)) // it needs the log from the first entry on
	r.done(r.turn(), state("2"))
	r.pass(time.Second)
	if reads := r.nodes[1].reads; len(reads) == 0 || reads[0].Node != 3 || len(reads[0].Tail) < 4 {
		t.Errorf("for the new learner is read: %+v", reads)
	}
}
