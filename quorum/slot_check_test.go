package quorum

import (
	"fmt"
	"slices"
	"strings"
)

// slotTruth is what is known of a slot by whoever sees everything.
type slotTruth struct {
	entries   map[Position]*slotEntry // every entry that was ever written
	committed []slotPlace             // committed[i] is at the LSN i+1
	active    Ballot                  // the highest that ever was
	barriers  map[Ballot]LSN          // of each ballot that was active
}

type slotEntry struct {
	hash, before uint64 // the rolling hash, and that of the entry before
	held         uint64 // bit i: node i has ever had it durably
}

type slotPlace struct {
	at   Position
	hash uint64
}

func newSlotTruth() *slotTruth {
	return &slotTruth{entries: map[Position]*slotEntry{}, barriers: map[Ballot]LSN{}}
}

// written notes entries. There is one entry for each (ballot, lsn), with one
// past, and only the ballot's owner makes it. (LogMatching)
func (t *slotTruth) written(n *slotNode, w *Write) {
	if w.Kind != WriteAppend {
		return
	}
	before := n.memory[w.Slot].hash(w.Entries[0].LSN - 1)
	for i := range w.Entries {
		e := &w.Entries[i]
		known := t.entries[e.Position()]
		switch s := n.slots[w.Slot]; {
		case known != nil:
		case e.Ballot.Boot == n.boot && n.mesh.views[e.Ballot.Epoch-1].rows[w.Slot].Owner() == n.id && s.row.Epoch >= e.Ballot.Epoch:
			known = &slotEntry{hash: e.Hash, before: before}
			t.entries[e.Position()] = known
		default:
			n.mesh.broken("node %d slot %d: makes up %v", n.id, w.Slot, e.Position())
			return
		}
		if known.hash != e.Hash || known.before != before || e.ChainHash(before) != e.Hash {
			n.mesh.broken("LogMatching: node %d slot %d: %v is another entry elsewhere", n.id, w.Slot, e.Position())
		}
		before = e.Hash
	}
}

// stored notes who has what durably.
func (t *slotTruth) stored(n *slotNode, d *slotDisk, w *Write) {
	entries := w.Entries
	if w.Kind == WriteInstall {
		entries = d.log
	}
	for i := range entries {
		t.entries[entries[i].Position()].held |= 1 << n.id
	}
}

// stepped looks at one slot after each step.
func (n *slotNode) stepped(slot SlotID) {
	s, l, t := n.slots[slot], &n.life[slot], n.mesh.truths[slot]
	n.checkCommit(s, l, t)
	if s.Active() {
		t.activated(n, s)
		if s.lead.ballot.Less(t.active) {
			n.mesh.count("replaced and active")
		}
	}
	l.asked = slices.DeleteFunc(l.asked, func(a slotAsk) bool {
		if a.stale {
			n.mesh.count("round of a replaced owner")
		}
		if s.Confirmed() < a.round {
			return false
		}
		n.mesh.count("round confirmed")
		if a.stale || s.Commit() < a.commit {
			n.mesh.broken("node %d slot %d: round %d of %v confirmed, but it was stale", n.id, slot, a.round, a.ballot)
		}
		return true
	})
}

// checkCommit asks of each newly committed entry that it is the one that others
// hold to be committed (CommittedAgree), and of an owner that it had a majority
// for an entry of its own ballot, below the barrier of any higher active ballot
// (Fenced).
func (n *slotNode) checkCommit(s *Slot, l *slotLife, t *slotTruth) {
	m, c, old := n.mesh, s.commit, l.commit
	l.commit = c
	switch {
	case c <= old:
		return
	case c > s.log.Last().LSN:
		m.broken("node %d slot %d: commit %d, last %v", n.id, s.id, c, s.log.Last())
		return
	case s.lead != nil && s.lead.phase >= phaseOpening && c >= s.lead.barrier:
		n.checkMajority(s, t, c)
		for lsn := LSN(len(t.committed)) + 1; lsn <= c; lsn++ {
			at, _ := s.log.position(lsn)
			t.committed = append(t.committed, slotPlace{at, s.log.hash(lsn)})
		}
	case c > LSN(len(t.committed)):
		m.broken("node %d slot %d: holds %d to be committed, %d are", n.id, s.id, c, len(t.committed))
		return
	}
	for lsn := max(old, s.log.Base().LSN-1) + 1; lsn <= c; lsn++ {
		if lsn > 0 && s.log.hash(lsn) != t.committed[lsn-1].hash {
			at, _ := s.log.position(lsn)
			m.broken("CommittedAgree: node %d slot %d: %v for %v", n.id, s.id, at, t.committed[lsn-1].at)
		}
	}
}

func (n *slotNode) checkMajority(s *Slot, t *slotTruth, c LSN) {
	m := n.mesh
	at, _ := s.log.position(c)
	if at.Ballot != s.lead.ballot {
		m.broken("node %d slot %d: commits %v at %v", n.id, s.id, at, s.lead.ballot)
	}
	held := 0
	for _, id := range s.row.Replicas {
		if e := t.entries[at]; e != nil && e.held>>id&1 == 1 {
			held++
		}
	}
	if held < Majority(len(s.row.Replicas)) {
		m.broken("node %d slot %d: commits %v, which %d of %v hold", n.id, s.id, at, held, s.row.Replicas)
	}
	for b, barrier := range t.barriers {
		if s.lead.ballot.Less(b) && c >= barrier {
			m.broken("Fenced: node %d slot %d: %v commits %d, %v has its barrier at %d", n.id, s.id, s.lead.ballot, c, b, barrier)
		}
	}
}

// activated notes a ballot that is active. Its log holds all that was ever
// committed at lower ballots. (Durability, AckedKept)
func (t *slotTruth) activated(n *slotNode, s *Slot) {
	b := s.lead.ballot
	if t.barriers[b] != 0 {
		return
	}
	t.barriers[b] = s.lead.barrier
	if d := &n.disks[s.id]; LSN(len(d.log)) < s.lead.barrier || d.position(s.lead.barrier) != (Position{b, s.lead.barrier}) {
		n.mesh.broken("node %d slot %d: active at %v, and its barrier is not durable here", n.id, s.id, b)
	}
	if t.active.Less(b) {
		t.active = b
	}
	for i, place := range t.committed {
		lsn := LSN(i + 1)
		if lsn < s.log.Base().LSN || !place.at.Ballot.Less(b) {
			continue // rolled into the base's hash; or it is late itself
		}
		if lsn > s.log.Last().LSN || s.log.hash(lsn) != place.hash {
			n.mesh.broken("Durability: node %d slot %d: active at %v without %v", n.id, s.id, b, place.at)
			return
		}
	}
}

// lifeEvent follows what the shell sees of the slot's life.
func (n *slotNode) lifeEvent(e *SlotEvent) {
	m, l := n.mesh, &n.life[e.Slot]
	wrong := func() { m.broken("node %d slot %d: %s after %+v", n.id, e.Slot, n.renderEvent(e), *l) }
	switch e.Kind {
	case SlotActive:
		m.count("active")
		if l.serving || l.paused != e.Kept {
			wrong()
		}
		if e.Kept {
			m.count("kept reseal")
			for b := range m.truths[e.Slot].barriers {
				if l.ballot.Less(b) && b.Less(e.Ballot) {
					m.broken("node %d slot %d: kept %v up to %v, but %v was active between", n.id, e.Slot, l.ballot, e.Ballot, b)
				}
			}
			d := &n.memory[e.Slot]
			if LSN(len(d.log)) < l.tail.LSN || d.position(l.tail.LSN) != l.tail {
				m.broken("node %d slot %d: kept, but the tail %v is gone", n.id, e.Slot, l.tail)
			}
		}
		l.serving, l.paused, l.ballot = true, false, e.Ballot
	case SlotPaused:
		if !l.serving || e.Ballot != l.ballot {
			wrong()
		}
		// Nothing was appended since: the shell may not, and the events of
		// this batch come before its writes.
		l.serving, l.paused = false, true
		l.tail = n.lastOf(e.Slot, e.Ballot)
	case SlotLost:
		if !l.serving && !l.paused {
			wrong()
		}
		l.serving, l.paused, l.asked = false, false, nil
	case SlotBehind:
		m.count("behind")
		if e.Epoch <= e.Ballot.Epoch || e.Epoch > Epoch(len(m.views)) {
			wrong()
		}
	case SlotCaughtUp:
		m.count("caught up")
	}
}

// lastOf returns the last position of the ballot in the slot's log.
func (n *slotNode) lastOf(slot SlotID, b Ballot) Position {
	log := n.memory[slot].log
	for i := len(log) - 1; i >= 0; i-- {
		if !b.Less(log[i].Ballot) {
			return log[i].Position()
		}
	}
	return Position{}
}

// checkSend asks that what is said is durable.
func (n *slotNode) checkSend(e *Envelope) {
	m, d := n.mesh, &n.disks[e.Slot]
	switch e.Kind {
	case MsgPromise:
		if (d.promise != Promise{e.Ballot, e.To}) || d.last() != e.At {
			m.broken("node %d slot %d: says promise %v at %v, has %v at %v", n.id, e.Slot, e.Ballot, e.At, d.promise, d.last())
		}
	case MsgAck:
		if d.promise.Ballot != e.Ballot || e.At.LSN > LSN(len(d.log)) {
			m.broken("node %d slot %d: acknowledges %v to %d, has %v up to %d", n.id, e.Slot, e.Ballot, e.At.LSN, d.promise, len(d.log))
			return
		}
		if o := m.node(e.To); o.up && o.slots[e.Slot].Ballot() == e.Ballot && o.slots[e.Slot].lead.phase >= phaseOpening {
			if o.memory[e.Slot].hash(e.At.LSN) != d.hash(e.At.LSN) {
				m.broken("node %d slot %d: acknowledges %d to %d with another log", n.id, e.Slot, e.At.LSN, e.To)
			}
		}
	case MsgAppend, MsgFetched:
		for i := range e.Entries {
			entry := &e.Entries[i]
			known := m.truths[e.Slot].entries[entry.Position()]
			if known == nil || entry.Hash != known.hash || entry.ChainHash(known.before) != known.hash {
				m.broken("node %d slot %d: sends %v, which is no such entry", n.id, e.Slot, entry.Position())
			}
		}
	}
}

// checkRead asks that what is to be read is durable.
func (n *slotNode) checkRead(e *SlotEvent) {
	d := &n.disks[e.Slot]
	for _, t := range e.Tail {
		if t.LSN > LSN(len(d.log)) || d.log[t.LSN-1].Hash != t.Hash {
			n.mesh.broken("node %d slot %d: reads %d, which is not in the store", n.id, e.Slot, t.LSN)
		}
	}
}

// checkSealBounded is asked after a tick. (SealBounded)
func (n *slotNode) checkSealBounded(s *Slot) {
	if b, since, waits := s.SealWaits(); waits && n.now().Sub(since) > n.mesh.term {
		n.mesh.broken("SealBounded: node %d slot %d: %v has waited since %d", n.id, s.id, b, since)
	}
}

// check looks at the node after a batch.
func (n *slotNode) check() {
	for i, s := range n.slots {
		n.checkLog(s, &n.memory[i], &n.disks[i])
		n.checkProgress(s)
		n.checkLease(s)
	}
	n.checkGrants()
}

// checkLog compares the log in memory with the writes, and what it holds to be
// durable with the disk.
func (n *slotNode) checkLog(s *Slot, memory, disk *slotDisk) {
	m, log := n.mesh, s.log
	base := log.Base()
	if memory.promise != s.promise || memory.last() != log.Last() || memory.hash(base.LSN) != log.baseHash || memory.position(base.LSN) != base {
		m.broken("node %d slot %d: the log %v..%v is not what was written, %v", n.id, s.id, base, log.Last(), memory.last())
		return
	}
	if s.sync.lsn > LSN(len(disk.log)) || disk.hash(s.sync.lsn) != memory.hash(s.sync.lsn) {
		m.broken("node %d slot %d: %d held to be durable, %d are", n.id, s.id, s.sync.lsn, len(disk.log))
	}
	bytes := 0
	for lsn := base.LSN + 1; lsn <= log.Last().LSN; lsn++ {
		e := log.at(lsn)
		bytes += int(log.sizes[lsn-base.LSN-1])
		if e.Hash != memory.hash(lsn) || lsn >= log.cached && len(e.Data) != len(memory.log[lsn-1].Data) {
			m.broken("node %d slot %d: %v is not what was written", n.id, s.id, e.Position())
		}
	}
	if bytes != log.bytes {
		m.broken("node %d slot %d: %d bytes, counted %d", n.id, s.id, bytes, log.bytes)
	}
}

// checkProgress asks that what an owner holds to be on a replica was there.
func (n *slotNode) checkProgress(s *Slot) {
	m := n.mesh
	if s.lead == nil || s.lead.phase < phaseOpening {
		return
	}
	for _, p := range s.lead.peers {
		if p.next <= p.match || p.next > s.log.Last().LSN+1 || p.bytes < 0 {
			m.broken("node %d slot %d: progress of %d: match %d, next %d, last %v, %d bytes", n.id, s.id, p.id, p.match, p.next, s.log.Last(), p.bytes)
		}
		at := n.memory[s.id].position(p.match)
		if p.match > 0 && m.truths[s.id].entries[at].held>>p.id&1 == 0 {
			m.broken("node %d slot %d: node %d never had %v", n.id, s.id, p.id, at)
		}
	}
}

// checkLease is LeaseUniqueness and LeaseFresh.
func (n *slotNode) checkLease(s *Slot) {
	m, t := n.mesh, n.mesh.truths[s.id]
	if s.LeaseUntil() <= n.now() {
		return
	}
	m.count("lease held")
	if s.lead.ballot.Less(t.active) {
		m.broken("LeaseUniqueness: node %d slot %d: lease at %v, %v is active", n.id, s.id, s.lead.ballot, t.active)
	}
	if s.Commit() < LSN(len(t.committed)) {
		m.broken("LeaseFresh: node %d slot %d: lease with commit %d of %d", n.id, s.id, s.Commit(), len(t.committed))
	}
}

// checkGrants is GrantOutlasts: a node counts on no lease longer than the
// granter keeps it.
func (n *slotNode) checkGrants() {
	for _, r := range n.mesh.nodes {
		until := n.env.Leases.held[r.id]
		if until <= n.now() || !r.up {
			continue
		}
		kept := max(r.env.Leases.granted[n.id], r.env.Leases.quiet)
		if r.trueTime(kept) < n.trueTime(until) {
			n.mesh.broken("GrantOutlasts: node %d counts on %d longer than it is granted", n.id, r.id)
		}
	}
}

// checkFound asks, of every set of nodes that could seal the newest row, that
// the highest of their logs holds all that was ever committed. (Found)
func (m *slotMesh) checkFound() {
	for i, t := range m.truths {
		row := &m.views[len(m.views)-1].rows[i]
		sets := append([][]NodeID{row.Replicas}, row.From...)
		for q := range 1 << len(m.nodes) {
			if !slices.ContainsFunc(sets, func(set []NodeID) bool { return !m.majority(q, set) }) {
				m.checkQuorum(i, t, q)
			}
		}
	}
}

func (m *slotMesh) majority(q int, set []NodeID) bool {
	n := 0
	for _, id := range set {
		n += q >> (id - 1) & 1
	}
	return n >= Majority(len(set))
}

func (m *slotMesh) checkQuorum(slot int, t *slotTruth, q int) {
	best := &slotDisk{}
	for i, n := range m.nodes {
		if q>>i&1 == 1 && n.disks[slot].last().Compare(best.last()) > 0 {
			best = &n.disks[slot]
		}
	}
	c := len(t.committed)
	if c > 0 && (len(best.log) < c || best.hash(LSN(c)) != t.committed[c-1].hash) {
		m.broken("Found: slot %d: the nodes %b would find %v, and not %v", slot, q, best.last(), t.committed[c-1].at)
	}
}

func (n *slotNode) countWrite(w *Write) {
	m := n.mesh
	switch w.Kind {
	case WriteTruncate:
		m.count("tail cut")
	case WriteDiscard:
		m.count("discard")
	case WriteInstall:
		m.count("snapshot")
	}
}

// countStep notes what a message has brought about.
func (n *slotNode) countStep(s *Slot, msg *Message, sends int, old Promise) {
	m := n.mesh
	for i := sends; i < len(n.env.Sends); i++ {
		if n.env.Sends[i].Kind == MsgRefuse {
			m.count("refused " + msg.Kind.String())
		}
	}
	switch {
	case msg.Kind == MsgSeal && s.wait.ballot == msg.Ballot:
		m.count("lease wait")
	case msg.Kind == MsgSeal && s.promise != old && old.Owner != s.promise.Owner && old.Owner != n.id && n.env.Leases.granted[old.Owner] > n.now():
		m.count("release by epoch")
	}
}

func (n *slotNode) countSend(e *Envelope) {
	m := n.mesh
	switch {
	case e.Kind == MsgFetch:
		m.count("fetch")
	case e.Kind == MsgFetched && len(e.Entries) == 0:
		m.count("fetch lowered")
	case e.Kind == MsgMismatch:
		m.count("mismatch")
	}
}

func (n *slotNode) renderEvent(e *SlotEvent) string {
	switch e.Kind {
	case SlotActive:
		if e.Kept {
			return fmt.Sprintf("%s: active %v, kept", renderSlotNode(n.id), e.Ballot)
		}
		return fmt.Sprintf("%s: active %v", renderSlotNode(n.id), e.Ballot)
	case SlotPaused:
		return fmt.Sprintf("%s: paused %v", renderSlotNode(n.id), e.Ballot)
	case SlotLost:
		return fmt.Sprintf("%s: lost %v", renderSlotNode(n.id), e.Ballot)
	case SlotCommitted:
		return fmt.Sprintf("%s: committed", renderSlotNode(n.id))
	case SlotConfirmed:
		return fmt.Sprintf("%s: confirmed", renderSlotNode(n.id))
	case SlotBehind:
		return fmt.Sprintf("%s: behind: %s knows epoch %d", renderSlotNode(n.id), renderSlotNode(e.Node), e.Epoch)
	case SlotCaughtUp:
		return fmt.Sprintf("%s: %s has caught up", renderSlotNode(n.id), renderSlotNode(e.Node))
	case SlotRead:
		return fmt.Sprintf("%s: reads %d..%d for %s", renderSlotNode(n.id), e.Tail[0].LSN, e.Tail[len(e.Tail)-1].LSN, renderSlotNode(e.Node))
	case SlotSnapshot:
		return fmt.Sprintf("%s: snapshot for %s", renderSlotNode(n.id), renderSlotNode(e.Node))
	}
	return fmt.Sprintf("%s: event %d: %s", renderSlotNode(n.id), e.Kind, e.Detail)
}

func renderSlotNode(id NodeID) string {
	if id == 0 {
		return "-"
	}
	return string(rune('a' + id - 1))
}

func renderSlotMessage(from, to NodeID, m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s→%s %v %v", renderSlotNode(from), renderSlotNode(to), m.Kind, m.Ballot)
	switch m.Kind {
	case MsgPromise, MsgMismatch, MsgFetch, MsgFetched:
		fmt.Fprintf(&b, " at %v", m.At)
	case MsgAppend:
		fmt.Fprintf(&b, " at %v commit %d", m.At, m.Commit)
	case MsgAck:
		fmt.Fprintf(&b, " %d", m.At.LSN)
	case MsgRefuse:
		fmt.Fprintf(&b, " for %v of %s", m.Promised.Ballot, renderSlotNode(m.Promised.Owner))
	}
	if m.Round > 0 {
		fmt.Fprintf(&b, " round %d", m.Round)
	}
	if len(m.Entries) > 0 {
		fmt.Fprintf(&b, " %s", renderEntries(m.Entries))
	}
	return b.String()
}

// renderSlotRow shows a row as "15 abc learners d from bcd".
func renderSlotRow(r *Row) string {
	out := fmt.Sprintf("%d %s", r.Epoch, renderSlotNodes(r.Replicas))
	if len(r.Learners) > 0 {
		out += " learners " + renderSlotNodes(r.Learners)
	}
	for _, set := range r.From {
		out += " from " + renderSlotNodes(set)
	}
	return out
}

func renderSlotNodes(ids []NodeID) string {
	var out string
	for _, id := range ids {
		out += renderSlotNode(id)
	}
	return out
}

// renderEntries shows runs of entries, as "1.1:1-3 2.1:4".
func renderEntries(entries []Entry) string {
	var b strings.Builder
	for i := 0; i < len(entries); {
		j := i
		for j+1 < len(entries) && entries[j+1].Ballot == entries[i].Ballot {
			j++
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%v:%d", entries[i].Ballot, entries[i].LSN)
		if j > i {
			fmt.Fprintf(&b, "-%d", entries[j].LSN)
		}
		i = j + 1
	}
	if len(entries) == 0 {
		return "-"
	}
	return b.String()
}
