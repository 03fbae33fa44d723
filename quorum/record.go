package quorum

// Record is the body of an entry: one committed invocation of one actor, whole.
// What it holds happened together; of a record that is not committed nothing
// happened.
type Record struct {
	Wall      int64  // the owner's wall time at the turn's start, in ns since 1970; never below the slot's last
	Turn      uint64 // counts the turns of the ballot, from 1 on
	Method    string
	Request   RequestID
	Args      uint64 // hash over method and canonical argument, to tell a reused request id
	HasState  bool   // State replaces the actor's state; false leaves it as it was
	State     []byte
	Writes    []KeyWrite // in the order of their keys, each key once
	Reply     []byte
	Err       *AppError  // the handler's own error, recorded as the answer
	Sends     []Send     // in the order in which the turn made them
	SendsDone []SendMark // sends of this actor which their targets have committed
	Timers    []TimerChange
	Trace     []byte // W3C trace context, or nil
	Principal string // who called, or empty
}

// RequestID names one invocation, so that it takes effect once. Exactly one of
// Session, Key and Source is set, or none for a call that needs no memory.
type RequestID struct {
	// Session and Number come from a client that counts its calls. Answers to
	// numbers below Low are no longer wanted and may be forgotten.
	Session SessionID
	Number  uint64
	Low     uint64
	// Key is a client's own key (first byte KeyOwn), or derived from the
	// request of the turn that makes this call (first byte KeyDerived).
	Key string
	// Source is the actor whose turn sent this; Number then counts the sends of
	// this pair of actors, from 1 on.
	Source ActorKey
}

// The first byte of RequestID.Key.
const (
	KeyOwn     = 'k'
	KeyDerived = 't'
)

// SessionID is drawn at random by a client when it starts; zero is none.
type SessionID [16]byte

// IsZero reports whether the request has no id.
func (r RequestID) IsZero() bool {
	return r.Session == SessionID{} && r.Key == "" && r.Source == ""
}

// KeyWrite sets one of the actor's ordered keys, or deletes it.
type KeyWrite struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// AppError is a handler's own error, as it is recorded and sent.
type AppError struct {
	Code    string
	Message string
	Details []byte // JSON, or nil
}

// Send is a one-way message that is part of a record.
type Send struct {
	Target ActorKey
	Number uint64 // counts the sends of this pair of actors, from 1 on
	Method string
	Args   []byte
	JSON   bool // Args is JSON, not msgpack
}

// SendMark is the highest number of the sends between an actor and a peer.
type SendMark struct {
	Peer   ActorKey
	Number uint64
}

// TimerChange sets a durable timer, or cancels it.
type TimerChange struct {
	Name   string
	Cancel bool
	Due    int64 // wall time, in ns since 1970
	Every  int64 // period in ns; 0 for once
	Method string
	Args   []byte
}

// Record encoding: a version byte, then the fields in order, integers as
// uvarints and strings with their length before them. It is on disk and on the
// wire; fields are only ever added, under a new version.
const recordVersion = 1

const (
	recordHasState = 1 << iota
	recordHasErr
	recordHasSession
	recordHasKey
	recordHasSource
	recordHasSends // or notes that some are done
)

// AppendTo appends the record's encoding to b.
func (r *Record) AppendTo(b []byte) []byte {
	var flags byte
	if r.HasState {
		flags |= recordHasState
	}
	if r.Err != nil {
		flags |= recordHasErr
	}
	if r.Request.Session != (SessionID{}) {
		flags |= recordHasSession
	}
	if r.Request.Key != "" {
		flags |= recordHasKey
	}
	if r.Request.Source != "" {
		flags |= recordHasSource
	}
	if len(r.Sends)+len(r.SendsDone) > 0 {
		flags |= recordHasSends
	}
	b = append(b, recordVersion, flags)
	b = appendUint(b, uint64(r.Wall))
	b = appendUint(b, r.Turn)
	b = appendString(b, r.Method)
	b = r.Request.appendTo(b, flags)
	b = appendUint(b, r.Args)
	if r.HasState {
		b = appendBytes(b, r.State)
	}
	b = appendUint(b, uint64(len(r.Writes)))
	for i := range r.Writes {
		w := &r.Writes[i]
		b = appendBytes(b, w.Key)
		b = appendBool(b, w.Delete)
		if !w.Delete {
			b = appendBytes(b, w.Value)
		}
	}
	b = appendBytes(b, r.Reply)
	if r.Err != nil {
		b = r.Err.appendTo(b)
	}
	b = appendUint(b, uint64(len(r.Sends)))
	for i := range r.Sends {
		b = r.Sends[i].appendTo(b)
	}
	b = appendUint(b, uint64(len(r.SendsDone)))
	for _, m := range r.SendsDone {
		b = appendString(b, string(m.Peer))
		b = appendUint(b, m.Number)
	}
	b = appendUint(b, uint64(len(r.Timers)))
	for i := range r.Timers {
		b = r.Timers[i].appendTo(b)
	}
	b = appendBytes(b, r.Trace)
	return appendString(b, r.Principal)
}

func (r *RequestID) appendTo(b []byte, flags byte) []byte {
	if flags&recordHasSession != 0 {
		b = append(b, r.Session[:]...)
		b = appendUint(b, r.Number)
		b = appendUint(b, r.Low)
	}
	if flags&recordHasKey != 0 {
		b = appendString(b, r.Key)
	}
	if flags&recordHasSource != 0 {
		b = appendString(b, string(r.Source))
		b = appendUint(b, r.Number)
	}
	return b
}

func (e *AppError) appendTo(b []byte) []byte {
	b = appendString(b, e.Code)
	b = appendString(b, e.Message)
	return appendBytes(b, e.Details)
}

func (s *Send) appendTo(b []byte) []byte {
	b = appendString(b, string(s.Target))
	b = appendUint(b, s.Number)
	b = appendString(b, s.Method)
	b = appendBytes(b, s.Args)
	return appendBool(b, s.JSON)
}

func (t *TimerChange) appendTo(b []byte) []byte {
	b = appendString(b, t.Name)
	b = appendBool(b, t.Cancel)
	b = appendUint(b, uint64(t.Due))
	b = appendUint(b, uint64(t.Every))
	b = appendString(b, t.Method)
	return appendBytes(b, t.Args)
}

// DecodeRecord decodes what AppendTo wrote, all of it. The record's byte slices
// point into b. The error wraps ErrCorrupt.
func DecodeRecord(b []byte) (*Record, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != recordVersion {
		d.fail("record version %d, this program reads %d", v, recordVersion)
	}
	flags := d.byte()
	r := &Record{HasState: flags&recordHasState != 0}
	r.Wall = int64(d.uint())
	r.Turn = d.uint()
	r.Method = d.string()
	r.Request.decode(&d, flags)
	r.Args = d.uint()
	if r.HasState {
		r.State = d.bytes()
	}
	r.Writes = decodeList(&d, 2, func(w *KeyWrite) {
		w.Key = d.bytes()
		if w.Delete = d.bool(); !w.Delete {
			w.Value = d.bytes()
		}
	})
	r.Reply = d.bytes()
	if flags&recordHasErr != 0 {
		r.Err = decodeAppError(&d)
	}
	r.Sends = decodeList(&d, 5, func(s *Send) { s.decode(&d) })
	r.SendsDone = decodeList(&d, 2, func(m *SendMark) { m.Peer, m.Number = ActorKey(d.string()), d.uint() })
	r.Timers = decodeList(&d, 6, func(t *TimerChange) { t.decode(&d) })
	r.Trace = d.bytes()
	r.Principal = d.string()
	return r, d.end()
}

func (r *RequestID) decode(d *decoder, flags byte) {
	if flags&recordHasSession != 0 {
		copy(r.Session[:], d.take(len(r.Session)))
		r.Number = d.uint()
		r.Low = d.uint()
	}
	if flags&recordHasKey != 0 {
		r.Key = d.string()
	}
	if flags&recordHasSource != 0 {
		r.Source = ActorKey(d.string())
		r.Number = d.uint()
	}
}

func decodeAppError(d *decoder) *AppError {
	return &AppError{Code: d.string(), Message: d.string(), Details: d.bytes()}
}

func (s *Send) decode(d *decoder) {
	s.Target = ActorKey(d.string())
	s.Number = d.uint()
	s.Method = d.string()
	s.Args = d.bytes()
	s.JSON = d.bool()
}

func (t *TimerChange) decode(d *decoder) {
	t.Name = d.string()
	t.Cancel = d.bool()
	t.Due = int64(d.uint())
	t.Every = int64(d.uint())
	t.Method = d.string()
	t.Args = d.bytes()
}

// RecordSends reports whether an encoded record has sends, or notes that some
// are done.
func RecordSends(data []byte) bool {
	return len(data) > 1 && data[0] == recordVersion && data[1]&recordHasSends != 0
}

// RecordWall returns the Wall of an encoded record, or 0 for a barrier or what
// is no record.
func RecordWall(data []byte) int64 {
	if len(data) < 3 || data[0] != recordVersion {
		return 0
	}
	d := decoder{b: data[2:]}
	return int64(d.uint())
}
