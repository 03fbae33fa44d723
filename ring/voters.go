package ring

import (
	"cmp"
	"slices"
)

const (
	votersWanted      = 5
	votersWantedZones = 7 // wanted where there are as many zones
)

// VotersWanted returns how many voters a view should have whose members span so
// many zones: most, if it is not 0, else 5, or 7 over 7 zones.
func VotersWanted(zones, most int) int {
	switch {
	case most > 0:
		return min(most, MaxVoters)
	case zones >= votersWantedZones:
		return votersWantedZones
	}
	return votersWanted
}

// chooseVoters keeps the voters but those that leave, adds healthy members up
// to the number wanted, and keeps the number odd: an even set bears no more
// failures than one less. Voters that are merely dead stay; those that are gone
// are replaced, and kept where nobody can take their place. One that leaves keeps
// its vote while the others would have no majority without it: nothing could ever
// be decided again. Nor do voters change while no majority of them is heard: that can
// be decided only when one has come back that was counted as gone.
func (p *planner) chooseVoters() {
	var voters, gone []NodeID
	for _, id := range p.next.Voters {
		switch {
		case p.state(id) == Leaving && id != p.in.Coordinator:
		case p.gone(id):
			gone = append(gone, id)
		default:
			voters = append(voters, id)
		}
	}
	voters = p.addVoters(voters)
	switch {
	case len(voters)%2 == 1:
	case len(gone) > 0 && len(voters) < MaxVoters:
		voters = append(voters, gone[0])
	case !slices.ContainsFunc(voters, p.dead):
		i, _ := p.crowdedVoter(voters)
		voters = slices.Delete(voters, i, i+1)
	}
	voters = p.spreadVoters(voters)
	voters = p.addHeir(voters)
	// The rank of those who stay does not change.
	old := p.next.Voters
	rank := func(id NodeID) int {
		if i := slices.Index(old, id); i >= 0 {
			return i
		}
		return len(old)
	}
	slices.SortStableFunc(voters, func(a, b NodeID) int { return cmp.Compare(rank(a), rank(b)) })
	if !slices.Equal(voters, old) && !(p.majorityHeard(old) && p.majorityHeard(voters)) {
		p.wait("the voters stay as they are: too few of them are heard to do without another")
		return
	}
	p.next.Voters = voters
}

// addVoters adds healthy members, from the zones with the fewest voters first,
// up to the largest odd number that is wanted and possible.
func (p *planner) addVoters(voters []NodeID) []NodeID {
	zones := map[string]bool{}
	possible := len(voters)
	for i := range p.next.Members {
		m := &p.next.Members[i]
		zones[m.Zone] = true
		if p.healthy(m) && !slices.Contains(voters, m.ID) {
			possible++
		}
	}
	wanted := min(VotersWanted(len(zones), p.in.Voters), possible-1+possible%2)
	for len(voters) < wanted {
		voters = append(voters, p.newVoter(voters))
	}
	for p.in.Voters > 0 && len(voters) > wanted && !slices.ContainsFunc(voters, p.dead) {
		i, _ := p.crowdedVoter(voters)
		voters = slices.Delete(voters, i, i+1)
	}
	return voters
}

// retires reports whether the proposer is to give up coordination.
func (p *planner) retires() bool {
	state := p.state(p.in.Coordinator)
	return state == Draining || state == Leaving
}

// up reports whether a member can coordinate, if need be: it may be flapping.
func (p *planner) up(id NodeID) bool { return p.state(id) == Up && !p.dead(id) }

// addHeir adds a voter to take over coordination where the proposer gives it up and
// no other voter is up: only a voter can. The next views have as many as before.
func (p *planner) addHeir(voters []NodeID) []NodeID {
	if !p.retires() || len(voters) == MaxVoters || slices.ContainsFunc(voters, p.up) {
		return voters
	}
	if id := p.newVoter(voters); id != 0 {
		return append(voters, id)
	}
	return voters
}

// newVoter returns the healthy member, not yet a voter, whose zone has the
// fewest voters; 0 if there is none.
func (p *planner) newVoter(voters []NodeID) (best NodeID) {
	least := 0
	for i := range p.next.Members {
		m := &p.next.Members[i]
		if !p.healthy(m) || slices.Contains(voters, m.ID) {
			continue
		}
		if n := p.votersIn(voters, m.Zone); best == 0 || n < least {
			best, least = m.ID, n
		}
	}
	return best
}

func (p *planner) votersIn(voters []NodeID, zone string) (n int) {
	for _, id := range voters {
		if m, _ := p.next.Member(id); m.Zone == zone {
			n++
		}
	}
	return n
}

// crowdedVoter returns the voter, not the proposer, whose zone has the most
// voters, the last of them in rank; -1 if there is none. It is alive.
func (p *planner) crowdedVoter(voters []NodeID) (index, crowd int) {
	index = -1
	for i, id := range voters {
		m, _ := p.next.Member(id)
		if n := p.votersIn(voters, m.Zone); id != p.in.Coordinator && !p.dead(id) && n >= crowd {
			index, crowd = i, n
		}
	}
	return index, crowd
}

// spreadVoters gives the vote of a crowded zone to a zone that has at least two
// fewer, one in a view.
func (p *planner) spreadVoters(voters []NodeID) []NodeID {
	i, crowd := p.crowdedVoter(voters)
	id := p.newVoter(voters)
	if i < 0 || id == 0 {
		return voters
	}
	if m, _ := p.next.Member(id); p.votersIn(voters, m.Zone)+2 <= crowd {
		voters[i] = id
	}
	return voters
}

// chooseCoordinator names the proposer; but one that drains or leaves names the
// first healthy voter, or the first that is up at least: a flapping one is
// better than none, for whoever drains waits for it. Then it gives up its vote.
func (p *planner) chooseCoordinator() {
	p.next.Coordinator = p.in.Coordinator
	if !p.retires() {
		return
	}
	heir := NodeID(0)
	for _, id := range p.next.Voters {
		m, _ := p.next.Member(id)
		if p.healthy(&m) {
			heir = id
			break
		}
		if heir == 0 && p.up(id) {
			heir = id
		}
	}
	if heir == 0 {
		p.wait("no other voter is up to coordinate")
		return
	}
	p.next.Coordinator = heir
}
