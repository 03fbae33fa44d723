package explore

import (
	"fmt"
	"time"

	"actormesh/quorum"
)

// recordLog is the model of what an actor remembers: its records in the log of a
// slot with two replicas, folded in each replica at times of its own, and what is
// loaded from that. It is one machine, for what is looked for is not between nodes.
//
// How the log is agreed on is left to slotLog. Here a record is shipped to the
// other replica and then committed, and what was not shipped is lost with its
// owner. Who admits a request does as mesh/core/actor.go does, who folds as
// local/fold.go does; what is under test is package quorum's Base, Record and
// Answer.
type recordLog struct {
	requests []request
	moves    int // of the owner, restarts included
	reloads  int // activations that end and begin anew
	snaps    int // snapshots
	ticks    int // of the wall clock, each longer than the retention
	bug      Bug
}

// request is what may come at any time and any number of times.
type request struct {
	name  string
	id    quorum.RequestID
	after int  // comes first, and must be committed; -1 for none
	fails bool // the handler's answer is an error
	sends bool // the turn sends to another actor
	drops bool // the turn deletes what an earlier one has put, else it puts something
}

// The actors of the model: itself, one that sends to it, one to which it sends.
const (
	recordActor quorum.ActorKey = "\x00k\x00self"
	sourceActor quorum.ActorKey = "\x00k\x00source"
	targetActor quorum.ActorKey = "\x00k\x00target"
)

func sessionRequest(name string, session byte, number, low uint64) request {
	return request{name: name, id: quorum.RequestID{Session: quorum.SessionID{session}, Number: number, Low: low}, after: -1}
}

func sentRequest(number uint64, after int) request {
	return request{name: fmt.Sprintf("send %d", number), id: quorum.RequestID{Source: sourceActor, Number: number}, after: after}
}

func keyRequest(name string) request {
	return request{name: name, id: quorum.RequestID{Key: string(quorum.KeyOwn) + name}, after: -1}
}

// Retention of own keys and sessions, and a tick of the wall clock.
const (
	recordRetention = time.Hour
	recordTick      = 2 * recordRetention
)

// Places in globals.
const (
	recordMoves = iota
	recordReloads
	recordSnaps
	recordTicks
)

// What evApply does, in the low byte of its argument.
const (
	applyCall uint32 = iota // of the request in the next byte
	applyDone               // the first send of the outbox was committed by its target
	applyShip               // the other replica has the log
	applyCommit
	applyMove    // the other replica is the owner
	applyRestart // of the owner, with what was not shipped
	applyLose    // ... without
	applyReload
	applyFold    // by the replica in the next byte, all that is committed
	applyFoldOne // ... one record
	applySnapshot
	applyTick
)

// recordLook is what actions see.
type recordLook struct {
	length, shipped, commit int
	active, settled         bool
	outbox                  bool     // a committed send is outstanding
	foldable                [2]int   // records that each replica may fold
	done                    [16]bool // requests that are committed
}

func (c *recordLog) nodes() int                { return 1 }
func (c *recordLog) first() (globals, effects) { return globals{}, effects{} }
func (c *recordLog) final(any) bool            { return false }
func (c *recordLog) spent(any, *message) bool  { return false }
func (c *recordLog) check(*view) string        { return "" } // the machine checks itself

func (c *recordLog) actions(v *view, emit func(action)) {
	g, l := v.globals, v.looks[0].(*recordLook)
	act := func(what, arg uint32) {
		emit(action{event: event{kind: evApply, arg: what | arg<<8}, globals: g})
	}
	bounded := func(place, limit int, what uint32) {
		if int(g[place]) < limit {
			n := g
			n[place]++
			emit(action{event: event{kind: evApply, arg: what}, globals: n})
		}
	}
	for i, r := range c.requests {
		if r.after < 0 || l.done[r.after] {
			act(applyCall, uint32(i))
		}
	}
	if l.outbox {
		act(applyDone, 0)
	}
	if l.shipped < l.length {
		act(applyShip, 0)
	}
	if l.commit < l.shipped {
		act(applyCommit, 0)
	}
	for i, n := range l.foldable {
		if n > 0 {
			act(applyFold, uint32(i))
		}
		if n > 1 {
			act(applyFoldOne, uint32(i))
		}
	}
	bounded(recordMoves, c.moves, applyMove)
	bounded(recordMoves, c.moves, applyRestart)
	if l.shipped < l.length {
		bounded(recordMoves, c.moves, applyLose)
	}
	if l.active && l.settled {
		bounded(recordReloads, c.reloads, applyReload)
	}
	bounded(recordSnaps, c.snaps, applySnapshot)
	bounded(recordTicks, c.ticks, applyTick)
}

func (c *recordLog) describe(a *action, _ *view) string {
	what, arg := a.event.arg&0xff, a.event.arg>>8
	switch what {
	case applyCall:
		return c.requests[arg].name + " comes"
	case applyFold:
		return fmt.Sprintf("replica %d folds", arg)
	case applyFoldOne:
		return fmt.Sprintf("replica %d folds one record", arg)
	}
	return [...]string{
		applyDone: "the target has committed the send", applyShip: "the log is shipped", applyCommit: "the log is committed",
		applyMove: "the owner moves", applyRestart: "the owner restarts", applyLose: "the owner restarts without what was not shipped",
		applyReload: "the actor is loaded again", applySnapshot: "the other replica gets a snapshot", applyTick: "two retentions pass",
	}[what]
}
