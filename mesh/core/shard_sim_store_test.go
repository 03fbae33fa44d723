package core

import (
	"maps"
	"slices"
	"time"

	"actormesh/quorum"
)

// simDisk is a node's store: what a reader sees, and what a crash leaves. Folds
// are seen at once and are durable with the next batch.
type simDisk struct {
	seen, durable map[quorum.SlotID]*simSlot
	unsynced      []func(slots map[quorum.SlotID]*simSlot)
}

// simSlot is what a store has of one slot, as local keeps it.
type simSlot struct {
	promise  quorum.Promise
	base     quorum.Position
	baseHash uint64
	entries  map[quorum.LSN]quorum.Entry // not folded
	actors   map[quorum.ActorKey]*simFolded
}

type simFolded struct {
	base    []byte
	answers map[string]quorum.Answer
	keys    map[string]string
}

func newSimDisk() simDisk {
	return simDisk{seen: map[quorum.SlotID]*simSlot{}, durable: map[quorum.SlotID]*simSlot{}}
}

func newSimSlot() *simSlot {
	return &simSlot{entries: map[quorum.LSN]quorum.Entry{}, actors: map[quorum.ActorKey]*simFolded{}}
}

func slotIn(slots map[quorum.SlotID]*simSlot, id quorum.SlotID) *simSlot {
	if slots[id] == nil {
		slots[id] = newSimSlot()
	}
	return slots[id]
}

func (s *simSlot) clone() *simSlot {
	c := *s
	c.entries = maps.Clone(s.entries)
	c.actors = map[quorum.ActorKey]*simFolded{}
	for k, f := range s.actors {
		c.actors[k] = &simFolded{slices.Clone(f.base), maps.Clone(f.answers), maps.Clone(f.keys)}
	}
	return &c
}

func (d *simDisk) recover() {
	d.unsynced = nil
	d.seen = map[quorum.SlotID]*simSlot{}
	for id, s := range d.durable {
		d.seen[id] = s.clone()
	}
}

// commit makes a batch durable, and the folds before it.
func (d *simDisk) commit(writes []quorum.Write) {
	for _, fold := range d.unsynced {
		fold(d.durable)
	}
	d.unsynced = nil
	for i := range writes {
		slotIn(d.seen, writes[i].Slot).apply(&writes[i])
		slotIn(d.durable, writes[i].Slot).apply(&writes[i])
	}
}

func (s *simSlot) apply(w *quorum.Write) {
	switch w.Kind {
	case quorum.WritePromise:
		if w.Promise.Ballot.Less(s.promise.Ballot) {
			panic("a promise is taken back")
		}
		s.promise = w.Promise
	case quorum.WriteAppend:
		for _, e := range w.Entries {
			if e.LSN != s.last().LSN+1 {
				panic("a write leaves a gap, or an entry that it did not cut off")
			}
			s.entries[e.LSN] = e
		}
	case quorum.WriteTruncate:
		for _, t := range w.Cut {
			delete(s.entries, t.LSN)
		}
	case quorum.WriteDiscard:
		*s = simSlot{promise: s.promise, entries: map[quorum.LSN]quorum.Entry{}, actors: map[quorum.ActorKey]*simFolded{}}
	case quorum.WriteInstall:
		promise := s.promise
		*s = *w.Snapshot.(*simSlot).clone()
		s.promise = promise
	}
}

func (s *simSlot) last() quorum.Position {
	last := s.base
	for lsn := s.base.LSN + 1; ; lsn++ {
		e, ok := s.entries[lsn]
		if !ok {
			return last
		}
		last = e.Position()
	}
}

// sorted returns the entries in order.
func (s *simSlot) sorted() []quorum.Entry {
	var list []quorum.Entry
	for _, lsn := range slices.Sorted(maps.Keys(s.entries)) {
		list = append(list, s.entries[lsn])
	}
	return list
}

// stored returns what a scan of the slot finds.
func (s *simSlot) stored(id quorum.SlotID) StoredSlot {
	st := StoredSlot{Slot: id, State: quorum.SlotState{Promise: s.promise, Base: s.base, BaseHash: s.baseHash}}
	for _, e := range s.sorted() {
		t := quorum.TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: e.Size()}
		if e.LSN > s.base.LSN {
			st.State.Tail = append(st.State.Tail, t)
		} else {
			st.Unfolded = append(st.Unfolded, t)
		}
		st.State.Wall = max(st.State.Wall, quorum.RecordWall(e.Data))
		if quorum.RecordSends(e.Data) {
			if st.State.Senders == nil {
				st.State.Senders = map[quorum.ActorKey]quorum.LSN{}
			}
			st.State.Senders[e.Actor] = e.LSN
		}
	}
	for _, f := range s.actors {
		st.State.Wall = max(st.State.Wall, f.image().Wall)
	}
	return st
}

func (d *simDisk) stored(time.Duration) []StoredSlot {
	var list []StoredSlot
	for _, id := range slices.Sorted(maps.Keys(d.seen)) {
		list = append(list, d.seen[id].stored(id))
	}
	return list
}

func (f *simFolded) image() *quorum.Base {
	b, err := quorum.DecodeBase(slices.Clone(f.base))
	if err != nil {
		panic(err)
	}
	return b
}

// load reads an actor.
func (s *simSlot) load(key quorum.ActorKey) ActorImage {
	img := ActorImage{Base: quorum.NewBase()}
	if f := s.actors[key]; f != nil {
		img.Base = f.image()
	}
	for _, e := range s.sorted() {
		if e.Actor == key {
			img.Entries = append(img.Entries, e)
		}
	}
	return img
}

// fold folds an actor as local.Store.Fold does.
func (s *simSlot) fold(f *Fold, retention time.Duration) int {
	if f.Base.LSN > s.base.LSN {
		s.base, s.baseHash = f.Base, f.BaseHash
	}
	if f.UpTo > s.base.LSN {
		panic("a fold goes beyond the base")
	}
	a := s.actors[f.Actor]
	if a == nil {
		a = &simFolded{quorum.NewBase().AppendTo(nil, false), map[string]quorum.Answer{}, map[string]string{}}
	}
	b := a.image()
	n := 0
	for _, e := range s.sorted() {
		if e.Actor != f.Actor || e.LSN > f.UpTo {
			continue
		}
		n++
		delete(s.entries, e.LSN)
		if e.Actor == "" {
			continue
		}
		r := mustDecode(&e)
		b.Apply(&e, r, retention)
		if r.Request.Key != "" {
			a.answers[r.Request.Key] = quorum.AnswerOf(&e, r)
		}
		writeKeys(a.keys, r.Writes)
	}
	if n > 0 && f.Actor != "" {
		a.base = b.AppendTo(nil, false)
		s.actors[f.Actor] = a
	}
	return n
}

func writeKeys(keys map[string]string, writes []quorum.KeyWrite) {
	for _, w := range writes {
		if w.Delete {
			delete(keys, string(w.Key))
		} else {
			keys[string(w.Key)] = string(w.Value)
		}
	}
}

func mustDecode(e *quorum.Entry) *quorum.Record {
	r, err := quorum.DecodeRecord(e.Data)
	if err != nil {
		panic(err)
	}
	return r
}

// useStore does what a shard wants of the store: a while later, and told later
// still.
func (n *simNode) useStore(r *Ready) {
	w := n.w
	slot := func(id quorum.SlotID) *simSlot { return slotIn(n.disk.seen, id) }
	ask := func(read func() func(*Shard, quorum.Instant)) {
		n.later(w.between(0, 2*time.Millisecond), func() {
			told := read()
			n.later(w.between(0, 2*time.Millisecond), func() { n.do(told) })
		})
	}
	for _, l := range r.Loads {
		w.count("load")
		ask(func() func(*Shard, quorum.Instant) {
			img := slot(l.Slot).load(l.Actor)
			return func(s *Shard, now quorum.Instant) { s.Loaded(now, l.Activation, img, nil) }
		})
	}
	for _, l := range r.Lookups {
		w.count("lookup")
		ask(func() func(*Shard, quorum.Instant) {
			var answer quorum.Answer
			found := false
			if f := slot(l.Slot).actors[l.Actor]; f != nil {
				answer, found = f.answers[l.Key]
			}
			if found {
				w.count("lookup found")
			}
			return func(s *Shard, now quorum.Instant) { s.LookedUp(now, l, answer, found) }
		})
	}
	for _, l := range r.Reads {
		w.count("read of the log")
		ask(func() func(*Shard, quorum.Instant) {
			var entries []quorum.Entry
			for _, t := range l.Tail {
				e, ok := slot(l.Slot).entries[t.LSN]
				if !ok || e.Hash != t.Hash {
					break
				}
				entries = append(entries, e)
			}
			return func(s *Shard, now quorum.Instant) { s.LogRead(now, l, entries) }
		})
	}
	for _, id := range r.Outboxes {
		ask(func() func(*Shard, quorum.Instant) {
			var list []quorum.ActorKey
			for _, key := range slices.Sorted(maps.Keys(slot(id).actors)) {
				if len(slot(id).actors[key].image().Outbox) > 0 {
					list = append(list, key)
				}
			}
			return func(s *Shard, now quorum.Instant) { s.Outbox(now, id, list) }
		})
	}
	for _, f := range r.Folds {
		n.foldLater(f)
	}
	for _, o := range r.Snapshots {
		n.later(w.between(0, 5*time.Millisecond), func() { n.sendSnapshot(o) })
	}
	for _, d := range r.Deliveries {
		n.deliver(d)
	}
}

// foldLater folds if the slot has not been replaced since the fold was ordered.
func (n *simNode) foldLater(f Fold) {
	w, log := n.w, n.replaced[f.Slot]
	wait := 20 * time.Millisecond
	if w.chance(4) {
		wait = 400 * time.Millisecond
	}
	n.later(w.between(0, wait), func() {
		ok := n.replaced[f.Slot] == log
		if ok {
			retention := w.conf.shard.Retention
			fold := func(slots map[quorum.SlotID]*simSlot) { slotIn(slots, f.Slot).fold(&f, retention) }
			if slotIn(n.disk.seen, f.Slot).last().LSN < f.Base.LSN {
				w.broken("node %v slot %d: a fold of a log that is not there: %+v", n.id, f.Slot, f)
			}
			fold(n.disk.seen)
			n.disk.unsynced = append(n.disk.unsynced, fold)
			w.count("fold")
		} else {
			w.count("fold superseded")
		}
		n.later(w.between(0, 2*time.Millisecond), func() {
			n.do(func(s *Shard, now quorum.Instant) { s.Folded(f, ok) })
		})
	})
}

func (n *simNode) sendSnapshot(o SnapshotOrder) {
	w := n.w
	staged := slotIn(n.disk.seen, o.Slot).clone()
	staged.promise = quorum.Promise{}
	last := staged.last().LSN
	told := false
	tell := func(ok bool) {
		if !told {
			told = true
			n.do(func(s *Shard, now quorum.Instant) { s.SnapshotSent(now, o, last, ok) })
		}
	}
	n.later(200*time.Millisecond, func() { tell(false) })
	w.send(n.id, o.Node, func(to *simNode) {
		to.do(func(s *Shard, now quorum.Instant) {
			if s.Staged(now, n.id, o.Ballot, staged.stored(o.Slot), staged) {
				w.count("snapshot taken")
			}
		})
		boot := n.boot
		w.send(o.Node, n.id, func(n *simNode) {
			if n.boot == boot {
				tell(true)
			}
		})
	})
}
