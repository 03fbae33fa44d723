package ring

import (
	"fmt"
	"slices"

	"actormesh/quorum/mutant"
)

// Bounds on what one view may change, so that most slots serve at any time. A
// failover is not bounded: what it moves does not serve anyhow.
const (
	maxHandovers       = 32 // planned changes of owners in one view
	maxLearnersPerNode = 16 // slots that one node copies at a time
)

// Input is what the coordinator knows beside the view. Nil maps are empty.
// Nodes that are no members are ignored.
type Input struct {
	// Coordinator is the proposer, a voter: the next view names it. It counts as
	// alive.
	Coordinator NodeID
	// Voters is how many voters there should be, odd; 0 for what VotersWanted
	// says.
	Voters int
	// Joins are new members, and members with something new about them: an
	// address, a zone, kinds, a state. Those given together are planned
	// together. State Down means Up here; Dead decides.
	Joins []Member

	Dead     map[NodeID]bool // confirmed unreachable: what they own must move now
	Gone     map[NodeID]bool // dead beyond the grace: replicas and votes are replaced
	Unsteady map[NodeID]bool // flapped recently: keep what they have, get no more
	// Unknown are members that have told the coordinator nothing yet, in this start
	// of either, or that it does not hear, while others do, or cannot tell yet: they
	// are not dead, but may be. They get nothing, and no change is
	// planned that needs them.
	Unknown map[NodeID]bool

	// Active is the slot epoch at which each slot's owner last reported that it
	// is active. From is dropped, and a planned change begins, only where this
	// is the row's epoch.
	Active map[SlotID]Epoch
	// Stuck are slots whose owner is alive and did not become active in time.
	Stuck map[SlotID]bool
	// CaughtUp are the learners that have copied their slot.
	CaughtUp map[SlotID][]NodeID
	// Progress is how far each replica's log is known to reach.
	Progress map[SlotID]map[NodeID]Position
	// Quiesced are slots whose owner has stopped its turns and committed them,
	// because an earlier Step asked for it.
	Quiesced map[SlotID]bool
}

// Step is what to do next.
type Step struct {
	// Next is the view to propose, nil if there is none: the view planned for,
	// one epoch later.
	Next *View
	// Quiesce are slots, ascending, whose owners are to stop new turns and
	// commit the running ones: then their ownership can move.
	Quiesce []SlotID
	// Waiting says what keeps the table from being as placement wants it, where
	// Next is nil. It is for people.
	Waiting string
}

// Plan returns the next small step from what is to what should be. v is valid
// and is not modified. Repeated, with each Next adopted and the facts kept up to
// date, it comes to a view whose table is what Place returns for it, and stays.
//
// A view either moves slots away from owners that died or are stuck, all of
// them at once, or makes planned changes. A planned change waits until the
// slot's owner is active with no earlier set left to seal, so that there is one
// at a time for each slot.
func Plan(v *View, in Input) Step {
	if !v.IsVoter(in.Coordinator) {
		return Step{Waiting: fmt.Sprintf("the proposer %s is no voter", in.Coordinator)}
	}
	p := &planner{was: v, next: v.Clone(), in: in, epoch: v.Epoch + 1}
	p.updateMembers()
	p.chooseVoters()
	p.chooseCoordinator()
	p.dropFrom()
	p.owned = make(map[NodeID]int, len(p.next.Members))
	for s := range p.next.Slots {
		p.owned[p.next.Slots[s].Owner()]++
	}
	if !p.failOver() {
		p.movePlanned()
	}
	p.removeLeft()
	step := Step{Quiesce: p.quiesce}
	slices.Sort(step.Quiesce)
	if p.next.equal(v) {
		step.Waiting = p.waiting
		return step
	}
	p.next.Epoch = p.epoch
	step.Next = p.next
	return step
}

// planner holds one call of Plan.
type planner struct {
	was     *View
	next    *View // in the making; its epoch is set last
	in      Input
	epoch   Epoch          // of next
	owned   map[NodeID]int // slots that each member owns in next
	quiesce []SlotID
	waiting string // the first reason
}

func (p *planner) wait(format string, args ...any) {
	if p.waiting == "" {
		p.waiting = fmt.Sprintf(format, args...)
	}
}

func (p *planner) dead(id NodeID) bool {
	return id != p.in.Coordinator && (p.in.Dead[id] || p.in.Gone[id])
}

func (p *planner) gone(id NodeID) bool { return id != p.in.Coordinator && p.in.Gone[id] }

func (p *planner) unknown(id NodeID) bool {
	return id != p.in.Coordinator && p.in.Unknown[id] && !mutant.On(mutant.UnheardCounts)
}

func (p *planner) state(id NodeID) MemberState {
	m, ok := p.next.Member(id)
	if !ok {
		panic("ring: the view names " + id.String() + ", which is no member")
	}
	return m.State
}

// healthy reports whether a member may be given something.
func (p *planner) healthy(m *Member) bool {
	return m.State == Up && !p.dead(m.ID) && !p.in.Unsteady[m.ID] && !p.unknown(m.ID)
}

// dropFrom forgets the earlier sets of slots whose owner is active: a majority
// of the set then holds everything that an earlier set could have committed.
func (p *planner) dropFrom() {
	for s := range p.next.Slots {
		row := &p.next.Slots[s]
		if len(row.From) > 0 && (p.active(s) || mutant.On(mutant.FromClearedEarly)) {
			row.From = nil
		}
	}
}

// active reports whether the owner that the view names is known to serve.
func (p *planner) active(s int) bool {
	return p.in.Active[SlotID(s)] == p.was.Slots[s].Epoch
}
