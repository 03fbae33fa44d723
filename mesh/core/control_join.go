package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// How a node becomes a member, says what is new about it, and leaves.

const (
	askPeriod    = 300 * time.Millisecond
	updatePeriod = 500 * time.Millisecond
	retirePeriod = 20 * time.Millisecond
	// strandedPeriod is how often a member asks around that hears no majority.
	strandedPeriod = 2 * time.Second
	asksAtOnce     = 4
	askPatience    = 10 * time.Second // for the answer to a question
	joinPatience   = 15 * time.Second // while joins are refused
)

var errAgreed = errors.New("this node agreed to found a mesh, and a seed is in another one: wipe the data directory " +
	"of this node, which holds nothing else yet, and start it again")

// joining is the state of asking around.
type joining struct {
	at        quorum.Instant
	next      int                       // of the addresses
	asked     map[string]quorum.Instant // that have not answered
	hints     []string                  // addresses where gossip saw somebody
	refusal   string
	refusedAt quorum.Instant // the first time in a row; 0 if the last answer was no refusal
	trouble   string
	askedView quorum.Instant
	// strandedAt is when a member that hears no majority may ask around.
	strandedAt quorum.Instant
}

// retiring is the state of giving up.
type retiring struct {
	yield   yielding
	state   ring.MemberState // what the view is to say: Up, Draining or Leaving
	asked   bool             // in this life of the process: somebody waits for the end
	removed bool             // the view has this node no more
	at      quorum.Instant
}

// admitted is called when there is a view.
func (j *joining) admitted(now quorum.Instant) {
	j.refusal, j.refusedAt, j.trouble = "", 0, ""
	j.at = now
}

// Hint says that gossip sees a node at an address, which knows the view of this
// epoch.
func (c *Control) Hint(now quorum.Instant, id quorum.NodeID, addr string, epoch quorum.Epoch) {
	j := &c.joining
	if c.view != nil {
		if c.peers[id] != nil {
			c.Behind(now, id, epoch)
		}
		return
	}
	if addr != "" && addr != c.cfg.Member.Addr && len(j.hints) < maxJoins && !slices.Contains(j.hints, addr) {
		j.hints = append(j.hints, addr)
		j.at = min(j.at, now)
	}
}

// addresses returns where somebody may know of a mesh.
func (c *Control) addresses() []string {
	list := slices.Concat(c.cfg.Seeds, c.joining.hints)
	for _, v := range [...]*ring.View{c.seen, c.view} {
		for i := 0; v != nil && i < len(v.Members); i++ {
			list = append(list, v.Members[i].Addr)
		}
	}
	return slices.DeleteFunc(list, func(addr string) bool { return addr == c.cfg.Member.Addr })
}

func (c *Control) tickJoining(now quorum.Instant) {
	j := &c.joining
	if now < j.at {
		return
	}
	switch {
	case c.founding != nil:
		j.at = now.Add(askPeriod)
		hello := c.founding.Hello()
		c.ask(now, ControlFound, hello.AppendTo(nil))
	case c.view == nil:
		j.at = now.Add(askPeriod)
		c.ask(now, ControlJoin, c.ownJoin().encode())
	default:
		j.at = now.Add(updatePeriod)
		own := c.ownMember()
		switch {
		case c.out.Registered && c.hearsQuorum():
			j.trouble = ""
		case !c.out.Registered || now >= j.strandedAt:
			// The addresses in the view may be old, or this node no member, so
			// that others have forgotten where it is.
			j.strandedAt = now.Add(strandedPeriod)
			c.ask(now, ControlJoin, c.ownJoin().encode())
		}
		if isMember(c.view, c.self) && !c.shows(&own) {
			c.join(now, c.ownJoin())
		}
	}
}

// ask puts a question to some of the addresses, in turns.
func (c *Control) ask(now quorum.Instant, kind ControlKind, body []byte) {
	j := &c.joining
	addrs := c.addresses()
	for n := 0; n < min(len(addrs), asksAtOnce); n++ {
		addr := addrs[j.next%len(addrs)]
		j.next++
		if at, ok := j.asked[addr]; ok && now < at.Add(askPatience) {
			continue
		}
		put(&j.asked, addr, now)
		c.out.Asks = append(c.out.Asks, ControlAsk{addr, kind, body})
	}
}

// ownMember is this node as the view should show it.
func (c *Control) ownMember() ring.Member {
	m := c.cfg.Member
	m.State = c.retire.state
	if m.State == ring.Up && c.yielding() {
		m.State = ring.Draining
	}
	return m
}

func (c *Control) ownJoin() *joinMessage {
	m := &joinMessage{Member: c.ownMember(), Start: c.cfg.Start}
	if c.view != nil {
		m.Knows = c.register.View().Version
	}
	return m
}

// shows reports whether the view has the member as it is. Whether it is Down is
// not for it to say.
func (c *Control) shows(m *ring.Member) bool {
	is, ok := c.view.Member(m.ID)
	if is.State == ring.Down {
		is.State = ring.Up
	}
	return ok && is.Name == m.Name && is.Addr == m.Addr && is.HTTP == m.HTTP && is.Zone == m.Zone &&
		is.Weight == m.Weight && is.State == m.State && slices.Equal(is.Kinds, m.Kinds)
}

// Asked takes a question from whoever it is, which is to be answered under the
// token.
func (c *Control) Asked(now quorum.Instant, token uint64, kind ControlKind, body []byte) {
	answer := ControlAnswer{Token: token, Kind: ControlNothing}
	switch kind {
	case ControlFound:
		m, err := quorum.DecodeFoundMessage(body)
		if err == nil && c.stopped == nil {
			answer.Kind, answer.Body = c.askedFound(now, m)
		}
	case ControlJoin:
		m, err := decodeJoin(body)
		if err == nil && c.stopped == nil {
			answer.Kind, answer.Body = c.askedJoin(now, &m)
		}
	}
	c.out.Answers = append(c.out.Answers, answer)
	c.settle(now)
}

func (c *Control) askedFound(now quorum.Instant, m quorum.FoundMessage) (ControlKind, []byte) {
	if c.founding == nil {
		return c.answerView()
	}
	c.founding.Step(now, m.From.Start.Node, m)
	hello := c.founding.Hello()
	return ControlFound, hello.AppendTo(nil)
}

func (c *Control) askedJoin(now quorum.Instant, m *joinMessage) (ControlKind, []byte) {
	if refusal := c.join(now, m); refusal != nil {
		return ControlRefusal, refusal.encode()
	}
	return c.answerView()
}

func (c *Control) answerView() (ControlKind, []byte) {
	if c.view == nil {
		return ControlNothing, nil
	}
	m := viewMessage{From: c.ownMember(), View: *c.register.View()}
	return ControlView, m.encode()
}

// Answered takes the answer to a question, or why there is none.
func (c *Control) Answered(now quorum.Instant, addr string, kind ControlKind, body []byte, err error) {
	delete(c.joining.asked, addr)
	if err == nil && c.stopped == nil {
		err = c.answered(now, kind, body)
	}
	if err != nil {
		c.joining.trouble = fmt.Sprintf("%s: %v", addr, err)
	}
	c.settle(now)
}

func (c *Control) answered(now quorum.Instant, kind ControlKind, body []byte) error {
	if kind != ControlRefusal {
		c.joining.refusal, c.joining.refusedAt = "", 0
	}
	switch kind {
	case ControlFound:
		m, err := quorum.DecodeFoundMessage(body)
		if err != nil {
			return err
		}
		c.joining.trouble = ""
		if c.founding != nil {
			c.founding.Step(now, m.From.Start.Node, m)
		}
	case ControlView:
		m, err := decodeView(body)
		if err != nil {
			return err
		}
		return c.stepView(now, &m)
	case ControlRefusal:
		m, err := decodeRefusal(body)
		if err != nil {
			return err
		}
		c.refused(now, &m)
	case ControlNothing:
		c.joining.trouble = ""
	default:
		return fmt.Errorf("%w: an answer of kind %d", ErrControl, uint8(kind))
	}
	return nil
}

// join takes a member's description of itself: at the coordinator into its
// plan, elsewhere on to it. It returns why not, or nil.
func (c *Control) join(now quorum.Instant, m *joinMessage) *refusalMessage {
	if c.view == nil {
		return nil
	}
	id := quorum.NodeID(m.Member.ID)
	if m.Knows.Compare(c.register.View().Version) > 0 { // it is this node that must learn
		c.foundAt(now, &m.Member)
		c.Behind(now, id, m.Knows.Epoch)
		return nil
	}
	if start, ok := c.register.StartOf(id); ok && m.Start.Boot < start.Boot {
		return nil // an older process of a member, which the view tells so
	}
	if c.hasLeft(m) { // as the view tells it
		c.foundAt(now, &m.Member)
		return nil
	}
	if refusal := c.mayJoin(m); refusal != nil {
		return refusal
	}
	c.foundAt(now, &m.Member)
	if c.shows(&m.Member) {
		return nil
	}
	coordinator := quorum.NodeID(c.view.Coordinator)
	switch {
	case coordinator != c.self && !m.Forwarded:
		forward := *m
		forward.Forwarded = id != c.self
		c.send(coordinator, ControlJoin, forward.encode())
	case coordinator == c.self && (len(c.plan.joins) < maxJoins || isMember(c.view, id)):
		if len(c.plan.joins) == 0 {
			c.plan.joinsDue = now.Add(joinDelay)
		}
		put(&c.plan.joins, id, pendingJoin{*m, now})
		c.wantPlan(now, planDelay)
	}
	return nil
}

// hasLeft reports whether whoever describes itself was a member, and is none any more.
func (c *Control) hasLeft(m *joinMessage) bool {
	return m.Knows != (quorum.Version{}) && m.Knows.Compare(c.register.View().Version) <= 0 &&
		!isMember(c.view, quorum.NodeID(m.Member.ID))
}

// mayJoin returns why a node may not be a member, or nil.
func (c *Control) mayJoin(m *joinMessage) *refusalMessage {
	if isMember(c.view, quorum.NodeID(m.Member.ID)) {
		return nil
	}
	taken := func(o *ring.Member) *refusalMessage {
		return &refusalMessage{Text: fmt.Sprintf("a node named %s with another disk (%s) is a member: give this one another "+
			"name, or stop that one first", m.Member.Name, o.ID)}
	}
	for i := range c.view.Members {
		o := &c.view.Members[i]
		if o.Name == m.Member.Name && o.State != ring.Down && o.State != ring.Leaving && (quorum.NodeID(o.ID) == c.self || c.hasHeard(quorum.NodeID(o.ID))) {
			return taken(o)
		}
	}
	for id, j := range c.plan.joins {
		if j.Member.Name == m.Member.Name && id != quorum.NodeID(m.Member.ID) {
			return taken(&j.Member)
		}
	}
	return nil
}

// refused takes why this node may not be a member. The name may be that of a
// node that has just died, so that is not the end yet.
func (c *Control) refused(now quorum.Instant, m *refusalMessage) {
	j := &c.joining
	if j.refusedAt == 0 {
		j.refusedAt = now
	}
	j.refusal = m.Text
	if c.view == nil && now.Sub(j.refusedAt) > joinPatience {
		c.stop(fmt.Errorf("%w: %s", ErrNameTaken, m.Text))
	}
}

// Drain gives up what this node owns and coordinates, until it is started again, and
// keeps its replicas, and its vote unless only two have one. ControlReady.Retired says when it is done.
func (c *Control) Drain(now quorum.Instant) { c.retireAs(now, ring.Draining) }

// Leave gives up replicas and vote as well, for good. When ControlReady.Retired
// says that it is done, the disk is of no more use.
func (c *Control) Leave(now quorum.Instant) { c.retireAs(now, ring.Leaving) }

func (c *Control) retireAs(now quorum.Instant, state ring.MemberState) {
	c.retire.asked = true
	if state > c.retire.state {
		c.retire.state, c.out.Retired = state, false // of less that was asked before, it may have been done
	}
	c.retire.at, c.joining.at = now, now
	c.tickJoining(now)
	c.tickRetire(now)
	c.settle(now)
}

func (c *Control) tickRetire(now quorum.Instant) {
	r := &c.retire
	if c.view == nil || r.state == ring.Up && !r.removed {
		r.at = quorum.Never
		c.out.Retired = r.state != ring.Up // a node in no mesh has nothing to give up
		return
	}
	if now < r.at {
		return
	}
	r.at = now.Add(retirePeriod)
	switch {
	case r.removed && !c.register.StoredByMajority():
	case r.removed && r.state == ring.Leaving && r.asked:
		c.out.Retired = true
	case r.removed:
		c.stop(ErrLeft)
	case r.state == ring.Draining:
		c.out.Retired = c.drained()
	}
}

// drained reports whether the view shows that nothing is owned here, or that
// nobody else is there to own it.
func (c *Control) drained() bool {
	own, _ := c.view.Member(ring.NodeID(c.self))
	others := slices.ContainsFunc(c.view.Members, func(m ring.Member) bool { return m.ID != own.ID && m.State == ring.Up })
	if !others {
		return true
	}
	return own.State == ring.Draining && c.view.Coordinator != own.ID &&
		!slices.ContainsFunc(c.view.Slots, func(r ring.Row) bool { return r.Owner() == own.ID })
}
