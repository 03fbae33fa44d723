package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
	"actormesh/ring"
)

// The coordinator's work: to gather what is known, to have ring.Plan say what to
// do next, and to propose it.

const (
	planDelay    = 5 * time.Millisecond   // facts that come together are planned with together
	joinDelay    = 150 * time.Millisecond // joins that come together, too
	planPeriod   = time.Second            // time itself changes facts
	proposeAgain = 100 * time.Millisecond
	rankDelay    = 150 * time.Millisecond // that each rank waits for the one before it to take over
	quiesceWait  = quiesceLimit + 50*time.Millisecond
	quiesceAgain = 500 * time.Millisecond // after an owner did not quiesce in time; doubles
	joinKept     = 10 * time.Second       // a join that is not repeated
	maxJoins     = 64                     // at a time
	maxDoubles   = 4
)

// planning is the state of a node that coordinates, or would.
type planning struct {
	at       quorum.Instant // of the next look
	waiting  string
	proposed quorum.Version // by this node
	lost     quorum.Instant // since when a majority of voters has not heard the coordinator; 0 if it has
	since    quorum.Instant // this node coordinates; 0 if it does not
	joins    map[quorum.NodeID]pendingJoin
	joinsDue quorum.Instant         // when new members are planned with: a while after the first came
	rowSince []quorum.Instant       // since when each row is as it is
	stuck    map[quorum.SlotID]uint // how often the slot was moved as stuck without becoming active
	asked    map[quorum.SlotID]quiesceAsk
}

type pendingJoin struct {
	joinMessage
	at quorum.Instant
}

type quiesceAsk struct {
	epoch quorum.Epoch
	at    quorum.Instant
	tries uint
}

// deadness is what the coordinator holds of a member.
type deadness struct {
	since  quorum.Instant    // 0 if it lives
	deaths [2]quorum.Instant // the last two times it died, newest first
	back   quorum.Instant    // when it came back last
}

func (d *deadness) begin(now quorum.Instant) {
	if d.since == 0 {
		d.since = now
		d.deaths = [2]quorum.Instant{now, d.deaths[0]}
	}
}

func (d *deadness) over(now quorum.Instant) {
	if d.since != 0 {
		d.since, d.back = 0, now
	}
}

// forget is for who does not coordinate any more, and would not hear of the end.
func (d *deadness) forget() {
	if d.since != 0 {
		d.since, d.deaths = 0, [2]quorum.Instant{d.deaths[1]}
	}
}

// unsteady reports whether the member died twice in a short time and has not
// been steady since.
func (d *deadness) unsteady(now quorum.Instant, steady time.Duration) bool {
	return d.deaths[1] != 0 && d.deaths[0].Sub(d.deaths[1]) < steady && now.Sub(d.back) < steady
}

// rowsChanged notes since when rows are what they are.
func (p *planning) rowsChanged(now quorum.Instant, was, is *ring.View) {
	if len(p.rowSince) != len(is.Slots) {
		p.rowSince = make([]quorum.Instant, len(is.Slots))
	}
	for i := range is.Slots {
		if was == nil || was.Slots[i].Epoch != is.Slots[i].Epoch {
			p.rowSince[i] = now
		}
	}
}

func (c *Control) wantPlan(now quorum.Instant, delay time.Duration) {
	c.plan.at = min(c.plan.at, now.Add(delay))
}

// runPlan takes the next small step, if this node coordinates or has to take
// over, and there is one.
func (c *Control) runPlan(now quorum.Instant) {
	p := &c.plan
	p.at = quorum.Never
	if c.view == nil || !c.out.Registered || !c.view.IsVoter(ring.NodeID(c.self)) {
		return
	}
	p.at = now.Add(planPeriod)
	takesOver := c.view.Coordinator != ring.NodeID(c.self)
	if takesOver {
		p.since, p.waiting = 0, ""
		if due := c.takeOverAt(now); now < due {
			p.at = min(p.at, due)
			for _, o := range c.everybody() {
				o.dead.forget()
			}
			if c.hears(quorum.NodeID(c.view.Coordinator)) || !c.hearsQuorum() {
				c.register.Withdraw() // what it would have taken over with
			}
			return
		}
	} else if p.since == 0 {
		p.since = now
	}
	in := c.gather(now)
	switch {
	case !c.hearsQuorum():
		// What is out would be decided when voters come back, and says what was
		// true when they went.
		c.register.Withdraw()
		p.waiting = "no majority of the voters is heard"
		return
	case c.register.Proposing():
		p.at = now.Add(proposeAgain)
		return
	}
	c.addStuck(now, &in)
	step := ring.Plan(c.view, in)
	p.waiting = step.Waiting
	c.quiesce(now, step.Quiesce, in.Quiesced)
	if step.Next == nil {
		return
	}
	if due := c.quiescedAt(now, in.Quiesced); !takesOver && !c.urgent(in.Dead) && now < due {
		p.at = min(p.at, due)
		return
	}
	c.propose(now, step.Next)
}

// urgent reports whether a slot's owner is dead.
func (c *Control) urgent(dead map[ring.NodeID]bool) bool {
	return slices.ContainsFunc(c.view.Slots, func(r ring.Row) bool { return dead[r.Owner()] })
}

func (c *Control) propose(now quorum.Instant, next *ring.View) {
	d := quorum.Decree{
		Version: quorum.Version{Incarnation: uint32(next.Incarnation), Epoch: quorum.Epoch(next.Epoch)},
		Voters:  toQuorum(next.Voters),
		Body:    next.Encode(),
	}
	for i := range next.Members {
		id := quorum.NodeID(next.Members[i].ID)
		start := quorum.Start{Node: id}
		if !isMember(c.view, id) {
			start = c.plan.joins[id].Start
		}
		d.Starts = append(d.Starts, start)
	}
	if err := c.register.Propose(now, d); err != nil {
		c.plan.waiting = err.Error()
		c.plan.at = now.Add(proposeAgain)
		return
	}
	c.plan.proposed = d.Version
}

// takeOverAt returns when this voter is to take over coordination: when a
// majority of the voters, itself among them, has not heard the coordinator, and
// those of a higher rank had their time to do so.
func (c *Control) takeOverAt(now quorum.Instant) quorum.Instant {
	coordinator := quorum.NodeID(c.view.Coordinator)
	missing, rank, before := 0, 0, true
	for _, id := range toQuorum(c.view.Voters) {
		p := c.peers[id]
		switch {
		case id == coordinator:
		case id == c.self:
			before = false
			if !c.hears(coordinator) {
				missing++
			}
		case p == nil || p.silent:
		default:
			if before {
				rank++
			}
			if p.lifeOf(coordinator) == dead {
				missing++
			}
		}
	}
	if c.hears(coordinator) || missing < quorum.Majority(len(c.view.Voters)) {
		c.plan.lost = 0
		return quorum.Never
	}
	if c.plan.lost == 0 {
		c.plan.lost = now
	}
	return c.plan.lost.Add(time.Duration(rank) * rankDelay)
}

// gather collects the facts for ring.Plan.
func (c *Control) gather(now quorum.Instant) ring.Input {
	in := ring.Input{
		Coordinator: ring.NodeID(c.self), Voters: c.cfg.Voters,
		Joins: c.joins(now),
		Dead:  map[ring.NodeID]bool{}, Gone: map[ring.NodeID]bool{},
		Unsteady: map[ring.NodeID]bool{}, Unknown: map[ring.NodeID]bool{},
		Active:   map[ring.SlotID]ring.Epoch{},
		Stuck:    map[ring.SlotID]bool{},
		CaughtUp: map[ring.SlotID][]ring.NodeID{},
		Progress: map[ring.SlotID]map[ring.NodeID]ring.Position{},
		Quiesced: map[ring.SlotID]bool{},
	}
	for _, p := range c.everybody() {
		id := ring.NodeID(p.id)
		if p.gone != 0 {
			continue
		}
		life := c.judgeLife(now, p)
		switch life {
		case alive:
			p.dead.over(now)
		case dead:
			p.dead.begin(now)
			in.Dead[id] = true
			in.Gone[id] = now.Sub(p.dead.since) >= c.cfg.Grace
		}
		in.Unsteady[id] = p.dead.unsteady(now, c.cfg.Steady)
		in.Unknown[id] = p.facts == nil || p.silent && life != dead // what it serves is not told here
		if p.facts != nil {
			quiesced := p.facts.Quiesced
			if now.Sub(p.factsAt) >= quiescedFor {
				quiesced = nil
			}
			c.addFacts(&in, p.id, p.facts, quiesced)
		}
	}
	own := c.ownFacts(now)
	c.addFacts(&in, c.self, own, own.Quiesced)
	return in
}

// life is what is known of a member.
type life uint8

const (
	alive life = iota
	dead
	unclear // nobody who would know has listened for long enough
)

// judgeLife says whether a member is dead: this node does not hear it, nor does
// anybody who shares a slot with it and is heard. So a member that only this node
// cannot reach keeps what it has; it is not clear where those who would know cannot tell
// yet. Nor is it dead before it is known who could take over best. Who is Down already
// stays so until this node hears him, for he could not tell it what he serves; and that
// somebody does not miss him may only say that he did not listen. So does who was found
// dead and drains or leaves, which the view goes on to say of him.
func (c *Control) judgeLife(now quorum.Instant, p *peer) life {
	if !p.silent {
		return alive
	}
	if wait, waits := c.report.awaits(p.id); waits && now < wait {
		c.plan.at = min(c.plan.at, wait)
		return alive
	}
	if mutant.On(mutant.DeafCoordinator) {
		return dead
	}
	id := ring.NodeID(p.id)
	if m, _ := c.view.Member(id); m.State == ring.Down || m.State != ring.Up && p.dead.since != 0 {
		return dead
	}
	near := map[quorum.NodeID]bool{}
	for i := range c.view.Slots {
		if row := &c.view.Slots[i]; row.Names(id) {
			eachNode(row, func(n quorum.NodeID) { near[n] = true })
		}
	}
	found := dead
	for _, o := range c.everybody() {
		if o == p || o.silent || o.gone != 0 || !near[o.id] {
			continue
		}
		switch o.lifeOf(p.id) {
		case alive:
			return alive
		case unclear:
			found = unclear
		}
	}
	return found
}

// lifeOf returns what p says of another member. Only what it has told since it was heard
// again counts.
func (p *peer) lifeOf(id quorum.NodeID) life {
	switch {
	case p.facts == nil || p.factsAt < p.back || slices.Contains(p.facts.Unsure, id):
		return unclear
	case slices.Contains(p.facts.Unheard, id):
		return dead
	}
	return alive
}

// addFacts adds what one node knows, where it is about the rows of this view.
func (c *Control) addFacts(in *ring.Input, from quorum.NodeID, f *facts, quiesced []slotBallot) {
	row := func(s quorum.SlotID, epoch quorum.Epoch) *ring.Row {
		if int(s) >= len(c.view.Slots) || c.view.Slots[s].Epoch != ring.Epoch(epoch) && !mutant.On(mutant.StaleReport) {
			return nil
		}
		return &c.view.Slots[s]
	}
	owns := func(r *ring.Row) bool { return r != nil && r.Owner() == ring.NodeID(from) }
	for _, s := range f.Active {
		if r := row(s.Slot, s.Ballot.Epoch); owns(r) {
			in.Active[ring.SlotID(s.Slot)] = r.Epoch
		}
	}
	for _, s := range quiesced {
		if owns(row(s.Slot, s.Ballot.Epoch)) {
			in.Quiesced[ring.SlotID(s.Slot)] = true
		}
	}
	for _, s := range f.CaughtUp {
		if owns(row(s.Slot, s.Epoch)) {
			in.CaughtUp[ring.SlotID(s.Slot)] = append(in.CaughtUp[ring.SlotID(s.Slot)], ring.NodeID(s.Node))
		}
	}
	for _, s := range f.Positions {
		of := in.Progress[ring.SlotID(s.Slot)]
		if of == nil {
			of = map[ring.NodeID]ring.Position{}
			in.Progress[ring.SlotID(s.Slot)] = of
		}
		of[ring.NodeID(from)] = ring.Position{
			Epoch: ring.Epoch(s.Last.Ballot.Epoch), Boot: uint64(s.Last.Ballot.Boot), LSN: uint64(s.Last.LSN),
		}
	}
}

// addStuck adds the slots whose owners live and have not become active, each
// time after a longer wait.
func (c *Control) addStuck(now quorum.Instant, in *ring.Input) {
	p := &c.plan
	for i := range c.view.Slots {
		s, row := quorum.SlotID(i), &c.view.Slots[i]
		if in.Active[ring.SlotID(s)] == row.Epoch {
			delete(p.stuck, s)
			continue
		}
		tries := p.stuck[s]
		wait := c.cfg.Stuck << min(tries, maxDoubles)
		if since := max(p.rowSince[i], p.since); p.since == 0 || in.Dead[row.Owner()] || now < since.Add(wait) {
			continue
		}
		in.Stuck[ring.SlotID(s)] = true
		put(&p.stuck, s, tries+1)
		p.rowSince[i] = now
	}
}

// joins returns the members that have changed, and when it is time those that
// join, ascending.
func (c *Control) joins(now quorum.Instant) []ring.Member {
	var list []ring.Member
	p := &c.plan
	maps.DeleteFunc(p.joins, func(_ quorum.NodeID, j pendingJoin) bool {
		return now.Sub(j.at) > joinKept || c.shows(&j.Member) || c.hasLeft(&j.joinMessage)
	})
	for id, j := range p.joins {
		if now >= p.joinsDue || isMember(c.view, id) {
			list = append(list, j.Member)
		}
	}
	if now < p.joinsDue {
		p.at = min(p.at, p.joinsDue)
	}
	slices.SortFunc(list, func(a, b ring.Member) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// quiesce asks the owners of slots that are about to move to stop turns.
func (c *Control) quiesce(now quorum.Instant, slots []ring.SlotID, done map[ring.SlotID]bool) {
	p := &c.plan
	messages := map[quorum.NodeID]*quiesceMessage{}
	for _, s := range slots {
		slot, row := quorum.SlotID(s), &c.view.Slots[s]
		ask := p.asked[slot]
		if ask.epoch != quorum.Epoch(row.Epoch) {
			ask = quiesceAsk{epoch: quorum.Epoch(row.Epoch)}
		}
		if done[s] || ask.at != 0 && now < ask.at.Add(quiesceWait+quiesceAgain<<min(ask.tries, maxDoubles)) {
			continue
		}
		if ask.at != 0 {
			ask.tries++
		}
		ask.at = now
		put(&p.asked, slot, ask)
		owner := quorum.NodeID(row.Owner())
		if messages[owner] == nil {
			messages[owner] = &quiesceMessage{}
		}
		messages[owner].Slots = append(messages[owner].Slots, slotEpoch{slot, ask.epoch})
	}
	for _, owner := range slices.Sorted(maps.Keys(messages)) {
		if owner == c.self {
			c.stepQuiesce(quorum.NodeID(c.view.Coordinator), messages[owner])
		} else {
			c.send(owner, ControlQuiesce, messages[owner].encode())
		}
	}
}

// quiescedAt returns until when the slots that were asked for should be waited
// for, so that they move together; now or earlier if none is.
func (c *Control) quiescedAt(now quorum.Instant, done map[ring.SlotID]bool) quorum.Instant {
	due := now
	maps.DeleteFunc(c.plan.asked, func(s quorum.SlotID, ask quiesceAsk) bool {
		return ask.epoch != quorum.Epoch(c.view.Slots[s].Epoch)
	})
	for s, ask := range c.plan.asked {
		if wait := ask.at.Add(quiesceWait); !done[ring.SlotID(s)] && wait > due {
			due = wait
		}
	}
	return due
}

// stepQuiesce has the shards stop the turns of slots, if it is the coordinator
// who asks for it and this node still owns them.
func (c *Control) stepQuiesce(from quorum.NodeID, m *quiesceMessage) {
	if c.view == nil || from != quorum.NodeID(c.view.Coordinator) {
		return
	}
	for _, s := range m.Slots {
		if int(s.Slot) >= len(c.view.Slots) {
			continue
		}
		row := &c.view.Slots[s.Slot]
		if row.Owner() == ring.NodeID(c.self) && quorum.Epoch(row.Epoch) == s.Epoch {
			c.out.Quiesce = append(c.out.Quiesce, s.Slot)
		}
	}
}
