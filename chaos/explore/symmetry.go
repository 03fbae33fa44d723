package explore

import (
	"cmp"
	"slices"

	"actormesh/quorum"
)

// symmetric is a model in which some nodes are alike: exchanged in all that they
// do and are told, they do the same. Of worlds that differ by such an exchange
// the search keeps one. That the code does treat them alike is verified when the
// search has ended, for every step that was run.
type symmetric interface {
	// alike returns the nodes that may be exchanged, by their places.
	alike() []int
	// renamed returns the message, or the fact, as it is after an exchange.
	renamed(m *message, to func(quorum.NodeID) quorum.NodeID) message
	renamedFact(f *fact, to func(quorum.NodeID) quorum.NodeID) fact
}

// exchange is one permutation of nodes, and what it makes of everything that has
// a number. A state's image is found by running the images of its events.
type exchange struct {
	s      *search
	model  symmetric
	nodes  []int // where each goes
	locals []uint32
	msgs   []uint32
	facts  []uint32
	nets   []uint32
	sets   []uint32
}

// exchanges returns all permutations of the model's nodes that are alike but the
// one that changes nothing.
func (s *search) newExchanges() []*exchange {
	m, ok := s.model.(symmetric)
	if !ok {
		return nil
	}
	var list []*exchange
	alike := m.alike()
	permute(slices.Clone(alike), 0, func(p []int) {
		if slices.Equal(p, alike) {
			return
		}
		x := &exchange{s: s, model: m}
		for i := range s.model.nodes() {
			x.nodes = append(x.nodes, i)
		}
		for i, node := range alike {
			x.nodes[node] = p[i]
		}
		list = append(list, x)
	})
	return list
}

func permute(p []int, n int, emit func([]int)) {
	if n >= len(p)-1 {
		emit(p)
		return
	}
	for i := n; i < len(p); i++ {
		p[n], p[i] = p[i], p[n]
		permute(p, n+1, emit)
		p[n], p[i] = p[i], p[n]
	}
}

func (x *exchange) to(id quorum.NodeID) quorum.NodeID { return quorum.NodeID(x.nodes[id-1] + 1) }

// image returns the number's image, which is made if it is not known.
func image(known *[]uint32, n uint32, make func() uint32) uint32 {
	for int(n) >= len(*known) {
		*known = append(*known, 0)
	}
	if at := (*known)[n]; at > 0 {
		return at - 1
	}
	made := make()
	(*known)[n] = made + 1
	return made
}

func (x *exchange) local(n uint32) uint32 {
	return image(&x.locals, n, func() uint32 {
		l := &x.s.locals.list[n]
		if l.parent == n {
			return x.s.worlds[0].locals[x.nodes[l.node]]
		}
		parent, e := l.parent, l.event
		return x.s.locals.run(x.local(parent), x.event(e)).next
	})
}

func (x *exchange) event(e event) event {
	if e.kind == evDeliver {
		e.msg = x.msg(e.msg)
	}
	return e
}

func (x *exchange) msg(n uint32) uint32 {
	return image(&x.msgs, n, func() uint32 {
		m := x.model.renamed(&x.s.locals.msgs.list[n], x.to)
		return x.s.locals.msgs.number(m.key, m)
	})
}

func (x *exchange) fact(n uint32) uint32 {
	return image(&x.facts, n, func() uint32 {
		f := x.model.renamedFact(&x.s.locals.facts.list[n], x.to)
		return x.s.locals.facts.number(f.key, f)
	})
}

// all returns the sorted images of a list.
func all(list []uint32, one func(uint32) uint32) []uint32 {
	var images []uint32
	for _, n := range list {
		images = append(images, one(n))
	}
	slices.Sort(images)
	return images
}

// world returns the world after the exchange.
func (x *exchange) world(w *world) world {
	y := *w
	for i, to := range x.nodes {
		y.locals[to] = x.local(w.locals[i])
	}
	y.net = image(&x.nets, w.net, func() uint32 { return x.s.nets.number(all(x.s.nets.list[w.net], x.msg)) })
	y.facts = image(&x.sets, w.facts, func() uint32 { return x.s.factSet.number(all(x.s.factSet.list[w.facts], x.fact)) })
	return y
}

// canonical returns the one of the world's images that stands for all.
func (s *search) canonical(w world) world {
	best := w
	for _, x := range s.exchanges {
		if y := x.world(&w); y.compare(&best) < 0 {
			best = y
		}
	}
	return best
}

func (w *world) compare(v *world) int {
	return cmp.Or(slices.Compare(w.locals[:], v.locals[:]), cmp.Compare(w.net, v.net), cmp.Compare(w.facts, v.facts))
}

// verifyAlike returns what an exchange does not keep, or "": the image of what a
// step does must be what the image of the step does.
func (s *search) verifyAlike() string {
	if len(s.exchanges) == 0 {
		return ""
	}
	for _, e := range s.locals.ends() {
		for _, x := range s.exchanges {
			t := s.locals.run(x.local(e.local), x.event(e.event))
			if t.next != x.local(e.to.next) || !slices.Equal(t.sends, all(e.to.sends, x.msg)) || !slices.Equal(t.facts, all(e.to.facts, x.fact)) || t.broken != "" {
				return "not alike: two nodes of which one does what the other would not"
			}
		}
	}
	return ""
}
