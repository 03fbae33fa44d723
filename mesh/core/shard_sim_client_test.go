package core

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"actormesh/quorum"
)

// simRequest is one call on its way to its actor's owner.
type simRequest struct {
	op       *simOp
	actor    quorum.ActorKey
	id       quorum.RequestID
	deadline time.Duration // in true time
	internal bool
	chain    []quorum.ActorKey
}

// origin is where requests come from: a node, or a client.
type origin struct {
	node   *simNode
	boot   quorum.Boot
	client *simClient
}

func (o *origin) alive() bool { return o.client != nil || o.node.up && o.node.boot == o.boot }

func (o *origin) view(w *world) quorum.Epoch {
	if o.client != nil {
		return o.client.view
	}
	return o.node.view
}

// id is for the network; clients come after the nodes.
func (o *origin) id(w *world) quorum.NodeID {
	if o.client != nil {
		return quorum.NodeID(len(w.nodes) + 1 + o.client.number)
	}
	return o.node.id
}

// route takes a request to its end, as the router in mesh does.
func (w *world) route(from *origin, r *simRequest, done func(Outcome)) {
	w.byHash[r.op.hash()] = r.op
	last := Outcome{Code: CodeUnavailable, Detail: "no view yet"}
	unknown := false
	pause := 2 * time.Millisecond
	var attempt func()
	again := func() {
		w.after(w.between(pause/2, pause), attempt)
		pause = min(2*pause, 100*time.Millisecond)
	}
	attempt = func() {
		if !from.alive() {
			return
		}
		if w.time >= r.deadline {
			if unknown {
				last = Outcome{Code: CodeOutcomeUnknown, Detail: "no answer in time: " + last.Detail}
			} else if last.Code != CodeUnavailable {
				w.broken("a request ends with %v, which is not known", last.Code)
			}
			done(last)
			return
		}
		e := from.view(w)
		if e == 0 {
			again()
			return
		}
		w.hand(from, e, r, func(o Outcome, lost bool) {
			unknown = unknown || lost || o.Code == CodeOutcomeUnknown
			if lost || o.Code == CodeUnavailable || o.Code == CodeOutcomeUnknown {
				last = o
				if from.client != nil && w.chance(2) {
					from.client.view = quorum.Epoch(len(w.views))
				}
				again()
				return
			}
			if unknown && o.Code != CodeOK && o.Code != CodeApp && o.Code != CodeKeyReused {
				o = Outcome{Code: CodeOutcomeUnknown, Detail: "an earlier owner may have run it; then: " + o.Detail}
			}
			if from.alive() {
				done(o)
			}
		})
	}
	attempt()
}

// hand gives a request to the owner that a view names, and waits for its answer,
// or not any longer.
func (w *world) hand(from *origin, e quorum.Epoch, r *simRequest, done func(o Outcome, lost bool)) {
	slot := w.slotOf(r.actor)
	row := w.views[e-1][slot]
	owner := w.node(row.Owner())
	ended := false
	end := func(o Outcome, lost bool) {
		if !ended {
			ended = true
			done(o, lost)
		}
	}
	if !owner.up {
		w.after(w.between(0, 3*time.Millisecond), func() { end(Outcome{Code: CodeUnavailable, Detail: "not sent"}, false) })
		return
	}
	patience := w.between(50*time.Millisecond, 900*time.Millisecond)
	if w.calm || patience > r.deadline-w.time {
		patience = r.deadline - w.time
	}
	w.after(patience, func() { end(Outcome{Code: CodeOutcomeUnknown, Detail: "no answer"}, true) })
	id := from.id(w)
	taken := false
	give := func(n *simNode) {
		if taken {
			return // a stream is not repeated
		}
		taken = true
		n.call(slot, r, r.deadline-w.time, func(o Outcome) {
			w.wire(n.id, id, func() { end(o, false) })
		})
	}
	if id == owner.id {
		give(owner)
		return
	}
	w.wire(id, owner.id, func() {
		if owner.up {
			give(owner)
		}
	})
}

// call gives a call to the node's shard.
func (n *simNode) call(slot quorum.SlotID, r *simRequest, left time.Duration, reply func(Outcome)) {
	w := n.w
	c := &Call{
		Slot: slot, Actor: r.actor, Method: r.op.Method, ReadOnly: r.op.readOnly(), Arg: r.op,
		ArgHash: r.op.hash(), Request: r.id, Deadline: n.clock().Add(max(left, 0)), Chain: r.chain, Internal: r.internal,
		Idle: w.conf.idle, Mailbox: w.conf.mailbox, Waiter: reply,
	}
	n.do(func(s *Shard, now quorum.Instant) {
		n.open[c] = true
		s.Call(now, c)
	})
}

// finished gives a call's end to who waits for it, a moment later.
func (n *simNode) finished(now quorum.Instant, f *Finished) {
	w := n.w
	if !n.open[f.Call] {
		w.broken("node %v: a call of %v ends twice, or was never begun: %+v", n.id, f.Call.Actor, f.Outcome)
	}
	delete(n.open, f.Call)
	const slack = 80 * time.Millisecond // a tick, a moment, and drift
	if f.Outcome.Code != CodeStopped && now > f.Call.Deadline.Add(slack) && w.time > n.stuck+slack {
		w.broken("node %v: a call of %v ends %v after its deadline: %+v", n.id, f.Call.Actor, now.Sub(f.Call.Deadline), f.Outcome)
	}
	w.count("end " + codeNames[f.Outcome.Code])
	if f.Outcome.Replayed && f.Outcome.Fence.Ballot.Boot != 0 && f.Outcome.Fence.Ballot.Less(n.shard.slots[f.Call.Slot].ballot) {
		w.count("dedup hit after a failover")
	}
	n.checkOutcome(f)
	o := f.Outcome
	if now < o.Until && o.Fence.Ballot.Less(w.active[f.Call.Slot]) && w.ruler[f.Call.Slot] != n.id {
		w.broken("node %v: %v is read at %v under a lease after %v is active", n.id, f.Call.Actor, o.Fence, w.active[f.Call.Slot])
	}
	leave := func() {
		if o.Until != 0 {
			if n.clock() >= o.Until {
				w.count("too late to leave")
				o = Outcome{Code: CodeUnavailable, Detail: "the lease ended before the answer left"}
			}
		}
		f.Call.Waiter.(func(Outcome))(o)
	}
	if w.calm || !w.chance(20) {
		leave()
		return
	}
	n.later(w.between(0, 300*time.Millisecond), leave)
}

var codeNames = [...]string{"ok", "app", "unavailable", "deadline", "overloaded", "unknown", "no method", "no kind",
	"too large", "cycle", "key reused", "stopped", "bad request"}

// deliver takes a send to its target.
func (n *simNode) deliver(d Delivery) {
	w, boot := n.w, n.boot
	op := &simOp{}
	mustJSON(json.Unmarshal(d.Send.Args, op))
	req := &simRequest{
		op: op, actor: d.Send.Target, id: quorum.RequestID{Source: d.Source, Number: d.Send.Number},
		deadline: w.time + 1500*time.Millisecond, internal: true,
	}
	w.count("delivery")
	w.route(&origin{node: n, boot: boot}, req, func(o Outcome) {
		ok := o.Code == CodeOK || o.Code == CodeApp
		if !ok {
			w.count("delivery to repeat")
		}
		n.later(0, func() {
			n.do(func(s *Shard, now quorum.Instant) { s.Delivered(now, d, ok) })
		})
	})
}

// simClient calls actors, and retries with the same request id.
type simClient struct {
	w       *world
	number  int
	session quorum.SessionID
	view    quorum.Epoch
	low     uint64
	done    []bool // of low, low+1, ...
	busy    int
}

// clientTry is one call as its client saw it.
type clientTry struct {
	op       *simOp
	actor    quorum.ActorKey
	id       quorum.RequestID
	from, to time.Duration // to is 0 while it is under way
	outcome  Outcome
}

func newSimClient(w *world, number int) *simClient {
	c := &simClient{w: w, number: number, low: 1, view: 1}
	binary.BigEndian.PutUint64(c.session[:], uint64(number)+1)
	w.after(w.between(20*time.Millisecond, 200*time.Millisecond), c.next)
	return c
}

// next begins another call, if it is time for one.
func (c *simClient) next() {
	w := c.w
	if w.time > w.conf.faults+settleTime+calmTime {
		return
	}
	w.after(w.between(0, 60*time.Millisecond), c.next)
	if w.time > w.conf.faults && w.time < w.conf.faults+settleTime {
		return
	}
	if w.chance(3) {
		c.view = quorum.Epoch(len(w.views))
	}
	if c.busy < 3 {
		c.call(c.pick())
	}
}

// pick returns the next operation, its actor and its request id.
func (c *simClient) pick() (*simOp, quorum.ActorKey, quorum.RequestID) {
	w := c.w
	actor := w.actors[w.rng.IntN(len(w.actors))]
	op := &simOp{ID: uint32(len(w.ops) + 1)}
	w.ops[op.ID] = op
	switch k := w.rng.IntN(24); {
	case k < 6:
		op.Method = "get"
		return op, actor, quorum.RequestID{}
	case k < 12:
		op.Method = "add"
	case k < 16:
		op.Method, op.Key = "put", fmt.Sprint("k", op.ID%4)
	case k < 18:
		op.Method = "send"
		for range w.rng.IntN(3) + 1 {
			op.Targets = append(op.Targets, w.actors[w.rng.IntN(len(w.actors))])
		}
	case k < 19:
		op.Method = "fail"
	case k < 20:
		op.Method = "big"
	case k < 22 && !w.calm:
		op.Method, op.Targets = "nested", []quorum.ActorKey{w.actors[w.rng.IntN(len(w.actors))]}
	default:
		op.Method = "await"
	}
	if w.chance(12) && !w.calm {
		op.Takes = w.between(0, 1200*time.Millisecond)
	}
	id := quorum.RequestID{Session: c.session, Number: c.low + uint64(len(c.done)), Low: c.low}
	switch w.rng.IntN(8) {
	case 0:
		id = quorum.RequestID{Key: string(quorum.KeyOwn) + fmt.Sprint("own", op.ID)}
	case 1:
		if t := w.anyOwnKey(); t != nil { // another client repeats, or reuses, a key
			if !w.chance(4) {
				op = t.op
			}
			return op, t.actor, t.id
		}
	}
	return op, actor, id
}

func (w *world) anyOwnKey() *clientTry {
	for range 10 {
		if len(w.tries) == 0 {
			return nil
		}
		if t := w.tries[w.rng.IntN(len(w.tries))]; t.id.Key != "" && !(w.calm && (t.op.Takes > 0 || t.op.Method == "nested")) {
			return t
		}
	}
	return nil
}

func (c *simClient) call(op *simOp, actor quorum.ActorKey, id quorum.RequestID) {
	w := c.w
	if id.Session == c.session {
		c.done = append(c.done, false)
	}
	t := &clientTry{op: op, actor: actor, id: id, from: w.time}
	w.tries = append(w.tries, t)
	c.busy++
	patience := w.between(20*time.Millisecond, 1500*time.Millisecond)
	if w.calm {
		patience = 2500 * time.Millisecond
	}
	calm := w.calm
	req := &simRequest{op: op, actor: actor, id: id, deadline: w.time + patience}
	w.route(&origin{client: c}, req, func(o Outcome) {
		c.busy--
		t.to, t.outcome = w.time, o
		switch o.Code {
		case CodeUnavailable, CodeDeadline, CodeOutcomeUnknown:
			if calm && !strings.HasPrefix(o.Detail, "an earlier owner") {
				w.broken("%v: %+v ends with %s %q, though all is well", actor, *op, codeNames[o.Code], o.Detail)
			}
		}
		if id.Session == c.session {
			c.end(id.Number)
		}
	})
}

// end says that nobody will ask for the answer again.
func (c *simClient) end(number uint64) {
	c.done[number-c.low] = true
	for len(c.done) > 0 && c.done[0] {
		c.done = c.done[1:]
		c.low++
	}
}
