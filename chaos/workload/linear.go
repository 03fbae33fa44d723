package workload

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"actormesh/chaos/script"

	"github.com/anishathalye/porcupine"
)

// step is an input of the model: a call, or what another account's call did here.
type step struct {
	method string
	arg    Arg
	reads  bool
}

// result is an output of the model.
type result struct {
	code  Code
	app   string
	reply Reply
}

// model is an actor of a kind. Its answers say how many operations were applied
// before, so that hardly anything is left to search.
func model(kind script.Kind) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial(kind) },
		Step: func(state, in, out any) (bool, any) {
			s, i, o := state.(State), in.(step), out.(result)
			next, code := s, ""
			if !i.reads {
				next, code = apply(s, Entry{Method: i.method, Arg: i.arg, Now: o.reply.Now})
			}
			return code == o.app && (code != "") == (o.code == App) && next == o.reply.State, next
		},
		DescribeOperation: func(in, out any) string {
			i, o := in.(step), out.(result)
			text := fmt.Sprintf("%s %s", i.arg.Op, i.method)
			if i.arg.N != 0 {
				text += fmt.Sprintf(" %d", i.arg.N)
			}
			return fmt.Sprintf("%s → %s%s", text, o.app, o.reply.describe())
		},
		DescribeState: func(state any) string { return state.(State).describe() },
	}
}

// describe returns the state for people.
func (s State) describe() string {
	text := fmt.Sprintf("%d #%d", s.Value, s.Seq)
	if s.Holder != "" {
		text += " of " + s.Holder
	}
	return text
}

// checkTime is how long one actor's history is searched.
const checkTime = 30 * time.Second

// linearizable checks for each actor that some order of all calls explains every
// answer. That the search did not end in time is a finding too.
func (c *checker) linearizable() {
	histories := c.histories()
	for _, a := range c.actors {
		told := len(c.found)
		switch r := porcupine.CheckOperationsTimeout(model(a.Kind), histories[a], checkTime); r {
		case porcupine.Ok:
		case porcupine.Illegal:
			c.tell("no order of the %d calls of %v explains all answers", len(histories[a]), a)
		default:
			c.tell("whether an order of the %d calls of %v explains all answers was not found in %v", len(histories[a]), a, checkTime)
		}
		for i := told; i < len(c.found); i++ {
			c.found[i].Actor = a
		}
	}
}

// Visualize writes Porcupine's picture of an actor's history, an HTML page.
func Visualize(r *Run, a script.Actor, w io.Writer) error {
	ops := newChecker(r).histories()[a]
	_, info := porcupine.CheckOperationsVerbose(model(a.Kind), ops, checkTime)
	return porcupine.Visualize(model(a.Kind), info, w)
}

// histories returns the operations of each actor whose final state is known. Those
// without an answer are in it if the journal has them, as taking effect at any
// time from when they began, and otherwise have not happened.
func (c *checker) histories() map[script.Actor][]porcupine.Operation {
	out := map[script.Actor][]porcupine.Operation{}
	clients := map[string]int{}
	number := func(name string) int {
		if _, ok := clients[name]; !ok {
			clients[name] = len(clients)
		}
		return clients[name]
	}
	for _, o := range c.ops {
		if o.answer == nil || c.finals[o.Actor] == nil {
			continue
		}
		began := o.began
		if o.Reads {
			began = o.answer.Start // each attempt reads anew
		}
		out[o.Actor] = append(out[o.Actor], porcupine.Operation{
			ClientId: number(o.Client), Call: int64(began), Return: int64(o.ended),
			Input:  step{o.Method, o.Arg, o.Reads},
			Output: result{o.answer.Code, o.answer.App, o.answer.Reply},
		})
	}
	for _, a := range c.actors {
		j := c.finals[a]
		if j == nil {
			continue
		}
		state := initial(a.Kind)
		for _, e := range j.Entries {
			state, _ = apply(state, e)
			o := c.byID[e.Op]
			if o == nil || o.answer != nil && o.Method == e.Method {
				continue
			}
			ended := int64(math.MaxInt64)
			if o.answer != nil && o.answer.Code == OK && e.Method == "receive" {
				ended = int64(o.ended)
			}
			out[a] = append(out[a], porcupine.Operation{
				ClientId: number("of " + e.Op), Call: int64(o.began), Return: ended,
				Input:  step{method: e.Method, arg: e.Arg},
				Output: result{OK, "", Reply{State: state, Now: e.Now, Fence: e.Fence}},
			})
		}
	}
	return out
}

// count returns what a check of that name counts.
func (c *checker) count(what string) int {
	if slices.Contains(script.Verbs(), script.Verb(what)) {
		return c.bands(func(v script.Verb) bool { return v == script.Verb(what) })
	}
	switch what {
	case "faults":
		return c.bands(func(v script.Verb) bool { return v != script.Heal && v != script.Calm && v != Stall })
	case "failovers":
		return c.failovers()
	case "storms":
		n := 0
		for i := range c.run.Plan.Calls {
			if call := &c.run.Plan.Calls[i]; len(call.Via) > 1 && c.byID[call.ID] != nil {
				n++
			}
		}
		return n
	}
	n := 0
	for _, o := range c.ops {
		switch what {
		case "ok":
			if o.answer != nil {
				n++
			}
		case "refused":
			if o.refused() {
				n++
			}
		case "repeats":
			n += len(o.events) - 1
		}
	}
	for i := range c.run.History {
		e := &c.run.History[i]
		if what == "calls" || what == "unknown" && e.Code == Unknown || what == "replayed" && e.Replayed {
			n++
		}
	}
	return n
}

func (c *checker) bands(of func(script.Verb) bool) int {
	n := 0
	for _, b := range c.run.Bands {
		if of(b.Verb) {
			n++
		}
	}
	return n
}

// failovers returns how often the answers of an actor came from another node than
// the one before.
func (c *checker) failovers() int {
	last := map[script.Actor]string{}
	n := 0
	for i := range c.run.History {
		e := &c.run.History[i]
		if !e.Code.final() || e.Replayed || e.Owner == "" {
			continue
		}
		if before := last[e.Actor]; before != "" && before != e.Owner {
			n++
		}
		last[e.Actor] = e.Owner
	}
	return n
}

// minimums checks that the run has done what the plan wanted it to do.
func (c *checker) minimums() {
	for _, check := range c.run.Plan.Checks {
		if check.Within > 0 {
			continue
		}
		got, counted := c.run.Saw[check.What]
		counted = counted || c.run.SawAll
		if !check.Saw {
			got, counted = c.count(check.What), true
		}
		if counted && got < check.Min {
			c.tell("line %d: %d %s, %d at least", check.Line, got, check.What, check.Min)
		}
	}
}
