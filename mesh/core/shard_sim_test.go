package core

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"actormesh/quorum"
)

// world is a mesh of nodes with one Shard each, and everything around a Shard
// that the shell is in production: network, disks, turns, clients, and an oracle
// that decides the views. It is a simulation by events in virtual time: the same
// seed, the same run. It breaks off at the first violation.
type world struct {
	conf   worldConf
	rng    *rand.Rand
	time   time.Duration // true time, since the world began
	queue  eventQueue
	events int

	nodes   []*simNode // nodes[i] has the NodeID i+1
	views   [][]quorum.Row
	actors  []quorum.ActorKey
	clients []*simClient
	calm    bool // no faults any more

	cut    map[[2]quorum.NodeID]bool // messages from, to are lost
	active []quorum.Ballot           // by slot, the highest that was ever active
	ruler  []quorum.NodeID           // whose that is
	log    []map[quorum.Position]quorum.Entry
	ops    map[uint32]*simOp
	byHash map[uint64]*simOp
	plans  map[quorum.SlotID]func() // a move that waits for the slot to be quiet
	ill    []time.Duration          // by slot, since when it has no active owner
	tries  []*clientTry
	seen   map[string]int
	broken func(format string, args ...any)
	trace  func(format string, args ...any) // nil for none
}

// worldConf is what differs between runs.
type worldConf struct {
	nodes, slots, actors, clients int
	replicas                      int
	shard                         ShardConfig
	idle                          time.Duration
	mailbox                       int
	faults                        time.Duration // how long there are faults and calls
}

// event is something that happens at a time.
type event struct {
	at     time.Duration
	number int
	do     func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

func newWorld(seed uint64, conf worldConf, broken func(string, ...any)) *world {
	w := &world{
		conf: conf, rng: rand.New(rand.NewPCG(seed, 7)), broken: broken,
		cut: map[[2]quorum.NodeID]bool{}, active: make([]quorum.Ballot, conf.slots), ruler: make([]quorum.NodeID, conf.slots),
		ops: map[uint32]*simOp{}, byHash: map[uint64]*simOp{},
		plans: map[quorum.SlotID]func(){}, ill: make([]time.Duration, conf.slots), seen: map[string]int{},
	}
	for i := range conf.actors {
		w.actors = append(w.actors, quorum.MakeActorKey("a", fmt.Sprint(i)))
	}
	for range conf.slots {
		w.log = append(w.log, map[quorum.Position]quorum.Entry{})
	}
	for i := range conf.nodes {
		w.nodes = append(w.nodes, newSimNode(w, quorum.NodeID(i+1)))
	}
	w.found()
	for i := range conf.clients {
		w.clients = append(w.clients, newSimClient(w, i))
	}
	return w
}

// slotOf returns an actor's slot.
func (w *world) slotOf(key quorum.ActorKey) quorum.SlotID {
	return quorum.SlotID(slices.Index(w.actors, key) % w.conf.slots)
}

func (w *world) node(id quorum.NodeID) *simNode { return w.nodes[id-1] }

// after has something happen in a while.
func (w *world) after(d time.Duration, do func()) {
	w.events++
	heap.Push(&w.queue, event{w.time + d, w.events, do})
}

// run lets the world go on until a time.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.time = e.at
		e.do()
	}
	w.time = until
}

func (w *world) count(what string) { w.seen[what]++ }

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace("%8.3f "+format, append([]any{w.time.Seconds() * 1e3}, args...)...)
	}
}

// chance reports true once in n.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// between returns a duration between two.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// send takes something from one node to another: late, twice or not at all.
func (w *world) send(from, to quorum.NodeID, do func(n *simNode)) {
	w.wire(from, to, func() {
		if n := w.node(to); n.up {
			do(n)
		}
	})
}

func (w *world) wire(from, to quorum.NodeID, do func()) {
	copies := 1
	if !w.calm {
		switch w.rng.IntN(60) {
		case 0:
			w.count("dropped")
			return
		case 1:
			w.count("repeated")
			copies = 2
		}
	}
	for range copies {
		d := w.between(100*time.Microsecond, 2*time.Millisecond)
		if !w.calm && w.chance(40) {
			d = w.between(2*time.Millisecond, 150*time.Millisecond)
		}
		w.after(d, func() {
			if w.cut[[2]quorum.NodeID{from, to}] {
				w.count("cut")
				return
			}
			do()
		})
	}
}

// simNode is one node: its clock, its disk, and its shard while it is up.
type simNode struct {
	w     *world
	id    quorum.NodeID
	up    bool
	boot  quorum.Boot
	shift quorum.Instant
	rate  float64
	stuck time.Duration // it does nothing before

	shard    *Shard
	view     quorum.Epoch // told to the shard
	adopted  quorum.Epoch // said by the shard
	tickAt   quorum.Instant
	flushing bool

	disk     simDisk
	pending  []simBatch // handed over, or being synced
	syncing  bool
	replaced map[quorum.SlotID]int // logs that the slot has had, by what was handed over

	beats   map[uint64]quorum.Instant
	beatSeq uint64
	acts    map[ActivationID]*simActivation
	open    map[*Call]bool // given to the shard, not finished
}

type simBatch struct {
	seq    uint64
	writes []quorum.Write
}

func newSimNode(w *world, id quorum.NodeID) *simNode {
	n := &simNode{
		w: w, id: id, shift: quorum.Instant(id) << 40, rate: 1 + (w.rng.Float64()*2-1)*quorum.MaxDrift*0.9,
		disk: newSimDisk(),
	}
	n.start()
	w.after(w.between(0, 100*time.Millisecond), n.beat)
	w.after(w.between(0, 5*time.Millisecond), n.tick)
	return n
}

// clock returns what the node's clock shows.
func (n *simNode) clock() quorum.Instant {
	return n.shift + quorum.Instant(float64(n.w.time)*n.rate)
}

// start boots the node from its disk. It knows no view.
func (n *simNode) start() {
	w := n.w
	n.up, n.view, n.adopted, n.stuck = true, 0, 0, 0
	n.boot++
	n.beats, n.acts, n.open = map[uint64]quorum.Instant{}, map[ActivationID]*simActivation{}, map[*Call]bool{}
	n.pending, n.syncing, n.flushing, n.tickAt = nil, false, false, 0
	n.replaced = map[quorum.SlotID]int{}
	n.disk.recover()
	conf := w.conf.shard
	conf.Self, conf.Boot = n.id, n.boot
	n.shard = NewShard(n.clock(), conf, n.disk.stored(conf.Retention))
	boot := n.boot
	w.after(w.between(0, 60*time.Millisecond), func() {
		if n.up && n.boot == boot {
			n.do(func(s *Shard, now quorum.Instant) { s.Register(now) })
		}
	})
	w.after(w.between(0, 60*time.Millisecond), func() {
		if n.up && n.boot == boot {
			n.adopt(quorum.Epoch(len(w.views)))
		}
	})
	for _, o := range w.nodes {
		if o.up && o != n {
			o.do(func(s *Shard, now quorum.Instant) { s.Reconnected(now, n.id) })
		}
	}
}

// crash stops the node. Of the writes under way a part is left.
func (n *simNode) crash() {
	w := n.w
	w.tracef("%v: crash", n.id)
	if len(n.pending) > 0 {
		w.count("crash with writes under way")
		for _, b := range n.pending[:w.rng.IntN(len(n.pending)+1)] {
			n.disk.commit(b.writes)
		}
	}
	for _, sl := range n.shard.slots {
		if sl.serving {
			w.count("crash of an owner")
		}
	}
	n.up, n.shard, n.acts, n.open, n.pending = false, nil, nil, nil, nil
}

// do gives the shard something. What it wants done is taken a moment later.
func (n *simNode) do(give func(s *Shard, now quorum.Instant)) {
	w, boot := n.w, n.boot
	if !n.up {
		return
	}
	if w.time < n.stuck {
		w.after(n.stuck-w.time, func() {
			if n.boot == boot {
				n.do(give)
			}
		})
		return
	}
	give(n.shard, n.clock())
	if n.flushing {
		return
	}
	n.flushing = true
	w.after(w.between(0, 150*time.Microsecond), func() { n.flushLater(boot) })
}

func (n *simNode) flushLater(boot quorum.Boot) {
	if !n.up || n.boot != boot {
		return
	}
	if n.w.time < n.stuck {
		n.w.after(n.stuck-n.w.time, func() { n.flushLater(boot) })
		return
	}
	n.flush()
}

// later has the node do something else in a while, if it has not crashed.
func (n *simNode) later(d time.Duration, do func()) {
	boot := n.boot
	n.w.after(d, func() {
		switch {
		case !n.up || n.boot != boot:
		case n.w.time < n.stuck:
			n.later(n.stuck-n.w.time, do)
		default:
			do()
		}
	})
}

// tick ticks the shard when it wants to be, for ever.
func (n *simNode) tick() {
	n.w.after(5*time.Millisecond, n.tick)
	if n.up && n.clock() >= n.tickAt && n.w.time >= n.stuck {
		n.do(func(s *Shard, now quorum.Instant) {
			s.Tick(now)
			n.tickAt = s.Deadline(now)
		})
	}
}

// beat sends heartbeats to all others, for ever.
func (n *simNode) beat() {
	w := n.w
	w.after(max(w.conf.shard.Lease/5, 40*time.Millisecond), n.beat)
	if !n.up || w.time < n.stuck {
		return
	}
	n.beatSeq++
	seq, boot, epoch := n.beatSeq, n.boot, n.adopted
	n.beats[seq] = n.clock()
	delete(n.beats, seq-100)
	for _, o := range w.nodes {
		if o != n {
			w.send(n.id, o.id, func(o *simNode) {
				o.do(func(s *Shard, now quorum.Instant) { s.Beat(now, n.id, boot, epoch, seq) })
			})
		}
	}
}

// adopt tells the shard of a view.
func (n *simNode) adopt(e quorum.Epoch) {
	if e <= n.view {
		return
	}
	n.view = e
	var rows []SlotRow
	for i, r := range n.w.views[e-1] {
		rows = append(rows, SlotRow{quorum.SlotID(i), r})
	}
	n.w.tracef("%v: view %d", n.id, e)
	n.do(func(s *Shard, now quorum.Instant) { s.Adopt(now, e, rows) })
}

// flush takes what the shard wants done, and does it, as the shell's loop does.
func (n *simNode) flush() {
	w := n.w
	n.flushing = false
	now := n.clock()
	if now >= n.tickAt {
		n.shard.Tick(now)
	}
	r := n.shard.Ready(now)
	n.tickAt = n.shard.Deadline(now)
	n.check(&r)
	if len(r.Writes) > 0 {
		for i := range r.Writes {
			n.handOver(&r.Writes[i])
		}
		n.pending = append(n.pending, simBatch{r.Seq, r.Writes})
		n.sync()
	}
	for _, m := range r.Sends {
		w.send(n.id, m.To, func(o *simNode) {
			o.do(func(s *Shard, now quorum.Instant) { s.Step(now, n.id, []quorum.Message{m.Message}) })
		})
	}
	for _, f := range r.Outcomes {
		n.finished(now, &f)
	}
	for _, t := range r.Abandon {
		n.abandon(t)
	}
	for i := range r.Turns {
		n.startTurn(&r.Turns[i])
	}
	for _, id := range r.Deactivate {
		delete(n.acts, id)
		n.later(w.between(0, 3*time.Millisecond), func() {
			n.do(func(s *Shard, now quorum.Instant) { s.Deactivated(now, id) })
		})
	}
	n.useStore(&r)
	for _, v := range r.Verdicts {
		n.answerBeat(v)
	}
	for _, rep := range r.Reports {
		w.report(n, rep)
	}
	w.seen["lapsed"] += r.Lapsed
	if r.Adopted > 0 {
		n.adopted = r.Adopted
	}
	if r.Damaged != "" {
		w.broken("node %v: damaged: %s", n.id, r.Damaged)
	}
}

func (n *simNode) answerBeat(v BeatVerdict) {
	if !v.Granted {
		n.w.count("lease refused")
		return
	}
	boot := n.w.node(v.From).boot
	n.w.send(n.id, v.From, func(o *simNode) {
		sent, ok := o.beats[v.Seq]
		if ok && o.boot == boot {
			o.do(func(s *Shard, now quorum.Instant) { s.Lease(now, n.id, sent) })
		}
	})
}

// handOver notes a write in what the world knows.
func (n *simNode) handOver(wr *quorum.Write) {
	switch wr.Kind {
	case quorum.WriteAppend:
		for _, e := range wr.Entries {
			n.w.log[wr.Slot][e.Position()] = e
		}
	case quorum.WriteDiscard, quorum.WriteInstall:
		n.replaced[wr.Slot]++
		n.w.count([...]string{quorum.WriteDiscard: "discard", quorum.WriteInstall: "install"}[wr.Kind])
	}
}

// sync makes what was handed over durable, one sync at a time.
func (n *simNode) sync() {
	if n.syncing || len(n.pending) == 0 {
		return
	}
	n.syncing = true
	d := n.w.between(200*time.Microsecond, 3*time.Millisecond)
	if !n.w.calm && n.w.chance(100) {
		n.w.count("slow disk")
		d = n.w.between(20*time.Millisecond, 300*time.Millisecond)
	}
	taken := len(n.pending)
	n.later(d, func() {
		for _, b := range n.pending[:taken] {
			n.disk.commit(b.writes)
		}
		seq := n.pending[taken-1].seq
		n.pending = slices.Clone(n.pending[taken:])
		n.syncing = false
		n.do(func(s *Shard, now quorum.Instant) { s.Persisted(now, seq) })
		n.sync()
	})
}
