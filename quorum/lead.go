package quorum

import (
	"slices"

	"actormesh/quorum/mutant"
)

// lead is the owner's part of a slot at one ballot.
//
//	sealing ──► fetching ──► opening ──► active
//	   │ majorities of the set   │ the barrier is out  │ committed, and durable here
//	   │ and of each of `from`   │
//	   └──── own log is the highest ────►
//
// Who is fetched from and falls silent is left out, and the owner seals again.
type lead struct {
	ballot  Ballot
	phase   phase
	kept    bool // it was active in an earlier row, and nothing has come between
	answers map[NodeID]Position
	took    map[NodeID]bool // who promised the ballot, or acknowledged an append at it
	best    NodeID          // of those who answered, the one with the highest log
	highest Position        // of its log
	asked   Position        // the fetch under way follows it
	retryAt Instant         // when to repeat a seal or a fetch
	heardAt Instant         // from best, while its log is fetched
	barrier LSN
	peers   []*progress // replicas and learners other than this node, by id
	rounds  roundState
	queued  bool // in Env.sending
}

type phase uint8

const (
	phaseSealing phase = iota
	phaseFetching
	phaseOpening
	phaseActive
)

func (p phase) String() string { return [...]string{"sealing", "fetching", "opening", "active"}[p] }

// roundState counts the rounds with which an owner asks its replicas whether
// its ballot still stands.
type roundState struct {
	asked     uint64
	sent      uint64
	confirmed uint64 // a majority has heard it
}

// progress is what the owner knows of another replica or of a learner.
// 0 <= match < next <= last+1.
type progress struct {
	id       NodeID
	learner  bool
	match    LSN // the peer has everything up to it, durably
	next     LSN // the first entry that was not sent
	bytes    int // sent and not acknowledged
	state    progressState
	movedAt  Instant // when something was last sent to, or heard from, the peer
	commit   LSN     // the peer knows that it is committed
	round    uint64  // heard by the peer
	reported Instant // when it was last reported as caught up
}

type progressState uint8

const (
	// stateProbe: one append at a time, until the peer says where its log ends.
	stateProbe progressState = iota
	// stateStream: appends follow each other without waiting.
	stateStream
	// stateRead: older entries are being read from the store.
	stateRead
	// stateSnapshot: a snapshot is on its way.
	stateSnapshot
)

func (p progressState) String() string {
	return [...]string{"probe", "stream", "read", "snapshot"}[p]
}

// startLeading begins to rule at the ballot of the newest row.
func (s *Slot) startLeading(now Instant) {
	ballot := Ballot{s.row.Epoch, s.env.Boot}
	if mutant.On(mutant.BootReused) {
		ballot.Boot = 1
	}
	kept, rounds := false, roundState{}
	if old := s.lead; old != nil {
		if old.ballot == ballot {
			return
		}
		kept = old.phase == phaseActive || old.kept
		// Whoever waits for a round of the old ballot is answered by the new one.
		rounds = roundState{asked: old.rounds.asked, sent: old.rounds.confirmed, confirmed: old.rounds.confirmed}
		if old.phase == phaseActive {
			s.event(SlotEvent{Kind: SlotPaused, Ballot: old.ballot})
		}
	}
	s.lead = &lead{ballot: ballot, kept: kept, rounds: rounds, answers: map[NodeID]Position{}, took: map[NodeID]bool{}}
	if s.env.Enabled {
		s.lead.tick(now, s)
	}
}

// stopLeading gives up the slot: another node owns it, or has promises for it.
func (s *Slot) stopLeading() {
	old := s.lead
	if old == nil {
		return
	}
	s.lead = nil
	if old.phase == phaseActive || old.kept {
		s.event(SlotEvent{Kind: SlotLost, Ballot: old.ballot})
	}
}

// sets returns the row's set and every earlier one.
func (s *Slot) sets() [][]NodeID {
	if mutant.On(mutant.FromIgnored) {
		return [][]NodeID{s.row.Replicas}
	}
	return append([][]NodeID{s.row.Replicas}, s.row.From...)
}

// sealees returns the nodes of all sets, in order.
func (s *Slot) sealees() []NodeID {
	var ids []NodeID
	for _, set := range s.sets() {
		ids = append(ids, set...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// rowChanged takes a row of the same slot epoch, with other learners or without
// `from`.
func (l *lead) rowChanged(now Instant, s *Slot) {
	switch {
	case l.phase == phaseFetching && !slices.Contains(s.sealees(), l.best) && !mutant.On(mutant.FetchFromRemoved):
		l.phase = phaseSealing // who has no part in the slot any more deletes its log
		l.sealed(now, s)
	case l.phase == phaseSealing:
		l.sealed(now, s) // fewer sets may be asked for
	case l.phase >= phaseOpening:
		l.setPeers(s)
		l.want(s)
	}
}

func (l *lead) step(now Instant, s *Slot, from NodeID, m *Message) {
	switch m.Kind {
	case MsgRefuse:
		if l.ballot.Less(m.Promised.Ballot) {
			s.event(SlotEvent{Kind: SlotBehind, Ballot: l.ballot, Node: from, Epoch: m.Promised.Ballot.Epoch})
		}
	case MsgPromise:
		l.took[from] = true
		switch {
		case l.phase == phaseSealing:
			l.answers[from] = m.At
			l.sealed(now, s)
		case from == l.best:
			l.heardAt = now
		}
	case MsgFetched:
		if l.phase == phaseFetching && from == l.best {
			l.heardAt = now
			l.stepFetched(now, s, m)
		}
	case MsgAck, MsgMismatch:
		if l.phase >= phaseOpening {
			l.stepAck(now, s, from, m)
		}
	}
}

// sealed goes on when majorities of all sets have promised: the highest log
// among them holds all that was ever committed. (Lead)
func (l *lead) sealed(now Instant, s *Slot) {
	for _, set := range s.sets() {
		n := 0
		for _, id := range set {
			if _, ok := l.answers[id]; ok {
				n++
			}
		}
		if n < Majority(len(set)) {
			return
		}
	}
	// A majority has promised, so this node's own replica need not wait. From
	// here on its log is the new owner's alone.
	if s.take(l.ballot, s.env.Self); s.promise.Ballot != l.ballot {
		return // it has promised a higher ballot: a newer view is to come
	}
	l.best, l.highest = s.env.Self, s.log.Last()
	for _, id := range s.sealees() {
		if at, ok := l.answers[id]; ok && at.Compare(l.highest) > 0 {
			l.best, l.highest = id, at
		}
	}
	if l.best == s.env.Self {
		l.open(s)
		return
	}
	if l.kept && !mutant.On(mutant.KeptAlways) { // somebody ruled in between
		l.kept = false
		s.event(SlotEvent{Kind: SlotLost, Ballot: l.ballot})
	}
	l.phase, l.heardAt = phaseFetching, now
	at, ok := s.log.match(l.highest)
	if !ok {
		at = s.log.Base()
	}
	l.fetch(now, s, at)
}

func (l *lead) fetch(now Instant, s *Slot, at Position) {
	l.asked = at
	l.retryAt = now.Add(resendAfter)
	s.send(l.best, Message{Kind: MsgFetch, Ballot: l.ballot, At: at})
}

// retryFetch repeats what was asked of best, and a seal with it: that is answered
// also by who is still reading entries or sending a snapshot. Who answers neither
// is gone, and its answer with it: any majority of each set will do. What was
// fetched so far stays; all that is committed and was in this node's log is in
// the other as well, and so was not cut off.
func (l *lead) retryFetch(now Instant, s *Slot) {
	if now >= l.heardAt.Add(fetchPatience) {
		delete(l.answers, l.best)
		l.phase, l.retryAt = phaseSealing, now
		l.sealed(now, s)
		return
	}
	l.fetch(now, s, l.asked)
	s.send(l.best, Message{Kind: MsgSeal, Ballot: l.ballot})
}

// stepFetched takes entries of the highest log, or asks from a lower position.
func (l *lead) stepFetched(now Instant, s *Slot, m *Message) {
	if m.At != l.asked {
		if len(m.Entries) == 0 && (m.At.Compare(l.asked) < 0 || m.At.LSN < l.asked.LSN) {
			at, ok := s.log.match(m.At)
			if !ok {
				at = s.log.Base()
			}
			if at != l.asked {
				l.fetch(now, s, at)
			}
		}
		return
	}
	if len(m.Entries) > 0 && follow(m) && s.log.holds(m.At) && s.extend(m.Entries) {
		l.fetched(now, s)
	}
}

// fetched opens if the highest log is now here, and else asks for more.
func (l *lead) fetched(now Instant, s *Slot) {
	if last := s.log.Last(); last.Compare(l.highest) < 0 {
		l.fetch(now, s, last)
		return
	}
	l.open(s)
}

// open puts the barrier on the log. When it is committed, so is all before it.
func (l *lead) open(s *Slot) {
	l.phase = phaseOpening
	l.setPeers(s)
	l.barrier = s.log.Last().LSN + 1
	l.append(s, "", nil)
}

// setPeers makes the list of those to whom the log goes.
func (l *lead) setPeers(s *Slot) {
	old := l.peers
	l.peers = nil
	for _, id := range append(slices.Clone(s.row.Replicas), s.row.Learners...) {
		if id == s.env.Self {
			continue
		}
		learner := !slices.Contains(s.row.Replicas, id)
		i := slices.IndexFunc(old, func(p *progress) bool { return p.id == id })
		if i >= 0 {
			old[i].learner = learner
			l.peers = append(l.peers, old[i])
			continue
		}
		l.peers = append(l.peers, &progress{id: id, learner: learner, next: s.log.Last().LSN + 1})
	}
	slices.SortFunc(l.peers, func(a, b *progress) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
}

// append adds one entry at the ballot.
func (l *lead) append(s *Slot, actor ActorKey, data []byte) LSN {
	last := s.log.Last()
	e := Entry{LSN: last.LSN + 1, Ballot: l.ballot, Prev: last.Ballot, Actor: actor, Data: data}
	e.Hash = e.ChainHash(s.log.hash(last.LSN))
	s.append(e)
	if n := len(s.env.Writes); n > 0 && s.env.Writes[n-1].Kind == WriteAppend && s.env.Writes[n-1].Slot == s.id {
		s.env.Writes[n-1].Entries = append(s.env.Writes[n-1].Entries, e)
	} else {
		s.write(Write{Kind: WriteAppend, Slot: s.id, Entries: []Entry{e}})
	}
	l.want(s)
	return e.LSN
}

// want has the log sent at the end of this batch.
func (l *lead) want(s *Slot) {
	if !l.queued {
		l.queued = true
		s.env.sending = append(s.env.sending, s)
	}
}

// flush sends to each peer what it may be sent.
func (l *lead) flush(now Instant, s *Slot) {
	l.queued = false
	if l.phase < phaseOpening {
		return
	}
	for _, p := range l.peers {
		l.flushPeer(now, s, p)
	}
	l.rounds.sent = l.rounds.asked
}

func (l *lead) flushPeer(now Instant, s *Slot, p *progress) {
	ask := l.rounds.sent < l.rounds.asked
	switch p.state {
	case stateRead, stateSnapshot:
		if ask { // the peer hears the round all the same
			l.send(now, s, p, Position{}, nil)
		}
		return
	case stateProbe:
		if p.bytes > 0 && !ask {
			return
		}
	}
	for sent := false; ; sent = true {
		last := s.log.Last().LSN
		if p.next > last || p.full() {
			if ask && !sent {
				at, ok := s.log.position(p.next - 1)
				if !ok {
					at = Position{}
				}
				l.send(now, s, p, at, nil)
			}
			return
		}
		at, ok := s.log.position(p.next - 1)
		var entries []Entry
		var evicted []TailEntry
		if ok {
			entries, evicted = s.log.entries(p.next-1, appendBytesMax)
		}
		if (!ok || evicted != nil) && s.sync.lsn < l.barrier {
			return // the store still holds another log; persisted comes here again
		}
		if !ok {
			p.state, p.movedAt = stateSnapshot, now
			s.event(SlotEvent{Kind: SlotSnapshot, Node: p.id, Ballot: l.ballot})
			return
		}
		if evicted != nil {
			p.state, p.movedAt = stateRead, now
			s.event(SlotEvent{Kind: SlotRead, Node: p.id, Ballot: l.ballot, Tail: evicted})
			return
		}
		l.send(now, s, p, at, entries)
	}
}

// full reports whether nothing more may be sent to the peer for now.
func (p *progress) full() bool {
	if p.state == stateProbe {
		return p.bytes > 0
	}
	return int(p.next-p.match) > windowEntries || p.bytes > windowBytes
}

// send sends one append.
func (l *lead) send(now Instant, s *Slot, p *progress, at Position, entries []Entry) {
	for i := range entries {
		p.bytes += entries[i].Size()
	}
	if n := len(entries); n > 0 {
		p.next = entries[n-1].LSN + 1
	}
	p.movedAt = now
	s.send(p.id, Message{Kind: MsgAppend, Ballot: l.ballot, At: at, Commit: s.commit, Round: l.rounds.asked, Entries: entries})
}

// readDone sends entries that had to be read from the store.
func (l *lead) readDone(now Instant, s *Slot, node NodeID, at Position, entries []Entry) {
	i := slices.IndexFunc(l.peers, func(p *progress) bool { return p.id == node })
	if i < 0 || l.peers[i].state != stateRead {
		return
	}
	p := l.peers[i]
	p.state = stateProbe
	if p.next == at.LSN+1 {
		l.send(now, s, p, at, entries)
	}
	l.want(s)
}

// stepAck takes an acknowledgement, or the news that the peer's log differs.
func (l *lead) stepAck(now Instant, s *Slot, from NodeID, m *Message) {
	i := slices.IndexFunc(l.peers, func(p *progress) bool { return p.id == from })
	if i < 0 {
		return
	}
	p := l.peers[i]
	p.movedAt = now
	if m.Kind == MsgMismatch {
		if p.learner {
			p.match = min(p.match, m.At.LSN) // it may have been dropped, and come back, by views that this node skipped
		}
		if p.state <= stateStream && m.At.LSN < p.next && m.At.LSN >= p.match {
			p.next, p.bytes, p.state = m.At.LSN+1, 0, stateProbe
			if !s.log.holds(m.At) {
				at, _ := s.log.match(m.At) // zero if only a snapshot helps
				p.next = max(at.LSN, p.match) + 1
			}
			l.want(s)
		}
		return
	}
	if m.At.LSN > s.log.Last().LSN {
		return // nobody can hold more than was written
	}
	l.took[from] = true
	p.commit = max(p.commit, min(m.Commit, s.commit))
	if m.At.LSN > p.match {
		l.matched(s, p, m.At.LSN)
	}
	if m.Round > p.round {
		p.round = min(m.Round, l.rounds.asked)
		l.confirm(s)
	}
	l.advance(s)
	if p.learner && p.match >= s.commit && l.phase == phaseActive && (p.reported == 0 || now >= p.reported.Add(repeatCaughtUp)) {
		p.reported = now
		s.event(SlotEvent{Kind: SlotCaughtUp, Node: p.id, Ballot: l.ballot})
	}
	if p.next <= s.log.Last().LSN {
		l.want(s)
	}
}

// matched moves the peer's match up.
func (l *lead) matched(s *Slot, p *progress, lsn LSN) {
	if p.state == stateProbe || p.state == stateSnapshot && lsn >= s.log.Base().LSN {
		p.state, p.bytes = stateStream, 0
	}
	for k := max(p.match, s.log.Base().LSN) + 1; k <= lsn && p.bytes > 0; k++ {
		p.bytes -= int(s.log.sizes[k-s.log.Base().LSN-1])
	}
	p.match = lsn
	p.next = max(p.next, lsn+1)
	if p.next == lsn+1 || p.bytes < 0 {
		p.bytes = 0
	}
}

// advance commits what a majority of the set holds, if the last such entry is
// of the current ballot. (Commit)
func (l *lead) advance(s *Slot) {
	var buf [8]LSN
	match := buf[:0]
	for _, id := range s.row.Replicas {
		if id == s.env.Self {
			lsn := s.sync.lsn // the promise was written before
			if mutant.On(mutant.CommitUnsynced) {
				lsn = s.log.Last().LSN
			}
			match = append(match, lsn)
			continue
		}
		for _, p := range l.peers {
			if p.id == id {
				match = append(match, p.match)
			}
		}
	}
	if mutant.On(mutant.LearnersCount) {
		for _, p := range l.peers {
			if p.learner {
				match = append(match, p.match)
			}
		}
	}
	slices.Sort(match)
	lsn := match[len(match)-Majority(len(s.row.Replicas))]
	if lsn <= s.commit || lsn < l.barrier && !mutant.On(mutant.OldCommits) {
		return // the barrier is the first entry of this ballot
	}
	s.learnCommit(lsn)
	l.activate(s)
}

// activate begins to serve when the barrier is committed and durable here, so
// that the store holds what an activation is to be loaded from.
func (l *lead) activate(s *Slot) {
	if l.phase == phaseOpening && (s.Applied() >= l.barrier || mutant.On(mutant.ActiveEarly)) {
		l.phase = phaseActive
		s.event(SlotEvent{Kind: SlotActive, Ballot: l.ballot, Kept: l.kept})
	}
}

func (l *lead) persisted(now Instant, s *Slot) {
	if l.phase < phaseOpening {
		return
	}
	if l.phase == phaseOpening && s.sync.lsn >= l.barrier {
		l.want(s)
	}
	l.advance(s)
	l.activate(s)
}

// confirm notes which round a majority of the set has heard.
func (l *lead) confirm(s *Slot) {
	if l.phase < phaseOpening {
		return // there is nobody to hear it yet
	}
	var buf [8]uint64
	rounds := buf[:0]
	for _, id := range s.row.Replicas {
		if id == s.env.Self {
			rounds = append(rounds, l.rounds.asked)
			continue
		}
		for _, p := range l.peers {
			if p.id == id {
				rounds = append(rounds, p.round)
			}
		}
	}
	slices.Sort(rounds)
	need := Majority(len(rounds))
	if mutant.On(mutant.RoundOfOne) {
		need = 1
	}
	if r := rounds[len(rounds)-need]; r > l.rounds.confirmed {
		l.rounds.confirmed = r
		s.event(SlotEvent{Kind: SlotConfirmed, Ballot: l.ballot})
	}
}

// everywhere returns the highest LSN that all replicas and learners hold.
func (l *lead) everywhere(s *Slot) LSN {
	lsn := s.log.Last().LSN
	if l.phase < phaseOpening {
		return s.log.Base().LSN
	}
	for _, p := range l.peers {
		lsn = min(lsn, p.match)
	}
	return lsn
}

func (l *lead) busy(s *Slot) bool {
	if l.phase != phaseActive || l.rounds.confirmed < l.rounds.asked {
		return true
	}
	for _, p := range l.peers {
		if p.learner || p.match < s.log.Last().LSN || p.commit < s.commit {
			return true
		}
	}
	return false
}

// tick repeats what may have been lost.
func (l *lead) tick(now Instant, s *Slot) {
	switch {
	case l.phase == phaseSealing && now >= l.retryAt:
		l.retryAt = now.Add(resealAfter)
		for _, id := range s.sealees() {
			if _, ok := l.answers[id]; !ok {
				s.send(id, Message{Kind: MsgSeal, Ballot: l.ballot})
			}
		}
	case l.phase == phaseFetching && now >= l.retryAt:
		l.retryFetch(now, s)
	case l.phase >= phaseOpening:
		for _, p := range l.peers {
			l.tickPeer(now, s, p)
		}
	}
}

func (l *lead) tickPeer(now Instant, s *Slot, p *progress) {
	switch {
	case p.state == stateSnapshot:
		if now >= p.movedAt.Add(snapshotPatience) {
			l.reset(s, p)
		}
	case p.match < s.log.Last().LSN && now >= p.movedAt.Add(resendAfter):
		l.reset(s, p)
		if p.next > s.log.Last().LSN {
			l.send(now, s, p, s.log.Last(), nil)
		}
	case p.commit < s.commit && now >= p.movedAt.Add(tellCommitAfter) && p.next > s.log.Last().LSN:
		l.send(now, s, p, s.log.Last(), nil)
	case p.round < l.rounds.asked && now >= p.movedAt.Add(resendAfter):
		l.send(now, s, p, Position{}, nil)
	case p.learner && p.state <= stateStream && now >= p.movedAt.Add(repeatCaughtUp):
		// It may have lost what it had, and the report that it caught up may
		// be lost: let it say again.
		l.send(now, s, p, s.log.Last(), nil)
	}
}

// reset begins anew with a peer, from what it is known to hold.
func (l *lead) reset(s *Slot, p *progress) {
	p.state, p.bytes = stateProbe, 0
	if p.match > 0 {
		p.next = p.match + 1
	}
	l.want(s)
}

// Append adds entries of this node's ballot to the log, and returns the LSN of
// the first. The slot must be active.
func (s *Slot) Append(actor ActorKey, data []byte) LSN {
	if !s.Active() {
		panic("quorum: append to a slot that is not active")
	}
	return s.lead.append(s, actor, data)
}

// Active reports whether this node serves the slot: it is sealed, and the
// barrier is committed.
func (s *Slot) Active() bool { return s.lead != nil && s.lead.phase == phaseActive }

// Ballot returns the ballot at which this node owns the slot, or zero.
func (s *Slot) Ballot() Ballot {
	if s.lead == nil {
		return Ballot{}
	}
	return s.lead.ballot
}

// LeaseUntil returns until when this node may answer reads of the slot alone: 0
// if it may not now. It is to be compared with a clock that was read after the
// request came, and again when the reply leaves.
func (s *Slot) LeaseUntil() Instant {
	if !s.Active() || s.env.Leases.term == 0 {
		return 0
	}
	return s.env.Leases.HeldUntil(s.env.Self, s.row.Replicas, func(id NodeID) bool {
		if id == s.env.Self {
			return s.promise.Ballot == s.lead.ballot || mutant.On(mutant.OwnLease)
		}
		return s.lead.took[id] || mutant.On(mutant.AnyLease)
	})
}

// Floor returns the LSN up to which no replica or learner is known to lack
// anything: what an owner should keep in its log is above it. A node that does
// not own the slot cannot know, and returns what is applied here.
func (s *Slot) Floor() LSN {
	if s.lead == nil {
		return s.Applied()
	}
	return min(s.Applied(), s.lead.everywhere(s))
}

// Ask starts a round with which the owner asks its replicas whether its ballot
// still stands, and returns its number.
func (s *Slot) Ask() uint64 {
	l := s.lead
	if l.rounds.asked == l.rounds.sent {
		l.rounds.asked++
		l.want(s)
	}
	l.confirm(s)
	return l.rounds.asked
}

// Confirmed returns the highest round that a majority of the set has answered.
func (s *Slot) Confirmed() uint64 {
	if s.lead == nil {
		return 0
	}
	return s.lead.rounds.confirmed
}

// SnapshotSent says that the snapshot for a node was sent, up to and with an
// entry, or that it failed.
func (s *Slot) SnapshotSent(now Instant, node NodeID, last LSN, ok bool) {
	if s.lead == nil {
		return
	}
	for _, p := range s.lead.peers {
		if p.id == node && p.state == stateSnapshot {
			p.state, p.bytes, p.movedAt = stateProbe, 0, now
			if ok {
				p.next = last + 1
			}
			s.lead.want(s)
		}
	}
}

// Reconnected says that a node can be reached again after it could not: what
// was sent to it may be lost, and after a restart it has forgotten the commit
// LSN.
func (s *Slot) Reconnected(now Instant, node NodeID) {
	l := s.lead
	if l == nil {
		return
	}
	if l.phase == phaseSealing {
		l.retryAt = now
	}
	for _, p := range l.peers {
		if p.id != node {
			continue
		}
		p.commit = 0
		if p.state <= stateStream {
			l.reset(s, p)
		}
	}
}
