package core

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"actormesh/quorum"

	"github.com/anishathalye/porcupine"
)

// check looks at a shard after each batch: what it counts is what is there, and
// nothing waits for what has come.
func (n *simNode) check(r *Ready) {
	s, w := n.shard, n.w
	external, internal := 0, 0
	ended := map[*Call]bool{}
	for i := range r.Outcomes {
		ended[r.Outcomes[i].Call] = true
	}
	for c := range n.open {
		if ended[c] {
			continue
		}
		if c.Internal {
			internal++
		} else {
			external++
		}
	}
	if s.external != external || s.internal != internal {
		w.broken("node %v counts %d and %d calls in flight, there are %d and %d", n.id, s.external, s.internal, external, internal)
	}
	if len(s.env.Events) > 0 {
		w.broken("node %v leaves events", n.id)
	}
	for _, sl := range s.slots {
		n.checkSlot(sl)
	}
	for key, p := range s.pending {
		if a := s.actors[key.activation]; a == nil || a.running != p && !slices.Contains(a.mailbox, p) {
			w.broken("node %v: %+v is pending, and neither in a mailbox nor running", n.id, key)
		}
	}
}

func (n *simNode) checkSlot(sl *slot) {
	w, s := n.w, n.shard
	if sl.serving != sl.q.Active() {
		w.broken("node %v slot %d: serving is %t, and the log's owner active is %t", n.id, sl.id, sl.serving, sl.q.Active())
	}
	if !slices.IsSortedFunc(sl.waits, func(a, b waiting) int { return int(a.lsn) - int(b.lsn) }) {
		w.broken("node %v slot %d: what waits is not in order", n.id, sl.id)
	}
	if len(sl.waits) > 0 && sl.waits[0].lsn <= sl.q.Commit() {
		w.broken("node %v slot %d: something waits for %d, and %d is committed", n.id, sl.id, sl.waits[0].lsn, sl.q.Commit())
	}
	if len(sl.queue) > 0 && !s.owns(sl) {
		w.broken("node %v slot %d: calls wait for a slot that is another's", n.id, sl.id)
	}
	if sl.q.Busy() && !sl.busy {
		w.broken("node %v slot %d waits for time and is not ticked", n.id, sl.id)
	}
	for _, a := range sl.actors {
		if a.phase != active {
			continue
		}
		quiet := a.running == nil && len(a.mailbox) == 0 && a.outbox.idle()
		if quiet != a.inIdle {
			w.broken("node %v: %v has nothing to do: %t, and is in the idle list: %t", n.id, a.key, quiet, a.inIdle)
		}
		if a.running == nil && len(a.mailbox) > 0 && sl.serving && sl.quiesce.until == 0 && !a.mailbox[0].lookup && !sl.lapsed {
			w.broken("node %v: a call of %v waits for nothing", n.id, a.key)
		}
	}
}

// checkOutcome looks at the end of a call as it leaves the shard.
func (n *simNode) checkOutcome(f *Finished) {
	w, o := n.w, &f.Outcome
	if o.Code == CodeOK && f.Call.Request.Source != "" && o.Replayed {
		w.count("send repeated")
	}
	if o.Replayed {
		w.count("replayed")
	}
}

// verdict checks the whole run, when it is over.
func (w *world) verdict() {
	for i := range w.conf.slots {
		w.checkQuiet(quorum.SlotID(i))
	}
	for i, t := range w.tries {
		if t.to == 0 {
			w.broken("call %d of %v has not ended: %+v", i, t.actor, *t.op)
		}
	}
	chains := map[quorum.ActorKey]*chain{}
	for i := range w.conf.slots {
		w.chains(quorum.SlotID(i), chains)
	}
	for _, key := range w.actors {
		if chains[key] == nil {
			chains[key] = newChain()
		}
	}
	for _, key := range w.actors {
		w.checkSends(key, chains)
		w.checkTries(key, chains[key])
		w.checkStored(key, chains[key])
		w.checkLinearizable(key, chains[key])
	}
}

// checkQuiet checks that nothing is left under way in a slot.
func (w *world) checkQuiet(slot quorum.SlotID) {
	for _, n := range w.nodes {
		if !n.up || len(n.open) > 0 {
			w.broken("node %v: %d calls have no end", n.id, len(n.open))
		}
		sl := n.shard.slots[slot]
		if sl == nil {
			continue
		}
		if len(sl.waits)+len(sl.reads)+len(sl.queue) > 0 {
			w.broken("node %v slot %d: something still waits", n.id, slot)
		}
		for _, a := range sl.sortedActors() {
			w.broken("node %v: %v is still in memory, in phase %d, idle %t for %v, at %d, applied %d of %v, %d waiting, %+v",
				n.id, a.key, a.phase, a.inIdle, n.clock().Sub(a.usedAt), a.base.LSN, sl.q.Applied(), sl.q.Log().Last(), len(a.mailbox), a.outbox)
		}
	}
	row := w.row(slot)
	owner := w.node(row.Owner()).shard.slots[slot]
	if owner == nil || !owner.serving || owner.q.Commit() != owner.q.Log().Last().LSN {
		w.broken("slot %d is not served, or not committed to its end", slot)
	}
}

// chain is what the committed log holds of one actor.
type chain struct {
	base    *quorum.Base
	st      *actorState
	keys    simKeys
	records []chainRecord
	byID    map[requestKey]*chainRecord
	keysAt  map[int]string // ordered keys, by count of operations done
}

type chainRecord struct {
	at    quorum.Position
	r     *quorum.Record
	op    *simOp
	count int
}

func newChain() *chain {
	return &chain{base: quorum.NewBase(), st: decodeState(nil), keys: simKeys{}, byID: map[requestKey]*chainRecord{}, keysAt: map[int]string{0: ""}}
}

// chains walks a slot's log from its end to its beginning, and runs all of it
// again.
func (w *world) chains(slot quorum.SlotID, into map[quorum.ActorKey]*chain) {
	row := w.row(slot)
	var entries []quorum.Entry
	for at := w.node(row.Owner()).shard.slots[slot].q.Log().Last(); at.LSN > 0; {
		e, ok := w.log[slot][at]
		if !ok {
			w.broken("slot %d: there is no entry %v", slot, at)
		}
		entries = append(entries, e)
		at = quorum.Position{Ballot: e.Prev, LSN: at.LSN - 1}
	}
	slices.Reverse(entries)
	wall := int64(0)
	for i := range entries {
		e := &entries[i]
		if e.Actor == "" {
			continue
		}
		r := mustDecode(e)
		if r.Wall < wall {
			w.broken("slot %d: the wall time goes back at %v", slot, e.Position())
		}
		wall = r.Wall
		if into[e.Actor] == nil {
			into[e.Actor] = newChain()
		}
		w.rerun(into[e.Actor], e, r)
	}
}

// rerun applies one record, which must be what the handler does.
func (w *world) rerun(c *chain, e *quorum.Entry, r *quorum.Record) {
	c.base.Apply(e, r, w.conf.shard.Retention)
	if r.Method == "" {
		w.count("note")
		return
	}
	if n := len(c.records); n > 0 {
		last := &c.records[n-1]
		if c := e.Ballot.Compare(last.at.Ballot); c < 0 || c == 0 && r.Turn <= last.r.Turn {
			w.broken("%v: the fence does not grow: %v turn %d after %v turn %d", e.Actor, e.Position(), r.Turn, last.at, last.r.Turn)
		}
	}
	if twin := c.byID[keyOf(r.Request)]; twin != nil {
		w.broken("%v: request %+v took effect twice, at %v and %v", e.Actor, r.Request, twin.at, e.Position())
	}
	op := w.byHash[r.Args]
	st := decodeState(encode(c.st))
	want := st.handle(op, r.Request, c.keys)
	if want.Code == CodeTooLarge {
		want.Err = &quorum.AppError{Code: "too_large", Message: want.Detail}
	}
	switch {
	case (want.Err == nil) != (r.Err == nil), want.Err != nil && want.Err.Code != r.Err.Code:
		w.broken("%v: %v: %+v ended with %+v, and not with %+v", e.Actor, e.Position(), *op, r.Err, want.Err)
	case r.Err != nil:
		if r.HasState || len(r.Writes)+len(r.Sends) > 0 {
			w.broken("%v: %v: an error left a trace", e.Actor, e.Position())
		}
		if r.Request.Source != "" {
			w.count("dead letter " + r.Err.Code)
		}
	case !bytes.Equal(want.Reply, r.Reply) || r.HasState && !bytes.Equal(want.State, r.State):
		w.broken("%v: %v: %+v is not what the handler does:\n%s %s\n%s %s", e.Actor, e.Position(), *op, r.Reply, r.State, want.Reply, want.State)
	default:
		c.st = st
		writeKeys(c.keys, r.Writes)
	}
	c.records = append(c.records, chainRecord{e.Position(), r, op, len(c.st.Done)})
	c.byID[keyOf(r.Request)] = &chainRecord{e.Position(), r, op, len(c.st.Done)}
	c.keysAt[len(c.st.Done)] = c.keys.String()
}

// checkSends checks that each send of an actor was taken once, in order.
func (w *world) checkSends(key quorum.ActorKey, chains map[quorum.ActorKey]*chain) {
	sent := map[quorum.ActorKey]uint64{}
	for i := range chains[key].records {
		for _, s := range chains[key].records[i].r.Sends {
			if sent[s.Target]++; s.Number != sent[s.Target] {
				w.broken("%v: send %d to %v is numbered %d", key, sent[s.Target], s.Target, s.Number)
			}
		}
	}
	if len(chains[key].base.Outbox) > 0 {
		w.broken("%v: sends are left in the outbox: %+v", key, chains[key].base.Outbox)
	}
	for _, target := range w.actors {
		got := uint64(0)
		for i := range chains[target].records {
			if r := chains[target].records[i].r; r.Request.Source == key {
				if got++; r.Request.Number != got {
					w.broken("%v: send %d of %v is taken as the %d.", target, r.Request.Number, key, got)
				}
			}
		}
		if got != sent[target] {
			w.broken("%v sent %d to %v, which took %d", key, sent[target], target, got)
		}
	}
}

// checkTries checks what clients were told against what is in the log.
func (w *world) checkTries(key quorum.ActorKey, c *chain) {
	shared := map[requestKey]int{}
	for _, t := range w.tries {
		if t.actor == key {
			shared[keyOf(t.id)]++
		}
	}
	for _, t := range w.tries {
		if t.actor != key || t.op.readOnly() {
			continue
		}
		o, r := &t.outcome, c.byID[keyOf(t.id)]
		switch {
		case o.Code == CodeOutcomeUnknown:
			w.count("unknown to a client")
		case o.Code == CodeApp && t.id.Key == "":
			if r != nil || o.App.Code != "failed" {
				w.broken("%v: %+v failed with %+v, and is in the log", key, *t.op, o.App)
			}
		case o.Code == CodeOK || o.Code == CodeApp:
			if r == nil || r.at != o.Fence || !bytes.Equal(r.r.Reply, o.Reply) || (r.r.Err != nil) != (o.App != nil) || r.r.Args != t.op.hash() {
				w.broken("%v: %+v was answered %+v at %v, and the log has %+v", key, *t.op, o, o.Fence, r)
			}
			if o.Replayed {
				w.count("first answer again")
			}
		case o.Code == CodeKeyReused:
			w.count("key reused")
			if shared[keyOf(t.id)] == 1 {
				w.broken("%v: %+v: nobody else used the key", key, *t.op)
			}
		default:
			if r != nil && shared[keyOf(t.id)] == 1 {
				w.broken("%v: %+v ended with %s %q, and is in the log at %v", key, *t.op, codeNames[o.Code], o.Detail, r.at)
			}
		}
	}
}

// checkStored checks that every replica's store holds the actor as the log makes
// it.
func (w *world) checkStored(key quorum.ActorKey, c *chain) {
	slot := w.slotOf(key)
	want := c.base.AppendTo(nil, false)
	row := w.row(slot)
	for _, id := range row.Replicas {
		n := w.node(id)
		st := slotIn(n.disk.seen, slot)
		img := st.load(key)
		keys, answers := simKeys{}, map[string]quorum.Answer{}
		if f := st.actors[key]; f != nil {
			maps.Copy(keys, f.keys)
			maps.Copy(answers, f.answers)
		}
		for i := range img.Entries {
			e := &img.Entries[i]
			r := mustDecode(e)
			img.Base.Apply(e, r, w.conf.shard.Retention)
			writeKeys(keys, r.Writes)
			if r.Request.Key != "" {
				answers[r.Request.Key] = quorum.AnswerOf(e, r)
			}
		}
		if got := img.Base.AppendTo(nil, false); !bytes.Equal(got, want) {
			w.broken("node %v has %v as\n%+v, the log as\n%+v", id, key, img.Base, c.base)
		}
		if keys.String() != c.keys.String() {
			w.broken("node %v has the keys %v of %v, the log %v", id, keys, key, c.keys)
		}
		for i := range c.records {
			r := &c.records[i]
			if r.r.Request.Key != "" && answers[r.r.Request.Key].At != r.at {
				w.broken("node %v has lost the answer to %q of %v", id, r.r.Request.Key, key)
			}
		}
		if n := len(st.entries); n > w.conf.shard.KeepEntries+(w.conf.shard.FoldRecords+1)*(w.conf.actors+1)+64 {
			w.broken("node %v slot %d keeps %d entries", id, slot, n)
		}
	}
}

// counterInput is what porcupine is told: only whether an operation writes.
type counterInput bool

var counterModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		n := state.(int)
		if input.(counterInput) {
			n++
		}
		return output.(int) == n, n
	},
}

// checkLinearizable checks the operations that count, and the reads. What the log
// holds and no client was told may have happened at any time since it was asked.
func (w *world) checkLinearizable(key quorum.ActorKey, c *chain) {
	const never = time.Hour
	type span struct{ from, to time.Duration }
	spans := map[requestKey]*span{}
	var history []porcupine.Operation
	for _, t := range w.tries {
		if t.actor != key {
			continue
		}
		if t.op.readOnly() {
			if t.outcome.Code == CodeOK {
				var reply simReply
				mustJSON(unmarshal(t.outcome.Reply, &reply))
				if reply.Keys != c.keysAt[reply.Count] {
					w.broken("%v: a read after %d operations sees the keys %q, the log has %q", key, reply.Count, reply.Keys, c.keysAt[reply.Count])
				}
				w.count("reads")
				history = append(history, porcupine.Operation{Input: counterInput(false), Call: int64(t.from), Output: reply.Count, Return: int64(t.to)})
			}
			continue
		}
		s := spans[keyOf(t.id)]
		if s == nil {
			s = &span{t.from, never}
			spans[keyOf(t.id)] = s
		}
		if s.from = min(s.from, t.from); t.outcome.Code == CodeOK {
			s.to = min(s.to, t.to)
		}
	}
	for i := range c.records {
		r := &c.records[i]
		if !r.op.counts() || r.r.Err != nil || r.r.Request.Source != "" {
			continue
		}
		s := spans[keyOf(r.r.Request)]
		if s == nil {
			s = &span{0, never}
		}
		history = append(history, porcupine.Operation{Input: counterInput(true), Call: int64(s.from), Output: r.count, Return: int64(s.to)})
	}
	if !porcupine.CheckOperations(counterModel, history) {
		w.broken("%v: its history of %d operations is not linearizable: %s", key, len(history), renderHistory(history))
	}
}

func renderHistory(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b bytes.Buffer
	for _, o := range history {
		fmt.Fprintf(&b, "\n%10.3f to %10.3f: writes %v, count %v", float64(o.Call)/1e6, float64(o.Return)/1e6, o.Input, o.Output)
	}
	return b.String()
}
