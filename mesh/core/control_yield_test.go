package core

import (
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// A node that yields owns nothing and coordinates nothing, and gets both back.
func TestYield(t *testing.T) {
	n := founded(t, 31, 3)
	n.run(time.Second)
	node := n.node(quorum.NodeID(n.newest().Coordinator))
	node.do(func(c *Control) { c.Yield(n.now, "the disk is full") })
	n.until(3*time.Second, "yielded", func() bool {
		v := n.newest()
		return owned(v)[node.id] == 0 && v.Coordinator != ring.NodeID(node.id)
	})
	if node.retired {
		t.Error("it counts as retired")
	}
	if s := node.c.Status(); s.Yielding != "the disk is full" {
		t.Errorf("it says %q", s.Yielding)
	}
	node.do(func(c *Control) { c.Yield(n.now, "") })
	n.until(10*time.Second, "back", func() bool { return n.settled() && owned(n.newest())[node.id] > 0 })
}

// The one whose wall clock is wrong yields, and nobody else does.
func TestYieldForClock(t *testing.T) {
	n := founded(t, 32, 3)
	n.run(time.Second)
	wrong := n.up()[1]
	wrong.wall = 2 * time.Minute
	n.until(3*time.Second, "yielded", func() bool { return owned(n.newest())[wrong.id] == 0 })
	n.run(time.Second)
	for _, node := range n.up() {
		if yields := node.c.Status().Yielding != ""; yields != (node == wrong) {
			t.Errorf("node %s yields: %v", node.id, yields)
		}
	}
	wrong.wall = 59 * time.Second
	n.until(10*time.Second, "back", func() bool { return n.settled() && owned(n.newest())[wrong.id] > 0 })
}
