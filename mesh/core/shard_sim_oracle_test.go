package core

import (
	"slices"
	"time"

	"actormesh/quorum"
)

// The oracle decides the views, as the control core and the planner would, and
// now and then as they would not: what a slot does is safe whatever the views are.

// found makes the first view.
func (w *world) found() {
	rows := make([]quorum.Row, w.conf.slots)
	for i := range rows {
		set := w.shuffled()[:w.conf.replicas]
		rows[i] = quorum.Row{Epoch: 1, Replicas: set}
	}
	w.views = append(w.views, rows)
	w.after(50*time.Millisecond, w.watch)
	w.after(200*time.Millisecond, w.fault)
}

func (w *world) shuffled() []quorum.NodeID {
	ids := make([]quorum.NodeID, len(w.nodes))
	for i := range ids {
		ids[i] = quorum.NodeID(i + 1)
	}
	w.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

func (w *world) row(slot quorum.SlotID) quorum.Row { return w.views[len(w.views)-1][slot] }

// change commits a view in which one slot's row is changed, and tells the nodes.
func (w *world) change(slot quorum.SlotID, edit func(r *quorum.Row, e quorum.Epoch)) {
	rows := slices.Clone(w.views[len(w.views)-1])
	edit(&rows[slot], quorum.Epoch(len(w.views)+1))
	w.views = append(w.views, rows)
	w.tracef("view %d: slot %d %+v", len(w.views), slot, rows[slot])
	for _, n := range w.nodes {
		d := w.between(0, 10*time.Millisecond)
		if w.chance(8) {
			d = w.between(10*time.Millisecond, 400*time.Millisecond)
		}
		w.after(d, func() { w.tell(n) })
	}
}

// tell gives a node the newest view, if it can be reached.
func (w *world) tell(n *simNode) {
	if n.up && !w.isolated(n.id) {
		n.adopt(quorum.Epoch(len(w.views)))
	}
}

func (w *world) isolated(id quorum.NodeID) bool {
	reached := 1
	for _, o := range w.nodes {
		if o.id != id && !w.cut[[2]quorum.NodeID{o.id, id}] && !w.cut[[2]quorum.NodeID{id, o.id}] {
			reached++
		}
	}
	return reached < quorum.Majority(len(w.nodes))
}

// place makes a row name the set, its owner first.
func place(r *quorum.Row, e quorum.Epoch, set []quorum.NodeID) {
	if slices.Equal(r.Replicas, set) {
		return
	}
	from := slices.DeleteFunc(slices.Clone(r.From), func(s []quorum.NodeID) bool { return sameNodes(s, r.Replicas) })
	if !sameNodes(r.Replicas, set) {
		from = append(from, r.Replicas)
	}
	r.Epoch, r.Replicas, r.From = e, set, from
	r.Learners = slices.DeleteFunc(slices.Clone(r.Learners), func(id quorum.NodeID) bool { return slices.Contains(set, id) })
}

func sameNodes(a, b []quorum.NodeID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// report is what a shard tells its node's control core.
func (w *world) report(n *simNode, rep SlotReport) {
	row := w.row(rep.Slot)
	switch rep.Kind {
	case ReportActive:
		w.count("active")
		w.tracef("%v: slot %d is active at %v", n.id, rep.Slot, rep.Ballot)
		for _, a := range n.acts {
			if w.slotOf(a.actor) == rep.Slot {
				w.count("kept activations")
				break
			}
		}
		if w.active[rep.Slot].Less(rep.Ballot) {
			w.active[rep.Slot], w.ruler[rep.Slot] = rep.Ballot, n.id
		}
		if !w.chance(5) {
			w.after(w.between(0, 30*time.Millisecond), func() { w.dropFrom(rep.Slot, rep.Ballot.Epoch) })
		}
	case ReportLost:
		w.count("lost")
	case ReportBehind:
		w.after(w.between(0, 10*time.Millisecond), func() { w.tell(n) })
	case ReportCaughtUp:
		if slices.Contains(row.Learners, rep.Node) && row.Epoch == rep.Ballot.Epoch && len(row.From) == 0 {
			w.count("learner promoted")
			set := slices.Clone(row.Replicas)
			set[w.rng.IntN(len(set))] = rep.Node // perhaps the owner
			w.change(rep.Slot, func(r *quorum.Row, e quorum.Epoch) { place(r, e, set) })
		}
	case ReportQuiesced:
		if plan := w.plans[rep.Slot]; plan != nil {
			w.count("quiesced")
			delete(w.plans, rep.Slot)
			if w.calm || !w.chance(4) {
				plan()
			}
		}
	}
}

func (w *world) dropFrom(slot quorum.SlotID, epoch quorum.Epoch) {
	if row := w.row(slot); row.Epoch == epoch && len(row.From) > 0 {
		w.change(slot, func(r *quorum.Row, _ quorum.Epoch) { r.From = nil })
	}
}

// watch replaces owners that are gone, for ever.
func (w *world) watch() {
	w.after(40*time.Millisecond, w.watch)
	for i := range w.conf.slots {
		slot := quorum.SlotID(i)
		row := w.row(slot)
		n := w.node(row.Owner())
		if n.up && !w.isolated(n.id) {
			if sl := n.shard.slots[slot]; sl != nil && sl.serving && sl.ballot.Epoch == row.Epoch {
				w.ill[i] = w.time
				w.dropFrom(slot, row.Epoch)
				continue
			}
		}
		patience := 100 * time.Millisecond
		if n.up && !w.isolated(n.id) {
			patience = 900 * time.Millisecond
		}
		if w.time < w.ill[i]+patience {
			continue
		}
		w.ill[i] = w.time
		set := slices.Clone(row.Replicas)
		for j := 1; j < len(set); j++ {
			if o := w.node(set[j]); o.up && !w.isolated(o.id) {
				set[0], set[j] = set[j], set[0]
				w.count("failover")
				w.change(slot, func(r *quorum.Row, e quorum.Epoch) { place(r, e, set) })
				break
			}
		}
	}
	for _, n := range w.nodes {
		if w.chance(5) {
			w.tell(n)
		}
	}
}

// fault does something bad, or plans a move, again and again.
func (w *world) fault() {
	if w.time > w.conf.faults {
		w.heal()
		w.after(settleTime, w.calmChange)
		return
	}
	w.after(w.between(20*time.Millisecond, 300*time.Millisecond), w.fault)
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	slot := quorum.SlotID(w.rng.IntN(w.conf.slots))
	row := w.row(slot)
	if w.chance(2) {
		n = w.node(row.Owner())
	}
	switch w.rng.IntN(9) {
	case 0, 1:
		down := 0
		for _, o := range w.nodes {
			if !o.up {
				down++
			}
		}
		if n.up && (down < (len(w.nodes)-1)/2 || w.chance(8)) {
			n.crash()
			w.after(w.between(10*time.Millisecond, 700*time.Millisecond), func() {
				if !n.up {
					n.start()
				}
			})
		}
	case 2:
		w.isolate(n)
	case 3:
		if n.up {
			w.count("pause")
			n.stuck = max(n.stuck, w.time+w.between(10*time.Millisecond, 900*time.Millisecond))
		}
	case 4, 5:
		if len(row.From) == 0 || w.chance(10) {
			w.move(slot, row)
		}
	case 6, 7:
		outside := slices.DeleteFunc(w.shuffled(), func(id quorum.NodeID) bool { return slices.Contains(row.Replicas, id) })
		if len(row.Learners) == 0 && len(outside) > 0 {
			w.change(slot, func(r *quorum.Row, _ quorum.Epoch) { r.Learners = outside[:1] })
		} else if w.chance(3) {
			w.change(slot, func(r *quorum.Row, _ quorum.Epoch) { r.Learners = nil })
		}
	case 8:
		w.reset(slot, row)
	}
}

// reset changes a slot's set without a learner, and often keeps its owner.
func (w *world) reset(slot quorum.SlotID, row quorum.Row) {
	if len(row.From) > 0 {
		return
	}
	set := slices.DeleteFunc(w.shuffled(), func(id quorum.NodeID) bool { return id == row.Owner() })[:w.conf.replicas-1]
	set = append([]quorum.NodeID{row.Owner()}, set...)
	if w.chance(3) {
		set[0], set[1] = set[1], set[0]
	}
	w.change(slot, func(r *quorum.Row, e quorum.Epoch) { place(r, e, set) })
}

// What comes after the faults: time to settle, time in which every call must
// succeed though slots move, and time in which all goes to sleep.
const (
	settleTime = 2 * time.Second
	calmTime   = 2 * time.Second
	sleepTime  = 6 * time.Second
)

// calmChange changes views while there are no faults.
func (w *world) calmChange() {
	if w.time > w.conf.faults+settleTime+calmTime {
		return
	}
	w.after(w.between(50*time.Millisecond, 250*time.Millisecond), w.calmChange)
	slot := quorum.SlotID(w.rng.IntN(w.conf.slots))
	if row := w.row(slot); w.chance(2) {
		w.reset(slot, row)
	} else if len(row.From) == 0 {
		w.move(slot, row)
	}
}

// move gives a slot to another of its replicas, quiesced or not.
func (w *world) move(slot quorum.SlotID, row quorum.Row) {
	set := slices.Clone(row.Replicas)
	if len(set) < 2 {
		return
	}
	j := 1 + w.rng.IntN(len(set)-1)
	set[0], set[j] = set[j], set[0]
	plan := func() {
		if now := w.row(slot); now.Epoch == row.Epoch {
			w.count("move")
			w.change(slot, func(r *quorum.Row, e quorum.Epoch) { place(r, e, set) })
		}
	}
	if w.chance(3) {
		plan()
		return
	}
	w.plans[slot] = plan
	w.node(row.Owner()).do(func(s *Shard, now quorum.Instant) { s.Quiesce(now, slot) })
}

// isolate cuts a node off from others, one way or both, for a while.
func (w *world) isolate(n *simNode) {
	w.count("isolate")
	in, out := !w.chance(3), !w.chance(3)
	for _, o := range w.nodes {
		if o != n && !w.chance(4) {
			w.cut[[2]quorum.NodeID{o.id, n.id}] = in
			w.cut[[2]quorum.NodeID{n.id, o.id}] = out
		}
	}
	w.after(w.between(50*time.Millisecond, 900*time.Millisecond), func() {
		for _, o := range w.nodes {
			delete(w.cut, [2]quorum.NodeID{o.id, n.id})
			delete(w.cut, [2]quorum.NodeID{n.id, o.id})
			if o != n && o.up && n.up {
				o.do(func(s *Shard, now quorum.Instant) { s.Reconnected(now, n.id) })
				n.do(func(s *Shard, now quorum.Instant) { s.Reconnected(now, o.id) })
			}
		}
	})
}

// heal ends all faults.
func (w *world) heal() {
	w.calm = true
	clear(w.cut)
	clear(w.plans)
	for _, n := range w.nodes {
		if !n.up {
			n.start()
		}
	}
	for _, c := range w.clients {
		c.view = quorum.Epoch(len(w.views))
	}
}
