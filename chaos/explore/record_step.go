package explore

import (
	"bytes"
	"maps"
	"slices"

	"actormesh/quorum"
)

// recordMachine is a slot's log with two replicas, and one actor in it. Slices
// and maps are replaced, never changed, but for those of the activation.
type recordMachine struct {
	model  *recordLog
	log    []recordEntry // of the owner; the other replica has a beginning of it
	commit int
	ballot quorum.Ballot
	owner  int
	has    [2]int // how much of the log each replica has
	stores [2]recordStore
	actor  *recordActivation // nil while inactive
	wall   int64
}

// recordEntry is an entry with its record, decoded; nil for a barrier.
type recordEntry struct {
	quorum.Entry
	record *quorum.Record
}

// recordStore is what a replica has folded: as in package local a base without
// its marks, and beside it the marks, the ordered keys and the answers to own keys.
type recordStore struct {
	upTo           int // entries that are folded
	base           []byte
	received, sent map[quorum.ActorKey]uint64
	keys           map[string]string
	answers        map[string][]byte
	expiry         []expiry // of answers, the oldest first
}

// expiry says that a key was answered then; it may have been answered again since.
type expiry struct {
	wall int64
	key  string
}

// recordActivation is what the owner remembers of the actor.
type recordActivation struct {
	base   *quorum.Base
	recent map[string]quorum.Answer // to own keys, not folded yet
}

func (c *recordLog) start(int) machine {
	m := &recordMachine{model: c, ballot: quorum.Ballot{Epoch: 1, Boot: 1}, wall: 1}
	m.begin()
	return m
}

func (m *recordMachine) clone() machine {
	n := *m
	if m.actor != nil {
		n.actor = &recordActivation{cloneBase(m.actor.base), maps.Clone(m.actor.recent)}
	}
	return &n
}

// cloneBase copies what Apply changes.
func cloneBase(b *quorum.Base) *quorum.Base {
	n := *b
	n.Sessions = slices.Clone(b.Sessions)
	for i, s := range b.Sessions {
		copied := *s
		copied.Answers = slices.Clone(s.Answers)
		n.Sessions[i] = &copied
	}
	n.Received, n.Sent, n.Timers = maps.Clone(b.Received), maps.Clone(b.Sent), maps.Clone(b.Timers)
	n.Outbox = slices.Clone(b.Outbox)
	return &n
}

func (m *recordMachine) do(e event, _ *message, out *effects) {
	arg := int(e.arg >> 8)
	other := 1 - m.owner
	switch e.arg & 0xff {
	case applyCall:
		m.call(arg, out)
	case applyDone:
		m.sendDone()
	case applyShip:
		m.has[other] = len(m.log)
	case applyCommit:
		m.commit = m.has[other]
	case applyMove:
		m.owner = other
		m.ballot = quorum.Ballot{Epoch: m.ballot.Epoch + 1, Boot: m.ballot.Boot}
		m.begin()
	case applyRestart, applyLose:
		if e.arg&0xff == applyLose {
			m.has[m.owner] = m.has[other]
		}
		m.ballot.Boot++
		m.begin()
	case applyReload:
		m.actor = nil
	case applyFold:
		m.fold(arg, min(m.foldable(), m.has[arg]))
	case applyFoldOne:
		m.fold(arg, m.next(arg))
	case applySnapshot:
		m.stores[other], m.has[other] = m.stores[m.owner].copied(), len(m.log)
	case applyTick:
		m.wall += int64(recordTick)
	}
	if what := m.check(); what != "" {
		out.violate(what)
	}
}

// begin is the rule of a new ballot, with its barrier. What its owner lacks of
// the log is lost.
func (m *recordMachine) begin() {
	m.actor = nil
	m.log = slices.Clip(m.log[:m.has[m.owner]])
	m.add("", nil)
	m.has[1-m.owner], m.commit = len(m.log), len(m.log)
}

// add puts an entry on the owner's log.
func (m *recordMachine) add(actor quorum.ActorKey, r *quorum.Record) *recordEntry {
	e := recordEntry{Entry: quorum.Entry{LSN: quorum.LSN(len(m.log) + 1), Ballot: m.ballot, Actor: actor}}
	if n := len(m.log); n > 0 {
		e.Prev = m.log[n-1].Ballot
	}
	if r != nil {
		e.Data = r.AppendTo(nil)
		decoded, err := quorum.DecodeRecord(e.Data)
		if err != nil {
			panic(err)
		}
		e.record = decoded
	}
	m.log = append(slices.Clip(m.log), e)
	m.has[m.owner] = len(m.log)
	return &m.log[len(m.log)-1]
}

// record puts a record on the log, and applies it as it will be read.
func (m *recordMachine) record(r *quorum.Record) {
	r.Wall = max(m.wall, m.actor.base.Wall)
	e := m.add(recordActor, r)
	m.actor.apply(e)
}

func (a *recordActivation) apply(e *recordEntry) {
	a.base.Apply(&e.Entry, e.record, recordRetention)
	if key := e.record.Request.Key; key != "" {
		a.recent[key] = quorum.AnswerOf(&e.Entry, e.record)
	}
}

// call admits a request, unless it is known, and runs its turn.
func (m *recordMachine) call(i int, out *effects) {
	if m.actor == nil {
		m.actor = m.load(m.owner)
	}
	r := &m.model.requests[i]
	answer, known := m.answered(r.id)
	if known {
		if what := m.checkReplay(i, answer); what != "" {
			out.violate(what)
		}
		return
	}
	rec := &quorum.Record{Method: "m", Request: r.id, Args: uint64(i), Reply: []byte{byte(i), byte(len(m.log))}}
	if r.fails {
		rec.Err = &quorum.AppError{Code: r.name}
		m.record(rec)
		return
	}
	state := make([]byte, len(m.model.requests))
	copy(state, m.actor.base.State)
	state[i]++
	rec.HasState, rec.State = true, state
	rec.Writes = []quorum.KeyWrite{{Key: []byte("key"), Value: []byte(r.name), Delete: r.drops}}
	if r.drops {
		rec.Writes[0].Value = nil
	}
	rec.Timers = []quorum.TimerChange{{Name: "timer", Cancel: r.drops, Method: r.name}}
	if r.sends {
		rec.Sends = []quorum.Send{{Target: targetActor, Number: m.actor.base.Sent[targetActor] + 1, Method: r.name}}
	}
	m.record(rec)
}

// answered looks a request up, and reports whether it must not run. The answer is
// nil if it is forgotten.
func (m *recordMachine) answered(id quorum.RequestID) (*quorum.Answer, bool) {
	a := m.actor
	if answer, ok := a.recent[id.Key]; ok && id.Key != "" {
		return &answer, true
	}
	answer, found, forgotten := a.base.Answered(id)
	if found {
		return &answer, true
	}
	if forgotten || id.Key == "" || a.base.OwnKeys <= len(a.recent) {
		return nil, forgotten
	}
	encoded, found := m.stores[m.owner].answers[id.Key]
	if !found {
		return nil, false
	}
	answer, err := quorum.DecodeAnswer(encoded)
	if err != nil {
		panic(err)
	}
	return &answer, true
}

// sendDone notes that the target of the first send has committed it.
func (m *recordMachine) sendDone() {
	if m.actor == nil {
		m.actor = m.load(m.owner)
	}
	s := m.actor.base.Outbox[0]
	m.record(&quorum.Record{SendsDone: []quorum.SendMark{{Peer: s.Target, Number: s.Number}}})
}

// load returns the actor as a replica has it, folded and not.
func (m *recordMachine) load(replica int) *recordActivation {
	a := &recordActivation{m.stores[replica].load(), map[string]quorum.Answer{}}
	for i := m.stores[replica].upTo; i < m.has[replica]; i++ {
		if m.log[i].record != nil {
			a.apply(&m.log[i])
		}
	}
	return a
}

// load returns the base with its marks.
func (s *recordStore) load() *quorum.Base {
	if s.base == nil {
		return quorum.NewBase()
	}
	base, err := quorum.DecodeBase(bytes.Clone(s.base))
	if err != nil {
		panic(err)
	}
	base.Received, base.Sent = maps.Clone(s.received), maps.Clone(s.sent)
	return base
}

// copied returns what a snapshot makes of the store: the base travels whole.
func (s recordStore) copied() recordStore {
	base, err := quorum.DecodeBase(s.load().AppendTo(nil, false))
	if err != nil {
		panic(err)
	}
	if s.base != nil {
		s.base, s.received, s.sent = base.AppendTo(nil, true), base.Received, base.Sent
	}
	return s
}

// next returns the end of the first record that the replica has not folded.
func (m *recordMachine) next(replica int) int {
	n := m.stores[replica].upTo + 1
	for m.log[n-1].record == nil {
		n++
	}
	return n
}

// fold takes the records up to upTo into the replica's store, and out of what the
// activation keeps beside it.
func (m *recordMachine) fold(replica, upTo int) {
	s := m.stores[replica]
	base := s.load()
	s.keys, s.answers = cloneMap(s.keys), cloneMap(s.answers)
	m.expire(&s, base, upTo)
	for i := s.upTo; i < upTo; i++ {
		e := &m.log[i]
		r := e.record
		if r == nil {
			continue
		}
		base.Apply(&e.Entry, r, recordRetention)
		for _, w := range r.Writes {
			if w.Delete {
				delete(s.keys, string(w.Key))
			} else {
				s.keys[string(w.Key)] = string(w.Value)
			}
		}
		if r.Request.Key != "" {
			answer := quorum.AnswerOf(&e.Entry, r)
			s.answers[r.Request.Key] = answer.AppendTo(nil)
			s.expiry = append(slices.Clip(s.expiry), expiry{r.Wall, r.Request.Key})
		}
	}
	s.upTo, s.received, s.sent = upTo, base.Received, base.Sent
	s.base = base.AppendTo(nil, true)
	m.foldBug(&s, m.stores[replica])
	m.stores[replica] = s
	if replica != m.owner || m.actor == nil {
		return
	}
	for key, answer := range m.actor.recent {
		if answer.At.LSN <= quorum.LSN(upTo) {
			delete(m.actor.recent, key)
		}
	}
}

func cloneMap[V any](m map[string]V) map[string]V {
	n := map[string]V{}
	maps.Copy(n, m)
	return n
}

// expire forgets the answers to own keys that are past the retention when the
// last record that is folded was written.
func (m *recordMachine) expire(s *recordStore, base *quorum.Base, upTo int) {
	var now int64
	for i := s.upTo; i < upTo; i++ {
		if r := m.log[i].record; r != nil {
			now = r.Wall
		}
	}
	for len(s.expiry) > 0 && s.expiry[0].wall < now-int64(recordRetention) {
		x := s.expiry[0]
		answer, err := quorum.DecodeAnswer(s.answers[x.key])
		if err != nil {
			panic(err)
		}
		if answer.Wall == x.wall {
			delete(s.answers, x.key)
		}
		s.expiry = s.expiry[1:]
		base.OwnKeys--
	}
}
