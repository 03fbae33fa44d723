package core

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

func TestFoundAlone(t *testing.T) {
	n := newControlNet(t, 1)
	n.add(1, 1).start()
	n.until(300*time.Millisecond, "one node serves", n.settled)
}

func TestFoundTogether(t *testing.T) {
	for seed := range uint64(5) {
		for _, size := range []int{2, 3, 7} {
			n := newControlNet(t, seed)
			for i := range size {
				seeds := []quorum.NodeID{quorum.NodeID((i+1)%size + 1)} // a circle
				n.add(quorum.NodeID(i+1), size, seeds...).start()
			}
			n.until(2*time.Second, "the mesh serves", n.settled)
			if got := len(n.newest().Members); got != size {
				t.Fatalf("%d members, not %d", got, size)
			}
		}
	}
}

// TestFoundOnlyOnce starts a node that would found a mesh where a seed has one:
// it joins that.
func TestFoundOnlyOnce(t *testing.T) {
	n := founded(t, 1, 1)
	cluster := n.newest().Cluster
	n.add(2, 1, 1).start()
	n.add(3, 2, 2, 1).start()
	n.until(3*time.Second, "all in one mesh", func() bool { return len(n.newest().Members) == 3 && n.settled() })
	if n.newest().Cluster != cluster {
		t.Error("another mesh was founded")
	}
}

func TestRestartOfAllNodes(t *testing.T) {
	n := founded(t, 2, 3)
	cluster := n.newest().Cluster
	for _, node := range n.nodes {
		node.kill()
	}
	n.run(time.Second)
	for _, node := range n.nodes {
		node.addr += "0" // and all at new addresses
		node.conf.Member.Addr = node.addr
		node.conf.Seeds = []string{"host1:10", "host2:10"}
		node.start()
	}
	n.until(3*time.Second, "the mesh serves again", func() bool {
		v := n.newest()
		m, _ := v.Member(2)
		return n.settled() && m.Addr == "host2:10"
	})
	if n.newest().Cluster != cluster {
		t.Error("another mesh was founded")
	}
}

func TestJoin(t *testing.T) {
	n := founded(t, 3, 1)
	for id := quorum.NodeID(2); id <= 5; id++ {
		n.add(id, 0, 1).start()
	}
	took := n.until(10*time.Second, "four join", func() bool { return len(n.newest().Members) == 5 && n.settled() })
	n.until(10*time.Second, "slots are spread", func() bool { return len(owned(n.newest())) == 5 && n.settled() })
	n.run(5 * time.Second)
	views := n.newest().Epoch
	t.Logf("joined in %v, %d views", took, views)
	if views > 14 {
		t.Errorf("it took %d views: slots that stop together are to move together", views)
	}
	if voters := len(n.newest().Voters); voters != 5 {
		t.Errorf("%d voters", voters)
	}
}

// TestFailover kills a node that owns slots, one after the other, and one of them
// coordinates: in well under a second others serve them. Most of it is the dead
// owner's lease.
func TestFailover(t *testing.T) {
	var worst time.Duration
	for seed := range uint64(30) {
		n := founded(t, seed, 3)
		n.run(5*time.Second + time.Duration(n.rng.IntN(100))*time.Millisecond)
		victim := n.nodes[seed%3]
		if owned(n.newest())[victim.id] == 0 {
			t.Fatal("it owns nothing")
		}
		victim.kill()
		worst = max(worst, n.until(time.Second, "failover", n.served))
		n.until(time.Second, "the rest agrees", n.agreed)
		victim.start()
		n.until(5*time.Second, "it comes back", func() bool {
			m, _ := n.newest().Member(ring.NodeID(victim.id))
			return m.State == ring.Up && n.settled() && len(owned(n.newest())) == 3
		})
	}
	t.Logf("at worst %v", worst)
	if worst > 700*time.Millisecond {
		t.Errorf("a failover took %v", worst)
	}
}

// TestOneTakesOver kills the coordinator of five: one of the others proposes, and
// does not duel.
func TestOneTakesOver(t *testing.T) {
	n := founded(t, 25, 5)
	n.run(time.Second)
	n.node(quorum.NodeID(n.newest().Coordinator)).kill()
	n.until(time.Second, "failover", n.served)
	proposers := 0
	for _, node := range n.up() {
		if node.c.Status().Register.Rounds > 0 {
			proposers++
		}
	}
	if proposers != 1 {
		t.Errorf("%d nodes proposed", proposers)
	}
}

// TestMostAdvancedReplicaTakesOver kills an owner: the replica whose logs go
// furthest gets its slots.
func TestMostAdvancedReplicaTakesOver(t *testing.T) {
	for _, ahead := range []quorum.NodeID{1, 2} {
		n := founded(t, 26, 3)
		n.node(ahead).last = 7
		n.run(time.Second)
		before := owned(n.newest())
		n.node(3).kill()
		n.until(time.Second, "failover", func() bool { return owned(n.newest())[3] == 0 })
		if got, want := owned(n.newest())[ahead], before[ahead]+before[3]; got != want {
			t.Errorf("%s owns %d slots, not %d: before %v", ahead, got, want, before)
		}
	}
}

// TestQuickRestart restarts a node before anybody misses it: its slots are
// served again without a view.
func TestQuickRestart(t *testing.T) {
	n := founded(t, 4, 3)
	n.run(time.Second)
	epoch := n.newest().Epoch
	n.node(2).kill()
	n.run(100 * time.Millisecond)
	n.node(2).jammed = true
	n.node(2).start()
	n.run(50 * time.Millisecond)
	if known, all := len(n.node(1).c.Status().Active), len(n.newest().Slots); known != all-owned(n.newest())[2] {
		t.Errorf("%d slots of %d count as served by what an earlier start of n2 said", known, all)
	}
	n.node(2).jammed = false
	n.until(2*time.Second, "it serves again", n.settled)
	if n.newest().Epoch != epoch {
		t.Errorf("epoch %d became %d", epoch, n.newest().Epoch)
	}
}

func TestMinorityIsReplaced(t *testing.T) {
	n := founded(t, 5, 5)
	n.run(time.Second)
	old := quorum.NodeID(n.newest().Coordinator)
	other := quorum.NodeID(1)
	if old == 1 {
		other = 2
	}
	var rest []quorum.NodeID
	for id := quorum.NodeID(1); id <= 5; id++ {
		if id != old && id != other {
			rest = append(rest, id)
		}
	}
	n.split([]quorum.NodeID{old, other}, rest)
	lives := func(id ring.NodeID) bool { return slices.Contains(rest, quorum.NodeID(id)) }
	n.until(2*time.Second, "the majority coordinates itself and serves what it can", func() bool {
		v := n.newest()
		return lives(v.Coordinator) && !slices.ContainsFunc(v.Slots, func(r ring.Row) bool {
			return !lives(r.Owner()) && lives(r.Replicas[1]) && lives(r.Replicas[2])
		})
	})
	if n.served() {
		t.Error("slots are served whose majority is on the other side")
	}
	if n.node(old).c.Status().Quorum {
		t.Error("the old coordinator believes that it has a quorum")
	}
	n.split()
	n.until(5*time.Second, "healed", n.settled)
	n.until(10*time.Second, "slots are spread again", func() bool { return len(owned(n.newest())) == 5 && n.settled() })
}

// TestPausedCoordinator stops the coordinator's loop for a while. When it goes
// on it blames nobody for not having been heard.
func TestPausedCoordinator(t *testing.T) {
	n := founded(t, 7, 3)
	n.run(time.Second)
	node := n.node(quorum.NodeID(n.newest().Coordinator))
	c := node.c
	node.c = nil // life goes on: what comes meanwhile is lost
	n.until(2*time.Second, "others take over", n.served)
	epoch := n.newest().Epoch
	node.c = c
	node.do(func(c *Control) { c.Tick(n.now) })
	if unheard := c.Status().Unheard; len(unheard) > 0 {
		t.Errorf("it blames %v", unheard)
	}
	n.run(200 * time.Millisecond)
	if v := c.View(); v.Epoch < epoch || v.Coordinator == ring.NodeID(node.id) {
		t.Errorf("epoch %d, coordinator %s", v.Epoch, v.Coordinator)
	}
	n.until(5*time.Second, "settled", n.settled)
}

func TestDeadMemberIsReplaced(t *testing.T) {
	n := founded(t, 8, 5)
	n.run(time.Second)
	n.node(4).kill()
	n.until(2*time.Second, "failover", n.served)
	n.until(20*time.Second, "its replicas are replaced after the grace", func() bool {
		v := n.newest()
		return n.agreed() && !slices.ContainsFunc(v.Slots, func(r ring.Row) bool { return r.Names(4) || len(r.Replicas) < 3 })
	})
	n.node(4).start()
	n.until(10*time.Second, "it comes back", func() bool { return n.settled() && owned(n.newest())[4] > 0 })
}

func TestDrain(t *testing.T) {
	n := founded(t, 9, 3)
	n.run(time.Second)
	node := n.node(quorum.NodeID(n.newest().Coordinator))
	node.do(func(c *Control) { c.Drain(n.now) })
	n.until(3*time.Second, "drained", func() bool { return node.retired })
	v := n.newest()
	if owned(v)[node.id] != 0 || v.Coordinator == ring.NodeID(node.id) || !v.IsVoter(ring.NodeID(node.id)) {
		t.Errorf("it owns %d slots, coordinator %s, voters %v", owned(v)[node.id], v.Coordinator, v.Voters)
	}
	node.kill()
	n.run(time.Second)
	if !n.served() {
		t.Error("its end was noticed")
	}
	node.start()
	n.until(10*time.Second, "up again", func() bool {
		m, _ := n.newest().Member(ring.NodeID(node.id))
		return m.State == ring.Up && n.settled() && owned(n.newest())[node.id] > 0
	})
}

// TestRetireOfTwo has the coordinator of two, which is the only voter, drain or leave: the
// other one takes its place.
func TestRetireOfTwo(t *testing.T) {
	for _, how := range []func(*Control, quorum.Instant){(*Control).Drain, (*Control).Leave} {
		n := founded(t, 52, 2)
		node := n.node(quorum.NodeID(n.newest().Coordinator))
		node.do(func(c *Control) { how(c, n.now) })
		n.until(5*time.Second, "retired", func() bool { return node.retired })
		other := ring.NodeID(3 - node.id)
		n.until(time.Second, "one voter again", func() bool {
			v := n.newest()
			return v.Coordinator == other && len(v.Voters) == 1 && v.Voters[0] == other && owned(v)[quorum.NodeID(other)] == len(v.Slots)
		})
	}
}

// TestLeaveAfterDrain has a node leave that was drained before: that the one is
// done says nothing of the other.
func TestLeaveAfterDrain(t *testing.T) {
	n := founded(t, 10, 4)
	n.run(time.Second)
	node := n.node(2)
	node.do(func(c *Control) { c.Drain(n.now) })
	n.until(3*time.Second, "drained", func() bool { return node.retired })
	node.retired = false
	node.do(func(c *Control) { c.Leave(n.now) })
	n.run(10 * time.Millisecond)
	if node.retired {
		t.Fatal("it has left at once")
	}
	n.until(15*time.Second, "left", func() bool { return node.retired })
	if isMember(n.newest(), node.id) {
		t.Error("it still is a member")
	}
}

func TestLeave(t *testing.T) {
	n := founded(t, 10, 4)
	n.run(time.Second)
	node := n.node(quorum.NodeID(n.newest().Coordinator))
	node.do(func(c *Control) { c.Leave(n.now) })
	n.until(15*time.Second, "left", func() bool { return node.retired })
	node.kill()
	v := n.newest()
	if isMember(v, node.id) {
		t.Error("it still is a member")
	}
	stored := 0
	for _, id := range v.Voters {
		c, err := NewControl(n.now, n.node(quorum.NodeID(id)).conf, n.node(quorum.NodeID(id)).disk)
		if err != nil {
			t.Fatal(err)
		}
		if c.View().Epoch == v.Epoch {
			stored++
		}
	}
	if stored < quorum.Majority(len(v.Voters)) {
		t.Errorf("it went when %d of %d voters had stored the view", stored, len(v.Voters))
	}
	n.until(5*time.Second, "the others go on", n.settled)
	// It cannot come back with that disk: whoever it asks tells it so.
	node.start()
	n.until(3*time.Second, "it is told", func() bool { return node.c == nil })
	if !errors.Is(node.stop, ErrLeft) {
		t.Errorf("it stops for %v", node.stop)
	}
}

// TestLeftWhileDown is told that it was removed although its disk says that it
// is a member.
func TestLeftWhileDown(t *testing.T) {
	n := founded(t, 11, 4)
	n.run(time.Second)
	node := n.node(4)
	disk := node.disk
	node.do(func(c *Control) { c.Leave(n.now) })
	n.until(15*time.Second, "left", func() bool { return node.retired })
	node.kill()
	node.disk = disk // the save of the last view was lost
	n.run(3 * time.Second)
	node.start()
	n.until(3*time.Second, "it is told", func() bool { return node.c == nil })
	if !errors.Is(node.stop, ErrLeft) {
		t.Errorf("it stops for %v", node.stop)
	}
}

// TestLeftWhileCutOff removes a node that leaves, and hears of it only when the others
// have forgotten it, or are elsewhere: it is told, and that a majority has stored the
// view.
func TestLeftWhileCutOff(t *testing.T) {
	for _, hears := range []bool{true, false} { // of its removal, but not of who has stored it
		n := founded(t, 12, 4)
		n.run(time.Second)
		node := n.node(4)
		node.do(func(c *Control) { c.Leave(n.now) })
		n.until(time.Second, "leaving", func() bool { return node.c.retire.state == ring.Leaving && node.c.View().Epoch > 1 })
		n.split([]quorum.NodeID{1, 2, 3}, []quorum.NodeID{4})
		n.until(15*time.Second, "removed", func() bool { return !isMember(n.newest(), node.id) })
		if hears {
			node.do(func(c *Control) { c.register.Adopt(n.now, *n.node(1).c.register.View()) })
		}
		n.run(forgetPeers + time.Second)
		for _, other := range n.nodes[:3] {
			if !hears {
				other.kill()
				other.addr += "23"
				other.conf.Member.Addr = other.addr
				node.c.cfg.Seeds = append(node.c.cfg.Seeds, other.addr)
				other.start()
			}
		}
		n.run(time.Second)
		if node.retired {
			t.Fatal("it has left, though nobody can have told it that the view is stored")
		}
		n.split()
		n.until(5*time.Second, "left", func() bool { return node.retired })
	}
}

func TestNameTaken(t *testing.T) {
	n := founded(t, 12, 3)
	twin := n.add(9, 0, 1)
	twin.name, twin.conf.Member.Name = "n2", "n2"
	twin.start()
	n.run(3 * time.Second)
	if s := twin.c.Status(); s.View != nil || !strings.Contains(s.Waiting, "n2 with another disk") {
		t.Fatalf("the second n2: view %v, waiting %q", s.View, s.Waiting)
	}
	// The first one's disk is lost: the second takes its place.
	n.node(2).kill()
	n.until(15*time.Second, "the new disk replaces the old one", func() bool {
		v := n.newest()
		return isMember(v, 9) && !isMember(v, 2) && n.settled()
	})
}

// TestNameTakenLongAgo refuses a node because of its name, and then there is no mesh
// for longer than it may be refused. When one comes back that has not heard of the
// other disk, that is no refusal, and the node waits on and gets its place.
func TestNameTakenLongAgo(t *testing.T) {
	n := founded(t, 12, 3)
	twin := n.add(9, 0, 1, 3)
	twin.name, twin.conf.Member.Name = "n2", "n2"
	twin.start()
	n.until(3*time.Second, "it is refused", func() bool { return strings.Contains(twin.c.Status().Waiting, "n2 with another disk") })
	for _, i := range []quorum.NodeID{2, 1, 3} {
		n.node(i).kill()
	}
	n.run(joinPatience + 2*time.Second)
	n.node(1).start()
	n.node(3).start()
	n.until(15*time.Second, "the new disk replaces the old one", func() bool {
		if twin.c == nil {
			t.Fatalf("it stopped: %v", twin.stop)
		}
		v := n.newest()
		return isMember(v, 9) && !isMember(v, 2) && n.settled()
	})
}

func TestNameTakenForGood(t *testing.T) {
	n := founded(t, 13, 1)
	twin := n.add(9, 0, 1)
	twin.name, twin.conf.Member.Name = "n1", "n1"
	twin.start()
	n.until(joinPatience+2*time.Second, "it gives up", func() bool { return twin.c == nil })
	if !errors.Is(twin.stop, ErrNameTaken) {
		t.Errorf("it stops for %v", twin.stop)
	}
}

// TestCopiedDisk runs a copy of a node's disk beside it, at another address.
func TestCopiedDisk(t *testing.T) {
	n := founded(t, 14, 3)
	n.run(time.Second)
	original := n.node(3)
	twin := n.add(3, 0)
	twin.disk, twin.boot = original.disk, original.boot-1
	twin.addr = "elsewhere:1"
	twin.conf.Member = original.conf.Member
	twin.conf.Member.Addr = twin.addr
	twin.conf.Seeds = []string{"host1:1"}
	twin.start()
	n.until(2*time.Second, "the copy stops", func() bool { return twin.c == nil })
	var refused *quorum.RefusedError
	if !errors.As(twin.stop, &refused) {
		t.Errorf("it stops for %v", twin.stop)
	}
}

func TestOtherMeshIsRefused(t *testing.T) {
	n := founded(t, 15, 1)
	other := n.add(7, 1)
	other.start()
	n.until(2*time.Second, "another mesh", func() bool { return other.c.View() != nil })
	first := n.node(1).c.View().Cluster
	other.c.Answered(n.now, "host1:1", ControlView, mustAnswer(t, n.node(1).c), nil)
	if other.c.View().Cluster == first || !strings.Contains(other.c.Status().Waiting, "belongs to the mesh") {
		t.Errorf("waiting %q", other.c.Status().Waiting)
	}
}

func mustAnswer(t *testing.T, c *Control) []byte {
	kind, body := c.answerView()
	if kind != ControlView {
		t.Fatalf("the answer is %s", kind)
	}
	return body
}

// TestControlRandom kills, restarts and cuts off nodes at random. There is never
// more than one view of an epoch, and when it ends all agree soon.
func TestControlRandom(t *testing.T) {
	takeovers := 0
	for seed := range uint64(16) {
		n := founded(t, seed, 5)
		ids := []quorum.NodeID{1, 2, 3, 4, 5}
		coordinator := n.newest().Coordinator
		for range 40 {
			node := n.nodes[n.rng.IntN(len(n.nodes))]
			switch n.rng.IntN(5) {
			case 0, 1:
				if node.c != nil {
					node.kill()
				} else {
					node.start()
				}
			case 2:
				n.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
				i := 1 + n.rng.IntN(4)
				n.split(slices.Clone(ids[:i]), slices.Clone(ids[i:]))
			case 3:
				n.cut[[2]quorum.NodeID{ids[n.rng.IntN(5)], ids[n.rng.IntN(5)]}] = true // one way
			case 4:
				n.split()
			}
			n.run(time.Duration(n.rng.IntN(600)) * time.Millisecond)
			if v := n.newest(); v != nil && v.Coordinator != coordinator {
				takeovers++
				coordinator = v.Coordinator
			}
		}
		n.split()
		for _, node := range n.nodes {
			if node.c == nil {
				if node.stop != nil {
					t.Fatalf("seed %d: %s has stopped: %v", seed, node.name, node.stop)
				}
				node.start()
			}
		}
		n.until(20*time.Second, "converged", n.settled)
	}
	if takeovers < 10 {
		t.Errorf("only %d times did somebody take over", takeovers)
	}
}

func FuzzControlStep(f *testing.F) {
	add := func(kind ControlKind, body []byte) { f.Add(uint8(kind), body) }
	m := ring.Member{ID: 2, Name: "n2", Addr: "host2:1", Weight: 1, Kinds: []string{"cart"}}
	add(ControlJoin, (&joinMessage{Member: m, Start: quorum.Start{Node: 2, Boot: 1, Nonce: 1}}).encode())
	add(ControlRefusal, (&refusalMessage{Text: "no"}).encode())
	add(ControlQuiesce, (&quiesceMessage{Slots: []slotEpoch{{1, 1}, {900, 1}}}).encode())
	add(ControlFacts, (&facts{
		Boot: 1, Seq: 1, Unheard: []quorum.NodeID{1}, Active: []slotBallot{{1, quorum.Ballot{Epoch: 1, Boot: 1}}},
		Quiesced: []slotBallot{{4000, quorum.Ballot{Epoch: 1, Boot: 1}}}, CaughtUp: []slotLearner{{3000, 1, 2}},
		Positions: []SlotPosition{{2000, quorum.Position{LSN: 4}}},
	}).encode())
	view, err := foundingView([]quorum.Candidate{candidateOf(1), candidateOf(2)})
	if err != nil {
		f.Fatal(err)
	}
	add(ControlView, (&viewMessage{From: m, View: *view}).encode())
	hello := quorum.FoundMessage{Kind: quorum.FoundHello, Expect: 2, From: candidateOf(2)}
	add(ControlFound, hello.AppendTo(nil))
	learn := quorum.RegisterMessage{Kind: quorum.RegisterLearn, Version: view.Version, View: *view}
	add(ControlRegister, learn.AppendTo(nil))
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		c, err := NewControl(0, ControlConfig{
			Start: quorum.Start{Node: 1, Boot: 1, Nonce: 1}, Member: ring.Member{Name: "n1", Addr: "host1:1"}, Expect: 2, Slots: 8, Replication: 2,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Tick(1)
		_ = c.Step(1, 2, ControlKind(kind), body) // refusing it is right
		c.Asked(2, 1, ControlKind(kind), body)
		c.register.Adopt(3, *view)
		c.Tick(4)
		c.Persisted(4, c.Ready().Seq)
		_ = c.Step(5, 2, ControlKind(kind), body)
		c.Asked(6, 2, ControlKind(kind), body)
		c.Answered(6, "host2:1", ControlKind(kind), body, nil)
		c.Tick(quorum.Instant(time.Second))
		c.Status()
		c.Ready()
	})
}

func candidateOf(id quorum.NodeID) quorum.Candidate {
	body := foundingBody{ring.Member{ID: ring.NodeID(id), Name: "n", Addr: "host:1", Weight: 1}, 8, 2}
	return quorum.Candidate{Start: quorum.Start{Node: id, Boot: 1, Nonce: 1}, Name: "n", Body: body.encode()}
}

func TestControlMessagesTruncated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	f := facts{Boot: 1, Seq: 2, Unheard: []quorum.NodeID{quorum.NodeID(rng.Uint64())}, Positions: []SlotPosition{{1, quorum.Position{LSN: 9}}}}
	full := f.encode()
	for i := range full {
		if _, err := decodeFacts(full[:i]); !errors.Is(err, ErrControl) {
			t.Fatalf("%d of %d bytes: %v", i, len(full), err)
		}
	}
	again, err := decodeFacts(full)
	if err != nil || string(again.encode()) != string(full) {
		t.Fatalf("%+v, %v", again, err)
	}
	j := joinMessage{Member: ring.Member{ID: 4, Name: "n4", Kinds: []string{"a", "b"}}, Start: quorum.Start{Node: 4, Boot: 1, Nonce: 2}}
	full = j.encode()
	for i := range full {
		if _, err := decodeJoin(full[:i]); !errors.Is(err, ErrControl) {
			t.Fatalf("%d of %d bytes: %v", i, len(full), err)
		}
	}
}

// TestLeavesForGood starts a node again that was told to leave, before it has stored that
// it does: its new process, which does not know, changes nothing about it.
func TestLeavesForGood(t *testing.T) {
	n := founded(t, 62, 4)
	node := n.node(4)
	node.conf.Member.Weight = 1 // so that there is something to say of it
	before := node.disk
	node.do(func(c *Control) { c.Leave(n.now) })
	state := func() string {
		m, ok := n.newest().Member(4)
		if !ok {
			return "none"
		}
		return m.State.String()
	}
	n.until(5*time.Second, "it leaves", func() bool { return state() != "up" })
	node.kill()
	node.disk = before
	node.start()
	states := []string{state()}
	for range 15_000 {
		n.run(time.Millisecond)
		if is := state(); is != states[len(states)-1] {
			states = append(states, is)
		}
	}
	if !slices.Equal(states, []string{"leaving", "none"}) || !errors.Is(node.stop, ErrLeft) {
		t.Errorf("it is %s, and has ended with %v", states, node.stop)
	}
}

// TestJoiningIsPaced has a node ask to join where no majority is there to let it
// in: it asks from time to time, and not as fast as it is answered.
func TestJoiningIsPaced(t *testing.T) {
	n := founded(t, 42, 3)
	n.node(2).kill()
	n.node(3).kill()
	joiner := n.add(4, 0, 1).start()
	n.run(6 * time.Second)
	if most := 4 * int(6*time.Second/askPeriod); joiner.asks == 0 || joiner.asks > most {
		t.Errorf("%d questions in 6 s, at most %d were to be", joiner.asks, most)
	}
}

// TestJoinAsksWhoIsBehind has a node ask a member that has not heard yet that it
// was let in. That member must not tell it that it has left.
func TestJoinAsksWhoIsBehind(t *testing.T) {
	n := founded(t, 43, 3)
	for _, other := range []quorum.NodeID{1, 3} {
		n.cut[[2]quorum.NodeID{other, 2}], n.cut[[2]quorum.NodeID{2, other}] = true, true
	}
	joiner := n.add(4, 0, 2, 1).start()
	n.run(300 * time.Millisecond) // sooner than anybody is dead; only n4 can tell n2
	if joiner.c == nil || joiner.c.View() == nil {
		t.Fatalf("n4 has not joined: %v", joiner.stop)
	}
	clear(n.cut)
	n.until(5*time.Second, "agreement", n.agreed)
	if joiner.c == nil {
		t.Errorf("n4 has stopped: %v", joiner.stop)
	}
}

// TestLeavingGoesOnAfterRestart has a node start anew while it leaves. It goes on
// leaving, and when it is done it stops: nobody is there to be told.
func TestLeavingGoesOnAfterRestart(t *testing.T) {
	n := founded(t, 44, 4)
	leaver := n.node(4)
	leaver.do(func(c *Control) { c.Leave(n.now) })
	n.until(3*time.Second, "the view has it leaving", func() bool {
		m, _ := n.newest().Member(4)
		return m.State == ring.Leaving
	})
	leaver.kill()
	n.run(20 * time.Millisecond)
	leaver.start()
	n.until(10*time.Second, "it stops", func() bool { return leaver.c == nil })
	if !errors.Is(leaver.stop, ErrLeft) {
		t.Errorf("it stops with: %v", leaver.stop)
	}
}
