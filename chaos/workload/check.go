package workload

import (
	"cmp"
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/mesh"
	"actormesh/ring"
)

// answers checks that every attempt ended in a way that a client expects, and that
// one id has one answer.
func (c *checker) answers() {
	for _, o := range c.ops {
		for _, e := range o.events {
			switch {
			case !e.Code.final() && !e.Code.refused() && e.Code != Unknown:
				c.tell("a client did not expect that: %v", e)
			case e.Code.final() && !goodFence(e.Reply.Fence):
				c.tell("the fence is none: %v", e)
			case e.Code == App && !slices.Contains([]string{AppMismatch, AppFunds, AppHeld, AppNotHeld}, e.App):
				c.tell("a handler failed: %v", e)
			case !e.Code.final() || o.Reads || o.answer == e:
			case e.Code != o.answer.Code || e.App != o.answer.App || e.Reply != o.answer.Reply:
				c.tell("one id has two answers:\n%v\n%v", o.answer, e)
			}
		}
	}
}

func goodFence(text string) bool {
	_, ok := fence(text)
	return ok
}

// readFinals checks that every actor could be read in the end.
func (c *checker) readFinals() {
	for _, f := range c.run.Finals {
		if f.Failed != "" {
			c.tell("%v cannot be read when all is over: %s", f.Actor, f.Failed)
		}
	}
	for _, a := range c.actors {
		if !slices.ContainsFunc(c.run.Finals, func(f Final) bool { return f.Actor == a }) {
			c.tell("%v was not read when all was over", a)
		}
	}
}

// applied is one entry of a journal.
type applied struct {
	script.Actor
	*Entry
}

// eachEntry calls each with all entries of all journals.
func (c *checker) eachEntry(each func(applied)) {
	for _, a := range c.actors {
		if j := c.finals[a]; j != nil {
			for i := range j.Entries {
				each(applied{a, &j.Entries[i]})
			}
		}
	}
}

// effects are the methods that other methods bring about in another account.
var effects = map[string]string{"credit": "transfer", "receive": "pay"}

// once checks that every operation took effect once at most, only where and as it
// was called, and not at all if it was not called or was refused.
func (c *checker) once() {
	type key struct{ op, method string }
	seen := map[key]applied{}
	c.eachEntry(func(a applied) {
		k := key{a.Op, a.Method}
		if before, ok := seen[k]; ok {
			c.tell("%s %s was applied twice: by %v with fence %s, and by %v with fence %s",
				a.Op, a.Method, before.Actor, before.Fence, a.Actor, a.Fence)
		}
		seen[k] = a
		o := c.byID[a.Op]
		if o == nil {
			c.tell("%v has applied %s, which nobody called", a.Actor, a.Op)
			return
		}
		c.cause(o, a)
	})
}

// cause checks an entry against the operation that it is from.
func (c *checker) cause(o *operation, a applied) {
	method, actor, peer := a.Method, a.Actor, a.Peer
	if by, ok := effects[method]; ok {
		method, actor, peer = by, script.Actor{Kind: a.Actor.Kind, ID: a.Peer}, a.Actor.ID
	}
	switch {
	case method != o.Method || actor != o.Actor || a.N != o.Arg.N || peer != o.Arg.Peer:
		c.tell("%v has applied %+v, and what was called is %v", a.Actor, a.Arg, o.events[0])
	case o.refused() && a.Method != "receive": // which stands even where the payer's own turn fails
		c.tell("%v has applied %s, which was refused:\n%v", a.Actor, a.Op, o.events[len(o.events)-1])
	case o.answer != nil && o.answer.Code == App && a.Method == o.Method:
		c.tell("%v has applied %s, whose handler failed:\n%v", a.Actor, a.Op, o.answer)
	}
}

// acknowledged checks that whatever was answered is in the journals.
func (c *checker) acknowledged() {
	type key struct {
		actor      script.Actor
		op, method string
	}
	there := map[key]bool{}
	c.eachEntry(func(a applied) { there[key{a.Actor, a.Op, a.Method}] = true })
	for _, o := range c.ops {
		if o.Reads || o.answer == nil || o.answer.Code != OK {
			continue
		}
		if c.finals[o.Actor] != nil && !there[key{o.Actor, o.Arg.Op, o.Method}] {
			c.tell("it was acknowledged, and is lost:\n%v", o.answer)
		}
		for effect, by := range effects {
			peer := script.Actor{Kind: script.Account, ID: o.Arg.Peer}
			if by == o.Method && c.finals[peer] != nil && !there[key{peer, o.Arg.Op, effect}] {
				c.tell("%v was acknowledged, and its %s never came to %v:\n%v", o.Arg.Op, effect, peer, o.answer)
			}
		}
	}
}

// journals checks that each journal explains its actor's state, that its fences
// grow, and with that, that nobody got a lock that another held.
func (c *checker) journals() {
	for _, a := range c.actors {
		j := c.finals[a]
		if j == nil {
			continue
		}
		state := initial(a.Kind)
		var last mesh.Fence
		for i, e := range j.Entries {
			next, code := apply(state, e)
			if code != "" {
				c.tell("%v has applied %s %s as its entry %d, when that was to fail with %s: the state was %+v, the entry is %+v",
					a, e.Op, e.Method, i+1, code, state, e)
			}
			f, ok := fence(e.Fence)
			if !ok || i > 0 && !last.Less(f) {
				c.tell("%v has applied %s with fence %s after one with fence %v", a, e.Op, e.Fence, last)
			}
			state, last = next, f
		}
		if state != j.State {
			c.tell("%v is %+v, and its journal says %+v", a, j.State, state)
		}
	}
}

// bank checks that money is neither made nor lost. Only a payment whose own turn
// was lost between its two halves leaves money behind, which is what calls between
// actors are documented to do; that it was not acknowledged is checked elsewhere.
func (c *checker) bank() {
	var sum, want int64
	for _, a := range c.actors {
		if a.Kind != script.Account {
			continue
		}
		j := c.finals[a]
		if j == nil {
			return
		}
		sum += j.Value
		want += openingBalance
	}
	c.eachEntry(func(a applied) {
		switch {
		case a.Method == "pay":
			want -= a.N
		case a.Method == "receive":
			want += a.N
		}
	})
	if sum != want {
		c.tell("the accounts hold %d together, and should hold %d", sum, want)
	}
}

// owners checks that in one epoch of a slot one node answers, by what the answers
// say of themselves. An answer that was given before may come from a later owner.
func (c *checker) owners() {
	type term struct {
		slot  ring.SlotID
		epoch uint64
	}
	owner := map[term]*Event{}
	for i := range c.run.History {
		e := &c.run.History[i]
		slot, epoch, ok := Term(c.run.Plan, e)
		if !ok {
			continue
		}
		t := term{slot, epoch}
		switch first := owner[t]; {
		case first == nil:
			owner[t] = e
		case first.Owner != e.Owner:
			c.tell("two nodes answer in epoch %d of slot %d:\n%v\n%v", epoch, slot, first, e)
		}
	}
}

// fences checks that what begins after another call of the actor has ended has a
// higher fence.
func (c *checker) fences() {
	of := map[script.Actor][]*Event{}
	for i := range c.run.History {
		if e := &c.run.History[i]; e.Code.final() && !e.Replayed && goodFence(e.Reply.Fence) {
			of[e.Actor] = append(of[e.Actor], e)
		}
	}
	for _, a := range c.actors {
		ended := slices.Clone(of[a])
		slices.SortStableFunc(ended, func(a, b *Event) int { return cmp.Compare(a.End, b.End) })
		began := of[a]
		slices.SortStableFunc(began, func(a, b *Event) int { return cmp.Compare(a.Start, b.Start) })
		var highest *Event // of those that ended before
		for _, e := range began {
			for len(ended) > 0 && ended[0].End < e.Start {
				if highest == nil || fenceOf(highest).Less(fenceOf(ended[0])) {
					highest = ended[0]
				}
				ended = ended[1:]
			}
			if highest != nil && highest.Arg.Op != e.Arg.Op && !fenceOf(highest).Less(fenceOf(e)) {
				c.tell("a later call has a lower fence:\n%v\n%v", highest, e)
			}
		}
	}
}

func fenceOf(e *Event) mesh.Fence {
	f, _ := fence(e.Reply.Fence)
	return f
}

// recovery checks that once the last fault is over and the mesh has had its time,
// every call is answered that reached a node: one may have left for good. A machine
// that stands still gives it that time again. A plan that asks for that must have
// such calls. That every actor can be read in the end is checked elsewhere.
func (c *checker) recovery() {
	limit, asked := c.run.Plan.Settle, false
	for _, check := range c.run.Plan.Checks {
		if check.Within > 0 {
			limit, asked = min(limit, check.Within), true
		}
	}
	began := 0 // whether or not the machine stood still
	for _, o := range c.ops {
		if o.began < LastFault(c.run)+limit || !o.reached() {
			continue
		}
		began++
		if calm := o.began - c.disturbed(o); calm >= limit && o.answer == nil {
			c.tell("%v after the last fault it is not answered:\n%v", calm.Round(time.Millisecond), o.events[len(o.events)-1])
		}
	}
	if asked && began == 0 {
		c.tell("the last fault was over at %v, and no call reached a node that began %v later or after that", LastFault(c.run), limit)
	}
}

// disturbed returns when the last fault was over, or the last stall that began
// before the operation ended.
func (c *checker) disturbed(o *operation) time.Duration {
	end := LastFault(c.run)
	for _, b := range c.run.Bands {
		if b.Verb == Stall && b.Begin < o.ended {
			end = max(end, b.End)
		}
	}
	return end
}

// LastFault returns when the last fault was over.
func LastFault(r *Run) time.Duration {
	end := time.Duration(0)
	for _, b := range r.Bands {
		if b.Verb != Stall {
			end = max(end, b.End)
		}
	}
	return end
}
