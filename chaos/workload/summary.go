package workload

import (
	"maps"
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/ring"
)

// Count is how often something was there in a run.
type Count struct {
	What string
	N    int
}

// Counts returns all that a plan's checks can count, and what the engine saw.
func Counts(r *Run) []Count {
	c := newChecker(r)
	var out []Count
	for _, name := range script.CheckNames() {
		out = append(out, Count{name, c.count(name)})
	}
	for _, v := range script.Verbs() {
		if n := c.count(string(v)); n > 0 {
			out = append(out, Count{string(v), n})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Saw)) {
		out = append(out, Count{"saw " + name, r.Saw[name]})
	}
	return out
}

// Recovered returns how long after the last fault the last operation that began then
// and got no answer ended; 0 if there was none.
func Recovered(r *Run) time.Duration {
	last := LastFault(r)
	var took time.Duration
	for _, o := range newChecker(r).ops {
		if o.answer == nil && o.began > last && o.reached() {
			took = max(took, o.ended-last)
		}
	}
	return took
}

// Term returns of which slot an answer is, and in which epoch it was given; ok is
// false for what is no answer or was given before.
func Term(p *script.Plan, e *Event) (slot ring.SlotID, epoch uint64, ok bool) {
	f, ok := fence(e.Reply.Fence)
	if !ok || !e.Code.final() || e.Replayed || e.Owner == "" {
		return 0, 0, false
	}
	return ring.SlotOf(p.Slots, "", HostName(e.Actor.Kind), e.Actor.ID), f.Epoch, true
}

// Suspects returns the actors whose history no order of calls explains.
func Suspects(found []Finding) []script.Actor {
	var actors []script.Actor
	for _, f := range found {
		if f.Actor != (script.Actor{}) {
			actors = append(actors, f.Actor)
		}
	}
	return actors
}
