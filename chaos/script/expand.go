package script

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// The streams of random numbers: each statement has its own, so that changing one
// leaves what the others draw as it was.
const (
	streamFaults uint64 = 1 << 32
	streamRandom uint64 = 2 << 32
	streamCalls  uint64 = 3 << 32
)

// Expand settles with the seed whatever the script leaves to chance.
func Expand(s *Script, seed uint64) *Plan {
	p := &Plan{Header: s.Header}
	p.Seed = seed
	for i := range s.Faults {
		e := expander{s, rand.New(rand.NewPCG(seed, streamFaults+uint64(i)))}
		p.Faults = append(p.Faults, e.timed(s.Faults[i])...)
	}
	for i := range s.Random {
		e := expander{s, rand.New(rand.NewPCG(seed, streamRandom+uint64(i)))}
		p.Faults = append(p.Faults, e.random(&s.Random[i])...)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	if len(s.Workloads) > 0 {
		c := newCaller(s)
		for i := range s.Workloads {
			c.rng = rand.New(rand.NewPCG(seed, streamCalls+uint64(i)))
			p.Calls = append(p.Calls, c.calls(&s.Workloads[i])...)
		}
	}
	p.Calls = append(p.Calls, s.Calls...)
	slices.SortStableFunc(p.Calls, func(a, b Call) int { return cmp.Compare(a.At, b.At) })
	return p
}

// expander makes concrete faults.
type expander struct {
	s   *Script
	rng *rand.Rand
}

// timed expands one fault of the script.
func (e *expander) timed(f Fault) []Fault {
	if f.lasts() && f.For == 0 && f.When == "" {
		f.For = e.s.Time - f.At
	}
	if f.Verb != Flap {
		return []Fault{e.settle(f)}
	}
	n, f := f.flaps(e.s.Time), e.settle(f)
	cuts := make([]Fault, n)
	for i := range cuts {
		cuts[i] = f
		cuts[i].Verb, cuts[i].At, cuts[i].For, cuts[i].Period = Cut, f.At+time.Duration(i)*f.Period, f.Period/2, 0
	}
	return cuts
}

// How long random faults last that do not say it.
var defaultFor = Span{500 * time.Millisecond, 3 * time.Second}

// random draws the faults of a random statement.
func (e *expander) random(r *Random) []Fault {
	length := r.For
	if length == (Span{}) {
		length = defaultFor
	}
	var out []Fault
	for at := r.From + e.between(r.Every); at < r.Until; at += e.between(r.Every) {
		f := r.Of[e.rng.IntN(len(r.Of))]
		f.At = at
		if lasts := e.between(length); f.lasts() {
			f.For = max(time.Millisecond, min(lasts, e.s.Time-at))
		}
		out = append(out, e.settle(f))
	}
	return out
}

// between draws a time, in whole milliseconds.
func (e *expander) between(s Span) time.Duration {
	steps := int64((s.Max - s.Min) / time.Millisecond)
	return max(time.Millisecond, s.Min+time.Duration(e.rng.Int64N(steps+1))*time.Millisecond)
}

// settle chooses the targets that the fault leaves to chance. No node is chosen
// twice, nor one that the fault names.
func (e *expander) settle(f Fault) Fault {
	free := e.s.Names()[:e.s.Nodes]
	e.rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	for _, side := range f.Sides {
		for _, t := range side {
			free = slices.DeleteFunc(free, func(n string) bool { return t.Kind == ByName && t.Name == n })
		}
	}
	draw := func(t Target) []Target {
		n := 0
		switch t.Kind {
		case Any:
			n = 1
		case Half:
			n = max(1, e.s.Nodes/2)
		case Minority:
			n = 1 + e.rng.IntN(max(1, (e.s.Nodes-1)/2))
		default:
			return []Target{e.actor(t)}
		}
		n = min(n, len(free))
		chosen := slices.Clone(free[:n])
		free = free[n:]
		slices.SortFunc(chosen, func(a, b string) int { return cmp.Compare(nodeNumber(a), nodeNumber(b)) })
		targets := make([]Target, n)
		for i, name := range chosen {
			targets[i] = Named(name)
		}
		return targets
	}
	f.Sides = slices.Clone(f.Sides)
	for i, side := range f.Sides {
		f.Sides[i] = nil
		for _, t := range side {
			f.Sides[i] = append(f.Sides[i], draw(t)...)
		}
	}
	if of := draw(f.Of); len(of) > 0 {
		f.Of = of[0]
	}
	return f
}

// actor chooses the actor of a target, and its replica.
func (e *expander) actor(t Target) Target {
	if t.Actor.ID == anyActor {
		of := slices.DeleteFunc(slices.Clone(e.s.Workloads), func(l Workload) bool { return t.Actor.Kind != "" && l.Kind != t.Actor.Kind })
		l := of[e.rng.IntN(len(of))]
		t.Actor = workloadActor(l.Kind, e.rng.IntN(l.Actors))
	}
	if t.Kind == ReplicaOf && t.Nth == 0 {
		t.Nth = 1 + e.rng.IntN(max(1, min(e.s.Replication, e.s.Nodes)-1))
	}
	return t
}
