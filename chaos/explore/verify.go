package explore

import (
	"cmp"
	"fmt"
	"slices"
)

// sweep returns the network without the messages to the node in this state that
// are spent.
func (s *search) sweep(net, state uint32) uint32 {
	key := uint64(net)<<32 | uint64(state)
	if swept, ok := s.swept[key]; ok {
		return swept
	}
	var left []uint32
	node := s.locals.list[state].node
	for _, n := range s.nets.list[net] {
		if int(s.locals.msgs.list[n].to)-1 != node || !s.locals.spent(state, n) {
			left = append(left, n)
		}
	}
	swept := s.nets.number(left)
	s.swept[key] = swept
	return swept
}

// spent reports whether the message is spent for the state.
func (l *locals) spent(state, msg uint32) bool {
	look := l.list[state].look
	return l.model.final(look) || l.model.spent(look, &l.msgs.list[msg]) && l.idle(state, msg)
}

// idle reports whether the message changes nothing in this state.
func (l *locals) idle(state, msg uint32) bool {
	t := l.run(state, event{kind: evDeliver, msg: msg})
	return t.broken == "" && t.next == state && len(t.sends) == 0 && len(t.facts) == 0
}

// verify returns what the search was wrong to rely on, or "". Whatever was
// dropped as spent would have changed nothing later on either; and a state is
// all that its encoding says.
func (l *locals) verify() string {
	ends := l.ends()
	for _, e := range ends {
		if what := l.verifySpent(e.local, e.to.next); what != "" {
			return "dropped, and not " + what
		}
	}
	byLocal := map[uint32][]end{}
	for _, e := range ends {
		byLocal[e.local] = append(byLocal[e.local], e)
	}
	pairs, audited := 0, min(auditedPairs, 100+l.runs/4)
	for _, e := range ends {
		pairs += len(byLocal[e.to.next])
	}
	n, stride := 0, 1+pairs/audited
	for _, first := range ends {
		for _, then := range byLocal[first.to.next] {
			if n++; n%stride == 0 && !l.same(first, then) {
				return fmt.Sprintf("not reproduced: two steps of node %d", l.list[first.local].node+1)
			}
		}
	}
	return ""
}

// auditedPairs is about how many pairs of steps are run again at most.
const auditedPairs = 20_000

// end is an event of a state that was run, and what it did.
type end struct {
	transitionKey
	to *transition
}

// ends returns all steps that were run.
func (l *locals) ends() []end {
	var list []end
	for state := range l.list {
		for msg, t := range l.list[state].after {
			if t != nil {
				list = append(list, end{transitionKey{uint32(state), event{kind: evDeliver, msg: uint32(msg)}}, t})
			}
		}
	}
	for key, t := range l.memo {
		list = append(list, end{key, t})
	}
	slices.SortFunc(list, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.local, b.local), cmp.Compare(a.event.kind, b.event.kind), cmp.Compare(a.event.msg, b.event.msg), cmp.Compare(a.event.arg, b.event.arg))
	})
	return list
}

// same runs a step and one that follows it, from the node's start, and reports
// whether they end as they did. When the second was first run, the node had come
// to its state by other events: if the encoding lacks something, it was in another.
func (l *locals) same(first, then end) bool {
	m := l.replay(first.local)
	node := byte(l.list[first.local].node)
	for _, e := range []end{first, then} {
		if e.to.broken != "" {
			return true
		}
		var out effects
		l.do(m, e.event, &out)
		sends, facts := l.numbers(&out)
		if out.broken != "" || !slices.Equal(sends, e.to.sends) || !slices.Equal(facts, e.to.facts) ||
			string(m.appendState([]byte{node})) != l.list[e.to.next].encoded {
			return false
		}
	}
	return true
}

func (l *locals) verifySpent(state, next uint32) string {
	if next == state {
		return ""
	}
	for i := range len(l.msgs.list) {
		if int(l.msgs.list[i].to)-1 == l.list[state].node && l.spent(state, uint32(i)) && !l.spent(next, uint32(i)) {
			return "spent for ever: " + l.msgs.list[i].text()
		}
	}
	return ""
}
