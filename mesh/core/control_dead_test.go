package core

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// Who is dead, and what is planned on it.

// TestHeardByAReplica cuts one member off from the coordinator only: it keeps
// its slots, since its replicas hear it.
func TestHeardByAReplica(t *testing.T) {
	n := founded(t, 6, 3)
	n.run(time.Second)
	coordinator := quorum.NodeID(n.newest().Coordinator)
	member := quorum.NodeID(1)
	if coordinator == 1 {
		member = 2
	}
	before := owned(n.newest())[member]
	n.cut[[2]quorum.NodeID{member, coordinator}] = true
	n.cut[[2]quorum.NodeID{coordinator, member}] = true
	n.run(5 * time.Second)
	v := n.newest()
	if quorum.NodeID(v.Coordinator) != coordinator || owned(v)[member] != before || before == 0 {
		t.Errorf("coordinator %s, which was %s; %s owns %d slots, and owned %d", v.Coordinator, coordinator, member, owned(v)[member], before)
	}
}

// TestDeadStaysDown has a node join while another is dead. To those who share its
// slots since then it is as dead as to those who have found it so: it does not
// come up, and its replicas are not kept for longer.
func TestDeadStaysDown(t *testing.T) {
	n := founded(t, 41, 4)
	n.node(4).kill()
	state := func() ring.MemberState {
		m, _ := n.newest().Member(4)
		return m.State
	}
	n.until(3*time.Second, "the death is noticed", func() bool { return state() == ring.Down })
	died := n.now
	n.run(time.Second)
	n.add(5, 0, 1).start()
	joined := false
	n.until(8*time.Second, "the dead one is replaced", func() bool {
		_, is := n.newest().Member(5)
		if joined = joined || is; state() == ring.Up {
			t.Fatalf("the dead member is up again\n%s", n)
		}
		for i := range n.newest().Slots {
			if n.newest().Slots[i].Names(4) {
				return false
			}
		}
		return joined
	})
	if took := n.now.Sub(died); took > 7*time.Second { // 5 s of grace, and the work
		t.Errorf("it took %v", took)
	}
}

// TestManyReplaceTheDead kills one of twenty, of whom most do not listen to each other: those
// that begin to, as they copy its slots, do not bring it back to life.
func TestManyReplaceTheDead(t *testing.T) {
	for _, drained := range []bool{false, true} {
		n := founded(t, 100, 20)
		n.run(3 * time.Second)
		dies := ring.NodeID(20)
		for n.newest().IsVoter(dies) || n.newest().Coordinator == dies {
			dies--
		}
		if drained {
			n.node(quorum.NodeID(dies)).do(func(c *Control) { c.Drain(n.now) })
			n.run(time.Second)
		}
		n.node(quorum.NodeID(dies)).kill()
		var states []ring.MemberState
		for range 12_000 {
			n.run(2 * time.Millisecond)
			if m, _ := n.newest().Member(dies); len(states) == 0 || m.State != states[len(states)-1] {
				states = append(states, m.State)
			}
		}
		named := slices.ContainsFunc(n.newest().Slots, func(r ring.Row) bool { return r.Names(dies) })
		if len(states) > 2 || named {
			t.Errorf("drained %t: its states are %v; slots name it: %t", drained, states, named)
		}
	}
}

// TestCutLinkIsQuiet cuts the coordinator of five off from one of the others, and starts others
// again, now and then. Then nothing is planned any more: what the one serves is told to
// others only.
func TestCutLinkIsQuiet(t *testing.T) {
	for seed := range uint64(16) {
		n := founded(t, 7000+seed, 5)
		rng := rand.New(rand.NewPCG(seed, 1))
		n.run(3 * time.Second)
		first := quorum.NodeID(n.newest().Coordinator)
		far := first%5 + 1
		n.cut[[2]quorum.NodeID{first, far}], n.cut[[2]quorum.NodeID{far, first}] = true, true
		for range 8 {
			n.run(2*time.Second + time.Duration(rng.Int64N(int64(2*time.Second))))
			id := quorum.NodeID(rng.IntN(5) + 1)
			if id == first || id == far {
				continue
			}
			n.node(id).kill()
			n.run(50*time.Millisecond + time.Duration(rng.Int64N(int64(1500*time.Millisecond))))
			n.node(id).start()
		}
		n.run(10 * time.Second)
		was := n.newest().Epoch
		n.run(60 * time.Second)
		if v := n.newest(); v.Epoch > was+2 { // of slots that were stuck once
			t.Errorf("seed %d: %d views in a minute", seed, v.Epoch-was)
		}
	}
}

// TestDownAndCutOff starts a node that is down again, and only the coordinator does not hear
// it: nothing is planned on what others say of it, which cannot tell what it serves.
func TestDownAndCutOff(t *testing.T) {
	n := founded(t, 7, 3)
	n.run(3 * time.Second)
	c := quorum.NodeID(n.newest().Coordinator)
	dies := c%3 + 1
	n.node(dies).kill()
	n.run(2 * time.Second)
	n.cut[[2]quorum.NodeID{dies, c}], n.cut[[2]quorum.NodeID{c, dies}] = true, true
	n.node(dies).start()
	n.run(time.Second)
	was := n.newest().Epoch
	n.run(20 * time.Second)
	if v := n.newest(); v.Epoch != was {
		t.Errorf("%d views in 20 s", v.Epoch-was)
	}
	n.split()
	n.run(2 * time.Second)
	if m, _ := n.newest().Member(ring.NodeID(dies)); m.State != ring.Up {
		t.Errorf("heard, it is %s", m.State)
	}
}

// TestTakeOverAlone has a voter propose to take over, and then miss everybody: what it
// proposed is not out any more when they are back.
func TestTakeOverAlone(t *testing.T) {
	n := founded(t, 54, 3)
	n.node(quorum.NodeID(n.newest().Coordinator)).kill()
	var proposer *Control
	n.until(5*time.Second, "a proposal", func() bool {
		for _, p := range n.nodes {
			if p.c != nil && p.c.register.Proposing() {
				proposer = p.c
			}
		}
		return proposer != nil
	})
	n.split([]quorum.NodeID{1}, []quorum.NodeID{2}, []quorum.NodeID{3})
	n.run(time.Second)
	if proposer.register.Proposing() {
		t.Error("it still proposes")
	}
}

// TestTakeOverGoesOn has a voter propose to take over when another one starts again, which
// cannot tell yet whether it hears the coordinator: that is no reason to wait.
func TestTakeOverGoesOn(t *testing.T) {
	n := founded(t, 60, 3)
	first := quorum.NodeID(n.newest().Coordinator)
	second, third := first%3+1, (first+1)%3+1
	n.node(first).kill()
	n.until(5*time.Second, "a proposal", func() bool {
		return n.node(second).c.register.Proposing() || n.node(third).c.register.Proposing()
	})
	if n.node(third).c.register.Proposing() {
		second, third = third, second
	}
	n.node(third).kill()
	n.run(20 * time.Millisecond)
	n.node(third).start()
	n.run(200 * time.Millisecond)
	if got := quorum.NodeID(n.newest().Coordinator); got != second {
		t.Errorf("after 200 ms the coordinator is %s", got)
	}
}

// TestDrainedStaysDead has a node end that was drained, whose state the view goes on to
// show, and others of its slots start again meanwhile, which do not miss it yet: its
// grace is counted from its end.
func TestDrainedStaysDead(t *testing.T) {
	n := founded(t, 43, 5)
	coordinator := quorum.NodeID(n.newest().Coordinator)
	others := slices.DeleteFunc([]quorum.NodeID{1, 2, 3, 4, 5}, func(id quorum.NodeID) bool { return id == coordinator })
	drained := n.node(others[0])
	drained.do(func(c *Control) { c.Drain(n.now) })
	n.until(3*time.Second, "drained", func() bool { return drained.retired })
	drained.kill()
	died := n.now
	for _, id := range others[1:] {
		n.run(1100 * time.Millisecond)
		n.node(id).kill()
		n.node(id).start()
	}
	n.until(8*time.Second, "the dead one is replaced", func() bool {
		return !slices.ContainsFunc(n.newest().Slots, func(r ring.Row) bool { return r.Names(ring.NodeID(others[0])) })
	})
	if took := n.now.Sub(died); took > 7*time.Second { // 5 s of grace, and the work
		t.Errorf("it took %v", took)
	}
}

// TestGraceIsOfThisCoordinator has a member die while one node coordinates, and again
// when that one does so anew: of what was in between it may not have heard, for it does
// not hear that member. The grace counts from the second death.
func TestGraceIsOfThisCoordinator(t *testing.T) {
	n := founded(t, 61, 6)
	first := quorum.NodeID(n.newest().Coordinator)
	others := slices.DeleteFunc([]quorum.NodeID{1, 2, 3, 4, 5, 6}, func(id quorum.NodeID) bool { return id == first })
	dies := others[0]
	n.node(dies).kill()
	n.run(time.Second)
	n.split([]quorum.NodeID{first}, others)
	n.run(2 * time.Second)
	n.split()
	n.run(time.Second) // it learns the newer view
	n.cut[[2]quorum.NodeID{first, dies}], n.cut[[2]quorum.NodeID{dies, first}] = true, true
	n.node(dies).start()
	n.run(20 * time.Second)
	replicas := func() (count int) {
		for i := range n.newest().Slots {
			if n.newest().Slots[i].Has(ring.NodeID(dies)) {
				count++
			}
		}
		return count
	}
	had := replicas()
	n.node(quorum.NodeID(n.newest().Coordinator)).kill()
	n.node(dies).kill()
	n.run(2 * time.Second) // of 5 s of grace
	if v := n.newest(); quorum.NodeID(v.Coordinator) != first || replicas() != had || !v.IsVoter(ring.NodeID(dies)) {
		t.Errorf("coordinator %s: %d replicas of %d, a voter: %t", v.Coordinator, replicas(), had, v.IsVoter(ring.NodeID(dies)))
	}
}

// TestOldProposalIsNotDecided has the coordinator of five plan to do without a voter that
// is gone, while another one is down, and then the other two die. When the first two come
// back, what was planned is not decided: its voters would be the coordinator and two dead.
func TestOldProposalIsNotDecided(t *testing.T) {
	n := founded(t, 50, 5)
	c := n.node(quorum.NodeID(n.newest().Coordinator)).c
	others := slices.DeleteFunc(toQuorum(n.newest().Voters), func(id quorum.NodeID) bool { return id == c.self })
	die, back := others[:2], others[2:]
	n.node(back[0]).kill()
	n.run(8 * time.Second) // its grace is over, and it keeps its vote: four would be an even number
	n.node(back[1]).kill()
	n.run(time.Second) // it is Down
	was := n.newest()
	n.until(10*time.Second, "a proposal", func() bool { return c.register.Proposing() })
	for _, id := range die {
		n.node(id).kill()
	}
	n.run(2 * time.Second)
	if len(n.newest().Voters) != 5 {
		t.Fatalf("the plan was decided before they died: %v", n.newest().Voters)
	}
	for _, id := range back {
		n.node(id).start()
	}
	n.run(5 * time.Second)
	if v := n.newest(); v.Epoch == was.Epoch || !c.Status().Quorum {
		t.Errorf("epoch %d, after %d; voters %v, of which %s hears a majority: %t", v.Epoch, was.Epoch, v.Voters, c.self, c.Status().Quorum)
	}
}

// TestTakeOverIsGivenUp has a voter miss the coordinator, and hear it again before it has taken
// over: it does not do so any more.
func TestTakeOverIsGivenUp(t *testing.T) {
	n := founded(t, 53, 3)
	was := n.newest()
	first := quorum.NodeID(was.Coordinator)
	second, third := first%3+1, (first+1)%3+1
	n.split([]quorum.NodeID{first}, []quorum.NodeID{second, third})
	n.until(5*time.Second, "a proposal", func() bool {
		return n.node(second).c.register.Proposing() || n.node(third).c.register.Proposing()
	})
	if n.node(third).c.register.Proposing() {
		second, third = third, second
	}
	n.split([]quorum.NodeID{second}, []quorum.NodeID{third}) // and so from its voters
	n.run(200 * time.Millisecond)
	n.split()
	n.run(2 * time.Second)
	if v := n.newest(); v.Epoch != was.Epoch || n.node(second).c.register.Proposing() {
		t.Errorf("epoch %d, coordinator %s", v.Epoch, v.Coordinator)
	}
}

// TestCutLinkIsNoDeath cuts the coordinator of three off from one of them, whom the third
// hears. When the third starts again, the other one is still up.
func TestCutLinkIsNoDeath(t *testing.T) {
	n := founded(t, 51, 3)
	first := quorum.NodeID(n.newest().Coordinator)
	second, third := first%3+1, (first+1)%3+1
	n.run(3 * time.Second)
	n.cut[[2]quorum.NodeID{first, second}], n.cut[[2]quorum.NodeID{second, first}] = true, true
	n.run(3 * time.Second)
	n.node(third).kill()
	n.run(700 * time.Millisecond)
	if !n.node(first).c.peers[second].silent {
		t.Fatal("it is heard")
	}
	n.node(third).start()
	for range 3000 {
		n.run(time.Millisecond)
		v := n.newest()
		if m, _ := v.Member(ring.NodeID(second)); m.State != ring.Up {
			t.Fatalf("epoch %d: it is %s", v.Epoch, m.State)
		}
	}
	if got := quorum.NodeID(n.newest().Coordinator); got != first || !n.node(second).c.hearsQuorum() {
		t.Errorf("the coordinator is %s", got)
	}
}
