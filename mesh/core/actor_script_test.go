package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"actormesh/quorum"
)

// A repeated request gets the first answer, in whatever stage the first is.
func TestDuplicates(t *testing.T) {
	ids := map[string]quorum.RequestID{
		"session": sessionID(1), "own key": ownKey("k"), "derived key": {Key: "tk"}, "send": sendID(1),
	}
	for name, id := range ids {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ShardConfig{FoldRecords: 1, KeepEntries: 1, LaggardBytes: 1}, 1, 2, 3)
			first := r.call("add", id)
			turn := r.turn()
			var again, other []*Call
			repeat := func() {
				again = append(again, r.call("add", id))
				other = append(other, r.call("other", id))
				r.noTurn()
			}
			repeat() // while it runs
			r.nodes[2].deaf, r.nodes[3].deaf = true, true
			r.done(turn, state("1"))
			repeat() // while it is not committed
			r.open(first)
			r.open(again[1])
			r.nodes[2].deaf, r.nodes[3].deaf = false, false
			r.pass(time.Second)
			repeat() // when it is
			for i := range uint64(4) {
				r.call("add", sessionID(10+i))
				r.done(r.turn(), state("2"))
			}
			r.fold(r.nodes[1])
			repeat() // when it is folded
			r.pass(3 * time.Second)
			if n := len(r.nodes[1].s.actors); n > 0 {
				t.Fatalf("%d activations are left", n)
			}
			repeat() // in the next activation
			one := r.ends(first, CodeOK)
			for i, c := range again {
				o := r.ends(c, CodeOK)
				// What a send was answered is not kept, only that it was.
				if !o.Replayed || name != "send" && (!bytes.Equal(o.Reply, one.Reply) || o.Fence != one.Fence) {
					t.Errorf("repeat %d was answered %+v, the first %+v", i, o, one)
				}
			}
			for i, c := range other {
				if name == "send" && i > 0 {
					continue
				}
				r.ends(c, CodeKeyReused)
			}
		})
	}
}

func TestForgottenAnswer(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	r.call("add", quorum.RequestID{Session: quorum.SessionID{7}, Number: 2, Low: 2})
	r.done(r.turn(), state("2"))
	r.ends(r.call("add", sessionID(1)), CodeOutcomeUnknown)
}

// Which ends of a turn are recorded, so that a repeated request gets them again.
func TestWhatIsRecorded(t *testing.T) {
	tooLarge := TurnResult{State: bytes.Repeat([]byte("x"), 3000)}
	for _, tc := range []struct {
		name     string
		id       quorum.RequestID
		res      TurnResult
		code     Code
		app      string
		recorded bool
	}{
		{"an error, of a session", sessionID(1), failed, CodeApp, "no", false},
		{"an error, under an own key", ownKey("k"), failed, CodeApp, "no", true},
		{"an error, under a derived key", quorum.RequestID{Key: "tk"}, failed, CodeApp, "no", true},
		{"an error, of a send", sendID(1), failed, CodeApp, "no", true},
		{"too large, of a session", sessionID(1), TurnResult{Code: CodeTooLarge}, CodeTooLarge, "", false},
		{"too large, under an own key", ownKey("k"), TurnResult{Code: CodeTooLarge}, CodeTooLarge, "", false},
		{"too large, of a send", sendID(1), TurnResult{Code: CodeTooLarge}, CodeApp, "too_large", true},
		{"a bad request, of a send", sendID(1), TurnResult{Code: CodeBadRequest}, CodeApp, "bad_request", true},
		{"unavailable, of a send", sendID(1), TurnResult{Code: CodeUnavailable}, CodeUnavailable, "", false},
		{"a record too large, of a session", sessionID(1), tooLarge, CodeTooLarge, "", false},
		{"a record too large, of a send", sendID(1), tooLarge, CodeApp, "too_large", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, ShardConfig{RecordBytes: 1000}, 1)
			before := r.last()
			c := r.call("add", tc.id)
			res := tc.res
			res.Reply, res.Writes = []byte("not to be seen"), []quorum.KeyWrite{{Key: []byte("k")}}
			r.done(r.turn(), res)
			o := r.ends(c, tc.code)
			if (o.App != nil) != (tc.app != "") || o.App != nil && o.App.Code != tc.app || o.Reply != nil {
				t.Errorf("it ended with %+v", o)
			}
			if got := r.last() > before; got != tc.recorded {
				t.Errorf("recorded: %t", got)
			}
			again := r.call("add", tc.id)
			if tc.recorded {
				r.noTurn()
				r.end(again)
				r.call("add", sessionID(9))
			}
			if turn := r.turn(); !turn.Load || turn.State != nil || turn.Keys != nil {
				t.Errorf("the rolled back turn left %+v", turn)
			}
		})
	}
}

// Where a call is when its deadline passes, and how it ends.
func TestDeadlines(t *testing.T) {
	const soon = 300 * time.Millisecond
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	due := func(c *Call) { c.Deadline = r.now.Add(soon) }
	check := func(c *Call, code Code) {
		t.Helper()
		r.open(c)
		r.pass(soon + 60*time.Millisecond)
		r.ends(c, code)
	}

	running := r.call("add", sessionID(1), due)
	turn := r.turn()
	joined := r.call("add", sessionID(1)) // has time left
	check(running, CodeDeadline)
	r.ends(joined, CodeUnavailable)
	if got := r.nodes[1].abandoned; len(got) != 1 || got[0] != (TurnRef{turn.Activation, turn.Fence.Turn}) {
		t.Errorf("abandoned: %v", got)
	}
	r.done(turn, state("late"))

	r.call("add", sessionID(2))
	if turn = r.turn(); !turn.Load || turn.State != nil {
		t.Errorf("after an abandoned turn comes %+v", turn)
	}
	waits := r.call("add", sessionID(3), due)
	joined = r.call("add", sessionID(3))
	check(waits, CodeDeadline) // in the mailbox
	r.done(turn, state("1"))
	if turn = r.turn(); turn.Call != joined {
		t.Errorf("not the call that joined runs, but %+v", turn.Call)
	}
	joined = r.call("add", sessionID(3), due)
	check(joined, CodeOutcomeUnknown) // the first runs on
	r.done(turn, state("2"))

	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	written := r.call("add", sessionID(4), due)
	r.done(r.turn(), state("3"))
	read := r.call("get", quorum.RequestID{}, due)
	r.done(r.turn(), TurnResult{Unchanged: true})
	r.open(read)
	check(written, CodeOutcomeUnknown) // not committed
	r.ends(read, CodeDeadline)

	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
	check(r.call("add", sessionID(5), due), CodeDeadline) // in the slot's queue
	r.ends(r.call("add", sessionID(6), func(c *Call) { c.Deadline = r.now }), CodeDeadline)
	if s := r.nodes[1].s; s.external != 0 || s.internal != 0 {
		t.Errorf("%d and %d calls are left", s.external, s.internal)
	}
}

// A call behind one that waits for a lookup runs when that one is late.
func TestDeadlineOfLookup(t *testing.T) {
	r := newRig(t, ShardConfig{FoldRecords: 1, KeepEntries: 1, LaggardBytes: 1}, 1)
	for i := range 4 {
		r.call("add", ownKey(fmt.Sprint(i)))
		r.done(r.turn(), state("1"))
	}
	r.fold(r.nodes[1])
	r.nodes[1].holdLoad = true
	first := r.call("add", ownKey("new"), func(c *Call) { c.Deadline = r.now.Add(100 * time.Millisecond) })
	second := r.call("add", sessionID(1))
	r.noTurn()
	if n := len(r.nodes[1].lookups); n != 1 {
		t.Fatalf("%d lookups", n)
	}
	r.pass(200 * time.Millisecond)
	r.ends(first, CodeDeadline)
	if turn := r.turn(); turn.Call != second {
		t.Errorf("the turn is of %+v", turn.Call)
	}
}

func TestIdle(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	n := r.nodes[1]
	r.call("add", sessionID(1))
	first := r.turn()
	r.pass(3 * time.Second)
	if len(n.s.actors) != 1 {
		t.Fatal("an activation ends while its turn runs")
	}
	r.done(first, state("1"))
	r.pass(800 * time.Millisecond)
	r.call("add", sessionID(1)) // answered without a turn, and still a sign of life
	r.pass(800 * time.Millisecond)
	if len(n.s.actors) != 1 {
		t.Fatal("an activation ends before its time")
	}
	n.holdGone = true
	r.pass(500 * time.Millisecond)
	if len(n.gone) != 1 {
		t.Fatalf("%d activations end", len(n.gone))
	}
	c := r.call("add", sessionID(2))
	r.noTurn() // it waits for the next activation
	n.holdGone = false
	r.settle()
	turn := r.turn()
	if turn.Call != c || turn.Activation == first.Activation || !turn.Load || string(turn.State) != "1" {
		t.Errorf("the next activation's turn is %+v", turn)
	}
	r.done(turn, state("2"))
	r.pass(1300 * time.Millisecond)
	if len(n.s.actors) != 0 || n.s.working.first != nil {
		t.Error("an activation is left")
	}
}

// What is not committed is not in the store for the next activation.
func TestIdleWaitsForCommit(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.call("add", sessionID(1))
	r.done(r.turn(), state("1"))
	r.pass(3 * time.Second)
	if len(r.nodes[1].s.actors) != 1 {
		t.Fatal("an activation ends with a record that is not committed")
	}
	r.nodes[2].deaf = false
	r.pass(2 * time.Second)
	if len(r.nodes[1].s.actors) != 0 {
		t.Error("an activation is left")
	}
}

func TestOverload(t *testing.T) {
	actor := func(name string) func(*Call) {
		return func(c *Call) { c.Actor = quorum.MakeActorKey("a", name) }
	}
	internal := func(c *Call) { c.Internal = true }
	t.Run("mailbox", func(t *testing.T) {
		r := newRig(t, ShardConfig{}, 1)
		box := func(c *Call) { c.Mailbox = 2 }
		r.call("add", sessionID(1), box) // runs
		r.call("add", sessionID(2), box)
		r.call("add", sessionID(3), box)
		r.ends(r.call("add", sessionID(4), box), CodeOverloaded)
		r.ends(r.call("add", sessionID(4), internal, box), CodeOverloaded)
	})
	t.Run("calls", func(t *testing.T) {
		r := newRig(t, ShardConfig{MaxCalls: 2, MaxInternal: 1}, 1)
		r.call("add", sessionID(1))
		r.call("add", sessionID(2))
		r.ends(r.call("add", sessionID(3)), CodeOverloaded)
		r.open(r.call("add", sessionID(4), internal)) // the reserve
		r.ends(r.call("add", sessionID(5), internal), CodeOverloaded)
		r.ends(r.call("add", sessionID(6)), CodeOverloaded) // which took no place
	})
	t.Run("activations", func(t *testing.T) {
		r := newRig(t, ShardConfig{MaxActive: 2}, 1)
		r.call("add", sessionID(1), actor("p"))
		p := r.turn()
		r.call("add", sessionID(2), actor("q"))
		q := r.turn()
		r.ends(r.call("add", sessionID(3), actor("r")), CodeOverloaded)
		r.open(r.call("add", sessionID(3), actor("r"), internal)) // the reserve
		r.done(r.turn(), state("r"))
		r.done(q, state("q"))
		r.pass(10 * time.Millisecond)
		r.done(p, state("p"))
		r.open(r.call("add", sessionID(4), actor("s"))) // one that is idle makes room
		if n := r.nodes[1].s.slots[rigSlot]; n.actors[quorum.MakeActorKey("a", "p")] == nil {
			t.Error("not the one that was idle the longest has gone")
		}
	})
}

func TestCycle(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	r.ends(r.call("add", ownKey("x"), func(c *Call) { c.Chain = []quorum.ActorKey{"other", rigActor} }), CodeCycle)
	r.open(r.call("add", ownKey("x"), func(c *Call) { c.Chain = []quorum.ActorKey{"other"} }))
}

func TestDamagedActor(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	n := r.nodes[1]
	n.holdLoad = true
	c := r.call("add", sessionID(1))
	n.s.Loaded(r.now, n.loads[0].Activation, ActorImage{
		Base: quorum.NewBase(), Entries: []quorum.Entry{{LSN: 1, Data: []byte{9, 9}}},
	}, nil)
	if y := n.s.Ready(r.now); y.Damaged == "" || len(y.Outcomes) != 1 || y.Outcomes[0].Call != c || y.Outcomes[0].Outcome.Code != CodeUnavailable {
		t.Errorf("a damaged actor: %+v", y)
	}
}

func sends(targets ...quorum.ActorKey) TurnResult {
	r := TurnResult{State: []byte("s")}
	for _, t := range targets {
		r.Sends = append(r.Sends, quorum.Send{Target: t, Method: "recv"})
	}
	return r
}

func (r *rig) delivered(ok bool) Delivery {
	r.t.Helper()
	n := r.nodes[1]
	if len(n.deliveries) == 0 {
		r.t.Fatal("nothing is delivered")
	}
	d := n.deliveries[0]
	n.deliveries = n.deliveries[1:]
	n.s.Delivered(r.now, d, ok)
	r.settle()
	return d
}

func TestSends(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	n := r.nodes[1]
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.call("add", sessionID(1))
	r.done(r.turn(), sends("p", "q", "p"))
	if len(n.deliveries) > 0 {
		t.Fatal("a send leaves before its record is committed")
	}
	r.nodes[2].deaf, r.nodes[3].deaf = false, false
	r.pass(time.Second)
	if len(n.deliveries) != 2 { // one for each target
		t.Fatalf("%d sends go", len(n.deliveries))
	}
	p := r.delivered(false)
	if p.Send.Target != "p" || p.Send.Number != 1 || p.Source != rigActor {
		t.Errorf("the first send is %+v", p)
	}
	if q := r.delivered(true); q.Send.Target != "q" || q.Send.Number != 1 {
		t.Errorf("the second send is %+v", q)
	}
	n.s.Delivered(r.now, p, true) // is not under way
	r.pass(15 * time.Millisecond)
	if len(n.deliveries) > 0 {
		t.Error("a send is repeated at once")
	}
	r.pass(100 * time.Millisecond)
	if again := r.delivered(true); again.Send.Number != 1 {
		t.Errorf("what is repeated is %+v", again)
	}
	if next := r.delivered(true); next.Send.Number != 2 {
		t.Errorf("the next send is %+v", next)
	}
	last := r.last()
	r.pass(200 * time.Millisecond)
	if r.last() != last+1 {
		t.Errorf("%d records note that the sends are done", r.last()-last)
	}
	r.pass(2 * time.Second)
	if len(n.s.actors) != 0 {
		t.Error("an activation with nothing to send is left")
	}
	if img := slotIn(n.disk.seen, rigSlot).load(rigActor); true {
		for i := range img.Entries {
			img.Base.Apply(&img.Entries[i], mustDecode(&img.Entries[i]), time.Hour)
		}
		if len(img.Base.Outbox) != 0 || img.Base.Sent["p"] != 2 || img.Base.Sent["q"] != 1 {
			t.Errorf("the log has %+v", img.Base)
		}
	}
}

// A send of an uncommitted record waits, also where others of its actor go.
func TestSendWaitsForItsCommit(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	n := r.nodes[1]
	r.call("add", sessionID(1))
	r.done(r.turn(), sends("p", "p"))
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.call("add", sessionID(2))
	r.done(r.turn(), sends("q"))
	r.delivered(true)
	if len(n.deliveries) != 1 || n.deliveries[0].Send.Target != "p" {
		t.Errorf("these go: %+v", n.deliveries)
	}
}

// The next record carries the note that sends are done.
func TestNoteTravelsWithRecord(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1)
	r.call("add", sessionID(1))
	r.done(r.turn(), sends("p"))
	r.call("add", sessionID(2))
	r.delivered(true)
	last := r.last()
	turn := r.turn()
	r.pass(200 * time.Millisecond) // the note waits for the turn
	if r.last() != last {
		t.Error("a note is written while a turn runs")
	}
	r.done(turn, state("2"))
	r.pass(200 * time.Millisecond)
	if r.last() != last+1 {
		t.Errorf("%d records, not one", r.last()-last)
	}
}

// Sends that nobody has noted as done go on under the next owner, also where the
// store's answer comes while the slot is sealed again.
func TestOutboxOfOwner(t *testing.T) {
	r := newRig(t, ShardConfig{}, 1, 2, 3)
	n := r.nodes[1]
	r.call("add", sessionID(1))
	r.done(r.turn(), sends("p"))
	r.view(quorum.Row{Replicas: []quorum.NodeID{2, 1, 3}})
	r.pass(300 * time.Millisecond)
	n.deliveries, n.outboxes = nil, nil
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 2, 3}})
	r.pass(300 * time.Millisecond)
	if d := r.delivered(true); d.Send.Target != "p" || d.Send.Number != 1 {
		t.Errorf("the send is %+v", d)
	}
	if len(n.outboxes) != 1 {
		t.Fatalf("the store is asked %d times for outboxes", len(n.outboxes))
	}
	r.nodes[2].deaf, r.nodes[3].deaf = true, true
	r.view(quorum.Row{Replicas: []quorum.NodeID{1, 3, 2}})
	n.s.Outbox(r.now, rigSlot, []quorum.ActorKey{"folded"})
	r.nodes[2].deaf, r.nodes[3].deaf = false, false
	r.pass(300 * time.Millisecond)
	if len(n.outboxes) != 2 {
		t.Error("the store's answer came while the slot was sealed, and is not asked for again")
	}
}

// TestOverlay compares an overlay with a map of all writes.
func TestOverlay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	o, folded, all := NewOverlay(), simKeys{}, simKeys{}
	var log [][]quorum.KeyWrite
	done := 0
	for lsn := 1; lsn <= 400; lsn++ {
		w := []quorum.KeyWrite{{Key: []byte{byte(rng.IntN(20))}, Value: []byte{byte(lsn)}, Delete: rng.IntN(4) == 0}}
		frozen, want := o.Freeze(), all.String()
		o.add(quorum.LSN(lsn), w)
		log = append(log, w)
		writeKeys(all, w)
		if got := seen(frozen, folded); got != want {
			t.Fatalf("the copy frozen before %d has %q, not %q", lsn, got, want)
		}
		if rng.IntN(10) == 0 {
			for upTo := done + rng.IntN(lsn-done+1); done < upTo; done++ {
				writeKeys(folded, log[done])
			}
			o.folded(quorum.LSN(done))
			if o.tree.Len() > lsn-done {
				t.Fatalf("%d writes after %d are in the overlay", o.tree.Len(), lsn-done)
			}
		}
		if got := seen(o, folded); got != all.String() {
			t.Fatalf("after %d the overlay has %q, not %q", lsn, got, all)
		}
	}
}

func seen(o *Overlay, folded simKeys) string {
	keys := simKeys{}
	for k, v := range folded {
		keys[k] = v
	}
	var order [][]byte
	o.Ascend(nil, func(w quorum.KeyWrite) bool {
		order = append(order, w.Key)
		writeKeys(keys, []quorum.KeyWrite{w})
		return true
	})
	if !slices.IsSortedFunc(order, bytes.Compare) {
		return "not in order"
	}
	return keys.String()
}
