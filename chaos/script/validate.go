package script

import (
	"slices"
	"time"
)

// validate checks what no line shows by itself, and fills in what depends on
// other lines.
func (p *parser) validate() {
	s := p.s
	if s.Nodes+s.Spare > maxNodes {
		p.report(errorf(0, "%d nodes and %d spare ones are too many, %d at most", s.Nodes, s.Spare, maxNodes))
	}
	if s.Time <= 0 {
		p.report(errorf(p.seen["time"], "the time is 0"))
	}
	if s.Voters != 0 && s.Voters%2 == 0 {
		p.report(errorf(p.seen["voters"], "the number of voters is even"))
	}
	for i := range s.Workloads {
		if s.Workloads[i].Until < 0 {
			s.Workloads[i].Until = s.Length() - s.Quiet()
		}
	}
	for i := range s.Workloads {
		p.validateWorkload(&s.Workloads[i])
	}
	clients, calls := 0, len(s.Calls)
	for _, l := range s.Workloads {
		clients += l.Clients
		calls += l.calls()
	}
	if clients > maxClients {
		p.report(errorf(0, "%d clients, %d at most", clients, maxClients))
	}
	if calls > maxCalls {
		p.report(errorf(0, "%d calls, %d at most", calls, maxCalls))
	}
	if len(s.Faults) > maxFaults {
		p.report(errorf(0, "%d faults, %d at most", len(s.Faults), maxFaults))
	}
	for i := range s.Faults {
		p.validateFault(&s.Faults[i], false)
		p.validateTime(&s.Faults[i])
	}
	for i := range s.Random {
		p.validateRandom(&s.Random[i])
	}
	p.validateCalls()
}

func (p *parser) validateWorkload(l *Workload) {
	switch {
	case l.From >= l.Until || l.Until > p.s.Length():
		p.report(errorf(l.Line, "the workload is from %v until %v, and the run takes %v", l.From, l.Until, p.s.Length()))
	case l.Within <= 0:
		p.report(errorf(l.Line, "a call has no time"))
	case l.Kind == Account && l.Actors < 2:
		p.report(errorf(l.Line, "a transfer needs two accounts"))
	case p.kindCalls(l.Kind) > maxActorCalls*l.Actors:
		p.report(errorf(l.Line, "%d calls of %d actors of the kind %s are more than %d of one, which is what can be checked: "+
			"say more actors, a lower rate or a shorter time", p.kindCalls(l.Kind), l.Actors, l.Kind, maxActorCalls))
	}
}

// kindCalls returns how many calls of actors of a kind all lines ask for.
func (p *parser) kindCalls(kind Kind) int {
	n := 0
	for _, l := range p.actors(kind) {
		n += l.calls()
	}
	for _, c := range p.s.Calls {
		if c.Actor.Kind == kind {
			n++
		}
	}
	return n
}

// calls returns how many calls the workload asks for.
func (l *Workload) calls() int {
	return int(time.Duration(l.Rate) * (l.Until - l.From) / time.Second)
}

// validateFault checks the targets of a fault, of which a random one may leave
// more to chance.
func (p *parser) validateFault(f *Fault, random bool) {
	all := []Target{}
	for _, side := range f.Sides {
		all = append(all, side...)
	}
	if f.Mode == OfNode || f.Mode == Suspect {
		all = append(all, f.Of)
	}
	for _, t := range all {
		switch {
		case t.Kind == ByName && nodeNumber(t.Name) > p.s.Nodes+p.s.Spare:
			p.report(errorf(f.Line, "there is no node %s: nodes and spare say that there are %d", t.Name, p.s.Nodes+p.s.Spare))
		case (t.Kind == Giver || t.Kind == Taker) && f.When == "":
			p.report(errorf(f.Line, "giver and taker are of a handover: say when"))
		case t.Actor.ID == anyActor && len(p.actors(t.Actor.Kind)) == 0:
			p.report(errorf(f.Line, "there is no actor for %q: no workload has one", t.text()))
		}
	}
	if need := p.drawn(all); need > p.s.Nodes {
		p.report(errorf(f.Line, "this takes %d nodes, and there are %d", need, p.s.Nodes))
	}
	if random && f.When != "" || random && f.Verb == Flap {
		p.report(errorf(f.Line, "%s cannot be random", f.Verb))
	}
}

// drawn returns how many founders the targets take together.
func (p *parser) drawn(targets []Target) int {
	n := 0
	for _, t := range targets {
		switch {
		case t.Kind == ByName && nodeNumber(t.Name) <= p.s.Nodes, t.Kind == Any:
			n++
		case t.Kind == Half:
			n += max(1, p.s.Nodes/2)
		case t.Kind == Minority:
			n += max(1, (p.s.Nodes-1)/2)
		}
	}
	return n
}

// actors returns the workloads that have actors of the kind, or of any.
func (p *parser) actors(kind Kind) []Workload {
	return slices.DeleteFunc(slices.Clone(p.s.Workloads), func(l Workload) bool { return kind != "" && l.Kind != kind })
}

func (p *parser) validateTime(f *Fault) {
	switch {
	case f.At+f.Window+f.For > p.s.Time:
		p.report(errorf(f.Line, "it may last until %v, and the time under faults is %v", f.At+f.Window+f.For, p.s.Time))
	case f.lasts() && f.For == 0 && f.At >= p.s.Time:
		p.report(errorf(f.Line, "it begins when the time under faults is over"))
	case f.Verb == Flap && f.flaps(p.s.Time) > maxFaults:
		p.report(errorf(f.Line, "it flaps more than %d times", maxFaults))
	}
}

// flaps returns how often a cut flaps.
func (f *Fault) flaps(end time.Duration) int {
	length := f.For
	if length == 0 {
		length = end - f.At
	}
	return int(length / f.Period)
}

func (p *parser) validateRandom(r *Random) {
	if r.Until < 0 {
		r.Until = p.s.Time
	}
	switch {
	case r.From >= r.Until || r.Until > p.s.Time:
		p.report(errorf(r.Line, "the faults are from %v until %v, and the time under faults is %v", r.From, r.Until, p.s.Time))
	case (r.Until-r.From)/r.Every.Min > maxFaults:
		p.report(errorf(r.Line, "these may be more than %d faults", maxFaults))
	}
	for i := range r.Of {
		p.validateFault(&r.Of[i], true)
	}
}

func (p *parser) validateCalls() {
	ids := map[string]int{}
	of := map[Actor]int{}
	for i := range p.s.Calls {
		c := &p.s.Calls[i]
		if line, ok := ids[c.ID]; ok {
			p.report(errorf(c.Line, "the id %s is that of line %d", c.ID, line))
		}
		ids[c.ID] = c.Line
		if of[c.Actor]++; of[c.Actor] == maxActorCalls+1 {
			p.report(errorf(c.Line, "%v has more than %d calls, which is what can be checked", c.Actor, maxActorCalls))
		}
		if c.At > p.s.Length() {
			p.report(errorf(c.Line, "it is at %v, and the run takes %v", c.At, p.s.Length()))
		}
		for _, n := range slices.Concat(c.Via, c.Then) {
			if k := nodeNumber(n); k == 0 || k > p.s.Nodes+p.s.Spare {
				p.report(errorf(c.Line, "there is no node %q", clip(n)))
			}
		}
	}
}
