package workload

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"actormesh/chaos/script"
)

// Event is one attempt, and how it ended.
type Event struct {
	Attempt
	Outcome
}

// History is all attempts of a run, in the order in which they ended.
type History []Event

// Text returns the history with an attempt a line, which ParseHistory reads:
//
//	START END CLIENT/TRY VIA ACTOR METHOD ARGUMENT [keyless] within D -> CODE [OWNER REPLY [replayed]] ["DETAIL"]
func (h History) Text() string {
	var b bytes.Buffer
	for i := range h {
		h[i].write(&b)
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the attempt as a line of a history.
func (e *Event) String() string {
	var b bytes.Buffer
	e.write(&b)
	return b.String()
}

func (e *Event) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "%v %v %s/%d %s %v %s %s", e.Start, e.End, e.Client, e.Try, e.Via, e.Actor, e.Method, e.Body())
	if e.Keyless {
		b.WriteString(" keyless")
	}
	fmt.Fprintf(b, " within %v -> %s", e.Within, e.Code)
	if e.Code == App {
		b.WriteString(":" + e.App)
	}
	if e.Code.final() {
		reply, err := json.Marshal(e.Reply)
		if err != nil {
			panic(err) // strings and numbers always marshal
		}
		fmt.Fprintf(b, " %s %s", cmp.Or(e.Owner, "-"), reply)
	}
	if e.Replayed {
		b.WriteString(" replayed")
	}
	if e.Detail != "" {
		b.WriteString(" " + strconv.Quote(e.Detail))
	}
}

// ParseHistory reads what Text has written.
func ParseHistory(text string) (History, error) {
	var h History
	n := 0
	for line := range strings.Lines(text) {
		n++
		e, err := parseEvent(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		h = append(h, e)
	}
	return h, nil
}

// eventWords is how many words begin a line: up to the argument.
const eventWords = 7

func parseEvent(line string) (Event, error) {
	before, after, ok := strings.Cut(line, " -> ")
	w := strings.Fields(before)
	if !ok || len(w) < eventWords+2 {
		return Event{}, fmt.Errorf("%.80q is no attempt", line)
	}
	e := Event{Attempt: Attempt{Op: &Op{Method: w[5]}, Via: w[3]}}
	var errs [5]error
	e.Start, errs[0] = time.ParseDuration(w[0])
	e.End, errs[1] = time.ParseDuration(w[1])
	client, try, _ := strings.Cut(w[2], "/")
	e.Client = client
	e.Try, errs[2] = strconv.Atoi(try)
	kind, id, _ := strings.Cut(w[4], "/")
	e.Actor = script.Actor{Kind: script.Kind(kind), ID: id}
	e.Reads = (&script.Call{Actor: e.Actor, Method: e.Method}).ReadOnly()
	errs[3] = json.Unmarshal([]byte(w[6]), &e.Arg)
	w = w[eventWords:]
	if w[0] == "keyless" {
		e.Keyless, w = true, w[1:]
	}
	e.Within, errs[4] = time.ParseDuration(w[len(w)-1])
	if err := errors.Join(errs[:]...); err != nil {
		return Event{}, err
	}
	return e, e.parseOutcome(after)
}

func (e *Event) parseOutcome(text string) error {
	word := func() string {
		w, rest, _ := strings.Cut(text, " ")
		text = rest
		return w
	}
	code, app, _ := strings.Cut(word(), ":")
	e.Code, e.App = Code(code), app
	if e.Code.final() {
		if e.Owner = word(); e.Owner == "-" {
			e.Owner = ""
		}
		if err := json.Unmarshal([]byte(word()), &e.Reply); err != nil {
			return err
		}
	}
	if strings.HasPrefix(text, "replayed") {
		e.Replayed = true
		word()
	}
	if text == "" {
		return nil
	}
	var err error
	e.Detail, err = strconv.Unquote(text)
	return err
}
