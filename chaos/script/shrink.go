package script

import (
	"slices"
	"time"
)

// Shrink returns the smallest plan that it finds that still fails: with fewer
// faults, then calls, then nodes, then less time, as long as that gains anything.
// It asks fails at most attempts times, and returns how often it did. A plan that
// fails says so; p itself must fail, and is not asked about.
func Shrink(p *Plan, fails func(*Plan) bool, attempts int) (*Plan, int) {
	s := &shrinker{best: p, fails: fails, attempts: attempts}
	for size := -1; size != s.best.size() && s.asked < attempts; {
		size = s.best.size()
		s.faults()
		s.clients()
		s.calls()
		s.nodes()
		s.times()
	}
	return s.best, s.asked
}

// size is how large a plan is, for seeing whether a round has gained anything.
func (p *Plan) size() int {
	lasting := 0
	for i := range p.Faults {
		lasting += int((p.Faults[i].For + p.Faults[i].Window) / time.Millisecond)
	}
	return len(p.Faults) + len(p.Calls) + p.Nodes + p.Spare + int(p.Length()/time.Millisecond) + lasting
}

type shrinker struct {
	best     *Plan
	fails    func(*Plan) bool
	attempts int
	asked    int
}

// try takes the candidate if it fails.
func (s *shrinker) try(candidate *Plan) bool {
	if candidate == nil || s.asked >= s.attempts {
		return false
	}
	s.asked++
	if !s.fails(candidate) {
		return false
	}
	s.best = candidate
	return true
}

func (s *shrinker) faults() {
	ddmin(s, func(p *Plan) []Fault { return p.Faults }, func(p *Plan, rest []Fault) { p.Faults = rest })
}

func (s *shrinker) calls() {
	ddmin(s, func(p *Plan) []Call { return p.Calls }, func(p *Plan, rest []Call) { p.Calls = rest })
}

// ddmin leaves out parts of a list: halves first, then smaller parts down to
// single elements. It is Zeller and Hildebrandt's algorithm without the step that
// tries the parts alone, which for faults and calls rarely fail by themselves.
func ddmin[T any](s *shrinker, get func(*Plan) []T, set func(*Plan, []T)) {
	for part := (len(get(s.best)) + 1) / 2; part > 0; {
		left := false
		for from := 0; from < len(get(s.best)); {
			all := get(s.best)
			candidate := *s.best
			set(&candidate, slices.Concat(all[:from], all[min(from+part, len(all)):]))
			if s.try(&candidate) {
				left = true
			} else {
				from += part
			}
		}
		if part == 1 && !left || s.asked >= s.attempts {
			return
		}
		part = max(1, part/2)
	}
}

// clients leaves out all calls of one client, then all of one actor.
func (s *shrinker) clients() {
	s.groups(func(c *Call) string { return c.Client })
	s.groups(func(c *Call) string { return c.Actor.String() })
}

func (s *shrinker) groups(of func(*Call) string) {
	var names []string
	for i := range s.best.Calls {
		names = append(names, of(&s.best.Calls[i]))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		candidate := *s.best
		candidate.Calls = slices.DeleteFunc(slices.Clone(s.best.Calls), func(c Call) bool { return of(&c) == name })
		s.try(&candidate)
	}
}

// nodes leaves out the last nodes, spares first.
func (s *shrinker) nodes() {
	for s.best.Nodes+s.best.Spare > 1 && s.try(s.best.withoutLastNode()) {
	}
}

// withoutLastNode returns the plan with one node less. What only that node had
// part in is left out.
func (p *Plan) withoutLastNode() *Plan {
	out := *p
	gone := nodeName(p.Nodes + p.Spare)
	if out.Spare > 0 {
		out.Spare--
	} else {
		out.Nodes--
	}
	out.Faults = nil
	for _, f := range p.Faults {
		if f.without(gone) {
			out.Faults = append(out.Faults, f)
		}
	}
	out.Calls = nil
	is := func(n string) bool { return n == gone }
	for _, c := range p.Calls {
		c.Via = slices.DeleteFunc(slices.Clone(c.Via), is)
		c.Then = slices.DeleteFunc(slices.Clone(c.Then), is)
		if len(c.Via) == 0 && len(c.Then) > 0 {
			c.Via, c.Then = c.Then[:1], c.Then[1:]
		}
		if len(c.Via) > 0 {
			out.Calls = append(out.Calls, c)
		}
	}
	return &out
}

// without takes a node out of the fault, and reports whether anything is left.
func (f *Fault) without(node string) bool {
	sides := make([][]Target, len(f.Sides))
	for i, side := range f.Sides {
		sides[i] = slices.DeleteFunc(slices.Clone(side), func(t Target) bool { return t.Kind == ByName && t.Name == node })
		if len(sides[i]) == 0 {
			return false
		}
	}
	f.Sides = sides
	return f.Of.Kind != ByName || f.Of.Name != node
}

// times shortens the run, then what lasts.
func (s *shrinker) times() {
	for s.try(s.best.cutTime(s.best.Time * 3 / 4)) {
	}
	for s.try(s.best.cutTime(s.best.lastFault())) {
	}
	s.gaps()
	for i := range s.best.Faults {
		for s.best.Faults[i].For > time.Millisecond {
			candidate := *s.best
			candidate.Faults = slices.Clone(s.best.Faults)
			candidate.Faults[i].For = (s.best.Faults[i].For / 2).Truncate(time.Millisecond)
			if candidate.Faults[i].For == 0 || !s.try(&candidate) {
				break
			}
		}
	}
}

// leftGap is what remains of a time in which nothing happens.
const leftGap = 100 * time.Millisecond

// gaps shortens the times in which nothing new happens.
func (s *shrinker) gaps() {
	for at := time.Duration(0); ; {
		next, ok := s.best.nextEvent(at)
		if !ok {
			return
		}
		if gap := next - at - leftGap; gap > leftGap && s.try(s.best.pull(next, gap.Truncate(time.Millisecond))) {
			continue
		}
		at = next
	}
}

// nextEvent returns when the first fault or call after a time is.
func (p *Plan) nextEvent(after time.Duration) (time.Duration, bool) {
	next := p.Length() + 1
	for i := range p.Faults {
		if at := p.Faults[i].At; at > after {
			next = min(next, at)
		}
	}
	for i := range p.Calls {
		if at := p.Calls[i].At; at > after {
			next = min(next, at)
		}
	}
	return next, next <= p.Length()
}

// pull returns the plan in which all that begins at from or later does so earlier.
func (p *Plan) pull(from, by time.Duration) *Plan {
	out := *p
	out.Faults, out.Calls = slices.Clone(p.Faults), slices.Clone(p.Calls)
	for i := range out.Faults {
		if f := &out.Faults[i]; f.At >= from {
			f.At -= by
		}
	}
	for i := range out.Calls {
		if c := &out.Calls[i]; c.At >= from {
			c.At -= by
		}
	}
	return out.cutTime(p.Time - by)
}

// lastFault returns when the last fault is over.
func (p *Plan) lastFault() time.Duration {
	end := time.Duration(0)
	for i := range p.Faults {
		f := &p.Faults[i]
		end = max(end, f.Over(f.At+f.Window, p.Time))
	}
	return end.Truncate(time.Millisecond) + time.Millisecond
}

// minTime is below what a plan's time is not cut.
const minTime = 100 * time.Millisecond

// cutTime returns the plan with that Time: no fault goes on longer, and calls
// that come after the run are left out. It is nil if that is no less.
func (p *Plan) cutTime(to time.Duration) *Plan {
	to = max(to.Truncate(time.Millisecond), minTime)
	if to >= p.Time {
		return nil
	}
	out := *p
	out.Time = to
	out.Faults = nil
	for _, f := range p.Faults {
		if f.At >= to {
			continue
		}
		f.Window = min(f.Window, to-f.At)
		f.For = min(f.For, to-f.At-f.Window)
		if f.When == "" && f.lasts() && f.For == 0 || f.When != "" && f.Window == 0 {
			continue
		}
		out.Faults = append(out.Faults, f)
	}
	out.Calls = slices.DeleteFunc(slices.Clone(p.Calls), func(c Call) bool { return c.At > out.Length() })
	return &out
}
