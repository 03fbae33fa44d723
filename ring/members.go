package ring

import (
	"cmp"
	"slices"

	"actormesh/quorum/mutant"
)

func sortMembers(members []Member) {
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
}

// updateMembers takes in who joined or changed, and marks who is dead. Who leaves
// does so for good: a process that has not heard of it yet says otherwise.
func (p *planner) updateMembers() {
	for _, m := range p.in.Joins {
		m = m.normal()
		if err := m.validate(); err != nil {
			p.wait("%v", err)
			continue
		}
		i, known := p.next.index(m.ID)
		switch {
		case known:
			if p.next.Members[i].State == Leaving {
				m.State = Leaving
			}
			p.next.Members[i] = m
		case mutant.On(mutant.JoinIgnored):
		case len(p.next.Members) == MaxMembers:
			p.wait("%d members are the most there can be", MaxMembers)
		default:
			p.next.Members = slices.Insert(p.next.Members, i, m)
		}
	}
	for i := range p.next.Members {
		m := &p.next.Members[i]
		switch {
		case p.gone(m.ID) && p.replacedDisk(m):
			m.State = Leaving
		case m.State == Up && p.dead(m.ID):
			m.State = Down
		case m.State == Down && !p.dead(m.ID):
			m.State = Up
		}
	}
}

// replacedDisk reports whether a node of the same name lives, and stays, with another
// data directory, so that this one is not waited for.
func (p *planner) replacedDisk(m *Member) bool {
	return m.Name != "" && slices.ContainsFunc(p.next.Members, func(o Member) bool {
		return o.ID != m.ID && o.Name == m.Name && o.State != Leaving && !p.dead(o.ID)
	})
}

// removeLeft removes leaving members that nothing names any more.
func (p *planner) removeLeft() {
	p.next.Members = slices.DeleteFunc(p.next.Members, func(m Member) bool {
		return m.State == Leaving && !p.next.IsVoter(m.ID) &&
			!slices.ContainsFunc(p.next.Slots, func(r Row) bool { return r.Names(m.ID) })
	})
}
