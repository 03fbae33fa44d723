package core

import (
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// actor is an activation: a running instance's mailbox and memory. The instance
// itself is the shell's. The states are those of DESIGN.md §7; an inactive actor
// has no actor value.
//
//	activating ──loaded──► active ──passivate──► deactivating ──► (inactive)
//	                         │ ▲ one turn at a time                 │
//	                         └─┘                  calls came: activate again
type actor struct {
	id    ActivationID
	key   quorum.ActorKey
	slot  *slot
	phase phase

	base    *quorum.Base             // with every record appended, committed or not
	recent  map[string]quorum.Answer // to own and derived keys, not folded
	overlay *Overlay                 // writes to ordered keys, not folded; nil for none

	mailbox []*pending
	running *pending
	turn    uint64
	held    *TurnResult // came while the slot was being sealed again
	reload  bool        // the instance must be decoded afresh

	outbox outbox

	usedAt     quorum.Instant
	timeout    time.Duration
	list       *actorList
	prev, next *actor // in the list
	inIdle     bool   // the list is an idle one
}

type phase uint8

const (
	activating phase = iota
	active
	deactivating
)

// pending is a call in a mailbox, with the duplicates that joined it.
type pending struct {
	calls  []*Call // the first is the one that runs
	one    [1]*Call
	lookup bool // waits for Lookup of its own key
	seen   quorum.LSN
}

func newPending(c *Call) *pending {
	p := &pending{one: [1]*Call{c}}
	p.calls = p.one[:]
	return p
}

func (p *pending) call() *Call { return p.calls[0] }

// requestKey identifies a request id in a map.
type requestKey struct {
	session quorum.SessionID
	number  uint64
	name    string // key, or source
}

// pendingKey identifies a call that is in an activation's mailbox or runs. One map
// of a shard has them all: a map of each actor would be most of what an idle one
// takes.
type pendingKey struct {
	activation ActivationID
	request    requestKey
}

func keyOf(id quorum.RequestID) requestKey {
	if id.Key != "" {
		return requestKey{name: id.Key}
	}
	return requestKey{session: id.Session, number: id.Number, name: string(id.Source)}
}

// Call takes a call to an actor of one of this shard's slots. Its end is a
// Finished in a later Ready, exactly one.
func (s *Shard) Call(now quorum.Instant, c *Call) {
	s.took(c)
	sl := s.slots[c.Slot]
	switch {
	case now >= c.Deadline:
		s.finish(c, Outcome{Code: CodeDeadline, Detail: "the deadline passed before the turn began"})
	case slices.Contains(c.Chain, c.Actor):
		s.finish(c, Outcome{Code: CodeCycle, Detail: "the call's chain already holds " + c.Actor.String()})
	case !c.Internal && s.external > s.cfg.MaxCalls || c.Internal && s.internal > s.cfg.MaxInternal:
		s.finish(c, Outcome{Code: CodeOverloaded, Detail: "too many calls in flight on this node"})
	case sl == nil || !s.owns(sl):
		s.finish(c, Outcome{Code: CodeUnavailable, Detail: "this node does not own the actor's slot"})
	case !sl.serving:
		sl.queue = append(sl.queue, c)
	default:
		s.dispatch(now, sl, c)
	}
}

// took counts a call that will be finished.
func (s *Shard) took(c *Call) {
	if c.Internal {
		s.internal++
	} else {
		s.external++
	}
	if s.external+s.internal == 1 || c.Deadline < s.nextDue {
		s.nextDue = c.Deadline
	}
}

func (s *Shard) owns(sl *slot) bool {
	row := sl.q.Row()
	return row.Owner() == s.cfg.Self && !sl.q.Ballot().IsZero()
}

// dispatch gives a call to its actor, which it activates if need be.
func (s *Shard) dispatch(now quorum.Instant, sl *slot, c *Call) {
	a := sl.actors[c.Actor]
	if a == nil {
		if len(s.actors) >= s.room(c) && !s.makeRoom(now) {
			s.finish(c, Outcome{Code: CodeOverloaded, Detail: "no room for another activation"})
			return
		}
		a = s.activate(now, sl, c.Actor)
	}
	if c.Mailbox > 0 && len(a.mailbox) >= c.Mailbox {
		s.finish(c, Outcome{Code: CodeOverloaded, Detail: "the actor's mailbox is full"})
		return
	}
	s.leaveIdle(a)
	a.usedAt = now
	if c.Idle > 0 {
		a.timeout = c.Idle
	}
	if a.phase != active {
		a.mailbox = append(a.mailbox, newPending(c))
		return
	}
	s.admit(now, a, newPending(c))
	s.pump(now, a)
}

// room returns how many activations there may be for another to be added for the
// call. There is a reserve for calls from turns and sends: were all activations
// in use by sends that are under way, none of these could ever be taken.
func (s *Shard) room(c *Call) int {
	if c.Internal {
		return s.cfg.MaxActive + s.cfg.MaxActive/4 + activeReserve
	}
	return s.cfg.MaxActive
}

const activeReserve = 16

func (s *Shard) activate(now quorum.Instant, sl *slot, key quorum.ActorKey) *actor {
	s.lastID++
	a := &actor{id: s.lastID, key: key, slot: sl, reload: true, usedAt: now, timeout: defaultIdle}
	s.actors[a.id] = a
	sl.actors[key] = a
	s.working.push(a)
	s.out.Loads = append(s.out.Loads, Load{a.id, sl.id, key})
	return a
}

const defaultIdle = 10 * time.Minute

// ActorImage is an actor as the store has it: its folded base, and the records
// that follow.
type ActorImage struct {
	Base    *quorum.Base
	Entries []quorum.Entry
}

// Loaded takes the image that a Load asked for. An error ends the activation
// and the calls that wait for it.
func (s *Shard) Loaded(now quorum.Instant, id ActivationID, img ActorImage, err error) {
	a := s.actors[id]
	if a == nil || a.phase != activating {
		return
	}
	if err == nil {
		err = a.load(img, s.cfg.Retention)
	}
	if err != nil {
		s.out.Damaged = "actor " + a.key.String() + ": " + err.Error()
		s.kill(a, Outcome{Code: CodeUnavailable, Detail: "the actor cannot be loaded"})
		return
	}
	a.phase = active
	a.outbox.load(a.base.Outbox)
	waiting := a.mailbox
	a.mailbox = nil
	for _, p := range waiting {
		s.admit(now, a, p)
	}
	s.deliver(now, a)
	s.pump(now, a)
}

func (a *actor) load(img ActorImage, retention time.Duration) error {
	a.base = img.Base
	for i := range img.Entries {
		e := &img.Entries[i]
		r, err := quorum.DecodeRecord(e.Data)
		if err != nil {
			return err
		}
		a.apply(e, r, retention)
	}
	return nil
}

// apply adds a record to what the activation remembers.
func (a *actor) apply(e *quorum.Entry, r *quorum.Record, retention time.Duration) {
	a.base.Apply(e, r, retention)
	if r.Request.Key != "" {
		if a.recent == nil {
			a.recent = map[string]quorum.Answer{}
		}
		a.recent[r.Request.Key] = quorum.AnswerOf(e, r)
	}
	if len(r.Writes) > 0 {
		if a.overlay == nil {
			a.overlay = NewOverlay()
		}
		a.overlay.add(e.LSN, r.Writes)
	}
}

// folded drops from memory what the store now answers itself.
func (a *actor) folded(upTo quorum.LSN) {
	if a.phase != active {
		return
	}
	for key, answer := range a.recent {
		if answer.At.LSN <= upTo {
			delete(a.recent, key)
		}
	}
	if a.overlay != nil {
		a.overlay.folded(upTo)
	}
}

// admit puts a call into the mailbox, unless its request id is known.
func (s *Shard) admit(now quorum.Instant, a *actor, p *pending) {
	c := p.call()
	if c.ReadOnly || c.Request.IsZero() {
		a.mailbox = append(a.mailbox, p)
		return
	}
	if twin := s.pending[pendingKey{a.id, keyOf(c.Request)}]; twin != nil && !mutant.On(mutant.DuplicateRuns) {
		s.join(twin, c)
		return
	}
	if answer, ok := a.recent[c.Request.Key]; ok && c.Request.Key != "" {
		s.replay(a, c, answer)
		return
	}
	answer, found, forgotten := a.base.Answered(c.Request)
	switch {
	case found:
		s.replay(a, c, answer)
		return
	case forgotten && c.Request.Source != "":
		s.replay(a, c, quorum.Answer{At: quorum.Position{Ballot: a.base.Ballot, LSN: a.base.LSN}, Args: c.ArgHash})
		return
	case forgotten:
		s.finish(c, Outcome{Code: CodeOutcomeUnknown, Detail: "the answer was given before and is forgotten"})
		return
	}
	s.pending[pendingKey{a.id, keyOf(c.Request)}] = p
	if c.Request.Key != "" && a.base.OwnKeys > len(a.recent) {
		p.lookup = true
		s.out.Lookups = append(s.out.Lookups, Lookup{a.id, a.slot.id, a.key, c.Request.Key})
	}
	a.mailbox = append(a.mailbox, p)
}

// join adds a duplicate to a call that is in the mailbox or runs.
func (s *Shard) join(twin *pending, c *Call) {
	if twin.call().ArgHash != c.ArgHash {
		s.finish(c, reused)
		return
	}
	twin.calls = append(twin.calls, c)
}

var reused = Outcome{Code: CodeKeyReused, Detail: "the request id was used with another method or argument"}

// replay answers with what was answered before, once that is committed.
func (s *Shard) replay(a *actor, c *Call, answer quorum.Answer) {
	if answer.Args != c.ArgHash {
		s.finish(c, reused)
		return
	}
	o := Outcome{Reply: answer.Reply, Fence: answer.At, LSN: a.base.LSN, Replayed: true}
	if answer.Err != nil {
		o.Code, o.App = CodeApp, answer.Err
	}
	if answer.At.LSN <= a.slot.q.Commit() {
		s.finish(c, o)
		return
	}
	a.slot.wait(waiting{lsn: answer.At.LSN, calls: []*Call{c}, outcome: o, wrote: true})
}

// LookedUp takes the answer that a Lookup asked for, if there is one.
func (s *Shard) LookedUp(now quorum.Instant, l Lookup, answer quorum.Answer, found bool) {
	a := s.actors[l.Activation]
	if a == nil {
		return
	}
	key := pendingKey{a.id, requestKey{name: l.Key}}
	p := s.pending[key]
	if p == nil || !p.lookup {
		return
	}
	p.lookup = false
	if found && !mutant.On(mutant.AnswerForgotten) {
		delete(s.pending, key)
		a.mailbox = slices.DeleteFunc(a.mailbox, func(q *pending) bool { return q == p })
		for _, c := range p.calls {
			s.replay(a, c, answer)
		}
	}
	s.pump(now, a)
}

// pumpSlot begins what turns can begin in a slot.
func (s *Shard) pumpSlot(now quorum.Instant, sl *slot) {
	for _, a := range s.workingIn(sl) {
		s.pump(now, a)
	}
}

// pump begins the actor's next turn, if it may. It is called after all that may
// leave an activation with nothing to do, which is idle then.
func (s *Shard) pump(now quorum.Instant, a *actor) {
	for a.phase == active && (a.running == nil || mutant.On(mutant.TwoTurns)) && len(a.mailbox) > 0 && s.mayBegin(now, a) {
		p := a.mailbox[0]
		a.mailbox = slices.Delete(a.mailbox, 0, 1)
		if s.expirePending(now, a, p) {
			continue
		}
		s.begin(now, a, p)
	}
	s.enterIdle(a)
}

// mayBegin reports whether the first turn in the mailbox may begin. If that needs
// a lease, the slot is noted.
func (s *Shard) mayBegin(now quorum.Instant, a *actor) bool {
	sl := a.slot
	if !sl.serving || !sl.quiesce.until.IsZero() || a.mailbox[0].lookup {
		return false
	}
	if s.cfg.Lease == 0 || now < sl.q.LeaseUntil() || mutant.On(mutant.LapsedTurns) {
		return true
	}
	if !sl.lapsed {
		sl.lapsed = true
		s.out.Lapsed++
		s.lapsed = append(s.lapsed, sl)
	}
	return false
}

func (s *Shard) begin(now quorum.Instant, a *actor, p *pending) {
	sl := a.slot
	sl.turns++
	a.running, a.turn, p.seen = p, sl.turns, a.base.LSN
	t := TurnStart{
		Activation: a.id, Slot: sl.id, Call: p.call(), Seen: p.seen,
		Fence: Fence{sl.ballot, sl.turns},
		Wall:  max(sl.wall, a.base.Wall),
	}
	if a.reload {
		t.Load, t.State, a.reload = true, a.base.State, false
	}
	if a.overlay != nil {
		t.Keys = a.overlay.Freeze()
	}
	s.out.Turns = append(s.out.Turns, t)
}

// TurnDone takes what a turn did.
func (s *Shard) TurnDone(now quorum.Instant, r *TurnResult) {
	a := s.actors[r.Activation]
	if a == nil || a.running == nil || a.turn != r.Turn {
		return // abandoned
	}
	sl := a.slot
	if !sl.serving && !mutant.On(mutant.UnservedTurn) {
		a.held = r
		return
	}
	p := a.running
	a.running, a.usedAt = nil, now
	if p.call().Request.Source != "" {
		r = deadLetter(r)
	}
	sl.wall = max(sl.wall, r.Wall)
	if (r.Err != nil || r.Code != CodeOK) && !mutant.On(mutant.ErrorKeepsState) {
		a.reload = true
	}
	id := p.call().Request
	remembered := r.Code == CodeOK && !p.call().ReadOnly && (r.Err == nil || id.Key != "" || id.Source != "")
	if remembered {
		s.record(now, a, p, r)
	} else {
		s.settled(a, p)
		o := Outcome{Code: r.Code, Detail: r.Detail, LSN: p.seen, Fence: quorum.Position{Ballot: sl.ballot, LSN: p.seen}}
		switch {
		case r.Err != nil:
			o.Code, o.App = CodeApp, r.Err
		case r.Code == CodeOK:
			o.Reply = r.Reply
		}
		w := waiting{lsn: p.seen, calls: p.calls, outcome: o}
		if p.seen <= sl.q.Commit() || mutant.On(mutant.ReadUncommitted) {
			s.leave(now, sl, w)
		} else {
			sl.wait(w)
		}
	}
	s.stepped(now, sl)
	s.pump(now, a)
}

// record appends what the turn did, all of it in one record.
func (s *Shard) record(now quorum.Instant, a *actor, p *pending, r *TurnResult) {
	sl, c := a.slot, p.call()
	rec := quorum.Record{
		Wall: sl.wall, Turn: r.Turn, Method: c.Method, Request: c.Request, Args: c.ArgHash,
		Trace: c.Trace, Principal: c.Principal, SendsDone: a.outbox.takeDone(),
	}
	var o Outcome
	if r.Err != nil {
		rec.Err = r.Err
		o.Code, o.App = CodeApp, r.Err
	} else {
		o.Reply = r.Reply
		rec.HasState, rec.State = !r.Unchanged, r.State
		rec.Writes, rec.Reply, rec.Timers = r.Writes, r.Reply, r.Timers
		rec.Sends = a.number(r.Sends)
	}
	data := rec.AppendTo(make([]byte, 0, len(r.State)+len(r.Reply)+128))
	if mutant.On(mutant.HalfRecord) {
		half := rec
		half.Sends = nil
		data = half.AppendTo(nil)
	}
	if len(data) > s.cfg.RecordBytes {
		a.reload = true
		a.outbox.undone(rec.SendsDone)
		s.tooLarge(now, a, p, r)
		return
	}
	s.settled(a, p)
	o.Fence = s.append(a, &rec, data)
	o.LSN = o.Fence.LSN
	if mutant.On(mutant.ReplyEarly) {
		s.finishAll(p.calls, o)
		p.calls = nil
	}
	sl.wait(waiting{lsn: o.LSN, calls: p.calls, outcome: o, wrote: true})
	if len(rec.Sends) > 0 {
		a.outbox.add(o.LSN, rec.Sends)
		sl.wait(waiting{lsn: o.LSN, send: a})
	}
}

// tooLarge rolls a turn back whose record is too large. Of a send it records
// that.
func (s *Shard) tooLarge(now quorum.Instant, a *actor, p *pending, r *TurnResult) {
	o := Outcome{Code: CodeTooLarge, Detail: "the turn's record is too large"}
	if p.call().Request.Source == "" || r.Err != nil {
		s.drop(a, p, o)
		return
	}
	s.record(now, a, p, deadLetter(&TurnResult{Turn: r.Turn, Code: o.Code, Detail: o.Detail}))
}

// deadLetter turns what would be the same however often a send is repeated into
// an error of its handler, which is recorded and moves the mark. Otherwise it
// would stop all later sends of the pair.
func deadLetter(r *TurnResult) *TurnResult {
	code := ""
	switch r.Code {
	case CodeTooLarge:
		code = "too_large"
	case CodeBadRequest:
		code = "bad_request"
	default:
		return r
	}
	dead := *r
	dead.Code, dead.Err = CodeOK, &quorum.AppError{Code: code, Message: r.Detail}
	return &dead
}

// append writes a record of the actor to the slot's log, and applies it.
func (s *Shard) append(a *actor, rec *quorum.Record, data []byte) quorum.Position {
	lsn := a.slot.q.Append(a.key, data)
	e := quorum.Entry{LSN: lsn, Ballot: a.slot.ballot, Actor: a.key, Data: data}
	a.apply(&e, rec, s.cfg.Retention)
	return e.Position()
}

// settled takes a call that ran out of the table of pending ones.
func (s *Shard) settled(a *actor, p *pending) { s.forgetPending(a, p, p.call().Request) }

func (s *Shard) forgetPending(a *actor, p *pending, id quorum.RequestID) {
	if k := (pendingKey{a.id, keyOf(id)}); s.pending[k] == p {
		delete(s.pending, k)
	}
}

// drop ends a call that did not run, or whose turn was rolled back.
func (s *Shard) drop(a *actor, p *pending, o Outcome) {
	s.settled(a, p)
	s.finishAll(p.calls, o)
}

// abandon gives up a turn that runs too long, or whose actor is gone: whatever
// it returns is ignored, and its instance with it. One that the shell has not
// taken yet does not begin.
func (s *Shard) abandon(a *actor, o Outcome) {
	p := a.running
	a.running, a.held, a.reload = nil, nil, true
	begun := len(s.out.Turns)
	s.out.Turns = slices.DeleteFunc(s.out.Turns, func(t TurnStart) bool { return t.Activation == a.id })
	if begun == len(s.out.Turns) {
		s.out.Abandon = append(s.out.Abandon, TurnRef{a.id, a.turn})
	}
	s.drop(a, p, o)
}

// kill ends an activation at once, with nothing more acknowledged.
func (s *Shard) kill(a *actor, o Outcome) {
	if a.running != nil {
		s.abandon(a, o)
	}
	for _, p := range a.mailbox {
		s.drop(a, p, o)
	}
	a.mailbox = nil
	if a.phase != deactivating { // which the shell has been told of
		s.out.Deactivate = append(s.out.Deactivate, a.id)
	}
	s.remove(a)
}

func (s *Shard) remove(a *actor) {
	a.unlink()
	delete(s.actors, a.id)
	delete(a.slot.actors, a.key)
}

func (s *Shard) finish(c *Call, o Outcome) {
	if c.Internal {
		s.internal--
	} else {
		s.external--
	}
	s.out.Outcomes = append(s.out.Outcomes, Finished{c, o})
}

func (s *Shard) finishAll(calls []*Call, o Outcome) {
	for i, c := range calls {
		if i == 1 {
			o.Replayed = o.Code == CodeOK || o.Code == CodeApp
		}
		s.finish(c, o)
	}
}
