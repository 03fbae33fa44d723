package core

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// newPair returns the core of node 1 of a mesh of two, with two shards that have
// not adopted anything.
func newPair(t *testing.T) *Control { return newOneOf(t, 2) }

// newOneOf is newPair with more nodes. The boots are 4 of node 1 and 7 of others.
func newOneOf(t *testing.T, nodes int) *Control {
	t.Helper()
	c, err := NewControl(1, ControlConfig{
		Start: quorum.Start{Node: 1, Boot: 4, Nonce: 1}, Member: ring.Member{Name: "n1", Addr: "host1:1"}, Shards: 2,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var founders []quorum.Candidate
	for id := range nodes {
		founders = append(founders, candidateOf(quorum.NodeID(id+1)))
	}
	view, err := foundingView(founders)
	if err != nil {
		t.Fatal(err)
	}
	for i := range view.Starts {
		view.Starts[i].Boot = 7
	}
	view.Starts[0].Boot = 4
	c.register.Adopt(1, *view)
	c.Tick(1)
	c.Ready()
	return c
}

func TestBeatIsJudgedByAllShards(t *testing.T) {
	for _, test := range []struct{ first, second, granted bool }{
		{true, true, true}, {true, false, false}, {false, true, false}, {false, false, false},
	} {
		c := newPair(t)
		c.Beat(2, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 1234})
		hears := c.Ready().Hears
		if len(hears) != 1 || hears[0].From != 2 || hears[0].Boot != 7 || hears[0].Epoch != 1 {
			t.Fatalf("the shards are asked %+v", hears)
		}
		c.Verdict(BeatVerdict{From: 2, Seq: hears[0].Seq, Granted: test.first})
		if early := c.Ready().Beats; len(early) != 0 {
			t.Fatalf("answered before all shards have: %+v", early)
		}
		c.Verdict(BeatVerdict{From: 2, Seq: hears[0].Seq, Granted: test.second})
		want := Heartbeat{Peer: 2, Answer: true, Boot: 4, AnsweredBoot: 7, Epoch: 1, Sent: 1234, Granted: test.granted}
		if got := c.Ready().Beats; len(got) != 1 || got[0] != want {
			t.Errorf("%+v: answered %+v", test, got)
		}
		c.Verdict(BeatVerdict{From: 2, Seq: hears[0].Seq, Granted: true})
		if again := c.Ready().Beats; len(again) != 0 {
			t.Errorf("answered twice: %+v", again)
		}
	}
}

func TestVerdictOnOlderBeat(t *testing.T) {
	c := newPair(t)
	c.Beat(2, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 1})
	first := c.Ready().Hears[0].Seq
	c.Verdict(BeatVerdict{From: 2, Seq: first, Granted: true})
	c.Beat(2, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 2})
	c.Verdict(BeatVerdict{From: 2, Seq: first, Granted: true}) // of the second shard, late
	if got := c.Ready().Beats; len(got) != 0 {
		t.Errorf("verdicts on two heartbeats were counted as one: %+v", got)
	}
}

func TestBeatCarriesWhatAllShardsAdopted(t *testing.T) {
	c := newPair(t)
	c.Adopted(2, 0, 1)
	if got := c.Ready().Beats; len(got) != 0 {
		t.Errorf("one shard of two has adopted, and a beat goes: %+v", got)
	}
	c.Adopted(3, 1, 1)
	if got := c.Ready().Beats; len(got) != 1 || got[0].Epoch != 1 || got[0].Boot != 4 || got[0].Sent != 3 {
		t.Errorf("when all have, the beat is %+v", got)
	}
}

func TestLeaseAnswers(t *testing.T) {
	answer := Heartbeat{Peer: 2, Answer: true, Boot: 7, AnsweredBoot: 4, Epoch: 1, Sent: 1, Granted: true}
	for name, test := range map[string]struct {
		change func(*Heartbeat)
		leases int
	}{
		"good":                     {func(*Heartbeat) {}, 1},
		"not granted":              {func(h *Heartbeat) { h.Granted = false }, 0},
		"to an earlier boot":       {func(h *Heartbeat) { h.AnsweredBoot = 3 }, 0},
		"by an earlier boot":       {func(h *Heartbeat) { h.Boot = 6 }, 0},
		"to one not sent yet":      {func(h *Heartbeat) { h.Sent = 99 }, 0},
		"of a node that is not in": {func(h *Heartbeat) { h.Peer = 3 }, 0},
	} {
		c := newPair(t)
		h := answer
		test.change(&h)
		c.Beat(2, h)
		if got := c.Ready().Leases; len(got) != test.leases {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestPauseForgivesNoMore stops a node for a while, and ends the peer that it hears
// first when it goes on: that one is missed as soon as ever.
func TestPauseForgivesNoMore(t *testing.T) {
	c := newPair(t)
	now := quorum.Instant(time.Second)
	c.Tick(now)
	c.Beat(now, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 1})
	now = now.Add(time.Minute)
	c.Beat(now, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 2}) // it waited to be read
	for end := now.Add(2 * c.cfg.Unheard); now < end; now = now.Add(c.cfg.Beat / 2) {
		c.Tick(now)
	}
	if got := c.unheard(); !slices.Equal(got, []quorum.NodeID{2}) {
		t.Errorf("after %v without a beat these are missed: %v", 2*c.cfg.Unheard, got)
	}
}

// TestPauseEndsWithAnotherEvent has a node that was paused hear of its own shards
// before it ticks: it blames nobody either.
func TestPauseEndsWithAnotherEvent(t *testing.T) {
	c := newPair(t)
	now := quorum.Instant(time.Second)
	c.Tick(now)
	c.Beat(now, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: 1})
	now = now.Add(time.Minute)
	for shard := range 2 {
		c.Adopted(now, shard, 1)
	}
	c.Tick(now)
	if got := c.unheard(); len(got) != 0 {
		t.Errorf("after a pause these are missed: %v", got)
	}
}

// TestRefusalsInARow refuses a node that wants to join, for longer than it bears if
// nobody answers anything else meanwhile.
func TestRefusalsInARow(t *testing.T) {
	for _, broken := range []bool{false, true} {
		c, err := NewControl(0, ControlConfig{Start: quorum.Start{Node: 9, Boot: 1, Nonce: 1}, Member: ring.Member{Name: "n1", Addr: "host9:1"}, Shards: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(at time.Duration) {
			c.Answered(quorum.Instant(at), "host1:1", ControlRefusal, (&refusalMessage{Text: "no"}).encode(), nil)
		}
		refused(time.Second)
		if broken {
			c.Answered(quorum.Instant(2*time.Second), "host2:1", ControlNothing, nil, nil)
		}
		refused(joinPatience + 2*time.Second)
		if stop := c.Ready().Stop; (stop != nil) == broken {
			t.Errorf("another answer between: %t, it stops for %v", broken, stop)
		}
	}
}

// TestFactsEndWithTheirBoot forgets what a node told before it restarted, and does
// not rely on it until it tells something again.
func TestFactsEndWithTheirBoot(t *testing.T) {
	c := newPair(t)
	unknown := func(at quorum.Instant, want bool) {
		t.Helper()
		if got := c.gather(at).Unknown[2]; got != want {
			t.Errorf("at %d the other one is unknown: %t", at, got)
		}
	}
	unknown(1, true)
	var served slotBallot
	for i := range c.view.Slots {
		if c.view.Slots[i].Owner() == 2 {
			served = slotBallot{quorum.SlotID(i), quorum.Ballot{Epoch: 1, Boot: 7}}
		}
	}
	f := facts{Boot: 7, Seq: 1, Active: []slotBallot{served}}
	if err := c.Step(2, 2, ControlFacts, f.encode()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Status().Active, []quorum.SlotID{served.Slot}) {
		t.Fatalf("served: %v", c.Status().Active)
	}
	unknown(2, false)
	c.Beat(3, Heartbeat{Peer: 2, Boot: 8, Epoch: 1, Sent: 1})
	unknown(3, true)
	if len(c.Status().Active) > 0 {
		t.Errorf("still served by a process that is gone: %v", c.Status().Active)
	}
}

// TestFactsOfAnEarlierRow does not take an owner for active in a row by what it
// says of the one before: the sets that are still to be sealed would be dropped.
func TestFactsOfAnEarlierRow(t *testing.T) {
	c := newPair(t)
	slot := quorum.SlotID(slices.IndexFunc(c.view.Slots, func(r ring.Row) bool { return r.Owner() == 2 }))
	view := c.view.Clone()
	view.Epoch = 2
	view.Slots[slot].Epoch, view.Slots[slot].From = 2, [][]ring.NodeID{{1, 3}}
	c.view = view
	for _, test := range []struct {
		epoch  quorum.Epoch
		active bool
	}{{1, false}, {2, true}} {
		f := facts{Boot: 7, Seq: uint64(test.epoch), Active: []slotBallot{{slot, quorum.Ballot{Epoch: test.epoch, Boot: 7}}}}
		if err := c.Step(2, 2, ControlFacts, f.encode()); err != nil {
			t.Fatal(err)
		}
		in := c.gather(2)
		if _, active := in.Active[ring.SlotID(slot)]; active != test.active {
			t.Errorf("its owner says that it serves epoch %d, the row is of 2: active %t", test.epoch, active)
		}
	}
}

// TestLeavingNodeWaits leaves only when a majority of those who are left have
// the view on disk.
func TestLeavingNodeWaits(t *testing.T) {
	c := newPair(t)
	c.Leave(2)
	next := c.view.Clone()
	next.Epoch, next.Members, next.Voters, next.Coordinator = 2, next.Members[1:], []ring.NodeID{2}, 2
	for i := range next.Slots {
		next.Slots[i] = ring.Row{Epoch: 2, Replicas: []ring.NodeID{2}}
	}
	c.register.Adopt(3, quorum.Decree{
		Version: quorum.Version{Epoch: 2}, Voters: []quorum.NodeID{2}, Starts: []quorum.Start{{Node: 2, Boot: 7, Nonce: 1}}, Body: next.Encode(),
	})
	c.Tick(4)
	c.Tick(quorum.Instant(time.Second))
	r := c.Ready()
	if r.Retired || r.Stop != nil {
		t.Fatalf("retired %t, stops for %v", r.Retired, r.Stop)
	}
	learn := func(s ControlSend) bool {
		m, err := quorum.DecodeRegisterMessage(s.Body)
		return s.Kind == ControlRegister && err == nil && m.Kind == quorum.RegisterLearn && s.To == 2
	}
	if !slices.ContainsFunc(r.Sends, learn) {
		t.Error("it does not tell the voter of the view")
	}
	if why := c.Status().Waiting; !strings.Contains(why, "has left") {
		t.Errorf("it waits for %q", why)
	}
	stored := quorum.RegisterMessage{Kind: quorum.RegisterStored, Version: quorum.Version{Epoch: 2}}
	if err := c.Step(quorum.Instant(time.Second), 2, ControlRegister, stored.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	c.Tick(quorum.Instant(2 * time.Second))
	if r := c.Ready(); !r.Retired || r.Stop != nil {
		t.Errorf("retired %t, stops for %v", r.Retired, r.Stop)
	}
}

// TestOldProcessAsks has an older process of a member ask to be shown where it is: it is
// told the view, and nobody looks for the member there.
func TestOldProcessAsks(t *testing.T) {
	c := newPair(t)
	m := joinMessage{Member: ring.Member{ID: 2, Name: "n", Addr: "old:1", Weight: 1}, Start: quorum.Start{Node: 2, Boot: 6, Nonce: 1}}
	c.Asked(2, 1, ControlJoin, m.encode())
	r := c.Ready()
	if len(r.Answers) != 1 || r.Answers[0].Kind != ControlView || len(r.Peers) != 0 {
		t.Errorf("answered %+v, routes %+v", r.Answers, r.Peers)
	}
	m.Start.Boot = 7
	c.Asked(2, 2, ControlJoin, m.encode())
	if r = c.Ready(); len(r.Peers) != 1 || r.Peers[0].Addr != "old:1" {
		t.Errorf("the process that is registered asks, and the routes are %+v", r.Peers)
	}
}

// TestAsksAround counts the questions of a member that hears nobody: few, but for one that
// is not registered either. When it hears a majority there is nothing to say any more.
func TestAsksAround(t *testing.T) {
	for _, test := range []struct {
		name       string
		registered bool
		min, max   int
	}{{"registered", true, 4, 5}, {"not registered", false, 18, 21}} {
		c := newOneOf(t, 3)
		asks, now := 0, quorum.Instant(1)
		tick := func() {
			now = now.Add(50 * time.Millisecond)
			c.Tick(now)
			c.Persisted(now, c.saving.seq)
			for _, a := range c.Ready().Asks {
				asks++
				c.Answered(now, a.Addr, ControlNothing, nil, errors.New("nobody is there"))
			}
		}
		for _, voter := range []quorum.NodeID{2, 3} {
			taken := quorum.RegisterMessage{Kind: quorum.RegisterTaken, Version: c.register.View().Version, Start: c.cfg.Start}
			if !test.registered {
				taken.Start.Boot-- // of what it was before
			}
			if err := c.Step(now, voter, ControlRegister, taken.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 { // 10 s
			tick()
		}
		if asks < test.min || asks > test.max {
			t.Errorf("%s: it asks %d times", test.name, asks)
		}
		if why := c.Status().Waiting; !strings.Contains(why, "nobody is there") {
			t.Errorf("%s: waits for %q", test.name, why)
		}
		if c.out.Registered != test.registered {
			t.Fatalf("%s: %t", test.name, c.out.Registered)
		}
		if !test.registered {
			continue
		}
		asks = 0
		for range 200 {
			c.Beat(now, Heartbeat{Peer: 2, Answer: true, Boot: 7, Epoch: 1, AnsweredBoot: 4, Sent: now})
			tick()
		}
		if why := c.Status().Waiting; asks > 0 || strings.Contains(why, "nobody is there") {
			t.Errorf("with a majority it asks %d times, and waits for %q", asks, why)
		}
	}
}

// TestLeftIsTold has a node that has left say what is new about it, to a member and by
// another one: it is sent the view, where it is.
func TestLeftIsTold(t *testing.T) {
	for _, forwarded := range []bool{false, true} {
		c := newPair(t)
		m := joinMessage{
			Member: ring.Member{ID: 3, Name: "n3", Addr: "host3:1", Weight: 1}, Start: quorum.Start{Node: 3, Boot: 1, Nonce: 1},
			Knows: quorum.Version{Epoch: 1}, Forwarded: forwarded,
		}
		if err := c.Step(2, 2, ControlJoin, m.encode()); err != nil {
			t.Fatal(err)
		}
		r := c.Ready()
		if len(r.Sends) != 1 || r.Sends[0].To != 3 || r.Sends[0].Kind != ControlRegister || len(r.Peers) != 1 || r.Peers[0].Addr != "host3:1" {
			t.Fatalf("forwarded %t: sends %+v, routes %+v", forwarded, r.Sends, r.Peers)
		}
		if told, err := quorum.DecodeRegisterMessage(r.Sends[0].Body); err != nil || told.Kind != quorum.RegisterLearn {
			t.Errorf("forwarded %t: it is told %+v, %v", forwarded, told, err)
		}
	}
}

// TestLeftIsNoNewcomer asks for a member that has left, whose name another one has: the view
// tells it so, and it is not refused for its name. Who knows a newer view may be in that one.
func TestLeftIsNoNewcomer(t *testing.T) {
	c := newPair(t)
	c.hear(2, c.peers[2])
	name := c.view.Members[1].Name
	m := joinMessage{
		Member: ring.Member{ID: 9, Name: name, Addr: "host9:1", Weight: 1}, Start: quorum.Start{Node: 9, Boot: 1, Nonce: 1},
		Knows: c.register.View().Version,
	}
	if refusal := c.join(3, &m); refusal != nil || !c.hasLeft(&m) {
		t.Errorf("refused: %v; it has left: %t", refusal, c.hasLeft(&m))
	}
	m.Knows.Epoch++
	if c.hasLeft(&m) {
		t.Error("it has left a mesh whose newest view is not known here")
	}
	m.Knows = quorum.Version{}
	if refusal := c.join(3, &m); refusal == nil || c.hasLeft(&m) {
		t.Error("a newcomer is not refused, and its name is taken")
	}
}

// TestTakeOverOnNewWord has node 3 miss the coordinator, node 2, and then be missed itself:
// back again, it has to say so again before that counts.
func TestTakeOverOnNewWord(t *testing.T) {
	c := newOneOf(t, 3)
	c.view = c.view.Clone()
	c.view.Coordinator = 2
	c.stepFacts(5, 3, &facts{Boot: 7, Seq: 1, Unheard: []quorum.NodeID{2}})
	c.peers[2].silent = true
	if at := c.takeOverAt(6); at == quorum.Never {
		t.Error("both miss it, and nobody takes over")
	}
	c.peers[3].silent = true
	c.hear(7, c.peers[3])
	if at := c.takeOverAt(8); at != quorum.Never {
		t.Errorf("taken over at %d, on an old word", at)
	}
	c.stepFacts(9, 3, &facts{Boot: 7, Seq: 2, Unheard: []quorum.NodeID{2}})
	if at := c.takeOverAt(10); at == quorum.Never {
		t.Error("it says so again, and nobody takes over")
	}
}

// TestRemovedIsForgotten removes a member: after a while the way to it is dropped, once.
func TestRemovedIsForgotten(t *testing.T) {
	c := newOneOf(t, 3)
	v := c.view.Clone()
	v.Members = slices.DeleteFunc(v.Members, func(m ring.Member) bool { return m.ID == 3 })
	c.install(2, v)
	now := quorum.Instant(2)
	for _, want := range []int{0, 1, 0} {
		dropped := 0
		c.Tick(now)
		for _, p := range c.Ready().Peers {
			if p.ID == 3 && p.Addr == "" {
				dropped++
			}
		}
		if dropped != want {
			t.Errorf("after %v it is dropped %d times", now.Sub(2), dropped)
		}
		now = now.Add(forgetPeers)
	}
	if all := c.everybody(); len(all) != 1 || all[0].id != 2 {
		t.Errorf("%d peers are left", len(all))
	}
}

// TestPauseIsNoGrace suspends a coordinator while a member is dead.
func TestPauseIsNoGrace(t *testing.T) {
	c := newOneOf(t, 3)
	now := quorum.Instant(1)
	for range 60 { // 3 s, of which node 2 is heard for none
		now = now.Add(50 * time.Millisecond)
		c.Beat(now, Heartbeat{Peer: 3, Boot: 7, Epoch: 1, Sent: now})
		c.Tick(now)
		c.Ready()
	}
	c.stepFacts(now, 3, &facts{Boot: 7, Seq: 1, Unheard: []quorum.NodeID{2}})
	if in := c.gather(now); !in.Dead[2] || in.Gone[2] {
		t.Fatalf("before: dead %v, gone %v", in.Dead, in.Gone)
	}
	now = now.Add(2 * time.Minute)
	c.Tick(now)
	if in := c.gather(now); !in.Dead[2] || in.Gone[2] {
		t.Errorf("after a pause: dead %v, gone %v", in.Dead, in.Gone)
	}
	if since := c.peers[3].dead.since; since != 0 {
		t.Errorf("who lives counts as dead since %d", since)
	}
}

// TestWhoCanTell has node 2 be missed, and asks what node 3 knows of it: nothing before it
// has heard or missed it itself, nor where what it told is from before it was missed too.
func TestWhoCanTell(t *testing.T) {
	c := newOneOf(t, 3)
	now := quorum.Instant(1)
	pass := func(d time.Duration, hears ...quorum.NodeID) {
		for end := now.Add(d); now < end; {
			now = now.Add(50 * time.Millisecond)
			for _, id := range hears {
				c.Beat(now, Heartbeat{Peer: id, Boot: 7, Epoch: 1, Sent: now})
			}
			c.Tick(now)
			c.Ready()
		}
	}
	seq := uint64(0)
	tells := func(f facts) {
		seq++
		f.Boot, f.Seq = 7, seq
		c.stepFacts(now, 3, &f)
	}
	is := func(when string, dead, unknown, counted bool) {
		t.Helper()
		in := c.gather(now)
		if since := c.peers[2].dead.since != 0; in.Dead[2] != dead || in.Unknown[2] != unknown || since != counted {
			t.Errorf("%s: dead %t, unknown %t, time of death known %t", when, in.Dead[2], in.Unknown[2], since)
		}
	}
	known := func() { c.peers[2].facts = &facts{Boot: 7} } // so that it is not unknown for that
	pass(time.Second, 2, 3)
	known()
	tells(facts{})
	is("before", false, false, false)
	pass(time.Second, 3)
	is("3 hears it", false, true, false)
	tells(facts{Unsure: []quorum.NodeID{2}})
	is("3 has just begun to listen", false, true, false)
	tells(facts{Unheard: []quorum.NodeID{2}})
	is("3 misses it", true, false, true)
	tells(facts{Unsure: []quorum.NodeID{2}})
	is("3 was started again", false, true, true)
	tells(facts{})
	is("3 hears it again", false, true, false)
	pass(time.Second)
	is("3 is missed too", true, false, true)
	pass(100*time.Millisecond, 3)
	is("3 is back, and what it told is from before", false, true, true)
	view := c.view.Clone()
	view.Members[1].State = ring.Down
	c.view, c.peers[2].dead = view, deadness{}
	is("... and the view says that it is down", true, false, true)
	tells(facts{})
	is("... as it does until it is heard", true, false, true)
	pass(100*time.Millisecond, 2)
	is("heard", false, false, false)
}

// TestBeginsToListen has node 1 not listen to node 2 for a while, as in a mesh of many:
// when it does so again, it says that it cannot tell, and that it can as soon as it hears it.
func TestBeginsToListen(t *testing.T) {
	c := newOneOf(t, 3)
	heard := func(now quorum.Instant) { c.Beat(now, Heartbeat{Peer: 2, Boot: 7, Epoch: 1, Sent: now}) }
	unsure := func(when string, now quorum.Instant, want ...quorum.NodeID) {
		t.Helper()
		c.Tick(now)
		for _, s := range c.Ready().Sends {
			if s.Kind != ControlFacts || s.To != 3 {
				continue
			}
			f, err := decodeFacts(s.Body)
			if err != nil || !slices.Equal(f.Unsure, want) {
				t.Errorf("%s: unsure of %s, want %s (%v)", when, f.Unsure, want, err)
			}
			return
		}
		t.Errorf("%s: nothing was told", when)
	}
	now := quorum.Instant(1).Add(10 * time.Millisecond)
	unsure("at its start", now, 2, 3)
	heard(now)
	now = now.Add(reportDelay)
	unsure("heard", now, 3)
	c.peers[2].wanted, c.peers[2].everHeard = false, false
	if list := c.unsure(); !slices.Equal(list, []quorum.NodeID{3}) {
		t.Errorf("not wanted: unsure of %s", list)
	}
	c.peers[2].everHeard = true
	c.install(now, c.view.Clone())
	now = now.Add(reportDelay)
	unsure("wanted again", now, 2, 3)
	heard(now)
	now = now.Add(reportDelay)
	unsure("heard again", now, 3)
}

// TestMovedThereAndBack finds a member elsewhere, and then where the view has it: it
// is not looked for elsewhere again.
func TestMovedThereAndBack(t *testing.T) {
	c := newPair(t)
	m, _ := c.view.Member(2)
	known := m.Addr
	for _, addr := range []string{"host9:1", known} {
		m.Addr = addr
		c.foundAt(2, &m)
	}
	c.install(3, c.view.Clone())
	if got := c.routes[2]; got != known {
		t.Errorf("it is looked for at %s", got)
	}
}

// TestMovedTwice finds a member elsewhere before the view says so, and the view then says
// that it is in a third place.
func TestMovedTwice(t *testing.T) {
	c := newPair(t)
	m, _ := c.view.Member(2)
	m.Addr = "host8:1"
	c.foundAt(2, &m)
	for _, addr := range []string{"host8:1", "host9:1"} {
		v := c.view.Clone()
		v.Members[1].Addr = addr
		c.install(3, v)
		if got := c.routes[2]; got != addr {
			t.Errorf("it is at %s, and looked for at %s", addr, got)
		}
	}
}

// TestOldProcessIsTold answers the heartbeat of a process whose node has started
// again elsewhere.
func TestOldProcessIsTold(t *testing.T) {
	c := newPair(t)
	c.Beat(2, Heartbeat{Peer: 2, Boot: 6, Epoch: 1, Sent: 1})
	r := c.Ready()
	if len(r.Sends) != 1 || r.Sends[0].Kind != ControlRegister || len(r.Hears) != 0 {
		t.Fatalf("sends %+v, asks the shards %+v", r.Sends, r.Hears)
	}
	m, err := quorum.DecodeRegisterMessage(r.Sends[0].Body)
	if err != nil || m.Kind != quorum.RegisterRefused || m.Start.Boot != 7 {
		t.Errorf("it is told %+v, %v", m, err)
	}
}

func TestTooManyKindsToFound(t *testing.T) {
	m := ring.Member{Name: "n1", Addr: "host1:1"}
	for i := range 600 {
		m.Kinds = append(m.Kinds, strings.Repeat("k", 80)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	conf := ControlConfig{Start: quorum.Start{Node: 1, Boot: 1, Nonce: 1}, Member: m, Expect: 3, Slots: 8, Replication: 3}
	if _, err := NewControl(1, conf, nil); err == nil {
		t.Error("a founding that nobody could decode was begun")
	}
}

func TestDamagedState(t *testing.T) {
	conf := ControlConfig{Start: quorum.Start{Node: 1, Boot: 1, Nonce: 1}}
	for _, b := range [][]byte{{}, {9}, {controlVersion, 200}, {controlVersion, 1, 9, 0}} {
		if _, err := NewControl(1, conf, b); !errors.Is(err, ErrControl) && !errors.Is(err, quorum.ErrCorrupt) {
			t.Errorf("%v: %v", b, err)
		}
	}
}

// TestStuckOwner has an owner that lives and cannot activate a slot: another
// replica gets it.
func TestStuckOwner(t *testing.T) {
	n := founded(t, 20, 3)
	n.run(time.Second)
	n.node(2).jammed = true
	n.node(2).kill()
	n.until(2*time.Second, "failover", n.served)
	n.node(2).start()
	stuck := func() bool { return !n.served() }
	n.until(10*time.Second, "it is given slots again, and does not serve them", stuck)
	begun := n.now
	n.until(20*time.Second, "its slots move", n.served)
	if took := n.now.Sub(begun); took < 4*time.Second {
		t.Errorf("they moved after %v, before it had its time", took)
	}
	n.node(2).jammed = false
	n.until(60*time.Second, "it serves", func() bool { return n.settled() && len(owned(n.newest())) == 3 })
}

// TestFlappingNode dies and comes back again and again: it is given slots again
// only when it was steady for a while.
func TestFlappingNode(t *testing.T) {
	n := newControlNet(t, 21)
	for id := quorum.NodeID(1); id <= 3; id++ {
		node := n.add(id, 3, 1)
		node.conf.Steady = 10 * time.Second
		node.start()
	}
	n.until(3*time.Second, "founding", n.settled)
	node := n.node(2)
	if quorum.NodeID(n.newest().Coordinator) == 2 {
		node = n.node(3)
	}
	for range 2 {
		state := func() ring.MemberState {
			m, _ := n.newest().Member(ring.NodeID(node.id))
			return m.State
		}
		node.kill()
		n.until(2*time.Second, "it is down", func() bool { return state() == ring.Down })
		node.start()
		n.until(5*time.Second, "it comes back", func() bool { return state() == ring.Up && n.agreed() })
	}
	back := n.now
	n.run(5 * time.Second)
	if count := owned(n.newest())[node.id]; count != 0 {
		t.Errorf("it owns %d slots again", count)
	}
	n.until(10*time.Second, "it was steady", func() bool { return owned(n.newest())[node.id] > 0 })
	if took := n.now.Sub(back); took < 9*time.Second {
		t.Errorf("it was trusted after %v", took)
	}
}

// TestOwnerThatDoesNotQuiesce has planned moves wait for an owner in vain: they
// are asked for again later, and nothing else waits for them for long.
func TestOwnerThatDoesNotQuiesce(t *testing.T) {
	n := founded(t, 22, 3)
	n.run(time.Second)
	n.node(1).restless = true
	n.add(4, 0, 1).start()
	n.until(10*time.Second, "the others' slots move", func() bool { return owned(n.newest())[4] > 0 })
	n.run(2 * time.Second)
	if asked := n.node(1).asked; asked < 2 || asked > 200 {
		t.Errorf("its slots were asked for %d times", asked)
	}
	n.node(1).restless = false
	n.until(20*time.Second, "all slots move", func() bool {
		counts := owned(n.newest())
		return n.settled() && counts[1] <= 9 && counts[4] >= 7
	})
}

func TestJoinsTogether(t *testing.T) {
	n := founded(t, 23, 3)
	n.run(time.Second)
	var sizes []int
	for id := quorum.NodeID(4); id <= 7; id++ {
		n.add(id, 0, 1+id%3).start()
		n.run(20 * time.Millisecond)
	}
	n.until(2*time.Second, "all are members", func() bool {
		if size := len(n.newest().Members); len(sizes) == 0 || sizes[len(sizes)-1] != size {
			sizes = append(sizes, size)
		}
		return sizes[len(sizes)-1] == 7
	})
	if !slices.Equal(sizes, []int{3, 7}) {
		t.Errorf("members came in views of %v", sizes)
	}
}

func TestTwentyNodesAreBorn(t *testing.T) {
	n := newControlNet(t, 24)
	n.slots = 64
	for id := quorum.NodeID(20); id >= 1; id-- {
		n.add(id, 20, 1+id%20).start()
	}
	n.until(5*time.Second, "one mesh of twenty", func() bool { return n.newest() != nil && n.settled() })
	if got := len(n.newest().Members); got != 20 {
		t.Fatalf("%d members", got)
	}
	n.node(7).kill()
	n.until(time.Second, "failover among many", n.served)
}

// TestStraysAreForgotten drops the routes of those who asked to join and never
// came.
func TestStraysAreForgotten(t *testing.T) {
	c := newPair(t)
	for id := ring.NodeID(100); id < 100+2*maxStrays; id++ {
		m := joinMessage{Member: ring.Member{ID: id, Name: id.String(), Addr: "host:9", Weight: 1}, Start: quorum.Start{Node: quorum.NodeID(id)}}
		c.Asked(2, 1, ControlJoin, m.encode())
	}
	if got := len(c.strays); got != maxStrays {
		t.Errorf("%d strays are kept", got)
	}
	c.Tick(2 + quorum.Instant(forgetStray))
	dropped := 0
	for _, p := range c.Ready().Peers {
		if p.Addr == "" {
			dropped++
		}
	}
	if dropped != maxStrays || len(c.strays) != 0 {
		t.Errorf("%d routes were dropped, %d strays are left", dropped, len(c.strays))
	}
}
