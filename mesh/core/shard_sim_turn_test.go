package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"actormesh/quorum"

	"github.com/cespare/xxhash/v2"
)

// simOp is one operation on an actor: a method and its argument. The same
// operation may be called many times, under one request id.
type simOp struct {
	ID      uint32
	Method  string
	Key     string            `json:",omitempty"`
	Targets []quorum.ActorKey `json:",omitempty"` // of sends, or of a nested call
	Takes   time.Duration     `json:",omitempty"`
}

func (op *simOp) hash() uint64 { return xxhash.Sum64String(fmt.Sprint(op.Method, op.ID, op.Key)) }

func (op *simOp) readOnly() bool { return op.Method == "get" }

// counts reports whether the operation, done, is one more in actorState.Done.
func (op *simOp) counts() bool { return !slices.Contains([]string{"get", "fail", "big"}, op.Method) }

// actorState is what an actor in the simulation is, apart from its ordered keys.
type actorState struct {
	Done []uint32          // operations that took effect, in order
	Recv map[string]uint64 // the last send taken, by source
	Bulk string            // makes the record too large
}

// simReply is what all operations answer.
type simReply struct {
	Count int    // of operations done
	Last  uint32 // of them
	Prev  string // value of the key before
	Keys  string // all ordered keys
}

func decodeState(b []byte) *actorState {
	st := &actorState{Recv: map[string]uint64{}}
	if b != nil {
		mustJSON(json.Unmarshal(b, st))
	}
	return st
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	mustJSON(err)
	return b
}

func mustJSON(err error) {
	if err != nil {
		panic(err)
	}
}

// simKeys are an actor's ordered keys as a turn sees them.
type simKeys map[string]string

func (k simKeys) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(k)) {
		b.WriteString(key + "=" + k[key] + " ")
	}
	return b.String()
}

// handle runs the operation's handler on a state. It changes the state, also
// where it then fails.
func (st *actorState) handle(op *simOp, id quorum.RequestID, keys simKeys) TurnResult {
	var r TurnResult
	reply := simReply{}
	switch op.Method {
	case "get":
		reply.Keys = keys.String()
	case "recv", "recvfail", "recvbig":
		if last := st.Recv[string(id.Source)]; id.Number <= last {
			return TurnResult{Err: &quorum.AppError{Code: "order", Message: fmt.Sprintf("%d after %d", id.Number, last)}}
		}
		st.Recv[string(id.Source)] = id.Number
		switch op.Method {
		case "recvfail":
			r.Err = &quorum.AppError{Code: "refused"}
		case "recvbig":
			r.Code, r.Detail = CodeTooLarge, "the reply is too large"
		}
	case "fail":
		st.Done = append(st.Done, op.ID)
		r.Err = &quorum.AppError{Code: "failed", Message: fmt.Sprint(op.ID)}
	case "big":
		st.Done = append(st.Done, op.ID)
		st.Bulk = strings.Repeat("x", 16<<10)
	default: // add, put, send, await, nested
		st.Done = append(st.Done, op.ID)
		if op.Key != "" {
			reply.Prev = keys[op.Key]
			w := quorum.KeyWrite{Key: []byte(op.Key), Value: []byte(fmt.Sprint(op.ID)), Delete: op.ID%5 == 0}
			r.Writes = []quorum.KeyWrite{w}
		}
		if op.Method == "send" {
			for i, t := range op.Targets {
				sent := simOp{ID: op.ID<<4 + uint32(i), Method: []string{"recv", "recv", "recvfail", "recvbig"}[(int(op.ID)+i)%4]}
				r.Sends = append(r.Sends, quorum.Send{Target: t, Method: sent.Method, Args: encode(sent)})
			}
		}
	}
	if reply.Count = len(st.Done); reply.Count > 0 {
		reply.Last = st.Done[reply.Count-1]
	}
	r.Reply = encode(reply)
	if r.State = encode(st); op.readOnly() {
		r.State, r.Unchanged = nil, true
	}
	return r
}

// simActivation is the shell's half of an activation.
type simActivation struct {
	actor quorum.ActorKey
	inst  *actorState // nil if there is none
	turn  *simTurn    // that runs
}

// simTurn is a turn that runs, perhaps for a while, and perhaps abandoned.
type simTurn struct {
	node      *simNode
	act       *simActivation
	inst      *actorState // its own once it is abandoned
	start     TurnStart
	abandoned bool
}

func (n *simNode) startTurn(start *TurnStart) {
	w := n.w
	a := n.acts[start.Activation]
	if a == nil {
		a = &simActivation{actor: start.Call.Actor}
		n.acts[start.Activation] = a
		for _, o := range n.acts {
			if o != a && o.actor == a.actor {
				w.broken("node %v: two activations of %v at once", n.id, a.actor)
			}
		}
	}
	switch {
	case a.turn != nil:
		w.broken("node %v: a turn of %v begins while another runs", n.id, a.actor)
	case a.inst == nil && !start.Load:
		w.broken("node %v: a turn of %v begins without a state", n.id, a.actor)
	case a.actor != start.Call.Actor:
		w.broken("node %v: a turn of %v on the activation of %v", n.id, start.Call.Actor, a.actor)
	}
	if start.Load {
		a.inst = decodeState(start.State)
	}
	w.count("turns")
	t := &simTurn{node: n, act: a, inst: a.inst, start: *start}
	a.turn = t
	op := start.Call.Arg.(*simOp)
	n.later(w.between(0, 200*time.Microsecond)+op.Takes, func() { t.run(op) })
}

// run runs the turn's handler, after the call to another actor that it may make.
func (t *simTurn) run(op *simOp) {
	if op.Method != "nested" && op.Method != "await" || t.abandoned {
		t.end(op, Outcome{})
		return
	}
	n, c := t.node, t.start.Call
	wait := &Call{
		Slot: t.start.Slot, Actor: c.Actor, Deadline: c.Deadline,
		Waiter: func(o Outcome) {
			if o.Code != CodeOK || op.Method == "await" {
				n.w.count("await")
				t.end(op, o)
				return
			}
			n.w.count("nested")
			t.nest(op)
		},
	}
	n.do(func(s *Shard, now quorum.Instant) {
		n.open[wait] = true
		s.Await(now, t.start.Seen, wait)
	})
}

// nest calls another actor, with a request id made from the turn's own.
func (t *simTurn) nest(op *simOp) {
	n, c := t.node, t.start.Call
	req := &simRequest{
		op: &simOp{ID: op.ID<<4 + 15, Method: "add"}, actor: op.Targets[0],
		id:       quorum.RequestID{Key: string(quorum.KeyDerived) + fmt.Sprint(op.ID)},
		deadline: n.w.time + c.Deadline.Sub(n.clock()), internal: true,
		chain: append(slices.Clone(c.Chain), c.Actor),
	}
	boot := n.boot
	n.w.route(&origin{node: n, boot: boot}, req, func(o Outcome) {
		if n.up && n.boot == boot {
			t.end(op, o)
		}
	})
}

// end returns what the turn did to the shard. nested is the end of the call that
// it made.
func (t *simTurn) end(op *simOp, nested Outcome) {
	n, s := t.node, &t.start
	var r TurnResult
	if nested.Code != CodeOK {
		r = TurnResult{Code: CodeUnavailable, Detail: "a call that the turn made: " + nested.Detail}
	} else {
		r = t.inst.handle(op, s.Call.Request, n.keysOf(s))
	}
	r.Activation, r.Turn = s.Activation, s.Fence.Turn
	r.Wall = max(s.Wall, int64(n.w.time)+int64(n.id)*int64(time.Millisecond))
	if r.Err != nil && r.Err.Code == "order" && !t.abandoned {
		n.w.broken("node %v: %v: send %s of %v", n.id, s.Call.Actor, r.Err.Message, s.Call.Request.Source)
	}
	if t.abandoned {
		n.w.count("result of an abandoned turn")
	} else {
		t.act.turn = nil
		if r.Err != nil || r.Code != CodeOK {
			t.act.inst = nil
		}
	}
	n.do(func(s *Shard, now quorum.Instant) { s.TurnDone(now, &r) })
}

// keysOf returns the ordered keys that a turn sees: what is folded, and over it
// what is not.
func (n *simNode) keysOf(t *TurnStart) simKeys {
	keys := simKeys{}
	if f := slotIn(n.disk.seen, t.Slot).actors[t.Call.Actor]; f != nil {
		maps.Copy(keys, f.keys)
	}
	if t.Keys == nil {
		return keys
	}
	t.Keys.Ascend(nil, func(w quorum.KeyWrite) bool {
		if got, ok := t.Keys.Get(w.Key); !ok || got.Delete != w.Delete || string(got.Value) != string(w.Value) {
			n.w.broken("node %v: an overlay's Get and Ascend differ", n.id)
		}
		writeKeys(keys, []quorum.KeyWrite{w})
		return true
	})
	return keys
}

// abandon gives a turn up. It goes on, and what it returns comes late.
func (n *simNode) abandon(ref TurnRef) {
	a := n.acts[ref.Activation]
	if a == nil || a.turn == nil || a.turn.start.Fence.Turn != ref.Turn {
		return // it has returned
	}
	n.w.count("abandoned")
	a.turn.abandoned = true
	a.turn, a.inst = nil, nil
}
