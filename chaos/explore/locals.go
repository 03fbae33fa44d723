package explore

import (
	"fmt"
	"slices"
)

// local is one state of one node, with the event that first led there.
type local struct {
	node    int
	parent  uint32 // itself for a node's first state
	event   event
	encoded string
	look    any
	kept    cloner        // the machine itself, if it can be cloned
	after   []*transition // by the message that comes; nil where not run yet
}

// cloner is a machine that is kept in each of its states, so that none is run
// again from its start.
type cloner interface{ clone() machine }

// transition is what an event does to a node's state.
type transition struct {
	next   uint32
	sends  []uint32 // numbers of messages, in order
	facts  []uint32
	agreed bool
	broken string
}

type transitionKey struct {
	local uint32
	event event
}

// locals holds the states of nodes, and runs the code that leads from one to
// the next, once for each.
type locals struct {
	model model
	list  []local
	byKey map[string]uint32
	memo  map[transitionKey]*transition // of all events but messages
	runs  int
	msgs  table[message]
	facts table[fact]

	// Machines that were used last, by their state: most events change
	// nothing, so the machine serves for the next one.
	live  map[uint32]machine
	order []uint32
	buf   []byte
}

const liveMachines = 512

// table numbers things by their keys.
type table[T any] struct {
	list  []T
	byKey map[string]uint32
}

func (t *table[T]) number(key string, v T) uint32 {
	if n, ok := t.byKey[key]; ok {
		return n
	}
	if t.byKey == nil {
		t.byKey = map[string]uint32{}
	}
	n := uint32(len(t.list))
	t.byKey[key] = n
	t.list = append(t.list, v)
	return n
}

func newLocals(m model) *locals {
	return &locals{model: m, byKey: map[string]uint32{}, memo: map[transitionKey]*transition{}, live: map[uint32]machine{}}
}

// root returns the number of a node's first state.
func (l *locals) root(node int) uint32 {
	m := l.model.start(node)
	return l.intern(node, m, uint32(len(l.list)), event{})
}

// intern returns the number of the state that the machine is in.
func (l *locals) intern(node int, m machine, parent uint32, e event) uint32 {
	l.buf = m.appendState(append(l.buf[:0], byte(node)))
	if n, ok := l.byKey[string(l.buf)]; ok {
		return n
	}
	n := uint32(len(l.list))
	encoded := string(l.buf)
	l.byKey[encoded] = n
	kept, _ := m.(cloner)
	l.list = append(l.list, local{node: node, parent: parent, event: e, encoded: encoded, look: m.look(), kept: kept})
	return n
}

// run returns what the event does to the state.
func (l *locals) run(from uint32, e event) *transition {
	if e.kind == evDeliver {
		if after := l.list[from].after; int(e.msg) < len(after) && after[e.msg] != nil {
			return after[e.msg]
		}
		t := l.step(from, e)
		s := &l.list[from]
		if n := len(l.msgs.list); n > len(s.after) {
			s.after = append(s.after, make([]*transition, n-len(s.after))...)
		}
		s.after[e.msg] = t
		return t
	}
	key := transitionKey{from, e}
	t := l.memo[key]
	if t == nil {
		t = l.step(from, e)
		l.memo[key] = t
	}
	return t
}

// step runs the code.
func (l *locals) step(from uint32, e event) *transition {
	l.runs++
	m := l.take(from)
	var out effects
	l.do(m, e, &out)
	t := &transition{broken: out.broken, agreed: out.agreed}
	if t.broken != "" {
		t.next = from
		return t // the machine may be in no state at all
	}
	t.next = l.intern(l.list[from].node, m, from, e)
	t.sends, t.facts = l.numbers(&out)
	if _, ok := m.(cloner); !ok {
		l.keep(t.next, m)
	}
	return t
}

// numbers returns the numbers of the messages and facts, in order.
func (l *locals) numbers(out *effects) (sends, facts []uint32) {
	for i := range out.sends {
		sends = append(sends, l.msgs.number(out.sends[i].key, out.sends[i]))
	}
	for i := range out.facts {
		facts = append(facts, l.facts.number(out.facts[i].key, out.facts[i]))
	}
	slices.Sort(sends)
	slices.Sort(facts)
	return sends, facts
}

// do runs an event. A panic of the code is a violation like any other.
func (l *locals) do(m machine, e event, out *effects) {
	defer func() {
		if r := recover(); r != nil {
			out.broken = fmt.Sprintf("panic: %v", r)
		}
	}()
	var msg *message
	if e.kind == evDeliver {
		msg = &l.msgs.list[e.msg]
	}
	m.do(e, msg, out)
}

// take returns a machine in the state, from those at hand or by running its
// events again.
func (l *locals) take(n uint32) machine {
	if kept := l.list[n].kept; kept != nil {
		return kept.clone()
	}
	if m := l.live[n]; m != nil {
		delete(l.live, n)
		return m
	}
	m := l.replay(n)
	if encoded := m.appendState([]byte{byte(l.list[n].node)}); string(encoded) != l.list[n].encoded {
		panic("explore: the same events led to another state: the encoding lacks something, or the code is not deterministic")
	}
	return m
}

// replay runs the events that first led to the state.
func (l *locals) replay(n uint32) machine {
	var path []uint32
	for i := n; l.list[i].parent != i; i = l.list[i].parent {
		path = append(path, i)
	}
	m := l.model.start(l.list[n].node)
	for _, i := range slices.Backward(path) {
		var out effects
		l.do(m, l.list[i].event, &out)
	}
	return m
}

func (l *locals) keep(n uint32, m machine) {
	if l.live[n] == nil {
		l.order = append(l.order, n)
	}
	l.live[n] = m
	for len(l.order) > liveMachines {
		delete(l.live, l.order[0])
		l.order = l.order[1:]
	}
}
