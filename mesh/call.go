package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
	"actormesh/ring"
)

// waiter is who waits for a call's end.
type waiter struct {
	kind     *kind
	method   *method
	wantJSON bool
	refused  *quorum.AppError // set for a send that cannot be run: it is recorded as that
	reply    func(answer)
}

// finish gives the call's end to who waits for it.
func (w *waiter) finish(n *Node, o *core.Outcome) {
	a := answer{Outcome: *o, node: n.conf.Name}
	if w.wantJSON && a.Code == core.CodeOK {
		n.env.Go(func() { // away from the shard's loop: it may run methods of the user's types
			toJSON(w.method, &a)
			w.reply(a)
		})
		return
	}
	w.reply(a)
}

// toJSON turns a reply of the method into JSON.
func toJSON(m *method, a *answer) {
	b, err := m.replyJSON(a.Reply)
	if err != nil { // it took effect; only what it said cannot be told in JSON
		a.Code, a.Detail = core.CodeOutcomeUnknown, "the result has no JSON form: "+err.Error()
		return
	}
	a.Reply, a.json = b, true
}

// locateOwner returns the slot of a request's actor, and its owner by a view. If
// there is none, the answer says why.
func (n *Node) locateOwner(v *ring.View, r *request) (quorum.SlotID, quorum.NodeID, answer) {
	if v == nil {
		return 0, 0, answered(core.CodeUnavailable, "this node has no view yet")
	}
	if detail := badName(r.kind, r.id); detail != "" {
		return 0, 0, answered(core.CodeBadRequest, detail)
	}
	slot := ring.SlotOf(len(v.Slots), "", r.kind, r.id)
	return quorum.SlotID(slot), quorum.NodeID(v.Slots[slot].Owner()), answered(core.CodeUnavailable, "this node does not own the actor's slot")
}

// badName says what is wrong with an actor's name, empty if nothing is.
func badName(kind, id string) string {
	switch {
	case !isKind(kind):
		return fmt.Sprintf("kind %q is no kind's name", kind)
	case !isName(id, maxIDBytes):
		return "an actor's id is 1 to 255 bytes of UTF-8 without control characters"
	}
	return ""
}

// submit gives a request to the shard that owns its actor, having decoded the
// argument. reply is called once, from any goroutine, and must not block.
func (n *Node) submit(slot quorum.SlotID, r *request, reply func(answer)) {
	if r.method == whereMethod {
		n.where(slot, r, reply)
		return
	}
	if n.diskFull.Load() {
		reply(answered(core.CodeUnavailable, "the owner's disk is nearly full"))
		return
	}
	k := n.kinds.byName[r.kind]
	if k == nil {
		if v := n.view.Load(); v != nil && hosted(v, r.kind) {
			reply(answered(core.CodeUnavailable, "the actor's owner does not host its kind, another member does"))
			return
		}
		reply(answered(core.CodeNoKind, "no member hosts the kind "+r.kind))
		return
	}
	m := k.methods[r.method]
	if m == nil {
		reply(answered(core.CodeNoMethod, fmt.Sprintf("the kind %s has no method %q", r.kind, r.method)))
		return
	}
	if n.orphans.Load() >= maxOrphans {
		reply(answered(core.CodeOverloaded, "too many handlers run on past their deadline on this node"))
		return
	}
	w := &waiter{kind: k, method: m, wantJSON: r.wantJSON, reply: reply}
	arg, hash, size, err := m.decodeArg(r.args, r.json, n.conf.MaxValueBytes)
	switch {
	case err != nil && r.requestID.Source != "":
		// Trying a send again would change nothing: its dead letter is a record.
		w.refused = &quorum.AppError{Code: "bad_request", Message: err.Error()}
	case err != nil:
		reply(answer{Outcome: errorOutcome(err)})
		return
	}
	c := &core.Call{
		Slot: slot, Actor: quorum.MakeActorKey(r.kind, r.id), Method: m.name, ReadOnly: m.readOnly,
		Arg: arg, ArgHash: hash, ArgBytes: size, Request: r.requestID, Deadline: r.deadline,
		Chain: r.chain, Internal: r.internal, Principal: r.principal, Trace: r.trace,
		Idle: k.idleTimeout, Mailbox: k.mailboxSize,
		Waiter: w,
	}
	if c.Idle == 0 {
		c.Idle = n.conf.IdleTimeout
	}
	if c.Mailbox == 0 {
		c.Mailbox = defaultMailbox
	}
	n.shardOf(slot).call(c)
}

// defaultMailbox is the most calls that wait for one actor.
const defaultMailbox = 4096

// handOver is the router's: to this node's own shard, or over the network.
func (n *Node) handOver(ctx context.Context, owner ring.Member, slot quorum.SlotID, r *request) (answer, bool) {
	if quorum.NodeID(owner.ID) != n.id {
		return answerOf(n.net.Call(ctx, quorum.NodeID(owner.ID), r.callOf(n.epoch(), n.env.About())))
	}
	var a answer
	done := make(chan struct{})
	now := n.env.About()
	own := *r
	own.wantJSON = false // the reply is turned into JSON here
	own.deadline = now.Add(r.ownersTime(now))
	n.submit(slot, &own, func(end answer) {
		a = end
		close(done)
	})
	n.env.Wait(0, done, ctx.Done(), n.ctx.Done())
	switch {
	case isClosed(done):
		if r.wantJSON && a.Code == core.CodeOK && !a.json {
			toJSON(n.kinds.byName[r.kind].methods[r.method], &a)
		}
		return a, false
	case ctx.Err() != nil:
		return answered(core.CodeOutcomeUnknown, "the caller gave up"), true
	}
	return answered(core.CodeOutcomeUnknown, "the node has stopped"), true
}

// route takes a request to its end.
func (n *Node) route(ctx context.Context, r *request) answer {
	if detail := badName(r.kind, r.id); detail != "" {
		return answered(core.CodeBadRequest, detail)
	}
	return n.router.route(ctx, r)
}

// invoke implements Caller.
func (n *Node) invoke(ctx context.Context, inv *invocation) (*result, error) {
	return invoke(ctx, n.env, inv, n.session, n.conf.CallTimeout, n.route)
}

// invoke runs an invocation by a router, for nodes and for clients.
func invoke(ctx context.Context, env Environment, inv *invocation, s *session, timeout time.Duration, route func(context.Context, *request) answer) (*result, error) {
	r := &request{
		kind: inv.kind, id: inv.id, method: inv.method, args: inv.args,
		requestID: inv.request, chain: inv.chain, internal: inv.internal,
		deadline: inv.deadline,
	}
	if r.deadline == 0 {
		r.deadline = env.About().Add(timeout)
	}
	if t, ok := ctx.Deadline(); ok {
		r.deadline = min(r.deadline, env.About().Add(env.Until(t)))
	}
	switch {
	case inv.once != "":
		r.requestID = quorum.RequestID{Key: string(rune(quorum.KeyOwn)) + inv.once}
	case r.requestID.IsZero(): // also to read: at the owner the method may be one that writes
		r.requestID = s.begin(r.kind, r.id)
		defer s.end(r.kind, r.id, r.requestID)
	}
	a := route(ctx, r)
	if err := outcomeError(&a.Outcome, inv.op()); err != nil {
		return nil, err
	}
	return &result{reply: a.Reply, fence: a.Fence, lsn: a.LSN, node: a.node, replayed: a.Replayed}, nil
}

// kindFor implements Caller.
func (n *Node) kindFor(t reflect.Type) (string, error) { return n.kinds.kindFor(t) }

// turns is a node as its turns see it.
type turns struct{ *Node }

var _ turnEnv = turns{}

func (n turns) clock() (quorum.Instant, int64) { return n.env.About(), n.env.Wall() }

func (n turns) getKey(slot quorum.SlotID, actor quorum.ActorKey, key []byte) ([]byte, bool, error) {
	n.reading.RLock()
	defer n.reading.RUnlock()
	if n.storeClosed {
		return nil, false, errStopped
	}
	return n.store.GetKey(slot, actor, key)
}

func (n turns) scanKeys(slot quorum.SlotID, actor quorum.ActorKey, from, to []byte, limit int, fn func(key, value []byte) bool) error {
	n.reading.RLock()
	defer n.reading.RUnlock()
	if n.storeClosed {
		return errStopped
	}
	return n.store.ScanKeys(slot, actor, from, to, limit, fn)
}

// call makes a call for a turn, once all that the turn has seen is committed.
func (n turns) call(ctx context.Context, from *core.TurnStart, inv *invocation) (*result, error) {
	if from.Seen > 0 && !mutant.On(mutant.CallEarly) {
		var a answer
		done := make(chan struct{})
		c := &core.Call{Slot: from.Slot, Deadline: from.Call.Deadline, Waiter: &waiter{reply: func(end answer) {
			a = end
			close(done)
		}}}
		n.shardOf(from.Slot).do(func(s *core.Shard, now quorum.Instant) { s.Await(now, from.Seen, c) })
		n.env.Wait(0, done, ctx.Done(), nil)
		switch {
		case !isClosed(done):
			return nil, &Error{Op: inv.op(), Err: errStopped, Detail: "the turn is over"}
		case a.Code != core.CodeOK:
			return nil, &Error{Op: inv.op(), Err: errUnavailable, Detail: a.Detail}
		}
	}
	return n.invoke(ctx, inv)
}

func (n turns) log() *slog.Logger { return n.logger }

// kindNames describes the kinds that this program hosts, for the view: each as
// "kind:method,method?", where a question mark is for methods that only read. A
// kind with many methods takes several such texts.
func (s *kindSet) kindNames() []string {
	var list []string
	for name, k := range s.byName {
		text, comma := name+":", ""
		for _, m := range k.list() {
			next := m.name
			if m.readOnly {
				next += "?"
			}
			if len(text)+len(comma)+len(next) > maxKindTextBytes {
				list = append(list, text)
				text, comma = name+":", ""
			}
			text += comma + next
			comma = ","
		}
		list = append(list, text)
	}
	slices.Sort(list) // as the view has them: "a-b:" before "a:"
	return list
}

// What a view takes of one member: so many texts, each with room for a kind and at
// least one of its methods.
const (
	maxKindTexts     = 1024
	maxKindTextBytes = 255
)
