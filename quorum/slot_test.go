package quorum

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	slotSeed  = flag.Uint64("seed", 0, "run this one schedule of the slot log, and trace it")
	slotSeeds = flag.Uint64("seeds", 0, "how many schedules of the slot log to run; if 0, 2,000, or 200 under the race detector")
	slotMax   = flag.Int("failures", 1, "after how many failed schedules to stop")
	slotFirst = flag.Uint64("first", 1, "the first of them")
)

var slotSchedules uint64 = 2000

// slotChaos drives a slotMesh at random: messages are lost, repeated and
// reordered, nodes crash, views change, clocks drift.
type slotChaos struct {
	*slotMesh
	rng    *rand.Rand
	weight slotWeights
	cut    [8][8]bool // from a node, to a node: nothing comes through
	alone  bool       // there is a cut
}

// slotWeights says how often each kind of thing happens. Each run draws its own,
// so that some runs hardly lose a message and others hardly crash.
type slotWeights struct {
	deliver, repeat, drop, persist, tick, wait, beat, adopt, change, crash, write, fold, want, ask, split int
	bytes                                                                                                 int // of the largest record
	newest                                                                                                bool
}

func newSlotChaos(seed uint64, broken func(string, ...any)) *slotChaos {
	rng := rand.New(rand.NewPCG(seed, 0))
	upTo := func(n int) int { return rng.IntN(n + 1) }
	c := &slotChaos{rng: rng, weight: slotWeights{
		deliver: 80, repeat: upTo(6), drop: upTo(8), persist: 15 + upTo(20), tick: 6, wait: 4 + upTo(8), beat: 1 + upTo(4),
		adopt: 3 + upTo(8), change: 1 + upTo(3), crash: upTo(3), write: 3 + upTo(8), fold: upTo(4), want: 3, ask: upTo(3), split: upTo(4),
		bytes: []int{8, 8, 60 << 10}[rng.IntN(3)], newest: rng.IntN(3) > 0,
	}}
	term := []time.Duration{500 * time.Millisecond, 500 * time.Millisecond, 0}[rng.IntN(3)]
	c.slotMesh = newSlotMesh(3+rng.IntN(3), 1+rng.IntN(2), term, broken)
	c.choose = rng
	for _, n := range c.nodes {
		n.rate = 1 + MaxDrift*(2*rng.Float64()-1)
		if rng.IntN(4) == 0 {
			n.rate = 1 + MaxDrift*float64(1-2*rng.IntN(2))
		}
	}
	for slot := range c.truths {
		c.change(SlotID(slot), func(r *Row, e Epoch) { r.place(e, c.randomSet()) })
	}
	return c
}

func (c *slotChaos) randomSet() []NodeID {
	size := min(len(c.nodes), []int{1, 2, 3, 3, 3, 3, 5}[c.rng.IntN(7)])
	var set []NodeID
	for _, i := range c.rng.Perm(len(c.nodes))[:size] {
		set = append(set, c.nodes[i].id)
	}
	return set
}

// step does one thing.
func (c *slotChaos) step() {
	c.true += time.Duration(c.rng.Int64N(int64(3 * time.Millisecond)))
	w := &c.weight
	n := c.nodes[c.rng.IntN(len(c.nodes))]
	slot := SlotID(c.rng.IntN(len(c.truths)))
	for _, choice := range []struct {
		weight int
		do     func()
	}{
		{w.deliver, func() {
			for range 1 + c.rng.IntN(3) {
				c.deliverSome(false)
			}
		}},
		{w.repeat, func() { c.deliverSome(true) }},
		{w.drop, func() {
			if len(c.net) > 0 {
				c.drop(c.rng.IntN(len(c.net)))
			}
		}},
		{w.wait, func() { c.true += time.Duration(c.rng.Int64N(int64(50 * time.Millisecond))) }},
		{w.change, func() { c.rarely(func() { c.changeView(slot) }) }},
		{w.split, func() { c.rarely(c.splitOrMend) }},
		{w.crash, func() {
			if n.up {
				c.rarely(n.crash)
			}
		}},
	} {
		if c.rng.IntN(130) < choice.weight {
			choice.do()
		}
	}
	if !n.up {
		if c.rng.IntN(20) == 0 {
			c.start(n)
		}
		return
	}
	for _, choice := range []struct {
		weight int
		do     func()
	}{
		{w.persist, func() {
			if len(n.batches) > 0 {
				n.persist(1 + c.rng.IntN(len(n.batches)))
			}
		}},
		{w.tick, n.tick},
		{w.beat, n.beat},
		{w.adopt, func() { c.adoptSome(n) }},
		{w.write, func() {
			if n.slots[slot].Active() {
				n.write(slot, c.rng.IntN(w.bytes))
			}
		}},
		{w.ask, func() {
			if n.slots[slot].Active() {
				n.ask(slot)
			}
		}},
		{w.fold, func() { c.foldSome(n, slot) }},
		{w.want, func() {
			if len(n.wants) > 0 {
				n.answerWant(c.rng.IntN(len(n.wants)))
			}
		}},
		{10, func() { n.env.Enabled = true }},
	} {
		if c.rng.IntN(130) < choice.weight {
			choice.do()
		}
	}
	if c.rng.IntN(3) > 0 {
		n.flush()
	}
}

// splitOrMend cuts the network in one of many shapes, or mends it: some nodes,
// mostly one, are cut off from the others, or one link is, in one direction or
// both. Who is cut off from all hears of no views either.
func (c *slotChaos) splitOrMend() {
	mend := c.alone && c.rng.IntN(3) > 0
	c.cut, c.alone = [8][8]bool{}, false
	if mend {
		return
	}
	c.alone = true
	side := 1 << (1 + c.rng.IntN(len(c.nodes)))
	switch c.rng.IntN(4) {
	case 0:
		side = c.rng.IntN(1<<len(c.nodes)) << 1
	case 1:
		from, to := 1+c.rng.IntN(len(c.nodes)), 1+c.rng.IntN(len(c.nodes))
		c.cut[from][to], c.cut[to][from] = true, c.rng.IntN(2) == 0
		return
	}
	oneWay := c.rng.IntN(4) == 0
	for a := range c.cut {
		for b := range c.cut {
			c.cut[a][b] = side>>a&1 != side>>b&1 && (!oneWay || side>>a&1 == 1)
		}
	}
}

func (c *slotChaos) isCutOff(n *slotNode) bool {
	for _, o := range c.nodes {
		if o != n && !c.cut[o.id][n.id] {
			return false
		}
	}
	return true
}

func (c *slotChaos) rarely(do func()) {
	if c.rng.IntN(3) == 0 {
		do()
	}
}

// deliverSome takes an old packet mostly, and any other sometimes.
func (c *slotChaos) deliverSome(again bool) {
	if len(c.net) == 0 {
		return
	}
	i := 0
	if c.rng.IntN(3) == 0 {
		i = c.rng.IntN(len(c.net))
	}
	if c.cut[c.net[i].from][c.net[i].to] {
		c.drop(i)
		return
	}
	to := c.node(c.net[i].to)
	c.deliver(i, again)
	if to.up && c.rng.IntN(3) > 0 {
		to.flush()
	}
}

// start starts a node, with the view that it had or a newer one.
func (c *slotChaos) start(n *slotNode) {
	n.start(c.rng.IntN(2) == 0)
	n.adopt(max(n.view, 1) + Epoch(c.rng.IntN(len(c.views)+1-int(max(n.view, 1)))))
	n.flush()
}

func (c *slotChaos) adoptSome(n *slotNode) {
	top := Epoch(len(c.views))
	switch {
	case n.view == top || c.isCutOff(n):
	case c.weight.newest:
		n.adopt(top)
	default:
		n.adopt(n.view + 1 + Epoch(c.rng.IntN(int(top-n.view))))
	}
}

func (c *slotChaos) foldSome(n *slotNode, slot SlotID) {
	s := n.slots[slot]
	switch c.rng.IntN(4) {
	case 0:
		s.Evict(c.rng.IntN(2) << 30)
	case 1:
		n.fold(slot, s.Floor())
	default:
		n.fold(slot, LSN(c.rng.Uint64N(uint64(s.Applied())+1)))
	}
}

// changeView commits a view as the planner might, and some that it would not.
func (c *slotChaos) changeView(slot SlotID) {
	c.change(slot, func(r *Row, e Epoch) {
		switch c.rng.IntN(6) {
		case 0: // another owner
			i := c.rng.IntN(len(r.Replicas))
			r.place(e, append(slices.Clone(r.Replicas[i:]), r.Replicas[:i]...))
		case 1: // one replica is replaced
			set := slices.Clone(r.Replicas)
			if id := c.nodes[c.rng.IntN(len(c.nodes))].id; !slices.Contains(set, id) && len(r.From) < 3 {
				set[c.rng.IntN(len(set))] = id
				r.place(e, set)
			}
		case 2: // all may be
			if len(r.From) < 3 {
				r.place(e, c.randomSet())
			}
		case 3: // a learner comes
			if id := c.nodes[c.rng.IntN(len(c.nodes))].id; !slices.Contains(r.Replicas, id) && !slices.Contains(r.Learners, id) {
				r.Learners = append(slices.Clone(r.Learners), id)
			}
		case 4: // and goes
			r.Learners = nil
		case 5:
			c.dropFrom(slot, r)
		}
	})
}

// dropFrom drops the earlier sets, if an owner has reported that it is active
// at the row's slot epoch.
func (c *slotChaos) dropFrom(slot SlotID, r *Row) {
	for b := range c.truths[slot].barriers {
		if b.Epoch == r.Epoch && r.From != nil {
			c.count("from dropped")
			r.From = nil
		}
	}
}

// heal ends all faults, and asks that within limit the owner of the newest row
// is active and all replicas and learners have its log.
func (c *slotChaos) heal(limit time.Duration) {
	for i := range c.net {
		if p := &c.net[i]; p.stage != nil {
			c.snapshotSent(p, false)
		}
	}
	c.net = nil
	for _, n := range c.nodes {
		if !n.up {
			n.start(true)
		}
		n.env.Enabled = true
		if n.slots[0].view < Epoch(len(c.views)) {
			n.adopt(Epoch(len(c.views)))
		}
	}
	// A replica that restarted while its last acknowledgement was under way
	// hears with the next append what is committed.
	wrote := false
	for began := c.true; c.true < began+limit; {
		c.runFor(50 * time.Millisecond)
		if c.lagging() == "" {
			return
		}
		if !wrote && c.true > began+limit/2 {
			wrote = c.writeEverywhere()
		}
	}
	c.broken("liveness: %v after the last fault: %s", limit, c.lagging())
}

// writeEverywhere appends to all slots, if all are served.
func (c *slotChaos) writeEverywhere() bool {
	rows := c.views[len(c.views)-1].rows
	for slot := range rows {
		if !c.node(rows[slot].Owner()).slots[slot].Active() {
			return false
		}
	}
	for slot := range rows {
		c.node(rows[slot].Owner()).write(SlotID(slot), 8)
	}
	return true
}

// runFor lets time pass without faults: a message takes a millisecond, so does
// a disk; who is busy is ticked every 10 ms, and there are heartbeats.
func (m *slotMesh) runFor(d time.Duration) {
	for end := m.true + d; m.true < end; {
		m.true += time.Millisecond
		for len(m.net) > 0 && m.net[0].sent < m.true {
			m.deliver(0, false)
		}
		for _, n := range m.nodes {
			m.runNode(n)
		}
	}
}

func (m *slotMesh) runNode(n *slotNode) {
	if !n.up {
		return
	}
	if len(n.batches) > 0 {
		n.persist(len(n.batches))
	}
	for len(n.wants) > 0 {
		n.answerWant(0)
	}
	ms := m.true.Milliseconds()
	if m.true%(10*time.Millisecond) < time.Millisecond {
		for i, s := range n.slots {
			if s.Busy() {
				s.Tick(n.now())
				n.stepped(SlotID(i))
				n.checkSealBounded(s)
			}
		}
	}
	if ms%100 == int64(n.id) {
		n.beat()
	}
	n.flush()
}

// lagging says who has not what it should have once all faults are over.
func (m *slotMesh) lagging() string {
	for slot := range m.truths {
		row := &m.views[len(m.views)-1].rows[slot]
		owner := m.node(row.Owner())
		s := owner.slots[slot]
		if !s.Active() {
			return fmt.Sprintf("slot %d: node %d, the owner, is not active", slot, owner.id)
		}
		if m.term > 0 && s.LeaseUntil() <= owner.now() {
			return fmt.Sprintf("slot %d: node %d has no lease", slot, owner.id)
		}
		last := s.Log().Last()
		for _, id := range append(slices.Clone(row.Replicas), row.Learners...) {
			r := m.node(id)
			if d := &r.disks[slot]; d.last() != last || r.slots[slot].Commit() != last.LSN {
				return fmt.Sprintf("slot %d: node %d has %v and commit %d, the owner %v", slot, id, d.last(), r.slots[slot].Commit(), last)
			}
		}
	}
	return ""
}

// slotRare are the rare things that the schedules must reach, all of them.
var slotRare = []string{
	"refused append", "refused seal", "tail cut", "fetch", "fetch lowered", "fetch given up", "mismatch", "snapshot", "snapshot fetched", "read",
	"crash sealing", "crash fetching", "crash opening", "crash active", "crash with writes under way",
	"kept reseal", "lease wait", "lease held", "release by epoch", "repeated", "reordered", "dropped",
	"discard", "folded", "caught up", "behind", "round confirmed", "from dropped", "active",
	"replaced and active", "snapshot late", "round of a replaced owner",
}

const slotSteps = 3000

// runSlotSchedule runs one schedule, and returns what it has seen.
func runSlotSchedule(seed uint64, trace func(string, ...any)) (seen map[string]int, err error) {
	defer func() {
		if e := recover(); e != nil {
			broken, ok := e.(slotBroken)
			if !ok {
				panic(fmt.Sprintf("seed %d: %v", seed, e))
			}
			err = fmt.Errorf("seed %d: %s", seed, string(broken))
		}
	}()
	c := newSlotChaos(seed, func(format string, args ...any) { panic(slotBroken(fmt.Sprintf(format, args...))) })
	c.trace = trace
	for range slotSteps {
		c.step()
	}
	c.checkFound()
	c.heal(5 * time.Second)
	c.checkFound()
	return c.seen, nil
}

type slotBroken string

// TestSlotRandomSchedules runs the slot log under many schedules. A failure
// says which, and -seed=N runs that one again with its messages.
func TestSlotRandomSchedules(t *testing.T) {
	if *slotSeed != 0 {
		if _, err := runSlotSchedule(*slotSeed, t.Logf); err != nil {
			t.Fatal(err)
		}
		return
	}
	if *slotSeeds != 0 {
		slotSchedules = *slotSeeds
	}
	seen := map[string]int{}
	failed := 0
	for seed := *slotFirst; seed < *slotFirst+slotSchedules && failed < *slotMax; seed++ {
		s, err := runSlotSchedule(seed, nil)
		if err != nil {
			t.Error(err)
			failed++
		}
		for what, n := range s {
			seen[what] += n
		}
	}
	for _, what := range slotRare {
		if seen[what] == 0 {
			t.Errorf("no schedule has seen: %s", what)
		}
	}
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&b, "%s %d, ", what, seen[what])
	}
	t.Log(b.String())
}
