package workload

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"actormesh/chaos/script"
	"actormesh/mesh"
)

// Op is one operation of a client.
type Op struct {
	Client  string
	Actor   script.Actor
	Method  string
	Arg     Arg
	Keyless bool          // the client does not tell the mesh the operation's id
	Reads   bool          // the method only reads
	Within  time.Duration // the time of each attempt
}

// Key returns the id that the mesh is told, as an Idempotency-Key or with
// mesh.Once; empty for none.
func (o *Op) Key() string {
	if o.Keyless || o.Reads {
		return ""
	}
	return o.Arg.Op
}

// Body returns the argument in JSON.
func (o *Op) Body() []byte {
	b, err := json.Marshal(o.Arg)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

// Attempt is one try of an operation, through one node.
type Attempt struct {
	*Op
	Try   int           // from 1; those of a storm are made at once
	Via   string        // the node
	Pause time.Duration // before it, from when it was asked for
}

// Code says how an attempt ended: "ok", "app" for a handler's own error, or what
// the mesh calls its errors in answers to HTTP calls.
type Code string

// The codes that clients expect.
const (
	OK          Code = "ok"
	App         Code = "app"
	Unavailable Code = "unavailable"
	Overloaded  Code = "overloaded"
	Deadline    Code = "deadline"
	Stopped     Code = "stopped"
	NoKind      Code = "no_kind"
	Unknown     Code = "outcome_unknown"
	// Unreachable is the client's own: the node could not be connected to, so
	// that it was not asked at all. Where a connection broke later, the outcome
	// is unknown.
	Unreachable Code = "unreachable"
)

// final reports whether the code ends an operation: it is an answer.
func (c Code) final() bool { return c == OK || c == App }

// refused reports whether the code promises that the attempt has done nothing.
func (c Code) refused() bool {
	switch c {
	case Unavailable, Overloaded, Deadline, Stopped, NoKind, Unreachable:
		return true
	}
	return false
}

// Answer is what an engine got for an attempt, as the mesh says it.
type Answer struct {
	Code     Code
	App      string // with App: the handler's code
	Body     []byte // JSON: the result; with App, the error's details
	Owner    string // the node that answered
	Replayed bool   // the first answer to this id, again
	Detail   string // for people
}

// Outcome is how an attempt ended. Times are from the beginning of the run.
type Outcome struct {
	Start, End time.Duration
	Code       Code
	App        string
	Reply      Reply
	Owner      string
	Replayed   bool
	Detail     string
}

// codeGarbled is what an answer is that cannot be read.
const codeGarbled Code = "garbled"

// Outcome returns what an answer says.
func (a Answer) Outcome(start, end time.Duration) Outcome {
	o := Outcome{Start: start, End: end, Code: a.Code, App: a.App, Owner: a.Owner, Replayed: a.Replayed, Detail: a.Detail}
	if !a.Code.final() {
		return o
	}
	d := json.NewDecoder(bytes.NewReader(a.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(&o.Reply); err != nil {
		o.Code, o.Detail = codeGarbled, err.Error()
	}
	return o
}

// fence reads a fence as it is in replies and entries.
func fence(text string) (f mesh.Fence, ok bool) {
	parts := [...]*uint64{&f.Epoch, &f.Boot, &f.Turn}
	return f, scanFence(text, parts[:])
}

// scanFence reads numbers with points between them.
func scanFence(text string, parts []*uint64) bool {
	for i, p := range parts {
		word, rest, more := strings.Cut(text, ".")
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || more != (i < len(parts)-1) {
			return false
		}
		*p, text = n, rest
	}
	return true
}
