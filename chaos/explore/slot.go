package explore

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"actormesh/quorum"
)

// slotLog is the model of one slot's log: replicas, owners that are replaced by
// views, and clients that write. Without leases time is only what makes every
// timer due.
//
// An oracle commits the rows of the plan one after the other, and may drop
// `from` once an owner has reported that it is active. Row i comes with the
// epoch 2i+1, and without `from` with 2i+2.
type slotLog struct {
	plan    [][]quorum.NodeID // the sets, their owners first
	size    int
	records int             // that clients write
	crashes int             // of all nodes together
	ticks   int             // of all nodes together
	victims []quorum.NodeID // who may crash
	async   bool            // writes end in events of their own
	settled bool            // the first owner is active to begin with, at all replicas
	learn   []quorum.NodeID // who hears of new views; nil for all
	away    []quorum.NodeID // nothing has reached them yet where the first owner is active
	term    time.Duration   // of leases; 0 for none
	bug     Bug
}

// Places in globals.
const (
	slotTop     = iota // the newest row
	slotCleared        // bit i: row i was committed without `from` as well
	slotRecords        // written
	slotCrashes        // of any node
	slotTicks          // of any node
)

func (c *slotLog) nodes() int { return c.size }

// first returns the network and the facts that the settled first owner leaves.
func (c *slotLog) first() (globals, effects) {
	var out effects
	if c.settled {
		c.settle(&out)
	}
	return globals{}, out
}

// settle runs the nodes until the first owner is active and everybody who is not
// away has its barrier.
func (c *slotLog) settle(out *effects) []*slotMachine {
	var list []*slotMachine
	for i := range c.size {
		m := &slotMachine{model: c, id: quorum.NodeID(i + 1), now: 1, view: 1, row: c.row(1, 0)}
		m.restart()
		m.slot.SetRow(m.now, m.view, m.row)
		m.settle(out)
		list = append(list, m)
	}
	for next := 0; ; {
		for ; next < len(out.sends); next++ {
			to := list[out.sends[next].to-1]
			if slices.Contains(c.away, to.id) {
				continue
			}
			to.do(event{kind: evDeliver}, &out.sends[next], out)
		}
		for _, m := range list {
			for len(m.batches) > 0 {
				m.do(event{kind: evPersist}, nil, out)
			}
		}
		if next == len(out.sends) {
			return list
		}
	}
}

// row returns the row i as the view of the epoch has it, given which rows were
// cleared.
func (c *slotLog) row(epoch quorum.Epoch, cleared uint8) quorum.Row {
	i := int(epoch-1) / 2
	r := quorum.Row{Epoch: quorum.Epoch(2*i + 1), Replicas: c.plan[i]}
	if epoch%2 == 0 || c.bug == BugNewOnly {
		return r
	}
	for k := range i {
		if cleared>>k&1 == 1 || c.bug == BugOnlyLast {
			r.From = nil
		}
		if !sameSet(c.plan[k], c.plan[k+1]) {
			r.From = append(r.From, c.plan[k])
		}
	}
	return r
}

func sameSet(a, b []quorum.NodeID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// slotLook is what actions and checks see of a node.
type slotLook struct {
	node    quorum.NodeID
	boot    quorum.Boot
	view    quorum.Epoch
	row     quorum.Epoch  // the slot epoch
	promise quorum.Ballot // durable
	active  bool
	ballot  quorum.Ballot
	commit  quorum.LSN
	log     []place // with writes under way
	disk    []place // durable
	pending int     // writes under way
	batches int
	lease   leaseLook // zero where there are none
}

type place struct {
	ballot quorum.Ballot
	hash   uint64
}

// slotFact is what an owner has said: that it is active, or, if not barrier,
// that log is committed.
type slotFact struct {
	ballot  quorum.Ballot
	barrier bool // log ends with the ballot's barrier, and the owner is active
	log     []place
}

func (c *slotLog) actions(v *view, emit func(action)) {
	g := v.globals
	c.viewActions(v, emit)
	for i := range c.size {
		l := v.looks[i].(*slotLook)
		act := func(kind eventKind, arg uint32, g globals) {
			emit(action{node: i, event: event{kind: kind, arg: arg}, globals: g})
		}
		for e := l.view + 1; e <= quorum.Epoch(2*g[slotTop]+2); e++ {
			row := int(e-1) / 2
			if (e%2 == 1 || g[slotCleared]>>row&1 == 1) && (c.learn == nil || slices.Contains(c.learn, l.node)) {
				act(evAdopt, uint32(e)|uint32(g[slotCleared]&(1<<row-1))<<16, g)
			}
		}
		if l.active && int(g[slotRecords]) < c.records {
			n := g
			n[slotRecords]++
			act(evWrite, uint32(n[slotRecords]), n)
		}
		if l.batches > 0 {
			act(evPersist, 0, g)
		}
		if int(g[slotTicks]) < c.ticks {
			n := g
			n[slotTicks]++
			act(evTick, 0, n)
		}
		if int(g[slotCrashes]) < c.crashes && slices.Contains(c.victims, l.node) {
			n := g
			n[slotCrashes]++
			for kept := range l.pending + 1 {
				act(evCrash, uint32(kept), n)
			}
		}
	}
}

// viewActions are the steps of the oracle. (Change, Clear)
func (c *slotLog) viewActions(v *view, emit func(action)) {
	g := v.globals
	if int(g[slotTop]) < len(c.plan)-1 {
		n := g
		n[slotTop]++
		emit(action{node: nobody, event: event{kind: evAdopt, arg: 0}, globals: n})
	}
	top := g[slotTop]
	row := c.row(quorum.Epoch(2*top+1), g[slotCleared])
	if row.From == nil || g[slotCleared]>>top&1 == 1 {
		return
	}
	reported := c.bug == BugEarlyClear
	for _, f := range v.facts {
		f := f.(*slotFact)
		reported = reported || f.barrier && (f.ballot.Epoch == row.Epoch || c.bug == BugStaleReport)
	}
	if reported {
		n := g
		n[slotCleared] |= 1 << top
		emit(action{node: nobody, event: event{kind: evAdopt, arg: 1}, globals: n})
	}
}

func (c *slotLog) describe(a *action, v *view) string {
	if a.node < 0 {
		if a.event.arg == 0 {
			return "view " + c.describeRow(quorum.Epoch(2*a.globals[slotTop]+1), a.globals[slotCleared])
		}
		return "view " + c.describeRow(quorum.Epoch(2*a.globals[slotTop]+2), a.globals[slotCleared])
	}
	name := nodeName(quorum.NodeID(a.node + 1))
	switch a.event.kind {
	case evAdopt:
		return name + " adopts " + c.describeRow(quorum.Epoch(a.event.arg&0xffff), uint8(a.event.arg>>16))
	case evWrite:
		return fmt.Sprintf("%s writes record %d", name, a.event.arg)
	case evPersist:
		return name + " ends a write"
	case evTick:
		return name + " ticks"
	case evCrash:
		if c.async {
			return fmt.Sprintf("%s restarts with %d of %d writes", name, a.event.arg, v.looks[a.node].(*slotLook).pending)
		}
		return name + " restarts"
	}
	return fmt.Sprintf("%s event %d", name, a.event.kind)
}

func (c *slotLog) describeRow(epoch quorum.Epoch, cleared uint8) string {
	r := c.row(epoch, cleared)
	text := fmt.Sprintf("%d: %s", epoch, nodeNames(r.Replicas))
	for _, set := range r.From {
		text += " from " + nodeNames(set)
	}
	return text
}

func nodeName(id quorum.NodeID) string { return string(rune('a' + id - 1)) }

func nodeNames(ids []quorum.NodeID) string {
	text := ""
	for _, id := range ids {
		text += nodeName(id)
	}
	return text
}

func (c *slotLog) final(any) bool { return false }

// spent: a replica refuses what is below its durable promise, and an owner takes
// no answer to a ballot that it has left behind.
func (c *slotLog) spent(look any, m *message) bool {
	l, body := look.(*slotLook), m.body.(*quorum.Message)
	switch body.Kind {
	case quorum.MsgSeal, quorum.MsgAppend, quorum.MsgFetch:
		return body.Ballot.Less(l.promise)
	}
	return body.Ballot.Less(quorum.Ballot{Epoch: l.row, Boot: l.boot})
}

// slotDisk is what of the slot is in a node's store.
type slotDisk struct {
	promise quorum.Promise
	log     []quorum.Entry
}

func (d *slotDisk) apply(w *quorum.Write) {
	switch w.Kind {
	case quorum.WritePromise:
		d.promise = w.Promise
	case quorum.WriteAppend:
		if w.Entries[0].LSN != quorum.LSN(len(d.log))+1 {
			panic("a write leaves a gap, or an entry that it did not cut off")
		}
		d.log = append(slices.Clip(d.log), w.Entries...)
	case quorum.WriteTruncate:
		d.log = d.log[:w.Cut[0].LSN-1]
	case quorum.WriteDiscard:
		d.log = nil
	}
}

func (d *slotDisk) state() quorum.SlotState {
	s := quorum.SlotState{Promise: d.promise}
	for i := range d.log {
		e := &d.log[i]
		s.Tail = append(s.Tail, quorum.TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: e.Size()})
	}
	return s
}

func (d *slotDisk) places() []place {
	list := make([]place, len(d.log))
	for i := range d.log {
		list[i] = place{d.log[i].Ballot, d.log[i].Hash}
	}
	return list
}

// slotMachine is a node with its part in the slot.
type slotMachine struct {
	model *slotLog
	id    quorum.NodeID
	boot  quorum.Boot
	view  quorum.Epoch // durable
	row   quorum.Row
	now   quorum.Instant

	env     *quorum.Env
	slot    *quorum.Slot
	disk    slotDisk
	memory  slotDisk // with the writes under way
	batches []slotBatch
	seq     uint64
	told    quorum.LSN // the commit that was noted last
}

type slotBatch struct {
	seq    uint64
	writes []quorum.Write
}

// everyTimer is longer than any timer of a slot: between two events of a node
// every one ends.
const everyTimer = time.Hour

func (c *slotLog) start(node int) machine {
	if c.settled {
		return c.settle(&effects{})[node]
	}
	m := &slotMachine{model: c, id: quorum.NodeID(node + 1), now: 1, view: 1, row: c.row(1, 0)}
	m.restart()
	if m.id == m.row.Owner() {
		m.view, m.row = 0, quorum.Row{} // its first step is to take the slot
		return m
	}
	m.slot.SetRow(m.now, m.view, m.row)
	return m
}

func (m *slotMachine) restart() {
	m.boot++
	m.env = &quorum.Env{Self: m.id, Boot: m.boot, Leases: quorum.NewLeases(m.quietSince(), m.model.term, m.model.leaseDrift()), Enabled: true}
	m.slot = quorum.NewSlot(0, m.env, m.disk.state())
	m.memory = slotDisk{m.disk.promise, slices.Clip(m.disk.log)}
	m.batches, m.told = nil, 0
}

func (m *slotMachine) look() any {
	l := &slotLook{
		node: m.id, boot: m.boot, view: m.view, row: m.row.Epoch, promise: m.disk.promise.Ballot, active: m.slot.Active(), ballot: m.slot.Ballot(), commit: m.slot.Commit(),
		log: m.memory.places(), disk: m.disk.places(), batches: len(m.batches),
	}
	for _, b := range m.batches {
		l.pending += len(b.writes)
	}
	return l
}

func (m *slotMachine) appendState(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(m.boot))
	b = binary.AppendUvarint(b, uint64(m.view))
	b = m.slot.AppendState(b, m.now.Add(everyTimer))
	b = m.disk.appendState(b)
	for _, batch := range m.batches {
		b = append(b, byte(len(batch.writes)))
		for i := range batch.writes {
			w := &batch.writes[i]
			d := slotDisk{promise: w.Promise, log: w.Entries}
			b = d.appendState(append(b, byte(w.Kind)))
			b = append(b, byte(len(w.Cut)))
		}
	}
	return b
}

func (d *slotDisk) appendState(b []byte) []byte {
	b = appendNumbers(b, uint64(d.promise.Owner), uint64(len(d.log)))
	b = appendBallot(b, d.promise.Ballot)
	for i := range d.log {
		e := &d.log[i]
		b = appendNumbers(appendBallot(b, e.Ballot), uint64(e.LSN), e.Hash)
	}
	return b
}

func appendBallot(b []byte, v quorum.Ballot) []byte {
	return appendNumbers(b, uint64(v.Epoch), uint64(v.Boot))
}

func appendNumbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func slotMessage(from, to quorum.NodeID, m *quorum.Message) message {
	key := appendNumbers(nil, uint64(from), uint64(to), uint64(m.Kind), uint64(m.At.LSN), uint64(m.Commit), uint64(m.Promised.Owner), m.Round)
	key = appendBallot(appendBallot(appendBallot(key, m.Ballot), m.At.Ballot), m.Promised.Ballot)
	d := slotDisk{log: m.Entries}
	return message{from: from, to: to, key: string(d.appendState(key)), text: func() string { return slotText(from, to, m) }, body: m}
}

func slotText(from, to quorum.NodeID, m *quorum.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s→%s %v %v", nodeName(from), nodeName(to), m.Kind, m.Ballot)
	switch m.Kind {
	case quorum.MsgSeal:
	case quorum.MsgRefuse:
		fmt.Fprintf(&b, ": %v of %s is promised", m.Promised.Ballot, nodeName(m.Promised.Owner))
	default:
		fmt.Fprintf(&b, " at %v", m.At)
	}
	if m.Commit > 0 {
		fmt.Fprintf(&b, " commit %d", m.Commit)
	}
	for i := range m.Entries {
		fmt.Fprintf(&b, " +%v", m.Entries[i].Position())
	}
	return b.String()
}
