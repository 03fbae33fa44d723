package quorum

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"actormesh/quorum/mutant"
)

// Base is an actor folded: all that its records up to LSN have left, apart from
// its ordered keys and the answers to clients' own keys, which are kept one by
// one, and are looked up by name. Applying the records that follow, in order,
// gives what the actor is. A map without anything in it is nil: most actors are
// small, and many.
type Base struct {
	LSN      LSN
	Ballot   Ballot
	Wall     int64
	State    []byte
	OwnKeys  int                 // how many answers to own keys are kept beside it
	Sessions []*Session          // by ID, ascending
	Received map[ActorKey]uint64 // highest send applied, by source
	Sent     map[ActorKey]uint64 // highest number used, by target
	Outbox   []Send              // sends whose targets have not committed them, in order
	Timers   map[string]Timer
}

// Session is what an actor remembers of one client.
type Session struct {
	ID      SessionID
	Low     uint64
	Wall    int64            // of the client's last record
	Answers []NumberedAnswer // at or above Low, by number
}

// NumberedAnswer is the answer to a session's call.
type NumberedAnswer struct {
	Number uint64
	Answer Answer
}

// Answer is what a committed call was answered.
type Answer struct {
	At    Position // of the record
	Args  uint64   // Record.Args of the call
	Wall  int64
	Reply []byte
	Err   *AppError
}

// Timer is a durable timer that is set.
type Timer struct {
	Due    int64
	Every  int64
	Method string
	Args   []byte
}

// NewBase returns an actor that has no record.
func NewBase() *Base { return &Base{} }

// AnswerOf returns the answer that the record gave.
func AnswerOf(e *Entry, r *Record) Answer {
	return Answer{At: e.Position(), Args: r.Args, Wall: r.Wall, Reply: r.Reply, Err: r.Err}
}

// Apply adds one record, which must be of this actor and above LSN. Sessions
// that were silent for longer than retention are forgotten.
func (b *Base) Apply(e *Entry, r *Record, retention time.Duration) {
	b.LSN, b.Ballot, b.Wall = e.LSN, e.Ballot, r.Wall
	if r.HasState {
		b.State = r.State
	}
	switch {
	case r.Request.Session != SessionID{}:
		b.session(r.Request, r.Wall, retention).answer(r.Request.Number, AnswerOf(e, r))
	case r.Request.Key != "":
		b.OwnKeys++
	case r.Request.Source != "":
		put(&b.Received, r.Request.Source, max(b.Received[r.Request.Source], r.Request.Number))
	}
	for _, s := range r.Sends {
		put(&b.Sent, s.Target, s.Number)
		b.Outbox = append(b.Outbox, s)
	}
	for _, done := range r.SendsDone {
		b.Outbox = slices.DeleteFunc(b.Outbox, func(s Send) bool {
			return s.Target == done.Peer && s.Number <= done.Number
		})
	}
	for _, t := range r.Timers {
		if t.Cancel {
			delete(b.Timers, t.Name)
			continue
		}
		put(&b.Timers, t.Name, Timer{Due: t.Due, Every: t.Every, Method: t.Method, Args: t.Args})
	}
}

// put sets a value in a map that may not have been made yet.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// session finds or makes the session of a request and raises its low mark.
func (b *Base) session(id RequestID, wall int64, retention time.Duration) *Session {
	i, found := b.findSession(id.Session)
	if !found {
		b.Sessions = slices.DeleteFunc(b.Sessions, func(s *Session) bool { return wall-s.Wall > int64(retention) })
		i, _ = b.findSession(id.Session)
		b.Sessions = slices.Insert(b.Sessions, i, &Session{ID: id.Session})
	}
	s := b.Sessions[i]
	s.Wall = wall
	if id.Low > s.Low {
		s.Low = id.Low
		n, _ := s.find(id.Low)
		s.Answers = slices.Delete(s.Answers, 0, n)
	}
	return s
}

func (b *Base) findSession(id SessionID) (int, bool) {
	return slices.BinarySearchFunc(b.Sessions, id, func(s *Session, id SessionID) int { return bytes.Compare(s.ID[:], id[:]) })
}

func (s *Session) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(s.Answers, number, func(a NumberedAnswer, n uint64) int {
		switch {
		case a.Number < n:
			return -1
		case a.Number > n:
			return 1
		}
		return 0
	})
}

func (s *Session) answer(number uint64, a Answer) {
	if number < s.Low {
		return
	}
	if i, found := s.find(number); !found {
		s.Answers = slices.Insert(s.Answers, i, NumberedAnswer{number, a})
	}
}

// Answered returns what the actor remembers of a request of a session or of a
// send: found with its answer, or forgotten, if it was answered and nobody may
// ask again. A request with a client's own key is never found here.
func (b *Base) Answered(id RequestID) (a Answer, found, forgotten bool) {
	switch {
	case id.Session != SessionID{}:
		n, known := b.findSession(id.Session)
		if !known {
			return Answer{}, false, false
		}
		s := b.Sessions[n]
		if i, ok := s.find(id.Number); ok {
			return s.Answers[i].Answer, true, false
		}
		return Answer{}, false, id.Number < s.Low
	case id.Source != "":
		return Answer{}, false, id.Number <= b.Received[id.Source] && !mutant.On(mutant.SendTwice)
	}
	return Answer{}, false, false
}

const baseVersion = 1

// AppendTo appends the base's canonical encoding to out: the same base, the same
// bytes. Received and Sent are left out where split is set, for a store that
// keeps them one by one.
func (b *Base) AppendTo(out []byte, split bool) []byte {
	out = append(out, baseVersion)
	out = appendUint(out, uint64(b.LSN))
	out = appendUint(out, uint64(b.Ballot.Epoch))
	out = appendUint(out, uint64(b.Ballot.Boot))
	out = appendUint(out, uint64(b.Wall))
	out = appendBytes(out, b.State)
	out = appendUint(out, uint64(b.OwnKeys))
	sessions := b.Sessions
	if mutant.On(mutant.FoldLosesAnswers) {
		sessions = nil
	}
	out = appendUint(out, uint64(len(sessions)))
	for _, s := range sessions {
		out = append(out, s.ID[:]...)
		out = appendUint(out, s.Low)
		out = appendUint(out, uint64(s.Wall))
		out = appendUint(out, uint64(len(s.Answers)))
		for i := range s.Answers {
			out = appendUint(out, s.Answers[i].Number)
			out = s.Answers[i].Answer.AppendTo(out)
		}
	}
	if split || mutant.On(mutant.FoldLosesMarks) {
		out = appendUint(appendUint(out, 0), 0)
	} else {
		out = appendMarks(appendMarks(out, b.Received), b.Sent)
	}
	out = appendUint(out, uint64(len(b.Outbox)))
	for i := range b.Outbox {
		out = b.Outbox[i].appendTo(out)
	}
	out = appendUint(out, uint64(len(b.Timers)))
	for _, name := range slices.Sorted(maps.Keys(b.Timers)) {
		t := b.Timers[name]
		c := TimerChange{Name: name, Due: t.Due, Every: t.Every, Method: t.Method, Args: t.Args}
		out = c.appendTo(out)
	}
	return out
}

func appendMarks(out []byte, marks map[ActorKey]uint64) []byte {
	out = appendUint(out, uint64(len(marks)))
	for _, k := range slices.Sorted(maps.Keys(marks)) {
		out = appendString(out, string(k))
		out = appendUint(out, marks[k])
	}
	return out
}

// DecodeBase decodes what AppendTo wrote, all of it. Byte slices point into b.
// The error wraps ErrCorrupt.
func DecodeBase(b []byte) (*Base, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != baseVersion {
		d.fail("base version %d, this program reads %d", v, baseVersion)
	}
	base := NewBase()
	base.LSN = LSN(d.uint())
	base.Ballot = Ballot{Epoch(d.uint()), Boot(d.uint())}
	base.Wall = int64(d.uint())
	base.State = d.bytes()
	base.OwnKeys = int(d.uint())
	base.Sessions = decodeList(&d, 19, func(to **Session) {
		s := &Session{}
		*to = s
		copy(s.ID[:], d.take(len(s.ID)))
		s.Low, s.Wall = d.uint(), int64(d.uint())
		s.Answers = decodeList(&d, 8, func(n *NumberedAnswer) {
			n.Number = d.uint()
			n.Answer.decode(&d)
		})
	})
	for i := 1; i < len(base.Sessions); i++ {
		if bytes.Compare(base.Sessions[i-1].ID[:], base.Sessions[i].ID[:]) >= 0 {
			d.fail("a base's sessions are not in order")
		}
	}
	for _, marks := range []*map[ActorKey]uint64{&base.Received, &base.Sent} {
		decodeList(&d, 2, func(*struct{}) {
			k := ActorKey(d.string())
			put(marks, k, d.uint())
		})
	}
	base.Outbox = decodeList(&d, 5, func(s *Send) { s.decode(&d) })
	decodeList(&d, 6, func(*struct{}) {
		var t TimerChange
		t.decode(&d)
		put(&base.Timers, t.Name, Timer{Due: t.Due, Every: t.Every, Method: t.Method, Args: t.Args})
	})
	return base, d.end()
}

// AppendTo appends the answer's encoding to out.
func (a *Answer) AppendTo(out []byte) []byte {
	out = appendUint(out, uint64(a.At.Ballot.Epoch))
	out = appendUint(out, uint64(a.At.Ballot.Boot))
	out = appendUint(out, uint64(a.At.LSN))
	out = appendUint(out, a.Args)
	out = appendUint(out, uint64(a.Wall))
	out = appendBytes(out, a.Reply)
	out = appendBool(out, a.Err != nil)
	if a.Err != nil {
		out = a.Err.appendTo(out)
	}
	return out
}

func (a *Answer) decode(d *decoder) {
	a.At = Position{Ballot{Epoch(d.uint()), Boot(d.uint())}, LSN(d.uint())}
	a.Args = d.uint()
	a.Wall = int64(d.uint())
	a.Reply = d.bytes()
	if d.bool() {
		a.Err = decodeAppError(d)
	}
}

// DecodeAnswer decodes what Answer.AppendTo wrote, all of it. The error wraps
// ErrCorrupt.
func DecodeAnswer(b []byte) (Answer, error) {
	d := decoder{b: b}
	var a Answer
	a.decode(&d)
	return a, d.end()
}
