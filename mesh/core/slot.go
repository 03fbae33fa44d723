package core

import (
	"maps"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// slot is one slot of a shard: its log, and what lives in it while this node
// owns it.
type slot struct {
	id      quorum.SlotID
	q       *quorum.Slot
	serving bool // active; turns may run
	ballot  quorum.Ballot
	turns   uint64 // begun at the ballot
	wall    int64  // highest wall time given to a turn
	actors  map[quorum.ActorKey]*actor
	queue   []*Call   // that came while the slot was being sealed
	waits   []waiting // for commits, by lsn
	reads   []waiting // for a round, by round
	quiesce quiesceState

	appointed quorum.Instant // when the view came that makes this node the owner

	unfolded map[quorum.ActorKey]*unfolded
	waiting  []foldWait // of unfolded, the longest first; some are folded by now
	logs     int        // that were discarded or replaced

	busy, lapsed bool // in the shard's lists
}

// waiting is an outcome that leaves when lsn is committed, or a round confirmed.
type waiting struct {
	lsn     quorum.LSN
	round   uint64
	calls   []*Call
	outcome Outcome
	wrote   bool   // a record of its own is at lsn
	send    *actor // whose sends may go when lsn is committed
}

// quiesceState is a slot about to be moved as planned: no new turn begins until
// the view comes, or until it does not.
type quiesceState struct {
	until    quorum.Instant // 0: not quiesced
	reportBy quorum.Instant // say so then at the latest
	reported bool
}

const (
	quiescePatience = time.Second            // for the view, after which turns go on
	quiesceLimit    = 100 * time.Millisecond // for running turns to end and to commit
)

// unfolded counts an actor's records in the store that are below the base of the
// log and are not folded.
type unfolded struct {
	records int
	bytes   int
	last    quorum.LSN
	since   quorum.LSN // it waits to be folded
	folding bool
}

// foldWait is an actor's place among those that wait to be folded, if it still
// waits since then.
type foldWait struct {
	actor quorum.ActorKey
	since quorum.LSN
}

func (s *Shard) newSlot(id quorum.SlotID, st quorum.SlotState) *slot {
	sl := &slot{
		id:       id,
		q:        quorum.NewSlot(id, &s.env, st),
		actors:   map[quorum.ActorKey]*actor{},
		unfolded: map[quorum.ActorKey]*unfolded{},
	}
	s.slots[id] = sl
	return sl
}

// events handles what the slots' logs have reported.
func (s *Shard) events(now quorum.Instant) {
	for len(s.env.Events) > 0 {
		list := s.env.Events
		s.env.Events = nil
		for i := range list {
			s.event(now, &list[i])
		}
	}
}

func (s *Shard) event(now quorum.Instant, e *quorum.SlotEvent) {
	sl := s.slots[e.Slot]
	switch e.Kind {
	case quorum.SlotActive:
		s.report(SlotReport{Kind: ReportActive, Slot: e.Slot, Ballot: e.Ballot})
		s.activated(now, sl, e)
	case quorum.SlotPaused:
		sl.serving = false
	case quorum.SlotLost:
		s.report(SlotReport{Kind: ReportLost, Slot: e.Slot, Ballot: e.Ballot})
		s.lost(now, sl)
	case quorum.SlotCommitted:
		s.committed(now, sl)
	case quorum.SlotConfirmed:
		s.confirmed(now, sl)
	case quorum.SlotBehind:
		s.report(SlotReport{Kind: ReportBehind, Slot: e.Slot, Ballot: e.Ballot, Node: e.Node, Epoch: e.Epoch})
	case quorum.SlotCaughtUp:
		s.report(SlotReport{Kind: ReportCaughtUp, Slot: e.Slot, Ballot: e.Ballot, Node: e.Node})
	case quorum.SlotRead:
		s.out.Reads = append(s.out.Reads, LogRead{e.Slot, e.Node, e.Ballot, e.Tail})
	case quorum.SlotSnapshot:
		s.out.Snapshots = append(s.out.Snapshots, SnapshotOrder{e.Slot, e.Node, e.Ballot})
	case quorum.SlotDamaged:
		s.out.Damaged = e.Detail
	}
	s.watch(sl)
}

const notAsked = ^uint64(0) // a round that is asked when the slot is active

func (s *Shard) report(r SlotReport) { s.out.Reports = append(s.out.Reports, r) }

// activated begins to serve a slot, or goes on with what ran before it was
// sealed again.
func (s *Shard) activated(now quorum.Instant, sl *slot, e *quorum.SlotEvent) {
	sl.serving, sl.ballot = true, e.Ballot
	if !e.Kept { // else a turn that was abandoned could be taken for a later one
		sl.turns = 0
	}
	sl.wall = max(sl.wall, sl.q.Wall())
	s.out.Handovers = append(s.out.Handovers, now.Sub(sl.appointed))
	sl.quiesce = quiesceState{}
	if !e.Kept {
		s.Outbox(now, sl.id, sl.q.Senders())
	}
	s.out.Outboxes = append(s.out.Outboxes, sl.id) // an earlier answer may have come while it was not served
	queue, reads := sl.queue, sl.reads
	sl.queue, sl.reads = nil, nil
	for _, w := range reads {
		s.leave(now, sl, w)
	}
	for _, c := range queue {
		s.dispatch(now, sl, c)
	}
	for _, a := range s.workingIn(sl) {
		if r := a.held; r != nil {
			a.held = nil
			s.TurnDone(now, r)
		}
	}
	s.pumpSlot(now, sl)
}

func (sl *slot) sortedActors() []*actor {
	keys := slices.Sorted(maps.Keys(sl.actors))
	if mutant.On(mutant.UnsortedActors) {
		keys = slices.Collect(maps.Keys(sl.actors))
	}
	list := make([]*actor, len(keys))
	for i, k := range keys {
		list[i] = sl.actors[k]
	}
	return list
}

// lost ends everything that lived in the slot. What was appended and is not
// known to be committed may be committed by the next owner.
func (s *Shard) lost(now quorum.Instant, sl *slot) {
	sl.serving = false
	sl.quiesce = quiesceState{}
	s.endQueue(sl)
	for _, w := range append(sl.waits, sl.reads...) {
		o := unavailable
		if w.wrote {
			o = Outcome{Code: CodeOutcomeUnknown, Detail: "the slot's owner changed before the record was committed"}
		}
		s.finishAll(w.calls, o)
	}
	sl.waits, sl.reads = nil, nil
	for _, a := range sl.sortedActors() {
		s.kill(a, unavailable)
	}
}

var unavailable = Outcome{Code: CodeUnavailable, Detail: "the slot's owner changes"}

// endQueue ends the calls that came while the slot was being sealed.
func (s *Shard) endQueue(sl *slot) {
	s.finishAll(sl.queue, unavailable)
	sl.queue = nil
}

// wait has an outcome leave when lsn is committed; the list is kept by lsn.
func (sl *slot) wait(w waiting) {
	i := len(sl.waits)
	for i > 0 && sl.waits[i-1].lsn > w.lsn {
		i--
	}
	sl.waits = slices.Insert(sl.waits, i, w)
}

// committed lets go what waited for the slot's commit.
func (s *Shard) committed(now quorum.Instant, sl *slot) {
	n := 0
	for n < len(sl.waits) && sl.waits[n].lsn <= sl.q.Commit() {
		w := &sl.waits[n]
		n++
		switch {
		case w.send != nil:
			s.deliver(now, w.send)
		case w.wrote:
			s.finishAll(w.calls, w.outcome)
		default:
			s.leave(now, sl, *w)
		}
	}
	sl.waits = slices.Delete(sl.waits, 0, n)
	s.forget(sl)
}

// leave lets an answer go that is not a record's: it must be true now, so this
// node must be the owner, by its leases or by a round.
func (s *Shard) leave(now quorum.Instant, sl *slot, w waiting) {
	until := sl.q.LeaseUntil()
	if mutant.On(mutant.EarlyClock) && s.tickedAt < until {
		s.finishAll(w.calls, w.outcome)
		return
	}
	if now < until {
		w.outcome.Until = until
		s.finishAll(w.calls, w.outcome)
		return
	}
	if !sl.q.Active() { // being sealed again
		w.round = notAsked
		sl.reads = append(sl.reads, w)
		return
	}
	w.round = sl.q.Ask()
	sl.reads = append(sl.reads, w)
	s.confirmed(now, sl)
}

// confirmed lets go what waited for a round.
func (s *Shard) confirmed(now quorum.Instant, sl *slot) {
	n := 0
	for n < len(sl.reads) && sl.reads[n].round <= sl.q.Confirmed() {
		s.finishAll(sl.reads[n].calls, sl.reads[n].outcome)
		n++
	}
	sl.reads = slices.Delete(sl.reads, 0, n)
}

// Quiesce stops new turns of a slot that is about to move, and has the report
// made when the running ones are committed.
func (s *Shard) Quiesce(now quorum.Instant, id quorum.SlotID) {
	sl := s.slots[id]
	if sl == nil || !sl.serving {
		return
	}
	if sl.quiesce.until.IsZero() {
		sl.quiesce = quiesceState{until: now.Add(quiescePatience), reportBy: now.Add(quiesceLimit)}
	}
	s.tickQuiesce(now, sl)
	s.stepped(now, sl)
}

func (s *Shard) tickQuiesce(now quorum.Instant, sl *slot) {
	q := &sl.quiesce
	if now >= q.until {
		*q = quiesceState{}
		s.pumpSlot(now, sl)
		return
	}
	if q.reported {
		return
	}
	quiet := sl.q.Commit() == sl.q.Log().Last().LSN
	for _, a := range s.workingIn(sl) {
		quiet = quiet && a.running == nil
	}
	if quiet || now >= q.reportBy {
		q.reported = true
		s.report(SlotReport{Kind: ReportQuiesced, Slot: sl.id, Ballot: sl.ballot})
	}
}

// Positions returns the last positions of the logs of all slots whose newest
// row names owner as their owner, by slot.
func (s *Shard) Positions(owner quorum.NodeID) []SlotPosition {
	var list []SlotPosition
	for _, id := range s.sortedSlots() {
		sl := s.slots[id]
		if row := sl.q.Row(); row.Owner() == owner {
			list = append(list, SlotPosition{id, sl.q.Log().Last()})
		}
	}
	return list
}

// SlotPosition is how far a replica's log of a slot goes.
type SlotPosition struct {
	Slot quorum.SlotID
	Last quorum.Position
}

// SlotInfo describes a slot for people.
type SlotInfo struct {
	Slot     quorum.SlotID
	Active   bool
	Ballot   quorum.Ballot
	Last     quorum.Position
	Commit   quorum.LSN
	Actors   int
	Promised quorum.Promise
}

// Info describes a slot, or reports false if this shard knows nothing of it.
func (s *Shard) Info(id quorum.SlotID) (SlotInfo, bool) {
	sl := s.slots[id]
	if sl == nil {
		return SlotInfo{}, false
	}
	return SlotInfo{id, sl.q.Active(), sl.q.Ballot(), sl.q.Log().Last(), sl.q.Commit(), len(sl.actors), sl.q.Promise()}, true
}

// Find returns the LSN of the last record of an actor that is in memory, or
// false for one that is not.
func (s *Shard) Find(id quorum.SlotID, actor quorum.ActorKey) (quorum.LSN, bool) {
	sl := s.slots[id]
	if sl == nil || sl.actors[actor] == nil || sl.actors[actor].phase != active {
		return 0, false
	}
	return sl.actors[actor].base.LSN, true
}
