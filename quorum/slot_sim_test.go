package quorum

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// slotMesh is a set of nodes with slots, the network between them, their disks
// and clocks, and an oracle that decides the views: everything around Slot that
// the shell is in production. It is deterministic, and breaks off at the first
// violation of docs/spec/SlotLog.tla or SlotLease.tla.
type slotMesh struct {
	true   time.Duration // true time, since the mesh began
	term   time.Duration // of leases
	nodes  []*slotNode   // nodes[i] has the NodeID i+1
	views  []slotView    // views[e-1] has the epoch e
	net    []slotPacket  // in flight, oldest first
	truths []*slotTruth  // by slot
	seen   map[string]int
	broken func(format string, args ...any)
	trace  func(format string, args ...any) // nil for none
	choose *rand.Rand                       // for what a crash leaves
	acts   uint64                           // client records written
}

type slotView struct {
	rows []Row // by slot
}

// slotPacket is one thing in flight between two nodes: a message of the slot
// log, a heartbeat, its answer, or a snapshot.
type slotPacket struct {
	from, to NodeID
	sent     time.Duration
	number   int // counts the packets, to see reordering
	repeated bool

	message *Message
	beat    *slotBeat
	granted *slotBeat
	stage   *slotStage
}

type slotBeat struct {
	boot  Boot
	epoch Epoch
	sent  Instant // by the sender's clock
}

type slotStage struct {
	slot   SlotID
	ballot Ballot
	state  SlotState
	disk   slotDisk
}

// slotDisk is one slot in a node's store: every entry since the first, for a
// folded entry is still there in what it left.
type slotDisk struct {
	promise Promise
	log     []Entry
	fold    LSN // entries up to it are folded
}

// apply makes one write. A prefix of a batch may be all that a crash leaves.
func (d *slotDisk) apply(w *Write) {
	switch w.Kind {
	case WritePromise:
		d.promise = w.Promise
	case WriteAppend:
		if w.Entries[0].LSN != LSN(len(d.log))+1 {
			panic("a write leaves a gap, or an entry that it did not cut off")
		}
		d.log = append(d.log, w.Entries...)
	case WriteTruncate:
		if w.Cut[len(w.Cut)-1].LSN != LSN(len(d.log)) {
			panic("a cut does not take the whole tail")
		}
		d.log = d.log[:w.Cut[0].LSN-1]
	case WriteDiscard:
		d.log, d.fold = nil, 0
	case WriteInstall:
		from := w.Snapshot.(*slotDisk)
		d.log, d.fold = slices.Clone(from.log), from.fold
	}
}

func (d *slotDisk) last() Position { return d.position(LSN(len(d.log))) }

func (d *slotDisk) position(lsn LSN) Position {
	if lsn == 0 {
		return Position{}
	}
	return d.log[lsn-1].Position()
}

func (d *slotDisk) hash(lsn LSN) uint64 {
	if lsn == 0 {
		return 0
	}
	return d.log[lsn-1].Hash
}

// state returns what a scan of the store finds, with its base at base.
func (d *slotDisk) state(base LSN) SlotState {
	s := SlotState{Promise: d.promise, Base: d.position(base), BaseHash: d.hash(base)}
	for i := base; i < LSN(len(d.log)); i++ {
		e := &d.log[i]
		s.Tail = append(s.Tail, TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: e.Size()})
	}
	return s
}

// slotNode is one node: its clock, its disk, and its slots while it is up.
type slotNode struct {
	mesh  *slotMesh
	id    NodeID
	up    bool
	boot  Boot
	rate  float64 // of its clock, 1 being true time
	shift Instant
	view  Epoch // newest adopted, durable

	env     *Env
	slots   []*Slot
	disks   []slotDisk // what is durable
	memory  []slotDisk // with the writes under way
	batches []slotBatch
	seq     uint64
	wants   []SlotEvent // SlotRead and SlotSnapshot, not answered yet
	life    []slotLife
}

type slotBatch struct {
	seq    uint64
	writes []Write
	slots  []*Slot
}

// slotLife is what the shell would know of a slot from its events.
type slotLife struct {
	serving bool     // active
	paused  bool     // was active, and may be again with what it had
	tail    Position // of the log when it was paused
	ballot  Ballot
	commit  LSN
	asked   []slotAsk
}

// slotAsk is one round that was asked for, with what it must not miss.
type slotAsk struct {
	round  uint64
	ballot Ballot
	stale  bool // a higher ballot was active already
	commit LSN  // acknowledged at the time
}

func newSlotMesh(nodes, slots int, term time.Duration, broken func(string, ...any)) *slotMesh {
	m := &slotMesh{term: term, seen: map[string]int{}, broken: broken, choose: rand.New(rand.NewPCG(1, 1))}
	for range slots {
		m.truths = append(m.truths, newSlotTruth())
	}
	for i := range nodes {
		n := &slotNode{mesh: m, id: NodeID(i + 1), rate: 1, shift: Instant(i+1) << 40}
		n.disks = make([]slotDisk, slots)
		m.nodes = append(m.nodes, n)
		n.start(true)
	}
	return m
}

func (m *slotMesh) node(id NodeID) *slotNode { return m.nodes[id-1] }

func (n *slotNode) now() Instant {
	return n.shift + Instant(float64(n.mesh.true)*n.rate)
}

// trueTime returns when, in true time, the node's clock shows t.
func (n *slotNode) trueTime(t Instant) time.Duration {
	return time.Duration(float64(t-n.shift) / n.rate)
}

// start boots the node from its disk. Its slots know no view yet.
func (n *slotNode) start(enabled bool) {
	m := n.mesh
	n.up = true
	n.boot++
	n.env = &Env{Self: n.id, Boot: n.boot, Leases: NewLeases(n.now(), m.term, MaxDrift), Enabled: enabled}
	n.slots, n.batches, n.wants = nil, nil, nil
	n.life = make([]slotLife, len(n.disks))
	n.memory = make([]slotDisk, len(n.disks))
	for i := range n.disks {
		d := &n.disks[i]
		n.memory[i] = slotDisk{promise: d.promise, log: slices.Clone(d.log), fold: d.fold}
		base := d.fold
		if base > 0 {
			base = LSN(m.choose.Uint64N(uint64(base) + 1))
		}
		n.slots = append(n.slots, NewSlot(SlotID(i), n.env, d.state(base)))
		n.life[i].commit = base
	}
	for _, o := range m.nodes {
		if o.up && o != n {
			o.reconnected(n.id)
		}
	}
}

func (n *slotNode) reconnected(id NodeID) {
	for i, s := range n.slots {
		s.Reconnected(n.now(), id)
		n.stepped(SlotID(i))
	}
}

// crash stops the node. Of the writes under way a prefix is left.
func (n *slotNode) crash() {
	m := n.mesh
	if m.trace != nil {
		m.trace("%s: crash", renderSlotNode(n.id))
	}
	for i, s := range n.slots {
		if s.lead != nil {
			m.count("crash " + s.lead.phase.String())
		}
		n.life[i] = slotLife{}
	}
	var writes []Write
	for _, b := range n.batches {
		writes = append(writes, b.writes...)
	}
	if len(writes) > 0 {
		m.count("crash with writes under way")
		n.toDisk(writes[:m.choose.IntN(len(writes)+1)])
	}
	n.up, n.slots, n.batches, n.wants, n.env = false, nil, nil, nil, nil
}

func (n *slotNode) toDisk(writes []Write) {
	for i := range writes {
		w := &writes[i]
		n.disks[w.Slot].apply(w)
		n.mesh.truths[w.Slot].stored(n, &n.disks[w.Slot], w)
	}
}

// adopt gives the node the view of epoch e.
func (n *slotNode) adopt(e Epoch) {
	n.view = e
	for i := range n.slots {
		if n.mesh.trace != nil {
			n.mesh.trace("%s: view %d: %s", renderSlotNode(n.id), e, renderSlotRow(&n.mesh.views[e-1].rows[i]))
		}
		n.slots[i].SetRow(n.now(), e, n.mesh.views[e-1].rows[i])
		n.stepped(SlotID(i))
	}
}

func (n *slotNode) tick() {
	for i, s := range n.slots {
		l := s.lead
		fetching := l != nil && l.phase == phaseFetching
		s.Tick(n.now())
		if fetching && l.phase != phaseFetching {
			n.mesh.count("fetch given up")
		}
		n.stepped(SlotID(i))
		n.checkSealBounded(s)
	}
}

// flush ends a batch, as a shard does after some steps.
func (n *slotNode) flush() {
	m := n.mesh
	n.seq++
	marked := n.env.Flush(n.now(), n.seq)
	writes, sends, events := n.env.Writes, n.env.Sends, n.env.Events
	n.env.Writes, n.env.Sends, n.env.Events = nil, nil, nil
	if (len(marked) > 0) != (len(writes) > 0) {
		m.broken("node %d: %d slots marked, %d writes", n.id, len(marked), len(writes))
	}
	for i := range writes {
		w := &writes[i]
		n.countWrite(w)
		n.memory[w.Slot].apply(w)
		m.truths[w.Slot].written(n, w)
	}
	if len(marked) > 0 {
		n.batches = append(n.batches, slotBatch{n.seq, writes, marked})
	}
	for i := range events {
		n.event(&events[i])
	}
	for i := range sends {
		e := &sends[i]
		n.checkSend(e)
		n.countSend(e)
		m.send(slotPacket{from: n.id, to: e.To, message: &e.Message})
	}
	n.check()
}

func (m *slotMesh) send(p slotPacket) {
	p.sent, p.number = m.true, m.count("packets")
	m.net = append(m.net, p)
}

func (m *slotMesh) count(what string) int {
	m.seen[what]++
	return m.seen[what]
}

// persist makes the oldest n batches durable.
func (n *slotNode) persist(batches int) {
	for _, b := range n.batches[:batches] {
		n.toDisk(b.writes)
	}
	// A shell may say so for each batch or once for the last.
	for i, b := range n.batches[:batches] {
		for _, s := range b.slots {
			if i == batches-1 || n.mesh.choose.IntN(2) == 0 {
				s.Persisted(n.now(), b.seq)
			} else {
				s.Persisted(n.now(), n.batches[batches-1].seq)
			}
			n.stepped(s.id)
		}
	}
	n.batches = slices.Clone(n.batches[batches:])
}

// event does what the shell does on an event. Reads and snapshots are done
// later.
func (n *slotNode) event(e *SlotEvent) {
	m := n.mesh
	if m.trace != nil && e.Kind != SlotCommitted {
		m.trace("%s", n.renderEvent(e))
	}
	switch e.Kind {
	case SlotRead:
		n.checkRead(e)
		n.wants = append(n.wants, *e)
	case SlotSnapshot:
		if !slices.ContainsFunc(n.wants, func(w SlotEvent) bool {
			return w.Kind == SlotSnapshot && w.Slot == e.Slot && w.Node == e.Node && w.Ballot == e.Ballot
		}) {
			n.wants = append(n.wants, *e)
		}
	case SlotDamaged:
		m.broken("node %d slot %d: damaged: %s", n.id, e.Slot, e.Detail)
	default:
		n.lifeEvent(e)
	}
}

// answerWant reads what a SlotRead or a SlotSnapshot asked for from the disk.
func (n *slotNode) answerWant(i int) {
	w := n.wants[i]
	n.wants = slices.Delete(n.wants, i, i+1)
	s, d := n.slots[w.Slot], &n.disks[w.Slot]
	if w.Kind == SlotRead {
		var entries []Entry
		for _, t := range w.Tail {
			if int(t.LSN) > len(d.log) || d.log[t.LSN-1].Hash != t.Hash {
				break // cut off meanwhile
			}
			entries = append(entries, d.log[t.LSN-1])
		}
		n.mesh.count("read")
		s.ReadDone(n.now(), w.Node, w.Ballot, entries)
		n.stepped(w.Slot)
		return
	}
	if s.Promise().Ballot != w.Ballot {
		n.mesh.count("snapshot late") // of another owner's log, maybe; its receiver sees that
	}
	copied := slotDisk{log: slices.Clone(d.log), fold: d.fold}
	stage := &slotStage{slot: w.Slot, ballot: w.Ballot, state: d.state(d.fold), disk: copied}
	n.mesh.send(slotPacket{from: n.id, to: w.Node, stage: stage})
}

// drop loses the packet i.
func (m *slotMesh) drop(i int) {
	p := m.net[i]
	m.net = slices.Delete(m.net, i, i+1)
	m.count("dropped")
	if p.stage != nil {
		m.snapshotSent(&p, false)
	}
}

func (m *slotMesh) snapshotSent(p *slotPacket, ok bool) {
	if n := m.node(p.from); n.up {
		n.slots[p.stage.slot].SnapshotSent(n.now(), p.to, LSN(len(p.stage.disk.log)), ok)
		n.stepped(p.stage.slot)
	}
}

// deliver hands packet i over, and leaves it in flight if it is to come again.
func (m *slotMesh) deliver(i int, again bool) {
	p := m.net[i]
	if again {
		m.net[i].repeated = true
	} else {
		m.net = slices.Delete(m.net, i, i+1)
	}
	if p.repeated {
		m.count("repeated")
	}
	if i > 0 && slices.ContainsFunc(m.net[:i], func(q slotPacket) bool { return q.from == p.from && q.to == p.to }) {
		m.count("reordered")
	}
	n := m.node(p.to)
	switch {
	case !n.up:
		if p.stage != nil {
			m.snapshotSent(&p, false)
		}
	case p.message != nil:
		n.message(p.from, p.message)
	case p.beat != nil:
		if n.env.Enabled && n.env.Leases.Hear(n.now(), p.from, p.beat.boot, p.beat.epoch) {
			m.send(slotPacket{from: n.id, to: p.from, granted: p.beat})
		}
	case p.granted != nil:
		if p.granted.boot == n.boot {
			n.env.Leases.Grant(p.from, p.granted.sent)
		}
	case p.stage != nil:
		handle := p.stage.disk
		fetching := n.slots[p.stage.slot].lead != nil
		ok := n.slots[p.stage.slot].Staged(n.now(), p.from, p.stage.ballot, p.stage.state, &handle)
		if ok && fetching {
			m.count("snapshot fetched")
		}
		n.stepped(p.stage.slot)
		if m.trace != nil {
			m.trace("%s→%s snapshot %v up to %v: %t", renderSlotNode(p.from), renderSlotNode(p.to), p.stage.ballot, handle.last(), ok)
		}
		m.snapshotSent(&p, ok)
	}
}

func (n *slotNode) message(from NodeID, msg *Message) {
	m := n.mesh
	if m.trace != nil {
		m.trace("%s", renderSlotMessage(from, n.id, msg))
	}
	s := n.slots[msg.Slot]
	sends, promise := len(n.env.Sends), s.promise
	s.Step(n.now(), from, msg)
	n.countStep(s, msg, sends, promise)
	n.stepped(msg.Slot)
}

// beat sends heartbeats to all other nodes.
func (n *slotNode) beat() {
	for _, o := range n.mesh.nodes {
		if o.id != n.id && n.env.Enabled {
			n.mesh.send(slotPacket{from: n.id, to: o.id, beat: &slotBeat{n.boot, n.view, n.now()}})
		}
	}
}

// write appends a client's record.
func (n *slotNode) write(slot SlotID, bytes int) LSN {
	m := n.mesh
	m.acts++
	data := make([]byte, max(bytes, 8))
	binary.BigEndian.PutUint64(data, m.acts)
	lsn := n.slots[slot].Append(MakeActorKey("a", fmt.Sprint(m.acts%7)), data)
	n.stepped(slot)
	return lsn
}

// ask starts a round.
func (n *slotNode) ask(slot SlotID) uint64 {
	s, t := n.slots[slot], n.mesh.truths[slot]
	ballot := s.Ballot()
	a := slotAsk{ballot: ballot, stale: ballot.Less(t.active), commit: LSN(len(t.committed))}
	a.round = s.Ask()
	n.life[slot].asked = append(n.life[slot].asked, a)
	n.stepped(slot)
	return a.round
}

// fold folds up to lsn, if it is applied.
func (n *slotNode) fold(slot SlotID, lsn LSN) {
	s := n.slots[slot]
	lsn = min(lsn, s.Applied())
	s.Forget(lsn, func(ActorKey, LSN, int) {})
	if s.log.Base().LSN != max(lsn, s.log.Base().LSN) {
		n.mesh.broken("node %d slot %d: base %v after folding %d", n.id, slot, s.log.Base(), lsn)
	}
	if lsn > n.disks[slot].fold {
		n.mesh.count("folded")
		n.disks[slot].fold = lsn
		n.memory[slot].fold = lsn
	}
}

// change commits a view in which one slot's row is changed.
func (m *slotMesh) change(slot SlotID, edit func(r *Row, e Epoch)) {
	var rows []Row
	if len(m.views) > 0 {
		rows = slices.Clone(m.views[len(m.views)-1].rows)
	} else {
		rows = make([]Row, len(m.truths))
	}
	edit(&rows[slot], Epoch(len(m.views)+1))
	m.views = append(m.views, slotView{rows})
}

// place makes a row name the set, its owner first.
func (r *Row) place(e Epoch, set []NodeID) {
	if slices.Equal(r.Replicas, set) {
		return
	}
	from := slices.DeleteFunc(slices.Clone(r.From), func(s []NodeID) bool { return sameNodes(s, r.Replicas) })
	if len(r.Replicas) > 0 && !sameNodes(r.Replicas, set) {
		from = append(from, r.Replicas)
	}
	r.Epoch, r.Replicas, r.From = e, set, from
	r.Learners = slices.DeleteFunc(slices.Clone(r.Learners), func(id NodeID) bool { return slices.Contains(set, id) })
}

func sameNodes(a, b []NodeID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
