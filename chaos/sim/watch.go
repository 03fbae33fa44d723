package sim

import (
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/mesh"
	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"

	"github.com/cespare/xxhash/v2"
)

// facts are what the nodes have said and done, once and for all. They are kept
// when a node that said them is gone, and most invariants are about them.
type facts struct {
	views    map[viewKey]uint64
	newest   *ring.View
	entries  map[slotPosition]uint64        // what a position was written with
	acked    map[slotLSN]quorum.Ballot      // what was acknowledged
	top      map[quorum.SlotID]quorum.LSN   // the highest of these
	active   map[quorum.SlotID]activeOwner  // the highest ballot that ever was active
	actives  map[slotBallot]int             // which process that was
	promises map[machineSlot]quorum.Promise // on disks
	turns    map[actorOn]uint64             // the last turn of an activation
}

type viewKey struct {
	cluster     ring.ClusterID
	incarnation ring.Incarnation
	epoch       ring.Epoch
}

type slotPosition struct {
	slot quorum.SlotID
	at   quorum.Position
}

type slotLSN struct {
	slot quorum.SlotID
	lsn  quorum.LSN
}

type slotBallot struct {
	slot   quorum.SlotID
	ballot quorum.Ballot
}

type machineSlot struct {
	machine int
	slot    quorum.SlotID
}

type actorOn struct {
	process, shard int
	activation     core.ActivationID
}

type activeOwner struct {
	ballot  quorum.Ballot
	process *process
	since   time.Duration
}

func newFacts() facts {
	return facts{
		views: map[viewKey]uint64{}, entries: map[slotPosition]uint64{}, acked: map[slotLSN]quorum.Ballot{},
		top: map[quorum.SlotID]quorum.LSN{}, active: map[quorum.SlotID]activeOwner{}, actives: map[slotBallot]int{},
		promises: map[machineSlot]quorum.Promise{}, turns: map[actorOn]uint64{},
	}
}

// viewRecord is a view with what a run wants of it.
type viewRecord struct{ view *ring.View }

// watcher checks what a process decides, as it decides it.
type watcher struct{ p *process }

var _ mesh.Observer = watcher{}

// View implements mesh.Observer. All nodes at one epoch hold the same view.
func (o watcher) View(v *ring.View) {
	w := o.p.w
	key := viewKey{v.Cluster, v.Incarnation, v.Epoch}
	hash := xxhash.Sum64(v.Encode())
	if known, ok := w.facts.views[key]; ok && known != hash {
		w.broken("%s: a second view of epoch %d", o.p.m.name, v.Epoch)
	}
	w.facts.views[key] = hash
	w.note(hash)
	if old := o.p.view; old != nil && old.view.Incarnation == v.Incarnation && old.view.Epoch >= v.Epoch {
		w.broken("%s: the view of epoch %d is adopted after that of %d", o.p.m.name, v.Epoch, old.view.Epoch)
	}
	o.p.view = &viewRecord{v}
	if n := w.facts.newest; n == nil || v.Incarnation > n.Incarnation || v.Incarnation == n.Incarnation && v.Epoch > n.Epoch {
		w.facts.newest = v
		w.viewSteps(n, v)
	}
}

// Shard implements mesh.Observer.
func (o watcher) Shard(index int, s *core.Shard, now quorum.Instant, r *core.Ready) {
	p, w := o.p, o.p.w
	for i := range r.Writes {
		o.write(&r.Writes[i])
	}
	for i := range r.Reports {
		o.report(s, &r.Reports[i])
	}
	for i := range r.Outcomes {
		o.outcome(s, now, &r.Outcomes[i])
		if p.pauseAtRead > 0 && r.Outcomes[i].Outcome.Until != 0 {
			w.count("pause as a read leaves")
			p.pauseIn, p.pauseEnd, p.pauseAtRead = 1, min(p.pauseEnd, w.time+p.pauseAtRead), 0
		}
	}
	for i := range r.Turns {
		o.turn(index, s, &r.Turns[i])
	}
	for _, snapshot := range r.Snapshots {
		w.step(script.StepSnapshot, p.m.name, w.nameOf(snapshot.Node))
	}
	if r.Damaged != "" && !p.m.disk.disk.Damaged() && !p.m.foreign {
		w.broken("%s: a damaged log: %s", p.m.name, r.Damaged)
	}
	w.countAll("lease lapsed", r.Lapsed)
	w.countAll("fold", len(r.Folds))
	w.countAll("snapshot ordered", len(r.Snapshots))
	w.countAll("log read for a laggard", len(r.Reads))
	w.countAll("delivery of a send", len(r.Deliveries))
	w.countAll("activation loaded", len(r.Loads))
	w.countAll("key looked up", len(r.Lookups))
	w.countAll("deactivation", len(r.Deactivate))
	w.countAll("turn abandoned", len(r.Abandon))
	w.note(uint64(index) | uint64(len(r.Writes))<<8 | uint64(len(r.Sends))<<24 | uint64(len(r.Outcomes))<<40)
}

// write checks what goes to the disk: one position, one entry; and a promise is
// never taken back.
func (o watcher) write(wr *quorum.Write) {
	w := o.p.w
	switch wr.Kind {
	case quorum.WriteAppend:
		for i := range wr.Entries {
			e := &wr.Entries[i]
			key := slotPosition{wr.Slot, e.Position()}
			hash := xxhash.Sum64(e.Data) ^ xxhash.Sum64String(string(e.Actor))
			if known, ok := w.facts.entries[key]; ok && known != hash {
				w.broken("%s: slot %d has two entries at %v", o.p.m.name, wr.Slot, e.Position())
			}
			w.facts.entries[key] = hash
			w.note(hash)
		}
	case quorum.WritePromise:
		key := machineSlot{o.p.m.index, wr.Slot}
		if last := w.facts.promises[key]; wr.Promise.Ballot.Less(last.Ballot) {
			w.broken("%s: slot %d: the promise of %v is taken back for %v", o.p.m.name, wr.Slot, last.Ballot, wr.Promise.Ballot)
		}
		w.facts.promises[key] = wr.Promise
	case quorum.WriteTruncate:
		w.count("log cut")
	case quorum.WriteDiscard:
		w.count("log discarded")
	case quorum.WriteInstall:
		w.count("snapshot installed")
	}
}

// report checks a new owner: it alone has its ballot, and it has all that was
// acknowledged under a lower one.
func (o watcher) report(s *core.Shard, r *core.SlotReport) {
	p, w := o.p, o.p.w
	switch r.Kind {
	case core.ReportActive:
		key := slotBallot{r.Slot, r.Ballot}
		if other, ok := w.facts.actives[key]; ok && other != p.id {
			w.broken("%s: slot %d has two owners at %v", p.m.name, r.Slot, r.Ballot)
		}
		w.facts.actives[key] = p.id
		info, _ := s.Info(r.Slot)
		for lsn := info.Last.LSN + 1; info.Active && lsn <= w.facts.top[r.Slot]; lsn++ {
			// Of a later ballot it may be: an owner that was passed over can still come to
			// know that it was chosen, and commits nothing any more.
			if ballot, acked := w.facts.acked[slotLSN{r.Slot, lsn}]; acked && ballot.Less(r.Ballot) {
				w.broken("%s: slot %d is active at %v with a log up to %d, and %d was acknowledged at %v", p.m.name, r.Slot, r.Ballot, info.Last.LSN, lsn, ballot)
			}
		}
		before := w.facts.active[r.Slot]
		if before.ballot.Less(r.Ballot) {
			if before.process != nil && before.process != p {
				w.count("owner changed")
			}
			w.facts.active[r.Slot] = activeOwner{r.Ballot, p, w.time}
		}
		giver := ""
		if before.process != nil {
			giver = before.process.m.name
		}
		w.step(script.StepActive, giver, p.m.name)
	case core.ReportCaughtUp:
		w.count("learner caught up")
		w.step(script.StepCaughtUp, p.m.name, w.nameOf(r.Node))
	case core.ReportQuiesced:
		w.count("slot quiesced")
		w.step(script.StepQuiesced, p.m.name, "")
	}
}

// outcome checks an answer: of two records at one place only one is acknowledged,
// and what is read under a lease is read from the last owner.
func (o watcher) outcome(s *core.Shard, now quorum.Instant, f *core.Finished) {
	p, w := o.p, o.p.w
	c, out := f.Call, &f.Outcome
	w.note(uint64(out.Code) | uint64(out.Fence.LSN)<<8)
	if out.Replayed {
		w.count("dedup hit")
		if info, _ := s.Info(c.Slot); out.Fence.Ballot.Boot != 0 && out.Fence.Ballot.Less(info.Ballot) {
			w.count("dedup hit after a failover")
		}
	}
	if out.Code != core.CodeOK && out.Code != core.CodeApp || out.Fence.LSN == 0 {
		return
	}
	last := w.facts.active[c.Slot]
	if c.ReadOnly {
		if out.Until == 0 {
			w.count("read by a quorum")
		} else if now < out.Until && out.Fence.Ballot.Less(last.ballot) && last.process != p && !w.clocksOff && !w.copied(p, c.Slot, last) {
			w.broken("%s: %s is read at %v under a lease, when %s was active at %v", p.m.name, c.Actor, out.Fence, last.process.m.name, last.ballot)
		} else {
			w.count("read under a lease")
		}
		return
	}
	key := slotLSN{c.Slot, out.Fence.LSN}
	if known, ok := w.facts.acked[key]; ok && known != out.Fence.Ballot {
		w.broken("%s: slot %d: %v is acknowledged, and %v was", p.m.name, c.Slot, out.Fence, quorum.Position{Ballot: known, LSN: out.Fence.LSN})
	}
	w.facts.acked[key] = out.Fence.Ballot
	w.facts.top[c.Slot] = max(w.facts.top[c.Slot], out.Fence.LSN)
}

// copied reports whether a process may read for a moment longer because the next
// owner has the promise of a copy of its directory: quorum.Leases says why that is
// so, for one lease.
func (w *world) copied(p *process, slot quorum.SlotID, next activeOwner) bool {
	lease := p.m.conf.Lease
	if lease == 0 {
		lease = 500 * time.Millisecond
	}
	if w.time-next.since > lease {
		return false
	}
	return slices.ContainsFunc(w.machines, func(m *machine) bool {
		promise := w.facts.promises[machineSlot{m.index, slot}].Ballot
		return m != p.m && m.conf.Name == p.m.conf.Name && !promise.Less(next.ballot)
	})
}

// turn checks that turns of one activation grow.
func (o watcher) turn(index int, s *core.Shard, t *core.TurnStart) {
	w := o.p.w
	key := actorOn{o.p.id, index, t.Activation}
	if last := w.facts.turns[key]; t.Fence.Turn <= last {
		w.broken("%s: turn %d of %s begins after turn %d", o.p.m.name, t.Fence.Turn, t.Call.Actor, last)
	}
	w.facts.turns[key] = t.Fence.Turn
	// An owner that a view keeps goes on at a higher ballot with the turns that it
	// has begun.
	if info, _ := s.Info(t.Slot); info.Ballot.Less(t.Fence.Ballot) {
		w.broken("%s: a turn of %s at %v, of an owner at %v", o.p.m.name, t.Call.Actor, t.Fence.Ballot, info.Ballot)
	}
	w.count("turn")
}

// sends sees a message of the slot log leave.
func (w *world) sends(t *port, to quorum.NodeID, m *quorum.Message) {
	switch m.Kind {
	case quorum.MsgSeal:
		w.step(script.StepSeal, "", t.p.m.name)
	case quorum.MsgPromise:
		w.step(script.StepPromise, t.p.m.name, w.nameOf(to))
	case quorum.MsgFetch:
		w.count("fetch")
		w.step(script.StepFetch, w.nameOf(to), t.p.m.name)
	case quorum.MsgRefuse:
		w.count("append or seal refused")
	case quorum.MsgMismatch:
		w.count("logs differ")
	}
}

// viewSteps tells of what a view changes.
func (w *world) viewSteps(old, v *ring.View) {
	if old == nil || len(old.Slots) != len(v.Slots) {
		return
	}
	if old.Coordinator != v.Coordinator {
		w.count("coordinator changed")
	}
	if !slices.Equal(old.Voters, v.Voters) {
		w.count("voters changed")
	}
	for i := range v.Slots {
		before, after := &old.Slots[i], &v.Slots[i]
		for _, id := range after.Learners {
			if !slices.Contains(before.Learners, id) {
				w.step(script.StepLearner, w.nameOf(quorum.NodeID(after.Owner())), w.nameOf(quorum.NodeID(id)))
			}
		}
		if before.Owner() != after.Owner() {
			w.step(script.StepView, w.nameOf(quorum.NodeID(before.Owner())), w.nameOf(quorum.NodeID(after.Owner())))
		}
		if len(after.From) > 0 && len(before.From) == 0 {
			w.count("replica set changed")
		}
		if len(after.From) == 0 && len(before.From) > 0 {
			w.step(script.StepDropped, "", w.nameOf(quorum.NodeID(after.Owner())))
		}
	}
}

// nameOf returns the name of the node with the id, "" if it is not known.
func (w *world) nameOf(id quorum.NodeID) string {
	if v := w.facts.newest; v != nil {
		if m, ok := v.Member(ring.NodeID(id)); ok {
			return m.Name
		}
	}
	return ""
}
