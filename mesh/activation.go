package mesh

import (
	"runtime"
	"sync/atomic"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// activation is the shell's half of an actor's activation: the instance, and
// the turn that runs on it. The shard's loop owns it; a turn's goroutine owns the
// instance while it runs.
type activation struct {
	kind *kind
	inst *instance
	turn *running // that runs, nil for none
}

// running is a turn in its goroutine.
type running struct {
	*turn
	seq uint64
	end atomic.Uint32 // turnRuns at first
}

const (
	turnRuns = iota
	turnOrphaned
	turnReturned
)

// maxOrphans bounds the turns that run on although nobody waits for them any
// more: Go cannot stop a handler. With so many of them the node takes no calls.
const maxOrphans = 1024

// startTurn runs a turn in a goroutine of its own.
func (l *shardLoop) startTurn(start *core.TurnStart) {
	w := start.Call.Waiter.(*waiter)
	a := l.activations[start.Activation]
	if a == nil {
		a = &activation{kind: w.kind}
		l.activations[start.Activation] = a
		l.stats.activations.Store(int64(len(l.activations)))
	}
	if a.inst == nil || start.Load {
		a.inst = &instance{}
	}
	if w.refused != nil {
		l.result(&core.TurnResult{Activation: start.Activation, Turn: start.Fence.Turn, Wall: start.Wall, Err: w.refused})
		return
	}
	a.turn = &running{turn: newTurn(w.kind, w.method, a.inst, start, turns{l.node}, l.node.limits), seq: start.Fence.Turn}
	t := a.turn
	l.node.env.Go(func() { l.runTurn(t) })
}

func (l *shardLoop) runTurn(t *running) {
	growStack()
	// What a handler leaves behind that ends its goroutine with runtime.Goexit.
	r := core.TurnResult{
		Activation: t.start.Activation, Turn: t.seq, Wall: t.start.Wall,
		Err: &quorum.AppError{Code: appCodePanic, Message: "the handler ended its goroutine"},
	}
	defer l.returned(t, &r)
	r = t.run()
}

// growStack makes a new goroutine's stack as large as most turns need, in one step
// and while there is nothing in it: otherwise it grows twice in the depths of a
// turn, and each time all frames are moved.
//
//go:noinline
func growStack() {
	var room [6 << 10]byte
	runtime.KeepAlive(&room)
}

func (l *shardLoop) returned(t *running, r *core.TurnResult) {
	if !t.end.CompareAndSwap(turnRuns, turnReturned) {
		l.node.orphans.Add(-1)
	}
	t.cancel(errStopped) // which it is, but after a Goexit
	l.result(r)
}

// ended lets go of a turn that has returned, with its call and what came in it: an
// idle actor is to hold no more than its instance.
func (l *shardLoop) ended(r *core.TurnResult) {
	if a := l.activations[r.Activation]; a != nil && a.turn != nil && a.turn.seq == r.Turn {
		a.turn = nil
	}
}

// abandon gives up a turn: its handler is told to stop, and runs on an instance
// that nobody else has.
func (l *shardLoop) abandon(t core.TurnRef) {
	a := l.activations[t.Activation]
	if a == nil || a.turn == nil || a.turn.seq != t.Turn {
		return
	}
	if a.turn.end.CompareAndSwap(turnRuns, turnOrphaned) {
		l.node.orphans.Add(1)
	}
	why := errStopped
	if due := a.turn.start.Call.Deadline; due != 0 && l.node.env.About() >= due {
		why = errDeadline
	}
	a.turn.cancel(why)
	a.turn, a.inst = nil, nil
}

// deactivate lets an instance go, after the kind's hook, and says when it is
// gone.
func (l *shardLoop) deactivate(id core.ActivationID) {
	a := l.activations[id]
	delete(l.activations, id)
	l.stats.activations.Store(int64(len(l.activations)))
	gone := func() { l.do(deactivated(id)) }
	if a == nil || a.inst == nil || a.kind.onDeactivate == nil {
		gone()
		return
	}
	l.node.env.Go(func() { // not waited for: the hook is the user's, and may never return
		a.inst.deactivate(a.kind, l.node.logger)
		gone()
	})
}
