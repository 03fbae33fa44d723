package core

import (
	"slices"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// The log of a slot is kept in memory from its base on, and a short tail above
// the base for peers that were away for a moment. As the base passes a record,
// the record is counted for its actor; an actor with enough of them is folded,
// in the background: its state, answers, marks and keys are written, and the
// records deleted. So the store is bounded by what lives, not by history. Of the
// actors with a few records only so many are counted, and then the one that
// waits the longest is folded: so is the memory that the counts take, however
// many actors there have ever been.

// forgetPart is the part of the entries kept that comes on top before some are
// forgotten. Those that stay are moved down in memory: done for every entry, that
// would be most of what an append costs.
const forgetPart = 8

// forget lets go of what nobody is likely to ask for: the data of entries, and
// below a new base of the slot's log their places too.
func (s *Shard) forget(sl *slot) {
	sl.q.Evict(s.cfg.FoldBytes)
	log := sl.q.Log()
	limit := log.Last().LSN - min(log.Last().LSN, quorum.LSN(s.cfg.KeepEntries))
	if log.Bytes() < s.cfg.LaggardBytes {
		limit = min(limit, sl.q.Floor())
	}
	base := log.Base().LSN
	if limit <= base || limit <= base+quorum.LSN(s.cfg.KeepEntries/forgetPart) && log.Bytes() < s.cfg.LaggardBytes {
		return
	}
	var ready []quorum.ActorKey
	sl.q.Forget(limit, func(actor quorum.ActorKey, at quorum.LSN, bytes int) {
		if u := sl.passed(actor, at, bytes); !u.folding && (u.records >= s.cfg.FoldRecords || u.bytes >= s.cfg.FoldBytes) {
			u.folding = true
			ready = append(ready, actor)
		}
	})
	if log.Base().LSN == base {
		return // nothing above it is durable: the store may still hold another log
	}
	for _, actor := range ready {
		s.fold(sl, actor)
	}
	for len(sl.waiting) > s.cfg.MaxUnfolded {
		first := sl.waiting[0]
		sl.waiting = sl.waiting[1:]
		if u := sl.unfolded[first.actor]; u != nil && u.since == first.since && !u.folding {
			s.fold(sl, first.actor)
		}
	}
}

// passed counts a record that the base has passed.
func (sl *slot) passed(actor quorum.ActorKey, at quorum.LSN, bytes int) *unfolded {
	u := sl.unfolded[actor]
	if u == nil {
		u = &unfolded{}
		sl.unfolded[actor] = u
		sl.queueFold(actor, u, at)
	}
	u.records++
	u.bytes += bytes
	u.last = at
	return u
}

// queueFold puts an actor at the end of those that wait to be folded.
func (sl *slot) queueFold(actor quorum.ActorKey, u *unfolded, since quorum.LSN) {
	u.since = since
	sl.waiting = append(sl.waiting, foldWait{actor, since})
}

func (s *Shard) fold(sl *slot, actor quorum.ActorKey) {
	if mutant.On(mutant.NeverFolds) {
		return
	}
	u := sl.unfolded[actor]
	u.folding, u.records, u.bytes = true, 0, 0
	base, hash := sl.q.Log().BaseHash()
	s.out.Folds = append(s.out.Folds, Fold{sl.id, actor, u.last, base, hash, sl.logs})
}

// replaced forgets what there was to fold of a log that is discarded, or replaced
// by a snapshot: a fold ordered before says nothing of the one that follows.
func (s *Shard) replaced(sl *slot) {
	sl.logs++
	clear(sl.unfolded)
	sl.waiting = nil
	s.out.Folds = slices.DeleteFunc(s.out.Folds, func(f Fold) bool { return f.Slot == sl.id })
}

// Folded says that a fold has ended, whether it could be done or not.
func (s *Shard) Folded(f Fold, ok bool) {
	sl := s.slots[f.Slot]
	if sl == nil || f.logs != sl.logs {
		return
	}
	u := sl.unfolded[f.Actor]
	u.folding = false
	if !ok {
		sl.queueFold(f.Actor, u, u.last) // what comes next counts again, and folds this too
		return
	}
	sl.q.Folded(f.Actor, f.UpTo)
	if a := sl.actors[f.Actor]; a != nil {
		a.folded(f.UpTo)
	}
	switch {
	case u.records >= s.cfg.FoldRecords || u.bytes >= s.cfg.FoldBytes:
		s.fold(sl, f.Actor)
	case u.records == 0:
		delete(sl.unfolded, f.Actor)
	default:
		sl.queueFold(f.Actor, u, u.last)
	}
}
