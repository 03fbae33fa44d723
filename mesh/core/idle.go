package core

import (
	"cmp"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// actorList is a list of activations, in the order in which they came to it.
// Each is in one: those of one idle timeout that have nothing to do, so that a
// sweep looks only at those that it ends, or those that have.
type actorList struct {
	first, last *actor
}

// idleList is of the activations that have nothing to do and one timeout.
type idleList struct {
	actorList
	timeout time.Duration
}

func (l *actorList) push(a *actor) {
	a.list, a.prev, a.next = l, l.last, nil
	if l.last != nil {
		l.last.next = a
	} else {
		l.first = a
	}
	l.last = a
}

func (a *actor) unlink() {
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		a.list.first = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		a.list.last = a.prev
	}
	a.list, a.prev, a.next = nil, nil, nil
}

// workingIn returns the activations of a slot that are not idle.
func (s *Shard) workingIn(sl *slot) []*actor {
	var list []*actor
	for a := s.working.first; a != nil; a = a.next {
		if a.slot == sl {
			list = append(list, a)
		}
	}
	return list
}

// enterIdle puts an activation that has nothing to do at the end of its list.
func (s *Shard) enterIdle(a *actor) {
	if a.inIdle || a.phase != active || a.running != nil || len(a.mailbox) > 0 || !a.outbox.idle() || s.actors[a.id] != a {
		return
	}
	i, found := slices.BinarySearchFunc(s.idle, a.timeout, func(l *idleList, t time.Duration) int { return cmp.Compare(l.timeout, t) })
	if !found {
		s.idle = slices.Insert(s.idle, i, &idleList{timeout: a.timeout})
	}
	a.unlink()
	s.idle[i].push(a)
	a.inIdle = true
}

// leaveIdle takes an activation out of its list. Only after that may its timeout
// change.
func (s *Shard) leaveIdle(a *actor) {
	if a.inIdle {
		a.unlink()
		s.working.push(a)
		a.inIdle = false
	}
}

// sweep ends the activations that were idle for their timeout.
func (s *Shard) sweep(now quorum.Instant) {
	for _, l := range s.idle {
		for a := l.first; a != nil && now >= a.usedAt.Add(l.timeout) && !mutant.On(mutant.NeverIdle); {
			next := a.next
			s.passivate(a)
			a = next
		}
	}
}

// makeRoom ends the activation that was idle the longest, if there is one. It
// reports whether there is room now.
func (s *Shard) makeRoom(now quorum.Instant) bool {
	var oldest *actor
	for _, l := range s.idle {
		if a := l.first; a != nil && (oldest == nil || a.usedAt < oldest.usedAt) {
			oldest = a
		}
	}
	return oldest != nil && s.passivate(oldest)
}

// passivate begins to end an idle activation. Its records must be committed and
// in the store, for the next activation is loaded from there. A call that comes
// from now on waits for the next activation.
func (s *Shard) passivate(a *actor) bool {
	if a.base.LSN > a.slot.q.Applied() && !mutant.On(mutant.PassivateEarly) {
		return false
	}
	s.leaveIdle(a)
	a.phase = deactivating
	s.out.Deactivate = append(s.out.Deactivate, a.id)
	return true
}

// Deactivated says that the instance is gone, and with it all that the shell
// kept of it.
func (s *Shard) Deactivated(now quorum.Instant, id ActivationID) {
	a := s.actors[id]
	if a == nil || a.phase != deactivating {
		return
	}
	s.remove(a)
	if len(a.mailbox) == 0 || mutant.On(mutant.DyingDrops) {
		return
	}
	next := s.activate(now, a.slot, a.key)
	next.mailbox, next.timeout = a.mailbox, a.timeout
}

// expire ends calls whose deadline has passed, and finds the next deadline.
func (s *Shard) expire(now quorum.Instant) {
	s.nextDue = now.Add(time.Hour)
	for _, id := range s.sortedSlots() {
		s.expireSlot(now, s.slots[id])
	}
	for a := s.working.first; a != nil; {
		next := a.next
		s.expireActor(now, a)
		a = next
	}
}

var late = Outcome{Code: CodeDeadline, Detail: "the deadline passed; nothing happened"}

// expireSlot ends calls that wait for the slot, or for its log.
func (s *Shard) expireSlot(now quorum.Instant, sl *slot) {
	sl.queue = s.expireCalls(now, sl.queue, late)
	for _, list := range []*[]waiting{&sl.waits, &sl.reads} {
		for i := range *list {
			w := &(*list)[i]
			o := late
			if w.wrote {
				o = Outcome{Code: CodeOutcomeUnknown, Detail: "the deadline passed before the record was committed"}
			}
			w.calls = s.expireCalls(now, w.calls, o)
		}
		*list = slices.DeleteFunc(*list, func(w waiting) bool { return len(w.calls) == 0 && w.send == nil })
	}
}

// expireActor ends calls in the mailbox, and the turn that runs.
func (s *Shard) expireActor(now quorum.Instant, a *actor) {
	a.mailbox = slices.DeleteFunc(a.mailbox, func(p *pending) bool { return s.expirePending(now, a, p) })
	if a.running != nil {
		s.expireTurn(now, a)
	}
	s.pump(now, a)
}

// expirePending ends those of a call and its duplicates that are late, and reports
// whether all of them were.
func (s *Shard) expirePending(now quorum.Instant, a *actor, p *pending) bool {
	id := p.call().Request
	if p.calls = s.expireCalls(now, p.calls, late); len(p.calls) > 0 {
		return false
	}
	s.forgetPending(a, p, id)
	return true
}

// expireTurn gives up a turn whose call is late. Go cannot stop a handler; its
// effects are not recorded. A duplicate that has time left may be tried again.
func (s *Shard) expireTurn(now quorum.Instant, a *actor) {
	p := a.running
	p.calls = append(p.calls[:1], s.expireCalls(now, p.calls[1:], Outcome{
		Code: CodeOutcomeUnknown, Detail: "the deadline passed while the first call with this request id ran"})...)
	if due := p.call().Deadline; now < due {
		s.nextDue = min(s.nextDue, due)
		return
	}
	twins := p.calls[1:]
	p.calls = p.calls[:1]
	s.abandon(a, Outcome{Code: CodeDeadline, Detail: "the turn ran past its deadline and was rolled back"})
	s.finishAll(twins, Outcome{Code: CodeUnavailable, Detail: "the call with this request id that came first was late, and rolled back"})
}

// expireCalls ends the late ones of some calls and returns the others.
func (s *Shard) expireCalls(now quorum.Instant, calls []*Call, o Outcome) []*Call {
	kept := calls[:0]
	for _, c := range calls {
		if now >= c.Deadline {
			s.finish(c, o)
			continue
		}
		s.nextDue = min(s.nextDue, c.Deadline)
		kept = append(kept, c)
	}
	return kept
}
