package explore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"actormesh/quorum"
)

// counters is a toy: each of two nodes counts to its limit, and tells the other
// every number, which the other keeps if it is the highest.
type counters struct {
	limit   int
	forgets bool // its encoding lacks what was heard, and it counts on from there
	unspent bool // it forgets what was heard when it counts
	allowed int  // for the sum of all that is kept
}

type counter struct {
	model    *counters
	id       quorum.NodeID
	own, has int
}

func (c *counters) nodes() int                          { return 2 }
func (c *counters) start(node int) machine              { return &counter{model: c, id: quorum.NodeID(node + 1)} }
func (c *counters) first() (globals, effects)           { return globals{}, effects{} }
func (c *counters) final(any) bool                      { return false }
func (c *counters) describe(a *action, _ *view) string  { return fmt.Sprintf("%d counts", a.node+1) }
func (c *counters) spent(look any, m *message) bool     { return m.body.(int) <= look.(counter).has }
func (m *counter) look() any                            { return *m }
func (m *counter) do(e event, g *message, out *effects) { m.step(e, g, out) }

func (c *counters) actions(v *view, emit func(action)) {
	for i := range 2 {
		if v.looks[i].(counter).own < c.limit {
			emit(action{node: i, event: event{kind: evWrite}, globals: v.globals})
		}
	}
}

func (c *counters) check(v *view) string {
	if sum := v.looks[0].(counter).has + v.looks[1].(counter).has; sum > c.allowed {
		return fmt.Sprintf("the sum is %d", sum)
	}
	return ""
}

func (m *counter) step(e event, g *message, out *effects) {
	if e.kind == evDeliver {
		m.has = max(m.has, g.body.(int))
		return
	}
	m.own++
	if m.model.forgets {
		m.own = min(m.own+m.has, m.model.limit)
	}
	if m.model.unspent {
		m.has = 0
	}
	text := fmt.Sprintf("%d says %d", m.id, m.own)
	out.sends = append(out.sends, message{from: m.id, to: 3 - m.id, key: text, text: func() string { return text }, body: m.own})
}

func (m *counter) appendState(b []byte) []byte {
	if b = append(b, byte(m.own)); !m.model.forgets {
		b = append(b, byte(m.has))
	}
	return b
}

// TestSearchCounts compares the search with a sum that can be done by hand: what
// a node has told and what the other has kept of it are any two numbers of which
// the second is not higher.
func TestSearchCounts(t *testing.T) {
	for limit := range 12 {
		r := newSearch(&counters{limit: limit, allowed: 100}, 0).run(Limits{}, nil)
		pairs := (limit + 1) * (limit + 2) / 2
		if r.Distinct != pairs*pairs || !r.Complete || r.Violation != nil {
			t.Errorf("limit %d: %+v, want %d states", limit, *r, pairs*pairs)
		}
	}
}

// TestSearchIsShortest: the first violation found has the fewest steps.
func TestSearchIsShortest(t *testing.T) {
	r := newSearch(&counters{limit: 5, allowed: 3}, 0).run(Limits{}, nil)
	if r.Violation == nil || len(r.Violation.Steps) != 5 { // one counts to 4, and one message comes
		t.Fatalf("%+v", r.Violation)
	}
	if last := r.Violation.Steps[4]; !strings.Contains(last, "says 4") {
		t.Errorf("ends with %q", last)
	}
}

// TestVerify: an encoding that lacks something, and a message that was dropped
// and would have made a difference, are noticed.
func TestVerify(t *testing.T) {
	r := newSearch(&counters{limit: 3, allowed: 100, forgets: true}, 0).run(Limits{}, nil)
	if r.Violation == nil || !strings.Contains(r.Violation.What, "not reproduced") {
		t.Errorf("an encoding without what was heard: %+v", r.Violation)
	}
	r = newSearch(&counters{limit: 3, allowed: 100, unspent: true}, 0).run(Limits{}, nil)
	if r.Violation == nil || !strings.Contains(r.Violation.What, "dropped, and not") {
		t.Errorf("a message that comes to life again: %+v", r.Violation)
	}
}

func TestSearchLimits(t *testing.T) {
	r := newSearch(&counters{limit: 9, allowed: 100}, 0).run(Limits{Depth: 3}, nil)
	if r.Depth != 3 || r.Complete {
		t.Errorf("depth: %+v", *r)
	}
	r = newSearch(&counters{limit: 9, allowed: 100}, 0).run(Limits{States: 50}, nil)
	if r.Distinct < 50 || r.Distinct > 60 || r.Complete {
		t.Errorf("states: %+v", *r)
	}
}

// TestBoundedNetwork: in a network of one message each must come, or be lost,
// before the next is sent.
func TestBoundedNetwork(t *testing.T) {
	s := newSearch(&counters{limit: 3, allowed: 100}, 1)
	if r := s.run(Limits{}, nil); !r.Complete || r.Pruned == 0 || r.Violation != nil {
		t.Fatalf("%+v", *r)
	}
	for _, w := range s.worlds {
		if n := len(s.nets.list[w.net]); n > 1 {
			t.Fatalf("%d messages", n)
		}
	}
	// Lost: both have told everything, and neither has kept anything.
	lost := slices.ContainsFunc(s.worlds, func(w world) bool {
		v := s.see(&w, &s.to)
		a, b := v.looks[0].(counter), v.looks[1].(counter)
		return w.net == 0 && a.own == 3 && b.own == 3 && a.has+b.has == 0
	})
	if !lost {
		t.Error("no message is lost for good")
	}
}

// keeping is a model that never drops a message.
type keeping struct{ model }

func (keeping) spent(any, *message) bool { return false }

// TestSpentMessages: without the messages that are spent, the same states of
// nodes come together, and the same is said.
func TestSpentMessages(t *testing.T) {
	together := func(m model) map[string]bool {
		s := newSearch(m, 0)
		if r := s.run(Limits{}, nil); !r.Complete || r.Violation != nil {
			t.Fatalf("%+v", *r)
		}
		found := map[string]bool{}
		for _, w := range s.worlds {
			key := fmt.Sprint(w.globals)
			for i := range m.nodes() {
				key += "|" + s.locals.list[w.locals[i]].encoded
			}
			for _, n := range s.factSet.list[w.facts] {
				key += "|" + s.locals.facts.list[n].key
			}
			found[key] = true
		}
		return found
	}
	for name, m := range map[string]model{
		"handover": &slotLog{plan: [][]quorum.NodeID{nodes(nodeA, nodeB), nodes(nodeB, nodeA)}, size: 2},
		"restart":  &slotLog{plan: [][]quorum.NodeID{nodes(nodeA, nodeB)}, size: 2, records: 1, crashes: 1, victims: abc},
		"register": &viewRegister{size: 2, voters: nodes(nodeA, nodeB), choices: duel, epochs: 3, rounds: 1},
	} {
		all, without := together(keeping{m}), together(m)
		if len(all) != len(without) {
			t.Errorf("%s: %d with all messages, %d without the spent ones", name, len(all), len(without))
		}
		for key := range all {
			if !without[key] {
				t.Fatalf("%s: a state is lost: %q", name, key)
			}
		}
		t.Logf("%s: %d", name, len(all))
	}
}

// plain hides that nodes of a model are alike.
type plain struct{ model }

// TestSymmetry: of all worlds, those that stand for the others are what a search
// finds that knows which nodes are alike.
func TestSymmetry(t *testing.T) {
	abcd := nodes(nodeA, nodeB, nodeC, nodeD)
	m := &viewRegister{size: 4, voters: abcd, choices: []proposal{{nodeA, 1, abcd}}, epochs: 2, rounds: 1}
	s := newSearch(m, 0)
	r := s.run(Limits{}, nil)
	every := newSearch(plain{m}, 0)
	q := every.run(Limits{}, nil)
	if !r.Complete || !q.Complete || r.Violation != nil || q.Violation != nil || r.Distinct*3 > q.Distinct {
		t.Fatalf("%+v, and of all %+v", *r, *q)
	}
	every.model = m
	every.exchanges = every.newExchanges()
	known, kinds := map[world]bool{}, map[world]bool{}
	for _, w := range every.worlds {
		known[w] = true
	}
	for _, w := range every.worlds {
		kinds[every.canonical(w)] = true
		for _, x := range every.exchanges {
			if !known[x.world(&w)] {
				t.Fatal("the image of a world is none")
			}
		}
	}
	if len(kinds) != r.Distinct {
		t.Errorf("%d worlds that stand for all, of %d kinds", r.Distinct, len(kinds))
	}
	t.Logf("%d worlds, %d kinds", q.Distinct, len(kinds))
}

// unlike are counters of which the second has counted to 1 before it begins.
type unlike struct{ counters }

func (c *unlike) alike() []int { return []int{0, 1} }
func (c *unlike) start(node int) machine {
	return &counter{model: &c.counters, id: quorum.NodeID(node + 1), own: node}
}
func (c *unlike) renamed(m *message, to func(quorum.NodeID) quorum.NodeID) message {
	text := fmt.Sprintf("%d says %d", to(m.from), m.body)
	return message{from: to(m.from), to: to(m.to), key: text, text: func() string { return text }, body: m.body}
}
func (c *unlike) renamedFact(f *fact, _ func(quorum.NodeID) quorum.NodeID) fact { return *f }

// TestVerifyAlike: nodes that are said to be alike, and are not, are noticed.
func TestVerifyAlike(t *testing.T) {
	r := newSearch(&unlike{counters{limit: 4, allowed: 100}}, 0).run(Limits{}, nil)
	if r.Violation == nil || !strings.Contains(r.Violation.What, "not alike") {
		t.Errorf("%+v", r.Violation)
	}
}
