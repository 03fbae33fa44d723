package core

import (
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// outbox is what an activation does about its actor's sends: each goes to its
// target once its record is committed, one at a time for each target, until the
// target has committed it. That it has is noted in a later record.
type outbox struct {
	sends  []outSend
	done   []quorum.SendMark // to be noted
	noteBy quorum.Instant
	timed  bool // in the shard's list
}

type outSend struct {
	quorum.Send
	lsn     quorum.LSN // of the record
	going   bool
	retryAt quorum.Instant
	tries   int
}

const (
	noteAfter     = 50 * time.Millisecond // so that the next record may carry the note
	sendRetryMin  = 20 * time.Millisecond
	sendRetryMax  = 2 * time.Second
	sendGoingMost = 64          // deliveries at once for one actor
	senderIdle    = time.Second // idle timeout of an actor that nobody but its outbox needs
)

func (o *outbox) load(sends []quorum.Send) {
	for _, s := range sends {
		o.sends = append(o.sends, outSend{Send: s})
	}
}

func (o *outbox) add(lsn quorum.LSN, sends []quorum.Send) {
	for _, s := range sends {
		o.sends = append(o.sends, outSend{Send: s, lsn: lsn})
	}
}

func (o *outbox) idle() bool { return len(o.sends) == 0 && len(o.done) == 0 }

// takeDone returns what is to be noted, for the record that notes it.
func (o *outbox) takeDone() []quorum.SendMark {
	done := o.done
	o.done = nil
	return done
}

// undone puts back what takeDone gave, for the record was not written.
func (o *outbox) undone(done []quorum.SendMark) { o.done = append(done, o.done...) }

// number gives sends the numbers that follow the actor's earlier ones.
func (a *actor) number(sends []quorum.Send) []quorum.Send {
	next := map[quorum.ActorKey]uint64{}
	for i := range sends {
		t := sends[i].Target
		if next[t] == 0 {
			next[t] = a.base.Sent[t]
		}
		next[t]++
		sends[i].Number = next[t]
	}
	return sends
}

// deliver sets off what may go: for each target the first of its sends.
func (s *Shard) deliver(now quorum.Instant, a *actor) {
	o := &a.outbox
	if a.phase != active || len(o.sends) == 0 {
		return
	}
	first := map[quorum.ActorKey]bool{}
	going, wait := 0, false
	for i := range o.sends {
		t := &o.sends[i]
		if first[t.Target] {
			continue
		}
		first[t.Target] = true
		switch {
		case t.going:
			going++
		case t.lsn > a.slot.q.Commit() && !mutant.On(mutant.SendEarly) || going >= sendGoingMost:
		case now < t.retryAt:
			wait = true
		default:
			t.going = true
			going++
			s.out.Deliveries = append(s.out.Deliveries, Delivery{a.id, a.key, t.Send})
		}
	}
	if wait {
		s.time(a)
	}
}

// Delivered says that a target has committed a send, or has the mark to show for
// it; or else that it is to be tried again.
func (s *Shard) Delivered(now quorum.Instant, d Delivery, ok bool) {
	a := s.actors[d.Activation]
	if a == nil {
		return
	}
	o := &a.outbox
	i := slices.IndexFunc(o.sends, func(t outSend) bool {
		return t.Target == d.Send.Target && t.Number == d.Send.Number
	})
	if i < 0 || !o.sends[i].going {
		return
	}
	if !ok {
		t := &o.sends[i]
		t.going = false
		t.retryAt = now.Add(min(sendRetryMin<<min(t.tries, 10), sendRetryMax))
		t.tries++
		s.time(a)
		return
	}
	o.sends = slices.Delete(o.sends, i, i+1)
	o.note(d.Send.Target, d.Send.Number)
	o.noteBy = now.Add(noteAfter)
	s.time(a)
	s.deliver(now, a)
}

func (o *outbox) note(target quorum.ActorKey, number uint64) {
	for i := range o.done {
		if o.done[i].Peer == target {
			o.done[i].Number = max(o.done[i].Number, number)
			return
		}
	}
	o.done = append(o.done, quorum.SendMark{Peer: target, Number: number})
}

// time has the actor looked at in later ticks.
func (s *Shard) time(a *actor) {
	if !a.outbox.timed {
		a.outbox.timed = true
		s.timed = append(s.timed, a)
	}
}

// tickActors repeats sends, writes notes that nothing else carried, and ends
// activations that were idle for too long.
func (s *Shard) tickActors(now quorum.Instant) {
	timed := s.timed
	s.timed = nil
	for _, a := range timed {
		a.outbox.timed = false
		if s.actors[a.id] != a {
			continue
		}
		s.deliver(now, a)
		if len(a.outbox.done) > 0 {
			s.noteDone(now, a)
		}
		s.enterIdle(a)
	}
	s.sweep(now)
}

// noteDone writes a record that only notes which sends are done. While a turn
// runs it waits, for the turn's record will carry the note.
func (s *Shard) noteDone(now quorum.Instant, a *actor) {
	sl := a.slot
	if now < a.outbox.noteBy || a.running != nil || !sl.serving || !sl.quiesce.until.IsZero() {
		s.time(a)
		return
	}
	rec := quorum.Record{Wall: max(sl.wall, a.base.Wall), SendsDone: a.outbox.takeDone()}
	s.append(a, &rec, rec.AppendTo(nil))
	s.stepped(now, sl)
}

// Outbox names the actors of a slot that have sends which no record notes as
// done. They are activated, so that these go on.
func (s *Shard) Outbox(now quorum.Instant, id quorum.SlotID, actors []quorum.ActorKey) {
	sl := s.slots[id]
	if sl == nil || !sl.serving {
		return
	}
	for _, key := range actors {
		if sl.actors[key] == nil {
			s.activate(now, sl, key).timeout = senderIdle
		}
	}
}

// Await asks for an Outcome when lsn of a slot is committed: what a turn has
// read may be told to others only then. It draws on the reserve.
func (s *Shard) Await(now quorum.Instant, lsn quorum.LSN, c *Call) {
	c.Internal = true
	s.took(c)
	sl := s.slots[c.Slot]
	switch {
	case sl == nil || !sl.serving:
		s.finish(c, Outcome{Code: CodeUnavailable, Detail: "the slot's owner changes"})
	case lsn <= sl.q.Commit():
		s.finish(c, Outcome{})
	default:
		sl.wait(waiting{lsn: lsn, calls: []*Call{c}, wrote: true})
	}
}
