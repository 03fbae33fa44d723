package script

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Header is what a script and a plan have in common.
type Header struct {
	Seed        uint64 // that a run takes if it is given no other
	Nodes       int    // founders, n1 to n<Nodes>
	Spare       int    // further nodes, which only a join starts
	Slots       int
	Replication int
	Voters      int           // 0 for the default
	Time        time.Duration // under load and faults
	Settle      time.Duration // under load, after the last fault
	Settings    []Setting
	Checks      []Check
}

// Setting is one setting of every node, by the name of its flag.
type Setting struct {
	Line        int
	Name, Value string
}

// Names returns the names of all nodes, spares last.
func (h *Header) Names() []string {
	names := make([]string, h.Nodes+h.Spare)
	for i := range names {
		names[i] = nodeName(i + 1)
	}
	return names
}

// Length is how long the whole run takes.
func (h *Header) Length() time.Duration { return h.Time + h.Settle }

// maxQuiet bounds Quiet.
const maxQuiet = 3 * time.Second

// Quiet is how long before its end no more calls are made, so that messages between
// actors arrive before their last states are read.
func (h *Header) Quiet() time.Duration { return min(maxQuiet, h.Settle/4) }

// Check is one thing that must hold in the end, beside what must always hold.
type Check struct {
	Line int
	// What is counted: "calls", "faults", a verb, ...; see CheckNames. With Saw
	// it is a counter of the engine. "recovery" is a time.
	What   string
	Saw    bool
	Min    int           // of the count
	Within time.Duration // of recovery
}

// CheckNames returns what a check can count, apart from verbs and from what an
// engine saw.
func CheckNames() []string {
	return []string{
		"calls",     // attempts that were made
		"ok",        // calls that were answered
		"refused",   // calls that were refused: nothing happened
		"unknown",   // attempts that nobody knows the outcome of
		"replayed",  // answers that were given before
		"repeats",   // attempts after a first one
		"storms",    // calls made through several nodes at once
		"failovers", // changes of an actor's owner that replies tell of
		"faults",    // that were done
	}
}

// Script is what a text says.
type Script struct {
	Header
	Workloads []Workload
	Faults    []Fault
	Random    []Random
	Calls     []Call
}

// Workload asks for calls of one kind of actor.
type Workload struct {
	Line    int
	Kind    Kind
	Clients int
	Actors  int
	Rate    Rate          // calls of all clients together
	From    time.Duration // of the first
	Until   time.Duration // after the last
	Reads   Share         // of the calls
	Storm   Share         // of the writes: made through several nodes at once
	Keyless Share         // of the writes: without a request id of the client's own
	Tries   int           // of a call, each through another node, until one is answered
	Within  time.Duration // the time of each try
}

// Random asks for faults at random times.
type Random struct {
	Line        int
	Every, For  Span // between two of them; how long one lasts
	From, Until time.Duration
	Of          []Fault // one of these; At, For and Window are not used
}

// Call is one call that a client makes.
type Call struct {
	Line    int
	At      time.Duration // or when the client's last call has ended, if that is later
	Client  string
	Actor   Actor
	Method  string
	Args    []string
	ID      string        // of the request, unlike any other
	Keyless bool          // ID is not given to the mesh
	Via     []string      // through these nodes, all at once
	Then    []string      // then through these, one after the other, until one answers
	Within  time.Duration // the time of each try
}

// Actor is an actor that calls name.
type Actor struct {
	Kind Kind
	ID   string
}

// String returns "kind/id".
func (a Actor) String() string { return string(a.Kind) + "/" + a.ID }

// Error is what is wrong with a script.
type Error struct {
	Line int // 0 if it is no line's fault
	Text string
}

// Error returns the line and the text.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return "line " + strconv.Itoa(e.Line) + ": " + e.Text
}

// Share is a part of a whole, in ten-thousandths, so that every share can be
// written exactly.
type Share int

const whole Share = 10000

// Float returns the share as a part of 1.
func (s Share) Float() float64 { return float64(s) / float64(whole) }

// String returns the share in per cent: "0.9%".
func (s Share) String() string {
	return strconv.FormatFloat(float64(s)/100, 'f', -1, 64) + "%"
}

// Rate is a number of calls a second.
type Rate int

// Span is a time from which one is drawn: 1s..4s.
type Span struct{ Min, Max time.Duration }

// String returns "1s..4s", or "1s" where there is nothing to draw.
func (s Span) String() string {
	if s.Min == s.Max {
		return s.Min.String()
	}
	return s.Min.String() + ".." + s.Max.String()
}

func nodeName(n int) string { return "n" + strconv.Itoa(n) }

// nodeNumber returns n of the name "n<n>", or 0.
func nodeNumber(name string) int {
	digits, ok := strings.CutPrefix(name, "n")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || nodeName(n) != name {
		return 0
	}
	return n
}

func errorf(line int, format string, args ...any) *Error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

// checkRecovery is the check that has a time and no count.
const checkRecovery = "recovery"
