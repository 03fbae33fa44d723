package quorum

import (
	"maps"
	"slices"
	"time"

	"actormesh/quorum/mutant"
)

// Row is what a view says of one slot.
type Row struct {
	Epoch    Epoch      // slot epoch: of the view that last changed the owner or the set
	Replicas []NodeID   // the owner first
	Learners []NodeID   // copy the log, and do not count
	From     [][]NodeID // earlier sets, of each of which a new owner must seal a majority
}

// Owner returns the node that the row appoints, or 0 for an empty row.
func (r *Row) Owner() NodeID {
	if len(r.Replicas) == 0 {
		return 0
	}
	return r.Replicas[0]
}

// names reports whether the node is in the set, in an earlier set, or learns.
func (r *Row) names(id NodeID) bool {
	return slices.Contains(r.Replicas, id) || slices.Contains(r.Learners, id) ||
		slices.ContainsFunc(r.From, func(set []NodeID) bool { return slices.Contains(set, id) })
}

// Slot is one node's part in the log of one slot: always that of a replica,
// and that of the owner too where the newest view that it knows appoints it.
// The protocol is Raft's log with the election taken out: the view appoints the
// leader, and Paxos's first phase makes the appointment safe. It is specified
// in docs/spec/SlotLog.tla, whose actions are named in the comments.
//
// A Slot is a pure state machine. It is stepped with messages, ticks and ends
// of writes, and leaves what is to be done in its Env.
type Slot struct {
	id  SlotID
	env *Env

	row  Row
	view Epoch // of the view that row is from

	log     *Log
	promise Promise          // may not be durable yet; lower ballots are refused all the same
	commit  LSN              // known to be committed; <= log.Last().LSN
	wall    int64            // highest Record.Wall that this node has seen in the log
	senders map[ActorKey]LSN // of the last record with sends of each actor that has one
	sync    syncState
	wait    waitingSeal
	follow  followState
	lead    *lead
}

// syncState is what of a slot is durable, and what is on its way to the disk.
type syncState struct {
	lsn     LSN // every entry up to it is durable
	promise Promise
	marks   []syncMark // writes under way, oldest first
	dirty   bool       // written since the last mark
}

type syncMark struct {
	seq     uint64
	lsn     LSN
	promise Promise
}

// waitingSeal is the highest seal that waits for the promised owner's lease to
// end; its ballot is zero if none waits.
type waitingSeal struct {
	ballot Ballot
	owner  NodeID
	since  Instant
}

// followState is what a replica owes to the promised owner.
type followState struct {
	matched  LSN // the log is as the promised owner's up to here
	acked    LSN // said last
	round    uint64
	promised bool // owes a MsgPromise
	ack      bool // owes a MsgAck
}

// Env is what all slots of a shard share: who this node is, its leases, and what
// its slots want done. The shard drains the lists after each batch of steps.
type Env struct {
	Self    NodeID
	Boot    Boot
	Leases  *Leases
	Enabled bool // a majority of voters has registered this start; before, nothing is promised

	Writes []Write
	Sends  []Envelope
	Events []SlotEvent

	dirty   []*Slot // with a write that is not marked yet
	sending []*Slot // owners with something to append
}

// Envelope is a message and the node that it is for.
type Envelope struct {
	To NodeID
	Message
}

// WriteKind says what a Write does.
type WriteKind uint8

// The writes.
const (
	WritePromise  WriteKind = iota + 1 // Promise
	WriteAppend                        // Entries
	WriteTruncate                      // deletes the entries at Cut
	WriteDiscard                       // deletes the slot's log and actors; the promise stays
	WriteInstall                       // puts the staged Snapshot in place of the slot's log and actors
)

// Write is one change of a slot's durable state. The writes of a batch become
// durable together, or a prefix of them.
type Write struct {
	Kind     WriteKind
	Slot     SlotID
	Promise  Promise
	Entries  []Entry
	Cut      []TailEntry
	Snapshot any // the shell's handle of a staged snapshot
}

// SlotEventKind says what a SlotEvent reports.
type SlotEventKind uint8

// The events.
const (
	// SlotActive: this node serves the slot at Ballot. Kept says that it did
	// before, and that what it had running goes on.
	SlotActive SlotEventKind = iota + 1
	// SlotPaused: this node still owns the slot, but must seal it again; what
	// it has running may go on later.
	SlotPaused
	// SlotLost: this node serves the slot no longer. What was not committed may
	// still be, under another owner.
	SlotLost
	// SlotCommitted: the commit LSN grew.
	SlotCommitted
	// SlotConfirmed: a majority has heard a later round.
	SlotConfirmed
	// SlotBehind: Node has promised a ballot of Epoch, which is newer than the
	// view that this node has.
	SlotBehind
	// SlotCaughtUp: the learner Node has all that is committed.
	SlotCaughtUp
	// SlotRead: the entries at Tail are wanted from the store, for Node.
	SlotRead
	// SlotSnapshot: Node needs a snapshot of the slot, under Ballot.
	SlotSnapshot
	// SlotDamaged: the log is not what the protocol allows; Detail says how.
	// The node must stop.
	SlotDamaged
)

// SlotEvent reports something to the shard.
type SlotEvent struct {
	Kind   SlotEventKind
	Slot   SlotID
	Ballot Ballot
	Kept   bool
	Node   NodeID
	Epoch  Epoch
	Tail   []TailEntry
	Detail string
}

// SlotState is what a store knows of a slot after a start, or a staged snapshot
// of it.
type SlotState struct {
	Promise  Promise
	Base     Position
	BaseHash uint64
	Tail     []TailEntry      // above Base, without gaps
	Wall     int64            // highest Record.Wall
	Senders  map[ActorKey]LSN // of the last unfolded record with sends, by actor
}

// valid reports whether the tail follows the base, nothing is of a higher ballot
// than max, and there is room for more.
func (s *SlotState) valid(max Ballot) bool {
	p := s.Base
	if p.LSN >= 1<<62 {
		return false
	}
	for i := range s.Tail {
		t := &s.Tail[i]
		if t.LSN != p.LSN+1 || t.Prev != p.Ballot || t.Ballot.Less(p.Ballot) {
			return false
		}
		p = Position{t.Ballot, t.LSN}
	}
	return !max.Less(p.Ballot)
}

// NewSlot returns the slot as it was stored. It knows no view yet.
func NewSlot(id SlotID, env *Env, s SlotState) *Slot {
	log := NewLog(s.Base, s.BaseHash, s.Tail)
	env.Leases.Sealed(s.Promise.Ballot.Epoch)
	return &Slot{
		id: id, env: env, log: log, promise: s.Promise, commit: s.Base.LSN, wall: s.Wall,
		senders: maps.Clone(s.Senders),
		sync:    syncState{lsn: log.Last().LSN, promise: s.Promise},
	}
}

// Log returns the slot's log, for reading.
func (s *Slot) Log() *Log { return s.log }

// Commit returns the highest LSN known to be committed.
func (s *Slot) Commit() LSN { return s.commit }

// Applied returns the highest LSN that is committed and durable here.
func (s *Slot) Applied() LSN { return min(s.commit, s.sync.lsn) }

// Wall returns the highest wall time of the slot's records, in ns since 1970.
func (s *Slot) Wall() int64 { return s.wall }

// Senders returns the actors with records of sends, or of their ends, that are
// not folded, in order. That an actor is named does not mean that a send is
// outstanding.
func (s *Slot) Senders() []ActorKey { return slices.Sorted(maps.Keys(s.senders)) }

// Folded says that an actor's records up to lsn are folded.
func (s *Slot) Folded(actor ActorKey, lsn LSN) {
	if at, ok := s.senders[actor]; ok && at <= lsn {
		delete(s.senders, actor)
	}
}

// Promise returns what the slot's replica here has promised.
func (s *Slot) Promise() Promise { return s.promise }

// Row returns the slot's row in the newest view that it was given.
func (s *Slot) Row() Row { return s.row }

// SetRow takes the slot's row of the view of epoch view, which is newer than
// those before. An owner that it appoints begins to seal; an owner that it
// replaces stops.
func (s *Slot) SetRow(now Instant, view Epoch, row Row) {
	old := s.row
	s.view, s.row = view, row
	switch {
	case row.Owner() != s.env.Self:
		s.stopLeading()
	case row.Epoch != old.Epoch:
		s.startLeading(now)
	case s.lead != nil:
		s.lead.rowChanged(now, s)
	}
	s.discard()
}

// discard deletes the log of a slot in which this node has no part any more,
// by a view that is not older than its promise. The promise stays. (Discard)
func (s *Slot) discard() {
	older := s.promise.Ballot.Epoch > s.view && !mutant.On(mutant.StaleDiscard)
	if s.view == 0 || s.row.names(s.env.Self) || older || s.log.Last().LSN == 0 {
		return
	}
	s.write(Write{Kind: WriteDiscard, Slot: s.id})
	s.log = NewLog(Position{}, 0, nil)
	s.commit, s.follow, s.senders = 0, followState{}, nil
	s.cutSync(0)
	if mutant.On(mutant.PromiseDiscarded) {
		s.promise = Promise{}
		s.write(Write{Kind: WritePromise, Slot: s.id})
	}
}

// Step takes a message. It reports nothing: what a message does not fit is
// refused or ignored, whoever sent it.
func (s *Slot) Step(now Instant, from NodeID, m *Message) {
	if !s.env.Enabled {
		return // the sender repeats itself
	}
	switch m.Kind {
	case MsgSeal:
		s.stepSeal(now, from, m)
	case MsgAppend:
		s.stepAppend(now, from, m)
	case MsgFetch:
		s.stepFetch(from, m)
	case MsgPromise, MsgAck, MsgMismatch, MsgFetched, MsgRefuse:
		if s.lead != nil && m.Ballot == s.lead.ballot {
			s.lead.step(now, s, from, m)
		}
	}
}

// stepSeal takes a seal: it is refused, answered again, or waits until the
// promised owner's lease has ended. (SealComes)
func (s *Slot) stepSeal(now Instant, from NodeID, m *Message) {
	switch c := m.Ballot.Compare(s.promise.Ballot); {
	case c < 0:
		s.refuse(from, m.Ballot, s.promise)
	case c == 0:
		s.follow.promised = true
		s.answer()
	case m.Ballot.Epoch < s.row.Epoch:
		// A view that this node knows has replaced the sender; it will hear.
		s.refuse(from, m.Ballot, Promise{Ballot{Epoch: s.row.Epoch}, s.row.Owner()})
	default:
		if !mutant.On(mutant.WaitingStillGrants) {
			s.env.Leases.Sealed(m.Ballot.Epoch)
		}
		s.env.Leases.Started(now, from, m.Ballot.Boot)
		if s.wait.ballot.Less(m.Ballot) {
			s.wait = waitingSeal{m.Ballot, from, now}
		}
		s.tryPromise(now)
	}
}

// tryPromise promises the waiting seal if no lease is in its way now. (Promise)
func (s *Slot) tryPromise(now Instant) {
	w := s.wait
	if w.ballot.IsZero() || now < s.env.Leases.Bound(s.env.Self, s.promise.Owner, w.owner, w.ballot) {
		return
	}
	s.take(w.ballot, w.owner)
	s.follow.promised = true
}

// take makes ballot the promised one, if it is higher. (the promise in Promise
// and Take)
func (s *Slot) take(ballot Ballot, owner NodeID) {
	if !s.promise.Ballot.Less(ballot) {
		return
	}
	s.promise = Promise{ballot, owner}
	s.env.Leases.Sealed(ballot.Epoch)
	s.follow = followState{}
	if !ballot.Less(s.wait.ballot) {
		s.wait = waitingSeal{}
	}
	s.write(Write{Kind: WritePromise, Slot: s.id, Promise: s.promise})
	if s.lead != nil && s.lead.ballot.Less(ballot) {
		s.stopLeading()
	}
}

// stepAppend takes an append if its ballot is not below the promise. Taking it
// is a promise of its ballot. (Take)
func (s *Slot) stepAppend(now Instant, from NodeID, m *Message) {
	if m.Ballot.Less(s.promise.Ballot) && !mutant.On(mutant.LowAppend) {
		s.refuse(from, m.Ballot, s.promise)
		return
	}
	if s.lead != nil && s.lead.ballot == m.Ballot {
		return // a stranger with this node's ballot
	}
	if !mutant.On(mutant.AppendNoPromise) {
		s.take(m.Ballot, from)
	}
	if m.At.LSN >= s.log.Base().LSN && !s.log.holds(m.At) {
		at, ok := s.log.match(m.At)
		if !ok {
			at = s.log.Base()
		}
		s.send(from, Message{Kind: MsgMismatch, Ballot: m.Ballot, At: at})
		return
	}
	if !follow(m) || !s.extend(m.Entries) {
		return
	}
	f := &s.follow
	f.matched = max(f.matched, m.At.LSN+LSN(len(m.Entries)))
	f.round = max(f.round, m.Round)
	f.ack = true
	s.learnCommit(min(m.Commit, f.matched))
	s.answer()
}

// follow reports whether the message's entries come one after the other after
// At, and none is of a higher ballot than the message.
func follow(m *Message) bool {
	for i := range m.Entries {
		if e := &m.Entries[i]; e.LSN != m.At.LSN+1+LSN(i) || m.Ballot.Less(e.Ballot) {
			return false
		}
	}
	return true
}

// extend adds entries to the log, which holds the position before the first of
// them, and cuts off a tail that differs. Entries at or below the base are
// there already: what is at the base is committed. It reports false, and does
// nothing, if the entries do not continue the log.
func (s *Slot) extend(entries []Entry) bool {
	for len(entries) > 0 {
		e := &entries[0]
		if e.LSN > s.log.Base().LSN && (e.LSN > s.log.Last().LSN || s.log.at(e.LSN).Ballot != e.Ballot) {
			break
		}
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return true
	}
	before, ok := s.log.position(entries[0].LSN - 1)
	if !ok || !follows(entries, before, s.log.hash(before.LSN)) {
		return false
	}
	if before.LSN < s.log.Last().LSN {
		if before.LSN < s.commit {
			s.damaged("a committed entry differs from the owner's")
			return false
		}
		s.cut(before.LSN)
	}
	for i := range entries {
		s.append(entries[i])
	}
	s.write(Write{Kind: WriteAppend, Slot: s.id, Entries: slices.Clip(entries)})
	return true
}

// follows reports whether the entries continue a log whose last entry is at p,
// with this rolling hash.
func follows(entries []Entry, p Position, hash uint64) bool {
	for i := range entries {
		e := &entries[i]
		if e.LSN != p.LSN+1 || e.Prev != p.Ballot || e.Ballot.Less(p.Ballot) || e.Hash != e.ChainHash(hash) {
			return false
		}
		p, hash = e.Position(), e.Hash
	}
	return true
}

func (s *Slot) append(e Entry) {
	s.log.append(e)
	s.wall = max(s.wall, RecordWall(e.Data))
	if RecordSends(e.Data) {
		if s.senders == nil {
			s.senders = map[ActorKey]LSN{}
		}
		s.senders[e.Actor] = e.LSN
	}
}

// cut takes the entries above lsn out of the log.
func (s *Slot) cut(lsn LSN) {
	s.write(Write{Kind: WriteTruncate, Slot: s.id, Cut: s.log.truncate(lsn)})
	s.cutSync(lsn)
	s.follow.matched = min(s.follow.matched, lsn)
}

func (s *Slot) cutSync(lsn LSN) {
	s.sync.lsn = min(s.sync.lsn, lsn)
	for i := range s.sync.marks {
		s.sync.marks[i].lsn = min(s.sync.marks[i].lsn, lsn)
	}
}

func (s *Slot) learnCommit(lsn LSN) {
	if lsn > s.commit {
		s.commit = lsn
		s.event(SlotEvent{Kind: SlotCommitted})
	}
}

// stepFetch answers a new owner that lacks entries of this log, but only while
// its ballot is the promised one: a log that answered a seal must not be mixed
// with what came after.
func (s *Slot) stepFetch(from NodeID, m *Message) {
	sealed := m.Ballot == s.promise.Ballot && s.sync.promise == s.promise && from == s.promise.Owner
	if !sealed && !mutant.On(mutant.FetchByAnyone) {
		if m.Ballot.Less(s.promise.Ballot) {
			s.refuse(from, m.Ballot, s.promise)
		}
		return
	}
	if m.At.LSN < s.log.Base().LSN {
		s.event(SlotEvent{Kind: SlotSnapshot, Node: from, Ballot: m.Ballot})
		return
	}
	if !s.log.holds(m.At) {
		at, ok := s.log.match(m.At)
		if !ok {
			s.event(SlotEvent{Kind: SlotSnapshot, Node: from, Ballot: m.Ballot})
			return
		}
		s.send(from, Message{Kind: MsgFetched, Ballot: m.Ballot, At: at})
		return
	}
	entries, evicted := s.log.entries(m.At.LSN, appendBytesMax)
	if evicted != nil {
		s.event(SlotEvent{Kind: SlotRead, Node: from, Ballot: m.Ballot, Tail: evicted})
		return
	}
	s.send(from, Message{Kind: MsgFetched, Ballot: m.Ballot, At: m.At, Entries: entries})
}

// ReadDone takes the entries that a SlotRead event asked for.
func (s *Slot) ReadDone(now Instant, node NodeID, ballot Ballot, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	first := entries[0].LSN - 1
	at, ok := s.log.position(first)
	switch {
	case !ok || s.log.Last().LSN < first+LSN(len(entries)):
	case s.lead != nil && s.lead.ballot == ballot:
		s.lead.readDone(now, s, node, at, entries)
	case s.promise.Ballot == ballot && s.promise.Owner == node:
		s.send(node, Message{Kind: MsgFetched, Ballot: ballot, At: at, Entries: entries})
	}
}

// Staged takes a snapshot that was received from a node and staged, under a
// ballot: the owner's own if it fetches, else that of the owner that sent it.
// It reports whether the snapshot is put in place; if not it is to be dropped.
func (s *Slot) Staged(now Instant, from NodeID, ballot Ballot, state SlotState, handle any) bool {
	fetching := s.lead != nil && s.lead.ballot == ballot && s.lead.phase == phaseFetching
	if !s.env.Enabled || ballot.Less(s.promise.Ballot) || !state.valid(ballot) ||
		s.lead != nil && s.lead.ballot == ballot && !fetching {
		return false
	}
	log := NewLog(state.Base, state.BaseHash, state.Tail)
	if (log.Last().Compare(s.log.Last()) < 0 || log.Last().LSN < s.commit) && !mutant.On(mutant.OvertakenSnapshot) {
		return false // it was overtaken: what it lacks may have been acknowledged
	}
	owner := from
	if fetching {
		owner = s.env.Self
	}
	s.take(ballot, owner)
	s.write(Write{Kind: WriteInstall, Slot: s.id, Snapshot: handle})
	s.log = log
	s.wall = max(s.wall, state.Wall)
	s.senders = maps.Clone(state.Senders)
	s.cutSync(0)
	s.commit = max(s.commit, log.Base().LSN)
	s.event(SlotEvent{Kind: SlotCommitted})
	if fetching {
		s.lead.fetched(now, s)
		return true
	}
	s.follow.matched = log.Last().LSN
	s.follow.ack = true
	return true
}

// Forget moves the base of the log in memory up to lsn, or to what is applied
// if that is less, and calls gone for each entry that the memory loses. Entries
// up to the base are folded, or can be found with their actors in the store.
func (s *Slot) Forget(lsn LSN, gone func(actor ActorKey, at LSN, bytes int)) {
	if !mutant.On(mutant.FoldUncommitted) {
		lsn = min(lsn, s.Applied())
	}
	for k := s.log.Base().LSN + 1; k <= lsn; k++ {
		gone(s.log.at(k).Actor, k, int(s.log.sizes[k-s.log.Base().LSN-1]))
	}
	s.log.advance(lsn)
}

// Evict drops the data of entries that no other replica is likely to ask for:
// durable ones that all replicas have, and old ones beyond keepBytes.
func (s *Slot) Evict(keepBytes int) {
	lsn := s.sync.lsn
	if s.lead != nil {
		lsn = min(lsn, s.lead.everywhere(s))
	}
	if s.log.Bytes() > keepBytes {
		lsn = s.sync.lsn
	}
	s.log.evict(lsn)
}

// Flush ends a batch: owners turn what they have into appends, and the writes
// made since the last batch get the number seq. The slots that it returns must
// be told by Persisted when that batch is durable.
func (e *Env) Flush(now Instant, seq uint64) []*Slot {
	for _, s := range e.sending {
		if s.lead != nil {
			s.lead.flush(now, s)
		}
	}
	e.sending = e.sending[:0]
	marked := slices.Clone(e.dirty)
	e.dirty = e.dirty[:0]
	for _, s := range marked {
		s.sync.dirty = false
		s.sync.marks = append(s.sync.marks, syncMark{seq, s.log.Last().LSN, s.promise})
	}
	return marked
}

// Persisted says that every batch up to seq is durable.
func (s *Slot) Persisted(now Instant, seq uint64) {
	n := 0
	for n < len(s.sync.marks) && s.sync.marks[n].seq <= seq {
		s.sync.lsn, s.sync.promise = s.sync.marks[n].lsn, s.sync.marks[n].promise
		n++
	}
	s.sync.marks = s.sync.marks[:copy(s.sync.marks, s.sync.marks[n:])]
	s.answer()
	if s.lead != nil {
		s.lead.persisted(now, s)
	}
}

// answer sends the promised owner what it is owed and what is durable.
func (s *Slot) answer() {
	f := &s.follow
	if s.sync.promise != s.promise && !mutant.On(mutant.SealUnsynced) {
		return // Persisted comes here again
	}
	if f.promised && (len(s.sync.marks) == 0 && !s.sync.dirty || mutant.On(mutant.SealUnsynced)) {
		f.promised = false
		s.send(s.promise.Owner, Message{Kind: MsgPromise, Ballot: s.promise.Ballot, At: s.log.Last()})
	}
	if f.ack {
		pending := len(s.sync.marks) > 0 || s.sync.dirty
		lsn := min(f.matched, s.sync.lsn)
		if mutant.On(mutant.AckUnsynced) {
			lsn = f.matched
		}
		if pending && lsn == f.acked {
			return // the end of the write will bring more
		}
		f.ack, f.acked = pending, lsn
		s.send(s.promise.Owner, Message{Kind: MsgAck, Ballot: s.promise.Ballot, At: Position{LSN: lsn}, Commit: s.commit, Round: f.round})
	}
}

// Tick lets a waiting seal be granted, and an owner repeat what got lost.
func (s *Slot) Tick(now Instant) {
	if !s.env.Enabled {
		return
	}
	s.tryPromise(now)
	if s.lead != nil {
		s.lead.tick(now, s)
	}
}

// Busy reports whether the slot waits for something that time brings about, so
// that it must be ticked often.
func (s *Slot) Busy() bool {
	return !s.wait.ballot.IsZero() || s.lead != nil && s.lead.busy(s)
}

// SealWaits returns the ballot of the seal that waits at this replica, and since
// when, if one does.
func (s *Slot) SealWaits() (Ballot, Instant, bool) {
	return s.wait.ballot, s.wait.since, !s.wait.ballot.IsZero()
}

func (s *Slot) refuse(to NodeID, ballot Ballot, p Promise) {
	s.send(to, Message{Kind: MsgRefuse, Ballot: ballot, Promised: p})
}

func (s *Slot) damaged(detail string) {
	s.event(SlotEvent{Kind: SlotDamaged, Detail: detail})
}

func (s *Slot) send(to NodeID, m Message) {
	m.Slot = s.id
	s.env.Sends = append(s.env.Sends, Envelope{to, m})
}

func (s *Slot) event(e SlotEvent) {
	e.Slot = s.id
	s.env.Events = append(s.env.Events, e)
}

func (s *Slot) write(w Write) {
	s.env.Writes = append(s.env.Writes, w)
	if !s.sync.dirty {
		s.sync.dirty = true
		s.env.dirty = append(s.env.dirty, s)
	}
}

// Sizes and times of the slot log.
const (
	appendBytesMax   = 128 << 10 // of the entries in one append
	windowEntries    = 8 << 10   // sent to a replica and not acknowledged
	windowBytes      = 8 << 20
	resendAfter      = 300 * time.Millisecond
	resealAfter      = 100 * time.Millisecond
	fetchPatience    = time.Second // with a silent node that is fetched from
	tellCommitAfter  = 100 * time.Millisecond
	repeatCaughtUp   = 500 * time.Millisecond
	snapshotPatience = time.Minute
)
