package explore

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// world is a state of everything, in numbers.
type world struct {
	locals  [maxNodes]uint32
	net     uint32
	facts   uint32
	globals globals
}

// Limits bound a search.
type Limits struct {
	States int // distinct ones; 0 means MaxStates
	Depth  int // steps; 0 means no bound
}

// MaxStates is how many distinct states a search visits at most.
const MaxStates = 20_000_000

// Result is what a search has found.
type Result struct {
	Name      string
	About     string
	Distinct  int // states
	Generated int // ends of steps, known states included
	Depth     int // of the longest shortest path
	Complete  bool
	Pruned    int // steps that a bound of the network cut off
	Locals    int // states of single nodes
	Messages  int
	Runs      int // steps of the code
	Elapsed   time.Duration
	Violation *Violation // nil if there is none
}

// Violation is an invariant that does not hold, and how to get there.
type Violation struct {
	What  string
	Steps []string
}

// search is one search. It is not safe for concurrent use.
type search struct {
	model     model
	locals    *locals
	nets      *sets
	factSet   *sets
	swept     map[uint64]uint32 // by network and state
	bodies    map[uint32][]any  // of facts, by their set
	exchanges []*exchange
	bound     int // of the messages in the network; 0 for a set that grows
	worlds    []world
	parents   []uint32
	index     []uint32 // open addressing; world number + 1
	result    Result
	from, to  view // reused: of the world that is left, and of the one that is checked
}

func newSearch(m model, bound int) *search {
	s := &search{model: m, locals: newLocals(m), nets: newSets(), factSet: newSets(), swept: map[uint64]uint32{}, bodies: map[uint32][]any{}, bound: bound}
	s.index = make([]uint32, 1<<16)
	var w world
	for i := range m.nodes() {
		w.locals[i] = s.locals.root(i)
	}
	g, out := m.first()
	w.globals = g
	sends, facts := s.locals.numbers(&out)
	w.net, w.facts = s.nets.union(0, sends), s.factSet.union(0, facts)
	s.add(w, 0)
	s.exchanges = s.newExchanges()
	return s
}

// add returns whether the world is new.
func (s *search) add(w world, parent uint32) bool {
	if len(s.worlds)*2 >= len(s.index) {
		s.grow()
	}
	i := s.find(&w)
	if s.index[i] != 0 {
		return false
	}
	s.worlds = append(s.worlds, w)
	s.parents = append(s.parents, parent)
	s.index[i] = uint32(len(s.worlds))
	return true
}

// find returns the place of the world in the index, or of its absence.
func (s *search) find(w *world) int {
	mask := len(s.index) - 1
	i := int(w.hash()) & mask
	for s.index[i] != 0 && s.worlds[s.index[i]-1] != *w {
		i = (i + 1) & mask
	}
	return i
}

func (s *search) grow() {
	s.index = make([]uint32, 2*len(s.index))
	for n := range s.worlds {
		s.index[s.find(&s.worlds[n])] = uint32(n + 1)
	}
}

// hash is the world's 64-bit hash.
func (w *world) hash() uint64 {
	h := uint64(w.net)<<32 | uint64(w.facts)
	h = mix(h, 0x9e3779b97f4a7c15)
	for _, n := range w.locals {
		h = mix(h^uint64(n), 0xbf58476d1ce4e5b9)
	}
	var g uint64
	for _, b := range w.globals {
		g = g<<8 | uint64(b)
	}
	return mix(h^g, 0x94d049bb133111eb)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x2545f4914f6cdd1d, b)
	return hi ^ lo
}

// see fills the view of a world.
func (s *search) see(w *world, v *view) *view {
	v.globals = w.globals
	for i := range s.model.nodes() {
		v.looks[i] = s.locals.list[w.locals[i]].look
	}
	v.facts = s.factsOf(w.facts)
	return v
}

// factsOf returns the facts of a set in the order of their keys, so that what a
// check says does not depend on which was found first.
func (s *search) factsOf(set uint32) []any {
	if bodies, ok := s.bodies[set]; ok {
		return bodies
	}
	var list []fact
	for _, n := range s.factSet.list[set] {
		list = append(list, s.locals.facts.list[n])
	}
	slices.SortFunc(list, func(a, b fact) int { return cmp.Compare(a.key, b.key) })
	bodies := make([]any, len(list))
	for i := range list {
		bodies[i] = list[i].body
	}
	s.bodies[set] = bodies
	return bodies
}

// actions calls emit for each action of the world.
func (s *search) actions(w world, emit func(action)) {
	list := s.nets.list[w.net]
	for i, n := range list {
		if i > 0 && list[i-1] == n {
			continue
		}
		a := action{node: int(s.locals.msgs.list[n].to) - 1, event: event{kind: evDeliver, msg: n}, globals: w.globals}
		emit(a)
		if s.bound > 0 {
			a.net = netTake
			emit(a)
			a.net = netDrop
			emit(a)
		}
	}
	s.model.actions(s.see(&w, &s.from), emit)
}

// apply returns the world after the action, and which invariant the step itself
// breaks. It reports false if a bound forbids the step.
func (s *search) apply(w world, a *action) (next world, broken string, ok bool) {
	next = w
	next.globals = a.globals
	switch {
	case a.broken != "" || a.node == nobody:
		return next, a.broken, true
	case a.net == netDrop:
		next.net = s.nets.change(w.net, int(a.event.msg), nil)
		return next, "", true
	case a.node == everybody:
		for i := range s.model.nodes() {
			e := a.event
			e.arg = e.arg >> (8 * i) & 0xff
			if _, broken, ok = s.happen(&next, i, e, netKeep); broken != "" || !ok {
				return next, broken, ok
			}
		}
		return next, "", true
	}
	agreed, broken, ok := s.happen(&next, a.node, a.event, a.net)
	if agreed && broken == "" && ok && a.answer.event != (event{}) {
		_, broken, ok = s.happen(&next, a.answer.node, a.answer.event, netKeep)
	}
	return next, broken, ok
}

// happen has the event happen to the node.
func (s *search) happen(w *world, node int, e event, net netUse) (agreed bool, broken string, ok bool) {
	t := s.locals.run(w.locals[node], e)
	if t.broken != "" {
		return false, t.broken, true
	}
	moved := t.next != w.locals[node]
	if s.bound == 0 && !moved && len(t.sends)+len(t.facts) == 0 {
		return t.agreed, "", true
	}
	w.locals[node] = t.next
	w.facts = s.factSet.union(w.facts, t.facts)
	if s.bound == 0 {
		before := w.net
		w.net = s.nets.union(w.net, t.sends)
		for i := range s.model.nodes() {
			if i == node && moved || w.net != before {
				w.net = s.sweep(w.net, w.locals[i])
			}
		}
		return t.agreed, "", true
	}
	take := -1
	if net == netTake {
		take = int(e.msg)
	}
	if n := len(s.nets.list[w.net]) + len(t.sends); n > s.bound+1 || n > s.bound && take < 0 {
		return t.agreed, "", false
	}
	w.net = s.nets.change(w.net, take, t.sends)
	return t.agreed, "", true
}

// run searches breadth first until everything is seen, a limit is reached, or
// an invariant does not hold.
func (s *search) run(limits Limits, progress func(*Result)) *Result {
	r := &s.result
	begin := time.Now()
	if limits.States == 0 {
		limits.States = MaxStates
	}
	if what := s.model.check(s.see(&s.worlds[0], &s.to)); what != "" {
		r.Violation = &Violation{What: what}
	}
	level := 1 // the worlds from here on are one step deeper
	n := 0
	for ; n < len(s.worlds) && r.Violation == nil && len(s.worlds) < limits.States; n++ {
		if n == level {
			if r.Depth++; r.Depth == limits.Depth {
				break
			}
			level = len(s.worlds)
			if progress != nil {
				s.count(begin)
				progress(r)
			}
		}
		s.expand(uint32(n))
	}
	r.Complete = r.Violation == nil && n == len(s.worlds)
	s.count(begin)
	if what := cmp.Or(s.locals.verify(), s.verifyAlike()); r.Violation == nil && what != "" {
		r.Violation = &Violation{What: "the search is not sound: " + what}
	}
	return r
}

func (s *search) count(begin time.Time) {
	r := &s.result
	r.Distinct = len(s.worlds)
	r.Locals, r.Messages, r.Runs = len(s.locals.list), len(s.locals.msgs.list), s.locals.runs
	r.Elapsed = time.Since(begin)
}

// expand takes all steps from a world.
func (s *search) expand(n uint32) {
	w := s.worlds[n]
	r := &s.result
	s.actions(w, func(a action) {
		if r.Violation != nil {
			return
		}
		r.Generated++
		next, broken, ok := s.apply(w, &a)
		switch {
		case !ok:
			r.Pruned++
			return
		case broken == "" && (next == w || !s.add(s.canonical(next), n)):
			return
		case broken == "":
			broken = s.model.check(s.see(&next, &s.to))
		}
		if broken != "" {
			r.Violation = s.violation(n)
		}
	})
}

// violation returns the first step from a world that breaks something, and how to
// get there.
func (s *search) violation(n uint32) *Violation {
	steps, w := s.path(n)
	v := &Violation{Steps: steps}
	s.actions(w, func(a action) {
		if v.What != "" {
			return
		}
		next, broken, ok := s.apply(w, &a)
		if ok && broken == "" {
			broken = s.model.check(s.see(&next, &s.to))
		}
		if ok && broken != "" {
			v.What, v.Steps = broken, append(steps, s.describe(&w, &a))
		}
	})
	return v
}

// path returns the steps to a world and what they lead to, which is that world or
// one that it stands for: each is the first action that leads on.
func (s *search) path(n uint32) (steps []string, at world) {
	var chain []uint32
	for i := n; i != 0; i = s.parents[i] {
		chain = append(chain, i)
	}
	at = s.worlds[0]
	for _, i := range slices.Backward(chain) {
		text, to := "", at
		s.actions(at, func(a action) {
			if text != "" {
				return
			}
			if next, broken, ok := s.apply(at, &a); ok && broken == "" && s.canonical(next) == s.worlds[i] {
				text, to = s.describe(&at, &a), next
			}
		})
		steps, at = append(steps, text), to
	}
	return steps, at
}

func (s *search) describe(w *world, a *action) string {
	if a.event.kind != evDeliver {
		return s.model.describe(a, s.see(w, &s.to))
	}
	m := &s.locals.msgs.list[a.event.msg]
	text := fmt.Sprintf("%s #%06x", m.text(), xxhash.Sum64String(m.key)&0xffffff)
	return text + [...]string{"", ", taken", ", lost"}[a.net]
}
