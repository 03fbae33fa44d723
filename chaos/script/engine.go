package script

import (
	"fmt"
	"slices"
	"strings"
)

// Engine is what runs a plan, or, as the bits of several, a set of them.
type Engine uint8

// The engines.
const (
	Sim   Engine = 1 << iota // whole nodes in one goroutine and virtual time
	Local                    // real processes on loopback, with a filter at their UDP sockets
	Netns                    // real processes, each in a network namespace; needs root
)

const everywhere = Sim | Local | Netns

var engineNames = []struct {
	engine Engine
	name   string
}{{Sim, "sim"}, {Local, "local"}, {Netns, "netns"}}

// ParseEngine returns the engine of that name.
func ParseEngine(name string) (Engine, error) {
	for _, e := range engineNames {
		if e.name == name {
			return e.engine, nil
		}
	}
	return 0, fmt.Errorf("there is no engine %q: it is sim, local or netns", name)
}

// String returns the names of the engines in the set.
func (e Engine) String() string {
	var names []string
	for _, n := range engineNames {
		if e&n.engine != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// Verb is what a fault does.
type Verb string

// The verbs. docs/chaos.md says what each does.
const (
	Cut       Verb = "cut"
	CutOneWay Verb = "cut-one-way"
	Bridge    Verb = "bridge"
	Ring      Verb = "ring"
	Flap      Verb = "flap" // only in scripts: a plan has the cuts
	LinkFault Verb = "link"
	Heal      Verb = "heal"
	Kill      Verb = "kill"
	PowerLoss Verb = "power-loss"
	Restart   Verb = "restart"
	Clone     Verb = "clone"
	Pause     Verb = "pause"
	Clock     Verb = "clock"
	Disk      Verb = "disk"
	Gossip    Verb = "gossip"
	Join      Verb = "join"
	Leave     Verb = "leave"
	Drain     Verb = "drain"
	Calm      Verb = "calm"
)

// shape is how the rest of a fault's line is written.
type shape uint8

const (
	bare      shape = iota // nothing
	nodesOnly              // targets
	sides                  // targets | targets ...
	twoSides               // targets | targets
	arrow                  // targets > targets
	three                  // targets | targets | targets
	link                   // what happens to packets, and between whom
	restart                // targets, and with which disk
	clock                  // targets, and how the clock goes wrong
	disk                   // targets, and how the disk goes wrong
	gossip                 // what gossip says
)

type verbInfo struct {
	verb    Verb
	shape   shape
	engines Engine // that can do it, in all its modes but those of modeEngines
	lasts   bool   // it has an end
}

var verbs = []verbInfo{
	{Cut, sides, everywhere, true},
	{CutOneWay, arrow, everywhere, true},
	{Bridge, three, everywhere, true},
	{Ring, nodesOnly, everywhere, true},
	{Flap, twoSides, everywhere, true},
	{LinkFault, link, everywhere, true},
	{Heal, bare, everywhere, false},
	{Kill, nodesOnly, everywhere, true},
	{PowerLoss, nodesOnly, everywhere, true},
	{Restart, restart, everywhere, false},
	{Clone, nodesOnly, everywhere, true},
	{Pause, nodesOnly, everywhere, true},
	{Clock, clock, Sim, true},
	{Disk, disk, Sim, true},
	{Gossip, gossip, Sim, true},
	{Join, nodesOnly, everywhere, false},
	{Leave, nodesOnly, everywhere, false},
	{Drain, nodesOnly, everywhere, true},
	{Calm, bare, everywhere, false},
}

func (v Verb) info() (verbInfo, bool) {
	i := slices.IndexFunc(verbs, func(i verbInfo) bool { return i.verb == v })
	if i < 0 {
		return verbInfo{}, false
	}
	return verbs[i], true
}

// Verbs returns all verbs that a plan may have.
func Verbs() []Verb {
	var all []Verb
	for _, i := range verbs {
		if i.verb != Flap {
			all = append(all, i.verb)
		}
	}
	return all
}

// Mode is the way in which a restart, a clock, a disk or gossip goes wrong.
type Mode string

// The modes.
const (
	Empty      Mode = "empty"       // restart: with an empty data directory
	RolledBack Mode = "rolled-back" // restart: with the directory as it was before the last start
	OfNode     Mode = "of"          // restart: with a copy of another node's directory

	Drift Mode = "drift" // clock: its rate is off
	Stop  Mode = "stop"  // clock: it stands still, and goes on where it was
	Jump  Mode = "jump"  // clock: wall time jumps

	Full      Mode = "full"      // disk: nothing can be written
	EIO       Mode = "eio"       // disk: every fsync fails
	Slow      Mode = "slow"      // disk: every fsync takes longer
	Flip      Mode = "flip"      // disk: a bit of what was written is another
	Misdirect Mode = "misdirect" // disk: a write lands in another place
	Torn      Mode = "torn"      // disk: of what was not synced, a loss of power leaves a part
	Lose      Mode = "lose"      // disk: a kill takes what was not synced, as a loss of power does

	Suspect Mode = "suspect" // gossip: says of a node that lives that it is dead
	Silence Mode = "silence" // gossip: a node's gossip packets are lost, and no others
)

var modes = map[Verb][]Mode{
	Restart: {Empty, RolledBack, OfNode},
	Clock:   {Drift, Stop, Jump},
	Disk:    {Full, EIO, Slow, Flip, Misdirect, Torn, Lose},
	Gossip:  {Suspect, Silence},
}

// modeEngines are the engines of modes that more can do than other modes of their
// verb.
var modeEngines = map[Mode]Engine{
	Full: everywhere, EIO: everywhere, Slow: everywhere, Flip: everywhere, Torn: Sim | Local, Lose: Sim | Local, Misdirect: Sim | Local,
}

// delayEngines are those that can have packets come late, twice, or in another order.
const delayEngines = Sim | Local

// Step is a step of a handover, at which a fault can be made to happen.
type Step string

// The steps, in the order in which a slot moves.
const (
	StepQuiesced Step = "quiesced"  // the owner has stopped for a planned move
	StepLearner  Step = "learner"   // a view names a learner
	StepSnapshot Step = "snapshot"  // a learner is sent a snapshot
	StepCaughtUp Step = "caught-up" // a learner has caught up
	StepView     Step = "view"      // a view names another owner
	StepSeal     Step = "seal"      // the new owner has sent a seal
	StepPromise  Step = "promise"   // a replica has promised the new owner's ballot
	StepFetch    Step = "fetch"     // the new owner asks for what it lacks
	StepActive   Step = "active"    // the new owner serves
	StepDropped  Step = "dropped"   // a view lists the old set no more
)

// Steps returns all steps.
func Steps() []Step {
	return []Step{
		StepQuiesced, StepLearner, StepSnapshot, StepCaughtUp, StepView,
		StepSeal, StepPromise, StepFetch, StepActive, StepDropped,
	}
}

// stepEngines are those that see a handover's steps.
const stepEngines = Sim

// engines returns those that can do the fault.
func (f *Fault) engines() Engine {
	can := everywhere
	if info, ok := f.Verb.info(); ok {
		can = info.engines
	}
	if of, ok := modeEngines[f.Mode]; ok {
		can = of
	}
	if f.Link.Repeat > 0 || f.Link.Reorder > 0 || f.Link.Delay != (Span{}) {
		can &= delayEngines
	}
	if f.When != "" {
		can &= stepEngines
	}
	return can
}

// Engines returns the engines that can do all of the plan's faults.
func (p *Plan) Engines() Engine {
	can := everywhere
	for i := range p.Faults {
		can &= p.Faults[i].engines()
	}
	return can
}

// CheckEngine returns an error, with the line and the engines that could, if the
// engine cannot do a fault of the plan.
func (p *Plan) CheckEngine(e Engine) error {
	for i := range p.Faults {
		f := &p.Faults[i]
		if can := f.engines(); can&e != e {
			return &Error{f.Line, fmt.Sprintf("the engine %s cannot do %q; it takes one of: %s", e, f.text(), can)}
		}
	}
	return nil
}
