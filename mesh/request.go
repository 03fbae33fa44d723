package mesh

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
	"actormesh/ring"
	"actormesh/transport"
)

// request is one call on its way to its actor's owner.
type request struct {
	kind, id, method string
	args             []byte
	json             bool // args is JSON
	wantJSON         bool // the result is to be JSON
	requestID        quorum.RequestID
	deadline         quorum.Instant
	chain            []quorum.ActorKey
	internal         bool
	principal        string
	trace            []byte
}

// answer is the end of a request.
type answer struct {
	core.Outcome
	node  string       // the owner that answered; empty where none did
	json  bool         // Reply is JSON
	epoch quorum.Epoch // of the view of the node that answered
}

func answered(code core.Code, detail string) answer {
	return answer{Outcome: core.Outcome{Code: code, Detail: detail}}
}

// router takes requests to their actors' owners, for nodes and for clients:
//
//	owner by the view ──► hand over ──► done, or a final error
//	      ▲                   │ unavailable: nothing happened
//	      │                   │ lost, unknown: perhaps it did
//	      └── after a pause, or with the next view: the same request id
type router struct {
	env  Environment
	self ring.NodeID // 0 for a client
	// done is closed when the node or the client ends: nothing is tried again
	// from then on.
	done <-chan struct{}
	// view returns the newest view, or nil, and a channel that is closed when
	// there is a newer one.
	view func() (*ring.View, <-chan struct{})
	// behind says that some node has the view of epoch, or a newer one.
	behind func(epoch quorum.Epoch)
	// handOver gives a request to the owner, and waits for its answer until ctx
	// ends. unknown says that no answer came, and that it may have been run.
	handOver func(ctx context.Context, owner ring.Member, slot quorum.SlotID, r *request) (a answer, unknown bool)

	mu       sync.Mutex
	attempts map[*attempt]struct{}
}

// The pauses between attempts.
const (
	retryPauseMin = 2 * time.Millisecond
	retryPauseMax = 100 * time.Millisecond
)

// route takes a request to its end. The end is final: what could be retried has
// been, until the deadline.
func (rt *router) route(ctx context.Context, r *request) answer {
	unknown := false // some owner may have run it
	last := answered(core.CodeUnavailable, "there is no view yet")
	if rt.env.About() >= r.deadline {
		return answered(core.CodeDeadline, "the deadline passed before the call was sent")
	}
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		left := r.deadline.Sub(rt.env.About())
		if why := rt.over(ctx, left); why != "" {
			return late(last, unknown, why)
		}
		v, changed := rt.view()
		if v != nil {
			a, lost := rt.attempt(ctx, v, r)
			unknown = unknown || lost || a.Code == core.CodeOutcomeUnknown
			if final(&a) && !lost {
				if unknown && a.Code != core.CodeOK && a.Code != core.CodeApp && a.Code != core.CodeKeyReused {
					a.Detail, a.Code = "an earlier owner may have run it; then: "+a.Detail, core.CodeOutcomeUnknown
				}
				return a
			}
			last = a
			if a.epoch > quorum.Epoch(v.Epoch) {
				rt.behind(a.epoch)
			}
		}
		rt.env.Wait(rt.env.About().Add(min(pause/2+draw(rt.env, pause/2), left)), ctx.Done(), rt.done, changed)
	}
}

// over says why a request is not tried again, empty if it may be.
func (rt *router) over(ctx context.Context, left time.Duration) string {
	select {
	case <-rt.done:
		return "this end of it has stopped"
	default:
	}
	switch {
	case ctx.Err() != nil:
		return "the caller gave up"
	case left <= 0:
		return "no answer in time"
	}
	return ""
}

// attempt hands the request to the owner that the view names. When a newer view
// names another one, it waits no longer: the old owner may be stopped, and the
// new one will have what the old one committed.
func (rt *router) attempt(ctx context.Context, v *ring.View, r *request) (answer, bool) {
	slot := ring.SlotOf(len(v.Slots), "", r.kind, r.id)
	owner, ok := v.Member(v.Slots[slot].Owner())
	if !ok {
		return answered(core.CodeUnavailable, "the slot has no owner"), false
	}
	if owner.ID == rt.self {
		return rt.handOver(ctx, owner, quorum.SlotID(slot), r) // which hears of the change itself
	}
	ctx, cancel := rt.env.WithDeadline(ctx, r.deadline)
	defer cancel()
	try := &attempt{ring.SlotID(slot), owner.ID, cancel}
	rt.begin(try)
	defer rt.end(try)
	if next, _ := rt.view(); next != v {
		rt.moved(next) // which may have come before begin
	}
	return rt.handOver(ctx, owner, quorum.SlotID(slot), r)
}

// attempt is a request that was handed to an owner.
type attempt struct {
	slot   ring.SlotID
	owner  ring.NodeID
	cancel context.CancelFunc
}

func (rt *router) begin(a *attempt) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.attempts == nil {
		rt.attempts = map[*attempt]struct{}{}
	}
	rt.attempts[a] = struct{}{}
}

func (rt *router) end(a *attempt) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	delete(rt.attempts, a)
}

// busy reports whether requests wait for an owner's answer.
func (rt *router) busy() bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return len(rt.attempts) > 0
}

// moved ends the attempts whose owner the newest view does not name any more.
func (rt *router) moved(v *ring.View) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for a := range rt.attempts {
		if v.Slots[a.slot].Owner() != a.owner {
			a.cancel()
		}
	}
}

// hosted reports whether some member hosts the kind.
func hosted(v *ring.View, kind string) bool {
	for i := range v.Members {
		for _, k := range v.Members[i].Kinds {
			if name, _, _ := strings.Cut(k, ":"); name == kind {
				return true
			}
		}
	}
	return false
}

// final reports whether trying again cannot help. An answer whose outcome is
// unknown although the owner says where its record is has a result that cannot be
// told.
func final(a *answer) bool {
	return a.Code != core.CodeUnavailable && (a.Code != core.CodeOutcomeUnknown || !a.Fence.Ballot.IsZero())
}

// late returns the end of a request that is not tried again. What was last said of
// it is CodeUnavailable or CodeOutcomeUnknown, or comes from an owner that was not
// waited for.
func late(last answer, unknown bool, why string) answer {
	code := core.CodeUnavailable
	if unknown {
		code = core.CodeOutcomeUnknown
	}
	end := answered(code, why+": "+last.Detail)
	end.node = last.node
	return end
}

// answerMargin is how much sooner than the caller the owner of an actor gives up,
// at most: so that its word, that nothing happened, comes in time to be heard.
const answerMargin = 100 * time.Millisecond

// ownersTime is how long a call may take at the owner of its actor.
func (r *request) ownersTime(now quorum.Instant) time.Duration {
	left := r.deadline.Sub(now)
	return left - min(left/4, answerMargin)
}

// callOf turns a request into what travels.
func (r *request) callOf(epoch quorum.Epoch, now quorum.Instant) *transport.Call {
	return &transport.Call{
		Epoch: epoch, Kind: r.kind, Actor: r.id, Method: r.method, Args: r.args, JSON: r.json, WantJSON: r.wantJSON,
		Internal: r.internal, Request: r.requestID, Timeout: r.ownersTime(now), Chain: r.chain,
		Principal: r.principal, Trace: r.trace,
	}
}

// answerOf turns a reply, or the failure to get one, into an answer.
func answerOf(reply *transport.Reply, err error) (a answer, unknown bool) {
	switch {
	case errors.Is(err, transport.ErrNotSent):
		return answered(core.CodeUnavailable, err.Error()), false
	case err != nil:
		if mutant.On(mutant.LostCallDenied) {
			return answered(core.CodeDeadline, err.Error()), false
		}
		return answered(core.CodeOutcomeUnknown, err.Error()), true
	}
	a = answer{
		Outcome: core.Outcome{
			Code: core.Code(reply.Code), Detail: reply.Detail, App: reply.App, Reply: reply.Result,
			Fence: reply.Fence, LSN: reply.LSN, Replayed: reply.Replayed,
		},
		node: reply.Node, json: reply.JSON, epoch: reply.Epoch,
	}
	return a, false
}
