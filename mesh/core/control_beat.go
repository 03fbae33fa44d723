package core

import (
	"maps"
	"math"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// Heartbeat is a heartbeat or the answer to one, from a peer or to it.
type Heartbeat struct {
	Peer   quorum.NodeID
	Answer bool
	// Boot and Epoch are the sender's. In a heartbeat the epoch is the highest
	// that all of its shards have adopted, in an answer the highest that it
	// knows.
	Boot         quorum.Boot
	AnsweredBoot quorum.Boot // of an answer: from the heartbeat
	Epoch        quorum.Epoch
	Sent         quorum.Instant // of the clock of who sent the heartbeat
	Granted      bool           // of an answer: it is a lease
	Skew         time.Duration  // of one that came: how far the sender's wall clock is ahead of this node's
}

// BeatHeard asks every shard whether a heartbeat is to be answered with a lease.
type BeatHeard struct {
	From  quorum.NodeID
	Boot  quorum.Boot
	Epoch quorum.Epoch
	Seq   uint64
}

// LeaseAnswer says that a peer answered the heartbeat that was sent at Sent with
// a lease.
type LeaseAnswer struct {
	Peer quorum.NodeID
	Sent quorum.Instant
}

// beats is the state of hearing and being heard.
type beats struct {
	sendAt  quorum.Instant
	next    quorum.Instant // when something is to be done
	seq     uint64
	pending map[quorum.NodeID]*pendingBeat // of each peer the newest that came
}

// pendingBeat is a heartbeat, and how far the shards have judged it.
type pendingBeat struct {
	seq     uint64
	left    int // shards that have not
	granted bool
	answer  Heartbeat
}

// shards is what the shards have adopted.
type shards struct {
	adopted []quorum.Epoch
}

func newShards(n int) shards { return shards{make([]quorum.Epoch, n)} }

// lowest is the epoch that all have adopted.
func (s *shards) lowest() quorum.Epoch {
	if mutant.On(mutant.EpochAhead) {
		return slices.Max(s.adopted)
	}
	low := quorum.Epoch(math.MaxUint64)
	for _, e := range s.adopted {
		low = min(low, e)
	}
	return low
}

// Adopted says that a shard has adopted the rows of a view.
func (c *Control) Adopted(now quorum.Instant, shard int, epoch quorum.Epoch) {
	was := c.shards.lowest()
	c.shards.adopted[shard] = max(c.shards.adopted[shard], epoch)
	if c.shards.lowest() > was {
		// What it says now may release a seal that waits.
		c.beats.sendAt, c.beats.next = now, now
		c.tickBeats(now)
	}
}

// Beat takes a heartbeat, or an answer.
func (c *Control) Beat(now quorum.Instant, h Heartbeat) {
	if c.stopped != nil || c.view == nil || h.Peer == c.self {
		return
	}
	if start, ok := c.register.StartOf(h.Peer); ok && h.Boot < start.Boot {
		m := quorum.RegisterMessage{Kind: quorum.RegisterRefused, Version: c.register.View().Version, Start: start}
		c.send(h.Peer, ControlRegister, m.AppendTo(nil))
		return
	}
	c.Behind(now, h.Peer, h.Epoch)
	p := c.peers[h.Peer]
	switch {
	case p == nil:
		c.sendView(h.Peer) // it was removed, and has not heard of it
		return
	case h.Boot < p.boot:
		return
	case h.Boot > p.boot:
		p.boot = h.Boot
		if p.facts != nil && p.facts.Boot < h.Boot {
			p.facts, p.active = nil, nil
		}
	}
	c.hear(now, p)
	p.skew = h.Skew
	switch {
	case !h.Answer:
		c.judge(p.id, &h)
	case (h.AnsweredBoot == c.cfg.Start.Boot || mutant.On(mutant.OldBootLease)) && h.Granted && h.Sent <= now:
		c.out.Leases = append(c.out.Leases, LeaseAnswer{p.id, h.Sent})
	}
	c.settle(now)
}

// judge asks the shards about a heartbeat.
func (c *Control) judge(from quorum.NodeID, h *Heartbeat) {
	b := &c.beats
	b.seq++
	p := b.pending[from]
	if p == nil {
		p = &pendingBeat{}
		put(&b.pending, from, p)
	}
	*p = pendingBeat{
		seq: b.seq, left: len(c.shards.adopted), granted: true,
		answer: Heartbeat{Peer: from, Answer: true, AnsweredBoot: h.Boot, Sent: h.Sent},
	}
	c.out.Hears = append(c.out.Hears, BeatHeard{from, h.Boot, h.Epoch, b.seq})
}

// Verdict takes what one shard says to a BeatHeard. When all have, the heartbeat
// is answered: with a lease if all say so.
func (c *Control) Verdict(v BeatVerdict) {
	b := c.beats.pending[v.From]
	if b == nil || b.seq != v.Seq || b.left == 0 {
		return // a newer heartbeat came, or it has been answered
	}
	b.left--
	b.granted = b.granted && v.Granted
	if b.left > 0 {
		return
	}
	b.answer.Boot, b.answer.Granted = c.cfg.Start.Boot, b.granted
	b.answer.Epoch = quorum.Epoch(c.view.Epoch)
	c.out.Beats = append(c.out.Beats, b.answer)
}

// hear notes that something came from a peer.
func (c *Control) hear(now quorum.Instant, p *peer) {
	p.heard = now
	if !p.everHeard {
		p.everHeard = true
		c.wantReport(now)
	}
	if !p.silent {
		return
	}
	p.silent, p.back = false, now
	p.dead.over(now)
	c.wantReport(now)
	c.wantPlan(now, 0)
}

// hears reports whether something comes from a member from which it should.
func (c *Control) hears(id quorum.NodeID) bool {
	p := c.peers[id]
	return p != nil && !p.silent
}

// hasHeard reports whether a member is heard, and not only not missed yet by a node
// that has just begun to listen.
func (c *Control) hasHeard(id quorum.NodeID) bool { return c.hears(id) && c.peers[id].everHeard }

// hearsQuorum reports whether a majority of the voters is heard, this node among them.
func (c *Control) hearsQuorum() bool {
	heard := 0
	for _, id := range c.view.Voters {
		if quorum.NodeID(id) == c.self || c.hears(quorum.NodeID(id)) {
			heard++
		}
	}
	return heard >= quorum.Majority(len(c.view.Voters))
}

// unheard returns the members from which nothing comes, ascending.
func (c *Control) unheard() []quorum.NodeID {
	var list []quorum.NodeID
	for _, p := range c.everybody() {
		if p.silent && p.gone == 0 {
			list = append(list, p.id)
		}
	}
	return list
}

// unsure returns the members that this node does not miss only because it has just
// begun to listen, ascending.
func (c *Control) unsure() []quorum.NodeID {
	var list []quorum.NodeID
	for _, p := range c.everybody() {
		if p.wanted && !p.silent && !p.everHeard {
			list = append(list, p.id)
		}
	}
	return list
}

// forgivePause notices that this loop did not run for a while, for heartbeats are
// late: what would have come in that time may wait unread, so nobody is to be
// blamed for it.
func (c *Control) forgivePause(now quorum.Instant) {
	if pause := now.Sub(c.ticked); pause > 2*c.cfg.Beat && c.view != nil {
		for _, p := range c.everybody() {
			p.heard = min(p.heard.Add(pause), now) // who was heard since the pause is not forgiven more
			if p.dead.since != 0 {
				p.dead.since = min(p.dead.since.Add(pause), now)
			}
		}
	}
	c.ticked = now
}

// forgetStrays drops the routes to nodes that are no members and from which
// nothing has come for a while.
func (c *Control) forgetStrays(now quorum.Instant) {
	for _, id := range slices.Sorted(maps.Keys(c.strays)) {
		if now >= c.strays[id].Add(forgetStray) {
			c.route(id, "", "")
		}
	}
}

// tickBeats sends heartbeats and notices who is silent.
func (c *Control) tickBeats(now quorum.Instant) {
	c.forgivePause(now)
	b := &c.beats
	if c.view == nil {
		b.next = quorum.Never
		return
	}
	send := now >= b.sendAt
	if send {
		b.sendAt = now.Add(c.cfg.Beat)
	}
	b.next = b.sendAt
	if send {
		c.judgeClock(now)
	}
	c.forgetStrays(now)
	for _, p := range c.everybody() {
		if p.gone != 0 && now >= p.gone {
			c.route(p.id, "", "")
			delete(c.peers, p.id)
			c.order = nil
			delete(b.pending, p.id)
			continue
		}
		if send && p.target && !c.retire.removed {
			c.out.Beats = append(c.out.Beats, Heartbeat{
				Peer: p.id, Boot: c.cfg.Start.Boot, Epoch: c.shards.lowest(), Sent: now,
			})
		}
		if !p.wanted || p.silent {
			continue
		}
		if late := p.heard.Add(c.cfg.Unheard); now < late {
			b.next = min(b.next, late)
			continue
		}
		p.silent = true
		c.askPositions(now, p.id)
		c.wantReport(now)
		c.wantPlan(now, 0)
	}
}
