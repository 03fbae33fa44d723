package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

const (
	askAgain    = 20 * time.Millisecond // for a newer view
	forgetPeers = 2 * time.Second       // after they were removed: they must hear of it
	forgetStray = 30 * time.Second      // after a node that is no member was last heard of
	// Up to so many members everybody hears everybody, and knows what everybody
	// knows; beyond, only those who share a slot, and the voters.
	smallMesh = 16
	maxStrays = 256
)

// peer is another member, as this node sees it.
type peer struct {
	id        quorum.NodeID
	addr      string // newer than the view's, or empty
	target    bool   // this node heartbeats it
	wanted    bool   // something should come from it
	silent    bool   // it does not
	heard     quorum.Instant
	everHeard bool           // since this node was started, or began to listen
	back      quorum.Instant // since when it is not silent any more; 0 if it never was
	boot      quorum.Boot
	skew      time.Duration // of its wall clock, against this node's
	facts     *facts        // what it told last, nil for nothing in this boot
	factsAt   quorum.Instant
	active    map[quorum.SlotID]quorum.Epoch // of facts.Active
	dead      deadness
	gone      quorum.Instant // it was removed, and is to be forgotten then; 0 for a member
}

// adopt takes a view that the register has learned.
func (c *Control) adopt(now quorum.Instant, d *quorum.Decree) {
	view, err := c.checkView(d)
	if err != nil {
		c.stop(err) // decided by a majority, and not to be understood
		return
	}
	c.install(now, view)
	if view.Coordinator == ring.NodeID(c.self) || c.plan.proposed == d.Version {
		for _, p := range c.everybody() {
			c.sendView(p.id)
		}
	}
}

// install makes a view the one that this node acts by.
func (c *Control) install(now quorum.Instant, view *ring.View) {
	c.plan.rowsChanged(now, c.view, view)
	c.view, c.seen, c.founding = view, nil, nil
	c.saving.found = nil
	c.out.View = view
	if own, ok := view.Member(ring.NodeID(c.self)); ok && own.State == ring.Leaving {
		c.retire.state, c.retire.at = ring.Leaving, now // what was begun before a restart, too
	} else if !ok {
		c.retire.removed, c.retire.at = true, now
	}
	c.joining.admitted(now)
	for i := range view.Members {
		m := &view.Members[i]
		id := quorum.NodeID(m.ID)
		if id == c.self {
			continue
		}
		p := c.peers[id]
		if p == nil {
			p = &peer{id: id, heard: now}
			c.peers[id], c.order = p, nil
		}
		p.gone = 0
		delete(c.strays, id)
		if p.addr == m.Addr {
			p.addr = ""
		}
		addr := m.Addr
		if p.addr != "" {
			addr = p.addr
		}
		c.route(id, m.Name, addr)
	}
	for _, p := range c.everybody() {
		if p.gone == 0 && !isMember(view, p.id) {
			p.gone = now.Add(forgetPeers)
			p.target, p.wanted = false, false
		}
	}
	c.chooseTargets(now)
	c.report.rowsChanged(view)
	c.report.last = nil // there may be somebody new to tell
	c.wantReport(now)
	c.wantPlan(now, 0)
	c.beats.next = min(c.beats.next, now)
}

// everybody returns all peers, ascending. The list stays as it is while peers come
// and go.
func (c *Control) everybody() []*peer {
	if c.order == nil {
		c.order = slices.SortedFunc(maps.Values(c.peers), func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	}
	return c.order
}

// chooseTargets works out who is heartbeaten, and who should be heard: those who
// share a slot with this node, voters and the coordinator.
func (c *Control) chooseTargets(now quorum.Instant) {
	v := c.view
	near := map[quorum.NodeID]bool{quorum.NodeID(v.Coordinator): true}
	for _, id := range v.Voters {
		near[quorum.NodeID(id)] = true
	}
	for i := range v.Slots {
		if v.Slots[i].Names(ring.NodeID(c.self)) {
			eachNode(&v.Slots[i], func(id quorum.NodeID) { near[id] = true })
		}
	}
	central := v.IsVoter(ring.NodeID(c.self)) || len(v.Members) <= smallMesh
	for _, p := range c.everybody() {
		if p.gone != 0 {
			continue
		}
		p.target = near[p.id] || len(v.Members) <= smallMesh
		if wanted := p.target || central; wanted != p.wanted {
			// Who is Down has been found so by those who listened; to begin to
			// listen is no sign of life.
			m, _ := v.Member(ring.NodeID(p.id))
			p.wanted, p.silent = wanted, wanted && m.State == ring.Down
			p.heard, p.everHeard = now, false
		}
	}
}

// eachNode calls f with every node that a row names.
func eachNode(r *ring.Row, f func(quorum.NodeID)) {
	for _, set := range append([][]ring.NodeID{r.Replicas, r.Learners}, r.From...) {
		for _, id := range set {
			f(quorum.NodeID(id))
		}
	}
}

// sendView tells a node of the newest view.
func (c *Control) sendView(to quorum.NodeID) {
	d := c.register.View()
	m := quorum.RegisterMessage{Kind: quorum.RegisterLearn, Version: d.Version, View: *d}
	c.send(to, ControlRegister, m.AppendTo(nil))
}

// Behind says that somebody knows a view of this epoch or a newer one: from, or
// anybody if it is 0.
func (c *Control) Behind(now quorum.Instant, from quorum.NodeID, epoch quorum.Epoch) {
	if c.view == nil || epoch <= quorum.Epoch(c.view.Epoch) || now < c.joining.askedView.Add(askAgain) {
		return
	}
	c.joining.askedView = now
	if from == 0 {
		from = quorum.NodeID(c.view.Coordinator)
	}
	m := quorum.RegisterMessage{Kind: quorum.RegisterAsk, Version: c.register.View().Version}
	c.send(from, ControlRegister, m.AppendTo(nil))
}

// see notes a mesh in which this node is no member yet.
func (c *Control) see(now quorum.Instant, view *ring.View) {
	if c.seen == nil {
		c.joining.at = min(c.joining.at, now) // there is somebody to ask, at last
	}
	if c.seen == nil || view.Epoch > c.seen.Epoch {
		c.seen = view
	}
	if c.founding != nil && c.founding.Agreed() {
		c.stop(errAgreed)
		return
	}
	c.founding = nil
}

// stepView takes the view that somebody answered with.
func (c *Control) stepView(now quorum.Instant, m *viewMessage) error {
	view, err := c.checkView(&m.View)
	if err != nil {
		c.joining.trouble = m.From.Name + ": " + err.Error()
		return err
	}
	c.joining.trouble, c.joining.refusal = "", ""
	c.foundAt(now, &m.From)
	if c.view == nil && !isMember(view, c.self) {
		c.see(now, view)
		return nil
	}
	c.register.Adopt(now, m.View)
	return nil
}

// foundAt notes where a node is: a member, or one that would be.
func (c *Control) foundAt(now quorum.Instant, m *ring.Member) {
	id := quorum.NodeID(m.ID)
	if id == c.self || m.Addr == "" {
		return
	}
	p := c.peers[id]
	if p == nil {
		if len(c.strays) >= maxStrays && c.routes[id] == "" {
			return
		}
		c.strays[id] = now
	} else if c.view != nil {
		if known, ok := c.view.Member(m.ID); ok {
			p.addr = ""
			if known.Addr != m.Addr {
				p.addr = m.Addr
			}
		}
	}
	c.route(id, m.Name, m.Addr)
}
