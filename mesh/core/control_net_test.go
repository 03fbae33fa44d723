package core

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// controlNet is a mesh of control cores in virtual time. Shards are stood in for
// by controlNode.slots, which seal and lease as real ones do and hold no data.
type controlNet struct {
	t      *testing.T
	rng    *rand.Rand
	now    quorum.Instant
	nodes  []*controlNode
	queue  []controlEvent // by time
	events uint64
	cut    map[[2]quorum.NodeID]bool // messages from the first to the second are lost
	views  map[viewKey]string        // one for each epoch, whoever had it first
	slots  int
	lease  time.Duration
}

type viewKey struct {
	cluster ring.ClusterID
	epoch   ring.Epoch
}

type controlEvent struct {
	at  quorum.Instant
	seq uint64
	run func()
}

// controlNode is one disk, and the process that runs on it.
type controlNode struct {
	wall  time.Duration // how far its wall clock is ahead
	net   *controlNet
	id    quorum.NodeID
	name  string
	addr  string
	conf  ControlConfig
	disk  []byte
	boot  quorum.Boot
	c     *Control // nil while no process runs
	life  int      // counts processes
	addrs map[quorum.NodeID]string

	slots      []fakeSlot
	leases     *quorum.Leases
	registered bool
	retired    bool
	stop       error

	jammed   bool       // no slot becomes active here
	restless bool       // no slot quiesces here
	asked    int        // how often one was to
	asks     int        // questions that it has put
	last     quorum.LSN // of all its logs
}

type fakeSlot struct {
	row      ring.Row
	promised quorum.NodeID // the owner that this replica has promised to
	epoch    ring.Epoch    // at which it has
	active   bool
}

const wireDelay = time.Millisecond

func newControlNet(t *testing.T, seed uint64) *controlNet {
	return &controlNet{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), slots: 32, lease: 500 * time.Millisecond,
		now: 1, cut: map[[2]quorum.NodeID]bool{}, views: map[viewKey]string{},
	}
}

// add makes a node with an empty disk; start starts it.
func (n *controlNet) add(id quorum.NodeID, expect int, seeds ...quorum.NodeID) *controlNode {
	node := &controlNode{net: n, id: id, name: fmt.Sprintf("n%d", id), addr: fmt.Sprintf("host%d:1", id)}
	node.conf = ControlConfig{
		Member: ring.Member{Name: node.name, Addr: node.addr, Zone: fmt.Sprint(id % 3)},
		Expect: expect, Slots: n.slots, Replication: 3, Grace: 5 * time.Second,
	}
	for _, s := range seeds {
		node.conf.Seeds = append(node.conf.Seeds, fmt.Sprintf("host%d:1", s))
	}
	n.nodes = append(n.nodes, node)
	return node
}

func (n *controlNet) at(d time.Duration, run func()) {
	n.events++
	e := controlEvent{n.now.Add(d), n.events, run}
	i, _ := slices.BinarySearchFunc(n.queue, e, func(a, b controlEvent) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
	})
	n.queue = slices.Insert(n.queue, i, e)
}

// run lets d pass.
func (n *controlNet) run(d time.Duration) {
	for end := n.now.Add(d); ; {
		next := end
		if len(n.queue) > 0 {
			next = min(next, n.queue[0].at)
		}
		for _, node := range n.nodes {
			if node.c != nil {
				next = min(next, max(node.c.Deadline(), n.now))
			}
		}
		n.now = next
		for len(n.queue) > 0 && n.queue[0].at <= n.now {
			e := n.queue[0]
			n.queue = n.queue[1:]
			e.run()
		}
		for _, node := range n.nodes {
			if node.c != nil && node.c.Deadline() <= n.now {
				node.do(func(c *Control) { c.Tick(n.now) })
			}
		}
		if n.now >= end {
			return
		}
	}
}

// until runs until ok holds, and fails if it does not within limit. It returns
// how long it took.
func (n *controlNet) until(limit time.Duration, what string, ok func() bool) time.Duration {
	n.t.Helper()
	for begin := n.now; ; n.run(time.Millisecond) {
		if ok() {
			return n.now.Sub(begin)
		}
		if n.now.Sub(begin) > limit {
			n.t.Fatalf("%s: not within %v\n%s", what, limit, n)
		}
	}
}

func (n *controlNet) String() string {
	text := ""
	for _, node := range n.nodes {
		if node.c == nil {
			text += fmt.Sprintf("%s is down (%v)\n", node.name, node.stop)
			continue
		}
		s := node.c.Status()
		text += fmt.Sprintf("%s: registered %t, quorum %t, unheard %v, active %d, waiting %q", node.name, s.Registered, s.Quorum,
			s.Unheard, len(s.Active), s.Waiting)
		if s.View != nil {
			text += fmt.Sprintf(", epoch %d, coordinator %s, voters %v", s.View.Epoch, s.View.Coordinator, s.View.Voters)
			for _, m := range s.View.Members {
				text += fmt.Sprintf(", %s %s", m.Name, m.State)
			}
		}
		text += "\n"
	}
	return text
}

func (node *controlNode) start() *controlNode {
	n := node.net
	node.boot++
	node.life++
	node.conf.Start = quorum.Start{Node: node.id, Boot: node.boot, Nonce: quorum.Nonce(n.rng.Uint64() | 1)}
	node.conf.Seed = n.rng.Uint64()
	node.leases = quorum.NewLeases(n.now, n.lease, quorum.MaxDrift)
	node.addrs = map[quorum.NodeID]string{}
	node.registered, node.retired, node.stop = false, false, nil
	for i := range node.slots {
		node.slots[i].active = false
	}
	c, err := NewControl(n.now, node.conf, node.disk)
	if err != nil {
		n.t.Fatal(err)
	}
	node.c = c
	node.do(func(c *Control) { c.Tick(n.now) })
	return node
}

// kill ends the process. What was not saved is lost.
func (node *controlNode) kill() {
	node.c = nil
	node.life++
}

// do gives the core an event and does what it wants done.
func (node *controlNode) do(event func(*Control)) {
	if node.c == nil {
		return
	}
	event(node.c)
	r := node.c.Ready()
	node.dispatch(&r)
}

// later gives the core an event after d, if the same process still runs.
func (node *controlNode) later(d time.Duration, event func(*Control)) {
	life := node.life
	node.net.at(d, func() {
		if node.life == life {
			node.do(event)
		}
	})
}

func (node *controlNode) dispatch(r *ControlReady) {
	n := node.net
	if r.Save != nil {
		blob, seq := r.Save, r.Seq
		node.later(time.Duration(1+n.rng.IntN(4))*time.Millisecond, func(c *Control) {
			node.disk = blob
			c.Persisted(n.now, seq)
		})
	}
	for _, p := range r.Peers {
		node.addrs[p.ID] = p.Addr
	}
	if r.View != nil {
		node.adopt(r.View)
	}
	node.registered = r.Registered
	for _, s := range r.Sends {
		n.deliver(node, s.To, node.addrs[s.To], func(to *controlNode) {
			to.do(func(c *Control) {
				if err := c.Step(n.now, node.id, s.Kind, s.Body); err != nil && !errors.Is(err, ErrControl) {
					n.t.Fatal(err)
				}
			})
		})
	}
	for _, a := range r.Asks {
		node.question(a)
	}
	for _, h := range r.Beats {
		to := h.Peer
		h.Peer = node.id
		n.deliver(node, to, node.addrs[to], func(to *controlNode) {
			h.Skew = node.wall - to.wall
			to.do(func(c *Control) { c.Beat(n.now, h) })
		})
	}
	for _, h := range r.Hears {
		node.later(0, func(c *Control) {
			granted := node.registered && node.leases.Hear(n.now, h.From, h.Boot, h.Epoch)
			c.Verdict(BeatVerdict{From: h.From, Seq: h.Seq, Granted: granted})
		})
	}
	for _, owner := range r.Positions {
		var list []SlotPosition
		for i := range node.slots {
			if quorum.NodeID(node.slots[i].row.Owner()) == owner {
				list = append(list, SlotPosition{quorum.SlotID(i), quorum.Position{Ballot: quorum.Ballot{Epoch: 1, Boot: 1}, LSN: node.last}})
			}
		}
		node.later(time.Millisecond, func(c *Control) { c.Positions(n.now, owner, list) })
	}
	for _, s := range r.Quiesce {
		node.asked++
		if node.restless {
			continue
		}
		epoch := node.slots[s].row.Epoch
		node.later(time.Duration(1+n.rng.IntN(60))*time.Millisecond, func(c *Control) {
			c.Report(n.now, SlotReport{Kind: ReportQuiesced, Slot: s, Ballot: quorum.Ballot{Epoch: quorum.Epoch(epoch), Boot: node.boot}})
		})
	}
	node.retired = node.retired || r.Retired
	if r.Stop != nil {
		node.stop = r.Stop
		node.kill()
	}
}

// deliver takes something to the node that has the address, if it gets there.
func (n *controlNet) deliver(from *controlNode, to quorum.NodeID, addr string, run func(*controlNode)) {
	if n.cut[[2]quorum.NodeID{from.id, to}] {
		return
	}
	n.at(wireDelay+time.Duration(n.rng.IntN(1000))*time.Microsecond, func() {
		for _, node := range n.nodes {
			if node.id == to && node.addr == addr && node.c != nil && node != from {
				run(node)
			}
		}
	})
}

var questions uint64

func (node *controlNode) question(a ControlAsk) {
	n := node.net
	node.asks++
	for _, to := range n.nodes {
		if to.addr != a.Addr || to.c == nil || n.cut[[2]quorum.NodeID{node.id, to.id}] || n.cut[[2]quorum.NodeID{to.id, node.id}] {
			continue
		}
		to.later(wireDelay, func(c *Control) {
			questions++
			token := questions
			c.Asked(n.now, token, a.Kind, a.Body)
			r := c.Ready()
			i := slices.IndexFunc(r.Answers, func(x ControlAnswer) bool { return x.Token == token })
			answer := r.Answers[i]
			to.dispatch(&r)
			node.later(wireDelay, func(c *Control) { c.Answered(n.now, a.Addr, answer.Kind, answer.Body, nil) })
		})
		return
	}
	node.later(100*time.Millisecond, func(c *Control) { c.Answered(n.now, a.Addr, 0, nil, errors.New("no route")) })
}

// adopt checks that there is one view for each epoch, and has the slots follow
// it.
func (node *controlNode) adopt(v *ring.View) {
	n := node.net
	key := viewKey{v.Cluster, v.Epoch}
	if known, ok := n.views[key]; ok && known != string(v.Encode()) {
		n.t.Fatalf("two views of epoch %d", v.Epoch)
	}
	n.views[key] = string(v.Encode())
	if node.slots == nil {
		node.slots = make([]fakeSlot, len(v.Slots))
	}
	for i := range v.Slots {
		s := &node.slots[i]
		changed := s.row.Epoch != v.Slots[i].Epoch
		s.row = v.Slots[i]
		if changed {
			s.active = false
		}
		if quorum.NodeID(s.row.Owner()) == node.id && !s.active {
			node.seal(quorum.SlotID(i), s.row.Epoch)
		}
		if s.active {
			node.catchUp(quorum.SlotID(i))
		}
	}
	node.later(time.Millisecond, func(c *Control) { c.Adopted(n.now, 0, quorum.Epoch(v.Epoch)) })
}

// seal asks the replicas again and again until a majority of each set promises.
func (node *controlNode) seal(slot quorum.SlotID, epoch ring.Epoch) {
	s, n := &node.slots[slot], node.net
	if s.row.Epoch != epoch || quorum.NodeID(s.row.Owner()) != node.id || s.active {
		return
	}
	again := func(*Control) { node.seal(slot, epoch) }
	for _, set := range append([][]ring.NodeID{s.row.Replicas}, s.row.From...) {
		promised := 0
		for _, id := range set {
			if n.promise(node, quorum.NodeID(id), slot, epoch) {
				promised++
			}
		}
		if node.jammed || !node.registered || promised < quorum.Majority(len(set)) {
			node.later(5*time.Millisecond, again)
			return
		}
	}
	s.active = true
	ballot := quorum.Ballot{Epoch: quorum.Epoch(epoch), Boot: node.boot}
	node.later(2*time.Millisecond, func(c *Control) { c.Report(n.now, SlotReport{Kind: ReportActive, Slot: slot, Ballot: ballot}) })
	node.catchUp(slot)
}

// promise reports whether the replica promises, or has.
func (n *controlNet) promise(owner *controlNode, id quorum.NodeID, slot quorum.SlotID, epoch ring.Epoch) bool {
	for _, r := range n.nodes {
		if r.id != id || r.c == nil || !r.registered || r.slots == nil ||
			n.cut[[2]quorum.NodeID{owner.id, id}] || n.cut[[2]quorum.NodeID{id, owner.id}] {
			continue
		}
		s := &r.slots[slot]
		r.leases.Sealed(quorum.Epoch(epoch))
		if s.epoch > epoch || n.now < r.leases.Bound(r.id, s.promised, owner.id, quorum.Ballot{Epoch: quorum.Epoch(epoch), Boot: owner.boot}) {
			return false
		}
		s.promised, s.epoch = owner.id, epoch
		return true
	}
	return false
}

// catchUp has the learners of an active slot copy it.
func (node *controlNode) catchUp(slot quorum.SlotID) {
	row := node.slots[slot].row
	for _, id := range row.Learners {
		report := SlotReport{
			Kind: ReportCaughtUp, Slot: slot, Node: quorum.NodeID(id),
			Ballot: quorum.Ballot{Epoch: quorum.Epoch(row.Epoch), Boot: node.boot},
		}
		node.later(30*time.Millisecond, func(c *Control) { c.Report(node.net.now, report) })
	}
}

// split cuts the network between the groups.
func (n *controlNet) split(groups ...[]quorum.NodeID) {
	clear(n.cut)
	for i, a := range groups {
		for j, b := range groups {
			if i == j {
				continue
			}
			for _, x := range a {
				for _, y := range b {
					n.cut[[2]quorum.NodeID{x, y}] = true
				}
			}
		}
	}
}

func (n *controlNet) node(id quorum.NodeID) *controlNode {
	i := slices.IndexFunc(n.nodes, func(c *controlNode) bool { return c.id == id })
	return n.nodes[i]
}

func (n *controlNet) up() []*controlNode {
	return slices.DeleteFunc(slices.Clone(n.nodes), func(c *controlNode) bool { return c.c == nil })
}

// served reports whether every slot is served, by the nodes that run, as the
// newest view of them says.
func (n *controlNet) served() bool {
	newest := n.newest()
	if newest == nil {
		return false
	}
	for i := range newest.Slots {
		row := &newest.Slots[i]
		j := slices.IndexFunc(n.nodes, func(c *controlNode) bool { return c.id == quorum.NodeID(row.Owner()) })
		if j < 0 || n.nodes[j].c == nil {
			return false
		}
		if s := &n.nodes[j].slots[i]; !s.active || s.row.Epoch != row.Epoch {
			return false
		}
	}
	return true
}

func (n *controlNet) newest() *ring.View {
	var newest *ring.View
	for _, node := range n.up() {
		if v := node.c.View(); v != nil && (newest == nil || v.Epoch > newest.Epoch) {
			newest = v
		}
	}
	return newest
}

// agreed reports whether all nodes that run have the same view, are registered,
// and hear a majority, and every slot is served from its own set alone.
func (n *controlNet) agreed() bool {
	newest := n.newest()
	for _, node := range n.up() {
		s := node.c.Status()
		if s.View == nil || s.View.Epoch != newest.Epoch || !s.Registered || !s.Quorum {
			return false
		}
	}
	return n.served() && !slices.ContainsFunc(newest.Slots, func(r ring.Row) bool { return len(r.From) > 0 })
}

// settled reports whether the mesh agrees and its coordinator has nothing more
// to do: each slot has as many replicas as can be.
func (n *controlNet) settled() bool {
	if !n.agreed() {
		return false
	}
	v := n.newest()
	live := 0
	for _, m := range v.Members {
		if m.State == ring.Up {
			live++
		}
	}
	for i := range v.Slots {
		if len(v.Slots[i].Replicas) != min(live, v.Replication) || len(v.Slots[i].Learners) > 0 {
			return false
		}
	}
	return true
}

// founded starts a mesh of so many nodes and waits until it serves.
func founded(t *testing.T, seed uint64, size int) *controlNet {
	n := newControlNet(t, seed)
	for i := range size {
		var seeds []quorum.NodeID
		if i > 0 {
			seeds = append(seeds, 1)
		}
		n.add(quorum.NodeID(i+1), size, seeds...).start()
	}
	n.until(3*time.Second, "founding", n.agreed)
	return n
}

// owned counts slots by owner.
func owned(v *ring.View) map[quorum.NodeID]int {
	counts := map[quorum.NodeID]int{}
	for i := range v.Slots {
		counts[quorum.NodeID(v.Slots[i].Owner())]++
	}
	return counts
}
