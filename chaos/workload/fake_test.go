package workload

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"actormesh/chaos/script"
)

// fake is a mesh that keeps every promise, in virtual time. Some answers are lost,
// some attempts are refused, and in the middle all actors move.
type fake struct {
	now    time.Duration
	actors map[script.Actor]*Journal
	first  map[string]Answer
	turns  uint64
	n      int
}

const fakeLatency = 3 * time.Millisecond

// epoch returns the epoch and the owner of all slots.
func (f *fake) epoch() (int, string) {
	if f.now < 10*time.Second {
		return 1, "n1"
	}
	return 2, "n2"
}

func (f *fake) journal(a script.Actor) *Journal {
	j := f.actors[a]
	if j == nil {
		j = &Journal{Reply: Reply{State: initial(a.Kind)}, Entries: []Entry{}}
		f.actors[a] = j
	}
	return j
}

// turn runs a method, and returns its result or the code of its error.
func (f *fake) turn(a script.Actor, method string, in Arg, reads bool) (Reply, string) {
	f.turns++
	epoch, _ := f.epoch()
	j := f.journal(a)
	j.Now, j.Fence = f.now.Milliseconds(), fmt.Sprintf("%d.1.%d", epoch, f.turns)
	if reads {
		return j.Reply, ""
	}
	if method == "pay" && j.Value >= in.N {
		f.turn(script.Actor{Kind: a.Kind, ID: in.Peer}, "receive", Arg{Op: in.Op, N: in.N, Peer: a.ID}, false)
	}
	e := Entry{Arg: in, Method: method, Now: j.Now, Fence: j.Fence}
	next, code := apply(j.State, e)
	if code == "" {
		j.State, j.Entries = next, append(j.Entries, e)
	}
	r := j.Reply
	if method == "transfer" && code == "" {
		f.turn(script.Actor{Kind: a.Kind, ID: in.Peer}, "credit", Arg{Op: in.Op, N: in.N, Peer: a.ID}, false)
	}
	return r, code
}

// call answers an attempt.
func (f *fake) call(a Attempt) Answer {
	f.n++
	calm := f.now > 11*time.Second
	if f.n%11 == 0 && !calm {
		return Answer{Code: Unavailable, Detail: "no majority"}
	}
	_, owner := f.epoch()
	answer, known := f.first[a.Key()]
	if known && a.Key() != "" {
		answer.Owner, answer.Replayed = owner, true
	} else {
		r, code := f.turn(a.Actor, a.Method, a.Arg, a.Reads)
		body, _ := json.Marshal(r)
		answer = Answer{Code: OK, Body: body, Owner: owner}
		if code != "" {
			answer.Code, answer.App = App, code
		}
		f.first[a.Key()] = answer
	}
	if f.n%7 == 0 && !calm {
		return Answer{Code: Unknown, Detail: "lost"}
	}
	return answer
}

const fakeScript = `
nodes 3
time 15s
settle 5s
workload counter clients=3 actors=2 rate=20/s storm=20% keyless=20%
workload register clients=3 actors=2 rate=20/s
workload list clients=2 actors=2 rate=20/s
workload account clients=3 actors=3 rate=20/s reads=20%
workload lock clients=3 actors=2 rate=10/s
at 10s..11s kill n1
check calls >= 500
check ok >= 500
check refused >= 1
check unknown >= 50
check replayed >= 20
check repeats >= 50
check storms >= 20
check faults >= 1
check kill >= 1
check failovers >= 2
check saw moves >= 1
check recovery 5s
`

// fakeRun runs a script on the fake mesh. What is returned may be changed.
func fakeRun(t testing.TB, text string) *Run {
	t.Helper()
	s, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	plan := script.Expand(s, 1)
	f := &fake{actors: map[script.Actor]*Journal{}, first: map[string]Answer{}}
	r := &Run{Plan: plan, Saw: map[string]int{"moves": 1}, Bands: []Band{{
		Verb: script.Kill, Text: "kill n1", Nodes: []string{"n1"}, Begin: 10 * time.Second, End: 11 * time.Second,
	}}}
	clients := Clients(plan)
	for {
		var next *Client
		var at time.Duration
		for _, c := range clients {
			if t, ok := c.Next(); ok && (next == nil || t < at) {
				next, at = c, t
			}
		}
		if next == nil {
			break
		}
		f.now = max(f.now, at)
		for queue := next.Begin(); len(queue) > 0; queue = queue[1:] {
			start := f.now
			answer := f.call(queue[0])
			f.now += fakeLatency
			o := answer.Outcome(start, f.now)
			r.History = append(r.History, Event{queue[0], o})
			queue = append(queue, next.End(queue[0], &o)...)
		}
		if next.Busy() {
			t.Fatalf("%s waits for an attempt that nobody makes", next.Name())
		}
	}
	for _, a := range Actors(plan) {
		r.Finals = append(r.Finals, Final{Actor: a, Journal: *f.journal(a)})
	}
	return r
}
