package mesh

import (
	"sync"
	"sync/atomic"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// shardLoop is the goroutine that owns some of the slots: it feeds a core.Shard
// with what comes in, and does what the shard wants done.
//
//	calls, results of turns, messages, ends of writes, ticks
//	        │ inbox, swapped whole
//	        ▼
//	   core.Shard ──Ready──► committer, transport, turns, store, control loop
type shardLoop struct {
	node  *Node
	index int
	core  *core.Shard

	inbox inbox
	taken inboxLists // by the step that runs
	stop  chan struct{}
	done  chan struct{}
	run   func()
	wake  func()
	stats shardStats

	tickAt   quorum.Instant
	observer Observer // nil for none

	ready       core.Ready                        // that is dispatched
	activations map[core.ActivationID]*activation // only the loop looks at it
	byPeer      []peerMessages
}

// peerMessages are what is to be sent to one peer.
type peerMessages struct {
	to   quorum.NodeID
	msgs []quorum.Message
}

// shardStats is what a loop publishes for metrics.
type shardStats struct {
	activations      atomic.Int64
	activationsTotal atomic.Uint64
	dedupHits        atomic.Uint64
	fenced           atomic.Uint64
	folds            atomic.Uint64
	lapsed           atomic.Uint64
}

// inbox collects events for a loop. Order is kept within each list, and among
// the lists none is promised: to the core they come from a network anyway.
type inbox struct {
	mu   sync.Mutex
	list inboxLists
}

type inboxLists struct {
	logs    []logFrame
	calls   []*core.Call
	results []*core.TurnResult
	tasks   []func(s *core.Shard, now quorum.Instant)
	durable uint64 // highest batch that is
}

type logFrame struct {
	from quorum.NodeID
	msgs []quorum.Message
}

func newShardLoop(n *Node, index int, s *core.Shard) *shardLoop {
	l := &shardLoop{
		node: n, index: index, core: s, observer: n.env.Observer(),
		stop: make(chan struct{}), done: make(chan struct{}),
		activations: map[core.ActivationID]*activation{},
	}
	l.run, l.wake = n.env.Loop(l.stop, l.turn, func() {
		l.end()
		close(l.done)
	})
	return l
}

// put adds events under the inbox's lock and wakes the loop.
func (l *shardLoop) put(add func(*inboxLists)) {
	l.inbox.mu.Lock()
	add(&l.inbox.list)
	l.inbox.mu.Unlock()
	l.wake()
}

// call gives a call to the shard.
func (l *shardLoop) call(c *core.Call) {
	l.inbox.mu.Lock()
	l.inbox.list.calls = append(l.inbox.list.calls, c)
	l.inbox.mu.Unlock()
	l.wake()
}

// result gives the shard what a turn did.
func (l *shardLoop) result(r *core.TurnResult) {
	l.inbox.mu.Lock()
	l.inbox.list.results = append(l.inbox.list.results, r)
	l.inbox.mu.Unlock()
	l.wake()
}

// log gives the shard messages from a peer.
func (l *shardLoop) log(from quorum.NodeID, msgs []quorum.Message) {
	l.inbox.mu.Lock()
	l.inbox.list.logs = append(l.inbox.list.logs, logFrame{from, msgs})
	l.inbox.mu.Unlock()
	l.wake()
}

// durable tells the shard that its batches up to seq are.
func (l *shardLoop) durable(seq uint64) {
	l.put(func(in *inboxLists) { in.durable = max(in.durable, seq) })
}

// do runs a task in the loop.
func (l *shardLoop) do(task func(s *core.Shard, now quorum.Instant)) {
	l.put(func(in *inboxLists) { in.tasks = append(in.tasks, task) })
}

// ask runs a task in the loop and waits for it, or for the loop's end.
func (l *shardLoop) ask(task func(s *core.Shard, now quorum.Instant)) bool {
	done := make(chan struct{})
	l.do(func(s *core.Shard, now quorum.Instant) {
		task(s, now)
		close(done)
	})
	l.node.env.Wait(0, done, l.done, nil)
	return isClosed(done) // it may have been the loop's last
}

// turn takes what has come, and does what the shard then wants done. It returns
// when it wants to be ticked.
func (l *shardLoop) turn() quorum.Instant {
	env := l.node.env
	l.inbox.mu.Lock()
	l.taken, l.inbox.list = l.inbox.list, l.taken.reset()
	l.inbox.mu.Unlock()
	// The clock is read after the events were taken: a lease must hold
	// at a time after the request came, not before.
	now := env.Now()
	l.step(now, &l.taken)
	if now >= l.tickAt {
		l.core.Tick(now)
	}
	l.ready = l.core.Ready(now)
	if l.observer != nil {
		l.observer.Shard(l.index, l.core, now, &l.ready)
	}
	l.dispatch(&l.ready)
	l.ready = core.Ready{}
	l.tickAt = l.core.Deadline(now)
	return l.tickAt
}

// reset empties the lists and keeps their memory.
func (in inboxLists) reset() inboxLists {
	clear(in.logs)
	clear(in.calls)
	clear(in.results)
	clear(in.tasks)
	return inboxLists{logs: in.logs[:0], calls: in.calls[:0], results: in.results[:0], tasks: in.tasks[:0]}
}

func (l *shardLoop) step(now quorum.Instant, in *inboxLists) {
	if in.durable > 0 {
		l.core.Persisted(now, in.durable)
	}
	for _, f := range in.logs {
		l.core.Step(now, f.from, f.msgs)
	}
	for _, r := range in.results {
		l.ended(r)
		l.core.TurnDone(now, r)
	}
	for _, c := range in.calls {
		l.core.Call(now, c)
	}
	for _, task := range in.tasks {
		task(l.core, now)
	}
}

// dispatch does what the shard wants done. The writes go first.
func (l *shardLoop) dispatch(r *core.Ready) {
	n := l.node
	for i := range r.Writes {
		if k := r.Writes[i].Kind; k == quorum.WriteDiscard || k == quorum.WriteInstall {
			n.folds.replaced[r.Writes[i].Slot].Add(1)
		}
	}
	if len(r.Writes) > 0 {
		n.commit.submit(submission{writes: r.Writes, durable: l.durable, seq: r.Seq})
	}
	l.stats.lapsed.Add(uint64(r.Lapsed))
	for _, took := range r.Handovers {
		n.metrics.observeHandover(took)
	}
	l.send(r.Sends)
	l.answer(r.Outcomes)
	for _, t := range r.Abandon { // before the turn that may follow it
		l.abandon(t)
	}
	for i := range r.Turns {
		l.startTurn(&r.Turns[i])
	}
	for _, id := range r.Deactivate {
		l.deactivate(id)
	}
	for _, load := range r.Loads {
		l.stats.activationsTotal.Add(1)
		n.spawn(func() { l.load(load) })
	}
	for _, k := range r.Lookups {
		n.spawn(func() { l.lookUp(k) })
	}
	for _, d := range r.Deliveries {
		n.spawn(func() { l.deliver(d) })
	}
	for _, o := range r.Snapshots {
		n.spawn(func() { l.sendSnapshot(o) })
	}
	for _, read := range r.Reads {
		n.spawn(func() { l.readLog(read) })
	}
	for _, id := range r.Outboxes {
		n.spawn(func() { l.findOutboxes(id) })
	}
	for _, f := range r.Folds {
		n.folds.add(l, f)
	}
	if r.Damaged != "" {
		n.fail(errDamagedLog(r.Damaged))
	}
	n.control.fromShard(l.index, r)
}

// send hands messages to the transport, one frame for each peer.
func (l *shardLoop) send(list []quorum.Envelope) {
	if len(list) == 0 {
		return
	}
	for i := range list {
		e := &list[i]
		if e.Kind == quorum.MsgRefuse {
			l.stats.fenced.Add(1)
		}
		p := l.peer(e.To)
		p.msgs = append(p.msgs, e.Message)
	}
	for i := range l.byPeer {
		p := &l.byPeer[i]
		if len(p.msgs) > 0 {
			// What cannot be sent is lost, as on any network; the log repeats it.
			_ = l.node.net.SendLog(p.to, p.msgs)
			clear(p.msgs)
			p.msgs = p.msgs[:0]
		}
	}
}

// peer returns what is to be sent to a peer. There are few.
func (l *shardLoop) peer(to quorum.NodeID) *peerMessages {
	for i := range l.byPeer {
		if l.byPeer[i].to == to {
			return &l.byPeer[i]
		}
	}
	l.byPeer = append(l.byPeer, peerMessages{to: to})
	return &l.byPeer[len(l.byPeer)-1]
}

// answer gives calls' ends to those who wait for them. An answer that is true
// only while a lease lasts is checked once more, by a clock that is read as it
// leaves: the process may have been paused since.
func (l *shardLoop) answer(list []core.Finished) {
	if len(list) == 0 {
		return
	}
	leaving := l.node.env.Now()
	for i := range list {
		o := &list[i].Outcome
		if o.Until != 0 && leaving >= o.Until && !mutant.On(mutant.ReplyUnchecked) {
			*o = core.Outcome{Code: core.CodeUnavailable, Detail: "the lease ended before the answer left"}
		}
		if o.Replayed {
			l.stats.dedupHits.Add(1)
		}
		list[i].Call.Waiter.(*waiter).finish(l.node, o)
	}
}

// end lets go of what the loop holds when the node stops.
func (l *shardLoop) end() {
	for _, a := range l.activations {
		if a.turn != nil {
			a.turn.cancel(errStopped)
		}
	}
	stopped := core.Outcome{Code: core.CodeUnavailable, Detail: "the node has stopped"}
	l.inbox.mu.Lock()
	calls := l.inbox.list.calls
	l.inbox.list.calls = nil
	l.inbox.mu.Unlock()
	for _, c := range calls {
		c.Waiter.(*waiter).finish(l.node, &stopped)
	}
}
