package quorum

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"actormesh/quorum/mutant"
)

// A founding makes the first view, where there are no voters yet that could
// decide on one: so all of a set of N nodes have to say yes, durably, and a
// node says yes to one set in its life. The view is a function of the N yeses,
// each of which holds what its node brings, so whoever has all of them has the
// same view, and it does not matter who collects them.
//
//	hello: who is there?        offer: is this also      yes: durable, and so for
//	N directly heard for a ───► your set? agree, or ───► good; everybody passes on ───► founded
//	while, this the lowest      hello                    the yeses that he has
//
// Offers are what keeps overlapping sets from blocking each other: yeses begin
// only when all N see the same set.

// Candidate is a node that would found a mesh.
type Candidate struct {
	Start Start
	Name  string // for people
	Body  []byte // what the founding view must know of the node; never modified
}

// Bounds of a founding.
const (
	MaxFounders       = 64
	MaxCandidateBytes = 32 << 10 // of the body
	maxCandidates     = 4 * MaxFounders
	maxNameBytes      = 255
)

const (
	foundResend = 100 * time.Millisecond
	foundForget = 3 * time.Second // a candidate from which nothing comes
)

// FoundState is what a founding keeps on disk, always written whole: the set to
// which this node has said yes, ascending, and what it brings. The zero state
// has said yes to nothing.
type FoundState struct {
	Set []NodeID
	Own Candidate
}

// FoundReady is what the caller has to do after a call.
type FoundReady struct {
	Save  *FoundState // to be made durable, and then Persisted called with Seq; or nil
	Seq   uint64
	Sends []FoundSend
	// Founded, once it is not nil, is the whole set, ascending by node: the
	// founding is over.
	Founded []Candidate
	// Blocked, if not nil, is a *BlockedError: somebody must wipe a disk.
	Blocked error
}

// FoundSend is a message and whom it is for.
type FoundSend struct {
	To      NodeID
	Message FoundMessage
}

// BlockedError says that the set to which this node has said yes can never be
// founded, as one of its nodes has said yes to another one.
type BlockedError struct {
	Set   []string // names of the set to which this node has said yes
	Other string   // name of the node that has not
	Its   []string // names of the set to which that one has
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("this node agreed to found a mesh of %s, but %s has agreed to found one of %s, and a node agrees "+
		"to one founding only: wipe the data directory of this node, which holds nothing else yet, and start it again",
		strings.Join(e.Set, ", "), e.Other, strings.Join(e.Its, ", "))
}

// Founding is a node's part in the founding of a mesh. It is a pure state
// machine like Register.
type Founding struct {
	self   Candidate
	expect int
	settle time.Duration
	state  FoundState

	dirty    bool
	issued   uint64
	durable  uint64
	known    []knownCandidate // by node, without this one
	offered  []NodeID         // the set that this node offers, nil for none
	agreed   []NodeID         // who sees the same set
	changed  Instant          // when the set that this node sees became what it is
	seen     []NodeID
	yeses    []Candidate // by node
	blocked  error
	resend   Instant
	outgoing []FoundSend
}

type knownCandidate struct {
	Candidate
	heard  Instant // when something last came from it, or it was named
	expect int     // what it expects; 0 while nothing came from it
}

// NewFounding returns the founding of a node that expects so many, 1 to
// MaxFounders, whose disk holds saved. A set must have been seen for settle
// before it is offered.
func NewFounding(now Instant, self Candidate, expect int, settle time.Duration, saved *FoundState) *Founding {
	if expect < 1 || expect > MaxFounders {
		panic("quorum: a founding of none or too many")
	}
	f := &Founding{self: self, expect: expect, settle: settle, state: *saved, changed: now, resend: now}
	if len(saved.Set) > 0 {
		f.yeses = []Candidate{saved.Own}
	}
	return f
}

// Known returns the candidates to which this node sends, ascending by node.
func (f *Founding) Known() []Candidate {
	list := make([]Candidate, len(f.known))
	for i, k := range f.known {
		list[i] = k.Candidate
	}
	return list
}

// Hello returns the message with which a node introduces itself, to whoever is
// at the address of a seed and in answer to such.
func (f *Founding) Hello() FoundMessage {
	m := FoundMessage{Kind: FoundHello, Expect: f.expect, From: f.self}
	for _, k := range f.known {
		if k.expect > 0 && len(m.Others) < MaxFounders {
			m.Others = append(m.Others, k.Candidate)
		}
	}
	return m
}

// Deadline returns when Tick is wanted next.
func (f *Founding) Deadline() Instant {
	if f.over() {
		return Never
	}
	return f.resend
}

// Persisted says that the save with this number is durable.
func (f *Founding) Persisted(now Instant, seq uint64) {
	f.durable = max(f.durable, min(seq, f.issued))
	f.spread(now)
}

// Ready returns what is to be done, and forgets it.
func (f *Founding) Ready() FoundReady {
	r := FoundReady{Sends: f.outgoing, Blocked: f.blocked}
	f.outgoing = nil
	if f.dirty && f.issued == f.durable {
		f.dirty = false
		f.issued++
		state := f.state
		r.Save, r.Seq = &state, f.issued
	}
	if f.complete() {
		r.Founded = slices.Clone(f.yeses)
	}
	return r
}

// Agreed reports whether this node has said yes to a set.
func (f *Founding) Agreed() bool { return len(f.state.Set) > 0 }

// Waiting says, for people, what the founding waits for.
func (f *Founding) Waiting() string {
	var parts []string
	if len(f.state.Set) == 0 {
		names := []string{f.self.Name}
		for _, k := range f.known {
			switch k.expect {
			case f.expect:
				names = append(names, k.Name)
			case 0:
				parts = append(parts, k.Name+" was named and does not answer")
			default:
				parts = append(parts, fmt.Sprintf("%s expects %d", k.Name, k.expect))
			}
		}
		parts = append([]string{fmt.Sprintf("found %d of %d nodes: %s", len(names), f.expect, strings.Join(names, ", "))}, parts...)
		return strings.Join(parts, "; ")
	}
	for _, id := range f.state.Set {
		if !f.has(id) {
			parts = append(parts, id.String())
		}
	}
	return "agreed to found a mesh, and waits for the nodes with the disks " + strings.Join(parts, ", ") +
		"; if one of these is lost, wipe the data directories of all that agreed"
}

// has reports whether a node's yes is known.
func (f *Founding) has(id NodeID) bool {
	return slices.ContainsFunc(f.yeses, func(c Candidate) bool { return c.Start.Node == id })
}

// said reports whether this node's yes is durable.
func (f *Founding) said() bool { return len(f.state.Set) > 0 && !f.dirty && f.issued == f.durable }

func (f *Founding) complete() bool { return f.said() && len(f.yeses) == len(f.state.Set) }

func (f *Founding) over() bool { return f.blocked != nil || f.complete() }

// Step takes a message from a peer.
func (f *Founding) Step(now Instant, from NodeID, m FoundMessage) {
	if f.over() && m.Kind != FoundYes || from == f.self.Start.Node || m.From.Start.Node != from {
		return
	}
	f.hear(now, m.From, m.Expect)
	for _, c := range m.Others {
		f.hear(now, c, 0)
	}
	switch m.Kind {
	case FoundOffer:
		f.stepOffer(now, from, &m)
	case FoundAgree:
		if f.offered != nil && slices.Equal(m.Set, f.offered) && slices.Contains(f.offered, from) && !slices.Contains(f.agreed, from) {
			f.agreed = append(f.agreed, from)
		}
	case FoundYes:
		f.stepYes(now, from, &m)
	case FoundNo:
		f.stepNo(from, &m)
	}
	f.look(now)
}

// Tick lets time pass.
func (f *Founding) Tick(now Instant) {
	if f.over() || now < f.resend {
		return
	}
	f.resend = now.Add(foundResend)
	f.known = slices.DeleteFunc(f.known, func(k knownCandidate) bool { return now.Sub(k.heard) > foundForget })
	f.look(now)
	switch {
	case f.said():
		f.spread(now)
	case len(f.state.Set) == 0:
		hello := f.Hello()
		for _, k := range f.known {
			f.send(k.Start.Node, hello)
		}
		for _, id := range f.offered {
			if id != f.self.Start.Node && !slices.Contains(f.agreed, id) {
				f.send(id, FoundMessage{Kind: FoundOffer, Set: f.offered})
			}
		}
	}
}

// hear notes a candidate. One that is only named is one to say hello to.
func (f *Founding) hear(now Instant, c Candidate, expect int) {
	if c.Start.Node == f.self.Start.Node || c.Start.Node == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(f.known, c.Start.Node, func(k knownCandidate, id NodeID) int {
		return cmp.Compare(k.Start.Node, id)
	})
	switch {
	case !found && len(f.known) < maxCandidates:
		f.known = slices.Insert(f.known, i, knownCandidate{c, now, expect})
	case found && expect > 0:
		f.known[i] = knownCandidate{c, now, expect}
	}
}

// look works out the set that this node sees, the lowest of those who are there,
// and offers it when it has stayed the same and this node is its lowest.
func (f *Founding) look(now Instant) {
	set := []NodeID{f.self.Start.Node}
	for _, k := range f.known {
		if k.expect == f.expect {
			set = append(set, k.Start.Node)
		}
	}
	slices.Sort(set)
	if len(set) >= f.expect {
		set = set[:f.expect]
	} else {
		set = nil
	}
	if !slices.Equal(set, f.seen) {
		f.seen, f.changed = set, now
	}
	if f.offered != nil && !slices.Equal(f.offered, set) {
		f.offered, f.agreed = nil, nil
	}
	if len(f.state.Set) > 0 || set == nil || set[0] != f.self.Start.Node || now.Sub(f.changed) < f.settle {
		return
	}
	f.offered = set
	if len(f.agreed) == len(set)-1 {
		f.yes(set)
	}
}

func (f *Founding) stepOffer(now Instant, from NodeID, m *FoundMessage) {
	f.look(now)
	switch {
	case len(f.state.Set) > 0 && !slices.Equal(f.state.Set, m.Set):
		f.refuse(from)
	case slices.Equal(f.seen, m.Set):
		f.send(from, FoundMessage{Kind: FoundAgree, Set: m.Set})
	default:
		f.send(from, f.Hello())
	}
}

// yes says yes to a set, for life. It leaves when it is durable.
func (f *Founding) yes(set []NodeID) {
	f.state = FoundState{Set: set, Own: f.self}
	f.yeses = addCandidate(f.yeses, f.self)
	f.dirty = true
}

func (f *Founding) stepYes(now Instant, from NodeID, m *FoundMessage) {
	switch {
	case len(m.Set) != f.expect || !slices.Contains(m.Set, f.self.Start.Node):
		return
	case len(f.state.Set) == 0 || mutant.On(mutant.FoundTwice) && !slices.Equal(f.state.Set, m.Set):
		f.yes(slices.Clone(m.Set))
	case !slices.Equal(f.state.Set, m.Set):
		f.refuse(from)
		return
	}
	missing := len(m.Yeses) < len(f.yeses)
	for _, c := range m.Yeses {
		if slices.Contains(f.state.Set, c.Start.Node) {
			f.yeses = addCandidate(f.yeses, c)
		}
	}
	if f.said() && (missing || len(f.yeses) > len(m.Yeses)) {
		f.sendYes(from)
	}
}

// addCandidate adds a yes; the first one of a node is its only one.
func addCandidate(list []Candidate, c Candidate) []Candidate {
	i, found := slices.BinarySearchFunc(list, c.Start.Node, func(k Candidate, id NodeID) int {
		return cmp.Compare(k.Start.Node, id)
	})
	if found {
		return list
	}
	return slices.Insert(list, i, c)
}

// spread sends the yeses that this node has to those whose yes it has not.
func (f *Founding) spread(now Instant) {
	if !f.said() || f.blocked != nil {
		return
	}
	f.resend = now.Add(foundResend)
	for _, id := range f.state.Set {
		if id != f.self.Start.Node && (!f.has(id) || f.complete()) {
			f.sendYes(id)
		}
	}
}

func (f *Founding) sendYes(to NodeID) {
	f.send(to, FoundMessage{Kind: FoundYes, Set: f.state.Set, Yeses: f.yeses})
}

// refuse tells of the set to which this node has said yes.
func (f *Founding) refuse(to NodeID) {
	if f.said() {
		f.send(to, FoundMessage{Kind: FoundNo, Set: f.state.Set, Yeses: f.yeses})
	}
}

func (f *Founding) stepNo(from NodeID, m *FoundMessage) {
	if len(f.state.Set) == 0 || slices.Equal(m.Set, f.state.Set) || !slices.Contains(f.state.Set, from) {
		return
	}
	f.blocked = &BlockedError{Set: f.names(f.state.Set, nil), Other: m.From.Name, Its: f.names(m.Set, m.Yeses)}
}

func (f *Founding) names(set []NodeID, also []Candidate) []string {
	names := make([]string, len(set))
	for i, id := range set {
		names[i] = id.String()
		for _, c := range slices.Concat(also, f.yeses, f.Known(), []Candidate{f.self}) {
			if c.Start.Node == id && c.Name != "" {
				names[i] = c.Name
			}
		}
	}
	return names
}

func (f *Founding) send(to NodeID, m FoundMessage) {
	m.From, m.Expect = f.self, f.expect
	f.outgoing = slices.DeleteFunc(f.outgoing, func(s FoundSend) bool { return s.To == to && s.Message.Kind == m.Kind })
	f.outgoing = append(f.outgoing, FoundSend{to, m})
}
