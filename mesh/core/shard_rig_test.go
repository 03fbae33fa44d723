package core

import (
	"maps"
	"slices"
	"testing"
	"time"

	"actormesh/quorum"
)

// rig is a few shards for scripts: messages, writes and reads of the store take
// no time unless the script holds them back, and turns end when it says so.
type rig struct {
	t     *testing.T
	now   quorum.Instant
	epoch quorum.Epoch
	conf  ShardConfig
	nodes map[quorum.NodeID]*rigNode
}

type rigNode struct {
	s        *Shard
	disk     simDisk
	pending  []simBatch
	holdDisk bool // writes wait
	deaf     bool // messages to and from it are lost
	holdLoad bool // loads and lookups wait
	holdGone bool // nobody says Deactivated

	loads      []Load
	lookups    []Lookup
	turns      []TurnStart
	ends       []Finished
	abandoned  []TurnRef
	gone       []ActivationID
	deliveries []Delivery
	folds      []Fold
	reads      []LogRead
	outboxes   []quorum.SlotID
	reports    []SlotReport
	lapsed     int
	verdicts   []BeatVerdict
}

const rigSlot = quorum.SlotID(3)

var rigActor = quorum.MakeActorKey("a", "x")

// newRig returns a rig in which node 1 owns the slot, and serves it.
func newRig(t *testing.T, conf ShardConfig, replicas ...quorum.NodeID) *rig {
	r := &rig{t: t, now: 1 << 40, conf: conf, nodes: map[quorum.NodeID]*rigNode{}}
	for _, id := range replicas {
		conf.Self, conf.Boot = id, 1
		n := &rigNode{disk: newSimDisk(), s: NewShard(r.now, conf, nil)}
		n.s.Register(r.now)
		r.nodes[id] = n
	}
	r.pass(conf.Lease) // it promises nothing to others before
	r.view(quorum.Row{Replicas: replicas})
	return r
}

// view gives all nodes a view in which the slot's owner or set has changed.
func (r *rig) view(row quorum.Row) {
	r.epoch++
	row.Epoch = r.epoch
	for _, id := range r.ids() {
		r.nodes[id].s.Adopt(r.now, r.epoch, []SlotRow{{rigSlot, row}})
	}
	r.settle()
}

func (r *rig) ids() []quorum.NodeID { return slices.Sorted(maps.Keys(r.nodes)) }

// pass lets time pass, in ticks.
func (r *rig) pass(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = min(r.now.Add(5*time.Millisecond), end)
		for _, id := range r.ids() {
			if s := r.nodes[id].s; r.now >= s.Deadline(r.now) {
				s.Tick(r.now)
			}
		}
		r.settle()
	}
}

// settle does what the shards want done until they want no more.
func (r *rig) settle() {
	for again := true; again; {
		again = false
		for _, id := range r.ids() {
			again = r.take(id) || again
		}
	}
}

func (r *rig) take(id quorum.NodeID) bool {
	n := r.nodes[id]
	y := n.s.Ready(r.now)
	some := len(y.Writes)+len(y.Sends)+len(y.Outcomes)+len(y.Loads)+len(y.Lookups)+len(y.Deactivate)+len(y.Outboxes) > 0
	if len(y.Writes) > 0 {
		n.pending = append(n.pending, simBatch{y.Seq, y.Writes})
	}
	n.loads, n.lookups = append(n.loads, y.Loads...), append(n.lookups, y.Lookups...)
	n.turns, n.ends = append(n.turns, y.Turns...), append(n.ends, y.Outcomes...)
	n.abandoned, n.gone = append(n.abandoned, y.Abandon...), append(n.gone, y.Deactivate...)
	n.deliveries, n.folds = append(n.deliveries, y.Deliveries...), append(n.folds, y.Folds...)
	n.reads = append(n.reads, y.Reads...)
	n.outboxes, n.reports = append(n.outboxes, y.Outboxes...), append(n.reports, y.Reports...)
	n.verdicts = append(n.verdicts, y.Verdicts...)
	n.lapsed += y.Lapsed
	if y.Damaged != "" {
		r.t.Fatalf("node %v is damaged: %s", id, y.Damaged)
	}
	for _, m := range y.Sends {
		if to := r.nodes[m.To]; to != nil && !to.deaf && !n.deaf {
			to.s.Step(r.now, id, []quorum.Message{m.Message})
		}
	}
	if !n.holdDisk && len(n.pending) > 0 {
		r.sync(n)
		some = true
	}
	if !n.holdLoad && len(n.loads)+len(n.lookups) > 0 {
		r.answerLoads(n)
		some = true
	}
	if !n.holdGone && len(n.gone) > 0 {
		for _, id := range n.gone {
			n.s.Deactivated(r.now, id)
		}
		n.gone = nil
		some = true
	}
	return some
}

// sync makes durable what was written.
func (r *rig) sync(n *rigNode) {
	for _, b := range n.pending {
		n.disk.commit(b.writes)
		n.s.Persisted(r.now, b.seq)
	}
	n.pending = nil
}

func (r *rig) answerLoads(n *rigNode) {
	loads, lookups := n.loads, n.lookups
	n.loads, n.lookups = nil, nil
	for _, l := range loads {
		n.s.Loaded(r.now, l.Activation, slotIn(n.disk.seen, l.Slot).load(l.Actor), nil)
	}
	for _, l := range lookups {
		var answer quorum.Answer
		found := false
		if f := slotIn(n.disk.seen, l.Slot).actors[l.Actor]; f != nil {
			answer, found = f.answers[l.Key]
		}
		n.s.LookedUp(r.now, l, answer, found)
	}
}

// fold does the folds that were ordered.
func (r *rig) fold(n *rigNode) {
	folds := n.folds
	n.folds = nil
	for _, f := range folds {
		slotIn(n.disk.seen, f.Slot).fold(&f, time.Hour)
		n.s.Folded(f, true)
	}
	r.settle()
}

// beat gives node 1 leases of the others, from a heartbeat sent now.
func (r *rig) beat() {
	for _, id := range r.ids() {
		if n := r.nodes[id]; id != 1 && !n.deaf && !r.nodes[1].deaf {
			n.s.Beat(r.now, 1, 1, r.epoch, 1)
			if r.take(id); n.verdicts[len(n.verdicts)-1].Granted {
				r.nodes[1].s.Lease(r.now, id, r.now)
			}
		}
	}
	r.settle()
}

// call gives node 1 a call, of which edit may change what it likes.
func (r *rig) call(method string, id quorum.RequestID, edit ...func(c *Call)) *Call {
	c := &Call{
		Slot: rigSlot, Actor: rigActor, Method: method, ReadOnly: method == "get", ArgHash: uint64(len(method)),
		Request: id, Deadline: r.now.Add(10 * time.Second), Idle: time.Second,
	}
	for _, e := range edit {
		e(c)
	}
	r.nodes[1].s.Call(r.now, c)
	r.settle()
	return c
}

// turn returns the turn that began last on node 1 and has not been taken.
func (r *rig) turn() TurnStart {
	r.t.Helper()
	n := r.nodes[1]
	if len(n.turns) != 1 {
		r.t.Fatalf("%d turns have begun, not one", len(n.turns))
	}
	t := n.turns[0]
	n.turns = nil
	return t
}

// noTurn checks that none has begun on node 1.
func (r *rig) noTurn() {
	r.t.Helper()
	if n := len(r.nodes[1].turns); n > 0 {
		r.t.Fatalf("%d turns have begun, not none", n)
	}
}

// done ends a turn.
func (r *rig) done(t TurnStart, res TurnResult) {
	res.Activation, res.Turn = t.Activation, t.Fence.Turn
	r.nodes[1].s.TurnDone(r.now, &res)
	r.settle()
}

// end returns the outcome of a call that must have ended, once.
func (r *rig) end(c *Call) Outcome {
	r.t.Helper()
	var found []Outcome
	for _, f := range r.nodes[1].ends {
		if f.Call == c {
			found = append(found, f.Outcome)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("the call %s has %d ends: %+v", c.Method, len(found), found)
	}
	return found[0]
}

// open checks that a call has not ended.
func (r *rig) open(c *Call) {
	r.t.Helper()
	for _, f := range r.nodes[1].ends {
		if f.Call == c {
			r.t.Fatalf("the call %s has ended: %+v", c.Method, f.Outcome)
		}
	}
}

// ends checks the code with which a call has ended.
func (r *rig) ends(c *Call, code Code) Outcome {
	r.t.Helper()
	o := r.end(c)
	if o.Code != code {
		r.t.Fatalf("the call %s has ended with %s %q, not with %s", c.Method, codeNames[o.Code], o.Detail, codeNames[code])
	}
	return o
}

// last returns the last LSN of the slot's log at node 1.
func (r *rig) last() quorum.LSN { return r.nodes[1].s.slots[rigSlot].q.Log().Last().LSN }

func sessionID(number uint64) quorum.RequestID {
	return quorum.RequestID{Session: quorum.SessionID{7}, Number: number, Low: 1}
}

func ownKey(key string) quorum.RequestID { return quorum.RequestID{Key: string(quorum.KeyOwn) + key} }

func sendID(number uint64) quorum.RequestID {
	return quorum.RequestID{Source: quorum.MakeActorKey("a", "source"), Number: number}
}
