package script

import (
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that is done to the mesh.
type Fault struct {
	Line int           // of the script
	At   time.Duration // when it begins; with When, from when on that is waited for
	// For is how long it lasts. At its end, whatever the fault has done to its
	// nodes and links is undone: what was killed is started, what was paused goes
	// on. Nothing outlasts the plan's Time; see Over.
	For time.Duration
	// When, if it is not empty, makes the fault happen at the first such step
	// after At, and not at all if there is none within Window.
	When   Step
	Window time.Duration

	Verb Verb
	Mode Mode // of restart, clock, disk and gossip; empty for a plain restart
	// Sides are the nodes: a verb that is done to nodes has one side, one that is
	// done between them has several. None is every link, for link.
	Sides  [][]Target
	OneWay bool   // link: from the first side to the second only
	Of     Target // restart: whose directory; gossip: who suspects

	Link   Link
	Delay  time.Duration // disk slow: of an fsync; clock jump: how far, perhaps back
	Drift  Share         // clock: how much faster it runs, perhaps below 0
	Period time.Duration // flap
}

// Link is what happens to the packets on a link.
type Link struct {
	Loss, Repeat, Reorder Share // of the packets
	Delay                 Span  // of each; what is reordered waits one more
	Rate                  int64 // bytes a second at most; 0 for no limit
}

// TargetKind says how a target is found.
type TargetKind uint8

// The kinds of targets.
const (
	ByName            TargetKind = iota // a node
	OwnerOf                             // of an actor
	ReplicaOf                           // of an actor, behind its owner
	Coordinator                         // of the view
	All                                 // nodes
	Rest                                // all nodes that no other side of the fault names
	MinorityWithOwner                   // of an actor, with as many others as still are a minority
	Giver                               // the owner before the step that the fault waits for
	Taker                               // the owner after it, or the learner

	// What follows is only in scripts: Expand puts names in its place.

	Any      // one node
	Half     // of the nodes, rounded down
	Minority // of the nodes, 1 at least
)

// Target is one node or several.
type Target struct {
	Kind  TargetKind
	Name  string // of the node
	Actor Actor  // an ID of "any" is one of a workload's, only in scripts
	Nth   int    // replica: which one, from 1; 0 for any, only in scripts
}

// Named returns the target that is a node.
func Named(node string) Target { return Target{Kind: ByName, Name: node} }

var targetWords = []struct {
	word  string
	kind  TargetKind
	actor bool // followed by one
}{
	{"owner", OwnerOf, true},
	{"replica", ReplicaOf, true},
	{"coordinator", Coordinator, false},
	{"all", All, false},
	{"rest", Rest, false},
	{"minority-with-owner", MinorityWithOwner, true},
	{"giver", Giver, false},
	{"taker", Taker, false},
	{"any", Any, false},
	{"half", Half, false},
	{"minority", Minority, false},
}

// Over returns when a fault that begins is over, in a plan of that Time; for one
// that is done at once that is when it began.
func (f *Fault) Over(began, limit time.Duration) time.Duration {
	switch {
	case !f.lasts():
		return began
	case f.For == 0:
		return limit
	}
	return min(began+f.For, limit)
}

// text returns the fault as a line says it, without its time.
func (f *Fault) text() string {
	info, _ := f.Verb.info()
	words := []string{string(f.Verb)}
	between := " | "
	switch info.shape {
	case arrow:
		between = " > "
	case link:
		words = append(words, f.Link.words()...)
		if len(f.Sides) > 0 && f.OneWay {
			words, between = append(words, "from"), " > "
		} else if len(f.Sides) > 0 {
			words = append(words, "between")
		}
	case gossip:
		words = append(words, string(f.Mode))
	}
	if len(f.Sides) > 0 {
		sides := make([]string, len(f.Sides))
		for i, side := range f.Sides {
			sides[i] = targetsText(side)
		}
		words = append(words, strings.Join(sides, between))
	}
	switch info.shape {
	case restart:
		if f.Mode != "" {
			words = append(words, string(f.Mode))
		}
		if f.Mode == OfNode {
			words = append(words, f.Of.text())
		}
	case clock:
		words = append(words, string(f.Mode))
		switch f.Mode {
		case Drift:
			words = append(words, signed(f.Drift.String()))
		case Jump:
			words = append(words, signed(f.Delay.String()))
		}
	case disk:
		words = append(words, string(f.Mode))
		if f.Mode == Slow {
			words = append(words, f.Delay.String())
		}
	case gossip:
		if f.Mode == Suspect {
			words = append(words, "by", f.Of.text())
		}
	}
	if f.Verb == Flap {
		words = append(words, "every", f.Period.String())
	}
	return strings.Join(words, " ")
}

func signed(s string) string {
	if strings.HasPrefix(s, "-") {
		return s
	}
	return "+" + s
}

// words returns what happens to packets as a line says it.
func (l *Link) words() []string {
	var w []string
	for _, s := range []struct {
		name  string
		share Share
	}{{"loss", l.Loss}, {"repeat", l.Repeat}, {"reorder", l.Reorder}} {
		if s.share != 0 {
			w = append(w, s.name, s.share.String())
		}
	}
	if l.Delay != (Span{}) {
		w = append(w, "delay", l.Delay.String())
	}
	if l.Rate != 0 {
		w = append(w, "rate", rateText(l.Rate))
	}
	return w
}

func targetsText(targets []Target) string {
	words := make([]string, len(targets))
	for i, t := range targets {
		words[i] = t.text()
	}
	return strings.Join(words, " ")
}

func (t Target) text() string {
	if t.Kind == ByName {
		return t.Name
	}
	for _, w := range targetWords {
		if w.kind != t.Kind {
			continue
		}
		text := w.word
		if w.actor {
			text += " " + t.Actor.text()
		}
		if t.Nth > 0 {
			text += " " + strconv.Itoa(t.Nth)
		}
		return text
	}
	return "?"
}

// anyActor is the id of an actor that Expand chooses.
const anyActor = "any"

func (a Actor) text() string {
	if a.Kind == "" {
		return anyActor
	}
	return a.String()
}

// line returns the fault as a line of a script.
func (f *Fault) line() string {
	switch {
	case f.When != "":
		text := "at " + f.At.String() + ".." + (f.At + f.Window).String() + " when " + string(f.When) + " " + f.text()
		if f.For > 0 {
			text += " for " + f.For.String()
		}
		return text
	case f.For > 0:
		return "at " + f.At.String() + ".." + (f.At + f.For).String() + " " + f.text()
	}
	return "at " + f.At.String() + " " + f.text()
}

// lasts reports whether the fault has an end.
func (f *Fault) lasts() bool {
	switch f.Mode {
	case Jump, Flip, Misdirect, Suspect:
		return false
	}
	info, _ := f.Verb.info()
	return info.lasts
}
