package workload

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"actormesh/chaos/script"
)

// Run is what an engine knows when a run is over.
type Run struct {
	Plan    *script.Plan
	History History
	Finals  []Final        // of each of Actors, read when the run was over
	Bands   []Band         // what was done to the mesh
	Saw     map[string]int // what the engine has counted
	SawAll  bool           // the engine counts whatever there is: what is not in Saw did not happen
}

// Final is the last state of an actor.
type Final struct {
	Actor   script.Actor
	Journal Journal
	Failed  string // why it could not be read; empty if it was
}

// Band is a fault that was done, and how long it lasted.
type Band struct {
	Line       int // of the script
	Verb       script.Verb
	Text       string   // with the names of nodes
	Nodes      []string // to which it was done; none for those between all
	Begin, End time.Duration
}

// Stall is the verb of a band that nobody has asked for: the machine, on which all
// nodes run, stood still, or a node has found its disk damaged and got another one,
// perhaps long after the damage was done. It is no fault of the plan, but calls
// recover from it as from one.
const Stall script.Verb = "stall"

// Actors returns the actors of a plan, whose final states Check needs.
func Actors(p *script.Plan) []script.Actor {
	var actors []script.Actor
	for i := range p.Calls {
		c := &p.Calls[i]
		actors = append(actors, c.Actor)
		if c.Actor.Kind == script.Account && len(c.Args) > 0 {
			actors = append(actors, script.Actor{Kind: script.Account, ID: c.Args[0]})
		}
	}
	slices.SortFunc(actors, compareActors)
	return slices.Compact(actors)
}

// compareActors orders by kind, then by id, so that 2 is before 10.
func compareActors(a, b script.Actor) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
}

// Finding is something that is wrong.
type Finding struct {
	Check string // which check found it
	Text  string
	Actor script.Actor // whose history cannot be explained; none for other checks
}

// String returns the check and the text.
func (f Finding) String() string { return f.Check + ": " + f.Text }

// maxFindings is how many findings of one check are told.
const maxFindings = 10

// Check returns what is wrong with a run, and nothing for one in which the mesh
// kept its promises and the plan's own checks hold.
func Check(r *Run) []Finding {
	c := newChecker(r)
	for _, check := range []struct {
		name string
		run  func()
	}{
		{"answers", c.answers},
		{"finals", c.readFinals},
		{"once", c.once},
		{"acknowledged", c.acknowledged},
		{"journals", c.journals},
		{"bank", c.bank},
		{"owners", c.owners},
		{"fences", c.fences},
		{"linearizable", c.linearizable},
		{"recovery", c.recovery},
		{"minimums", c.minimums},
	} {
		c.check, c.told = check.name, 0
		check.run()
		if c.told > maxFindings {
			c.found = append(c.found, Finding{Check: c.check, Text: fmt.Sprintf("and %d more", c.told-maxFindings)})
		}
	}
	return c.found
}

// checker is a run with what its checks share.
type checker struct {
	run    *Run
	ops    []*operation          // by when they began
	byID   map[string]*operation //
	finals map[script.Actor]*Journal
	actors []script.Actor

	check string
	told  int
	found []Finding
}

// operation is all attempts with one id.
type operation struct {
	*Op
	events []*Event
	began  time.Duration // of the first attempt
	ended  time.Duration // of the first answer; of the last attempt if there is none
	answer *Event        // the first, or nil
}

// refused reports whether every attempt was refused: nothing has happened.
func (o *operation) refused() bool {
	return !slices.ContainsFunc(o.events, func(e *Event) bool { return !e.Code.refused() })
}

// reached reports whether an attempt reached a node.
func (o *operation) reached() bool {
	return slices.ContainsFunc(o.events, func(e *Event) bool { return e.Code != Unreachable })
}

func newChecker(r *Run) *checker {
	c := &checker{run: r, byID: map[string]*operation{}, finals: map[script.Actor]*Journal{}, actors: Actors(r.Plan)}
	for i := range r.History {
		e := &r.History[i]
		o := c.byID[e.Arg.Op]
		if o == nil {
			o = &operation{Op: e.Op, began: e.Start}
			c.byID[e.Arg.Op] = o
			c.ops = append(c.ops, o)
		}
		o.events = append(o.events, e)
		o.began = min(o.began, e.Start)
		if o.answer == nil {
			o.ended = max(o.ended, e.End)
		}
		if e.Code.final() && (o.answer == nil || e.End < o.answer.End) {
			o.answer, o.ended = e, e.End
		}
	}
	slices.SortStableFunc(c.ops, func(a, b *operation) int { return cmp.Compare(a.began, b.began) })
	for i := range r.Finals {
		if f := &r.Finals[i]; f.Failed == "" {
			c.finals[f.Actor] = &f.Journal
		}
	}
	return c
}

func (c *checker) tell(format string, args ...any) {
	if c.told++; c.told <= maxFindings {
		c.found = append(c.found, Finding{Check: c.check, Text: fmt.Sprintf(format, args...)})
	}
}
