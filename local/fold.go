package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"actormesh/local/engine"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

const (
	markBytes    = 8
	pendingBytes = 9 // flags and the first timer's wall time

	// A fold forgets this many own keys, and two for each that it adds: more
	// than come in, so that they cannot pile up, and no long pause.
	expirePerFold = 64
)

const pendingSends = 1 // flag

// Fold takes the actor's entries up to upTo, all of them committed, out of the log
// and into the folded actor, and moves the slot's base to base, with the rolling
// hash there, if it is not there yet. base must not be below upTo. It returns how
// many bytes of entries it freed, as quorum.Entry.Size counts them. For the empty
// actor it deletes barriers. What it writes is one batch that is not synced.
//
// Fold may be called while other goroutines commit and read. The error wraps
// ErrSuperseded if the slot was replaced meanwhile.
func (s *Store) Fold(slot quorum.SlotID, actor quorum.ActorKey, upTo quorum.LSN, base quorum.Position, baseHash uint64) (freedBytes int, err error) {
	g := s.gate(slot)
	g.fold.Lock()
	defer g.fold.Unlock()
	g.mu.Lock()
	gen := g.gen
	g.mu.Unlock()

	if err := s.Err(); err != nil {
		return 0, err
	}
	f := folder{s: s, slot: slot, actor: actor, eb: s.engine.NewBatch()}
	defer f.eb.Close()
	if err := f.run(upTo, slotBase{base, baseHash}); err != nil {
		return 0, s.damage(err)
	}
	if err := f.write(g, gen); err != nil {
		return 0, err
	}
	return f.freed, nil
}

// folder is one fold at work.
type folder struct {
	s     *Store
	slot  quorum.SlotID
	actor quorum.ActorKey
	eb    engine.Batch
	freed int
}

// write writes what the fold has computed, if the slot is still that of gen.
func (f *folder) write(g *slotGate, gen uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gen != gen && !mutant.On(mutant.FoldOfAnotherLog) {
		return fmt.Errorf("fold: %w", ErrSuperseded)
	}
	if f.eb.Empty() {
		return nil
	}
	return f.s.apply(f.eb, false)
}

func (f *folder) run(upTo quorum.LSN, base slotBase) error {
	it, err := f.s.slotIter(f.slot)
	if err != nil {
		return err
	}
	err = f.fold(it, upTo, base)
	return errors.Join(err, classify(it.Close()))
}

func (f *folder) fold(it engine.Iterator, upTo quorum.LSN, base slotBase) error {
	actor, err := loadBase(it, f.slot, f.actor)
	if err != nil {
		return err
	}
	entries, err := loadEntries(it, f.slot, f.actor, actor.LSN, upTo)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		// Nothing is folded, so nothing is below the base that was not before;
		// and if the log for which this was ordered is gone, the one that is
		// here, if any, must keep its own.
		return nil
	}
	if err := f.moveBase(it, upTo, base); err != nil {
		return err
	}
	for i := range entries {
		f.freed += entries[i].Size()
		deleteRecord(f.eb, f.slot, f.actor, entries[i].LSN, entries[i].Size())
	}
	if f.actor == "" {
		return nil
	}
	wasPending := len(actor.Outbox) > 0 || len(actor.Timers) > 0
	records, err := decodeRecords(entries)
	if err != nil {
		return err
	}
	// Before the new answers: a key that is answered again is not to be forgotten.
	if err := f.expire(it, actor, records); err != nil {
		return err
	}
	f.applyEntries(actor, entries, records)
	if !mutant.On(mutant.FoldLosesReceived) {
		f.setMarks(partReceived, actor.Received)
	}
	f.setMarks(partSent, actor.Sent)
	f.setPending(actor, wasPending)
	engine.Set(f.eb, appendPart(nil, f.slot, f.actor, partBase), actor.AppendTo(nil, true))
	return nil
}

// moveBase moves the slot's base, which only grows.
func (f *folder) moveBase(it engine.Iterator, upTo quorum.LSN, base slotBase) error {
	var now slotBase
	value, found, err := seek(it, metaKey(f.slot))
	if err != nil {
		return err
	}
	if found {
		if now, err = decodeSlotBase(value); err != nil {
			return err
		}
	}
	if base.at.LSN <= now.at.LSN {
		base = now
	}
	if upTo > base.at.LSN {
		return fmt.Errorf("fold to %d, which is after the slot's base %v", upTo, base.at)
	}
	if base != now {
		engine.Set(f.eb, metaKey(f.slot), base.encode())
	}
	return nil
}

func decodeRecords(entries []quorum.Entry) ([]*quorum.Record, error) {
	records := make([]*quorum.Record, len(entries))
	for i := range entries {
		r, err := quorum.DecodeRecord(entries[i].Data)
		if err != nil {
			return nil, fmt.Errorf("record %v of %v: %w", entries[i].Position(), entries[i].Actor, err)
		}
		records[i] = r
	}
	return records, nil
}

// applyEntries applies the entries to the actor and writes what is kept beside
// it: its ordered keys, and the answers to own keys.
func (f *folder) applyEntries(actor *quorum.Base, entries []quorum.Entry, records []*quorum.Record) {
	for i, r := range records {
		actor.Apply(&entries[i], r, f.s.retention)
		for _, w := range r.Writes {
			key := append(appendPart(nil, f.slot, f.actor, partKey), w.Key...)
			if w.Delete {
				f.eb.Delete(key)
			} else {
				engine.Set(f.eb, key, w.Value)
			}
		}
		if hasOwnKey(r) && !mutant.On(mutant.FoldLosesKeys) {
			answer := quorum.AnswerOf(&entries[i], r)
			f.setAnswer(r.Request.Key, &answer)
		}
	}
}

// hasOwnKey reports whether quorum.Base.Apply counts the record's answer among
// those that are kept beside the base.
func hasOwnKey(r *quorum.Record) bool {
	return r.Request.Key != "" && r.Request.Session == quorum.SessionID{}
}

func (f *folder) setAnswer(key string, a *quorum.Answer) {
	engine.Set(f.eb, append(appendPart(nil, f.slot, f.actor, partAnswer), key...), a.AppendTo(nil))
	engine.Set(f.eb, appendExpiry(nil, f.slot, f.actor, a.Wall, key), nil)
}

// expire forgets the oldest answers to own keys that are past the retention by
// the wall time of the last of the records.
func (f *folder) expire(it engine.Iterator, actor *quorum.Base, records []*quorum.Record) error {
	limit := expirePerFold
	for _, r := range records {
		if hasOwnKey(r) {
			limit += 2
		}
	}
	now := records[len(records)-1].Wall
	if now < int64(f.s.retention) {
		return nil
	}
	end := now - int64(f.s.retention) // what is older is forgotten
	expired, all, err := f.expired(it, end, limit)
	if err != nil || len(expired) == 0 {
		return err
	}
	prefix := len(appendPart(nil, f.slot, f.actor, partExpiry))
	var wall int64
	for _, x := range expired {
		wall = int64(binary.BigEndian.Uint64(x[prefix:]))
		if err := f.forget(it, x, wall, x[prefix+wallBytes:]); err != nil {
			return err
		}
	}
	if all {
		wall = end
	}
	actor.OwnKeys -= len(expired)
	cursor := appendPart(nil, f.slot, f.actor, partCursor)
	engine.Set(f.eb, cursor, binary.BigEndian.AppendUint64(nil, uint64(wall)))
	return nil
}

// expired returns the keys of the first own keys that are older than end, limit of
// them at most, and whether they are all. It looks from the cursor on, for before
// it are only tombstones.
func (f *folder) expired(it engine.Iterator, end int64, limit int) (keys [][]byte, all bool, err error) {
	value, found, err := seek(it, appendPart(nil, f.slot, f.actor, partCursor))
	if err != nil {
		return nil, false, err
	}
	var cursor uint64
	if found {
		if cursor, err = decodeMark(value); err != nil {
			return nil, false, err
		}
	}
	first := appendExpiry(nil, f.slot, f.actor, int64(cursor), "")
	last := appendExpiry(nil, f.slot, f.actor, end, "")
	for valid := it.SeekGE(first); valid && bytes.Compare(it.Key(), last) < 0; valid = it.Next() {
		if len(keys) == limit {
			return keys, false, nil
		}
		keys = append(keys, bytes.Clone(it.Key()))
	}
	return keys, true, classify(it.Error())
}

// forget deletes one answer, unless the key has been answered again since.
func (f *folder) forget(it engine.Iterator, expiry []byte, wall int64, key []byte) error {
	k := append(appendPart(nil, f.slot, f.actor, partAnswer), key...)
	value, found, err := seek(it, k)
	if err != nil {
		return err
	}
	if found {
		a, err := quorum.DecodeAnswer(value)
		if err != nil {
			return damaged("answer to %q: %v", key, err)
		}
		if a.Wall == wall {
			f.eb.Delete(k)
		}
	}
	f.eb.Delete(expiry)
	return nil
}

// setMarks writes the marks that the entries have moved: those of the base are
// kept beside it, so that a fold costs the same however many peers there are.
func (f *folder) setMarks(part byte, marks map[quorum.ActorKey]uint64) {
	for _, peer := range slices.Sorted(maps.Keys(marks)) {
		key := append(appendPart(nil, f.slot, f.actor, part), peer...)
		engine.Set(f.eb, key, binary.BigEndian.AppendUint64(nil, marks[peer]))
	}
}

func decodeMark(b []byte) (uint64, error) {
	if len(b) != markBytes {
		return 0, damaged("mark has %d bytes", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// setPending keeps the index of actors with something left to do.
func (f *folder) setPending(actor *quorum.Base, was bool) {
	key := pendingKey(f.slot, f.actor)
	if len(actor.Outbox) == 0 && len(actor.Timers) == 0 {
		if was {
			f.eb.Delete(key)
		}
		return
	}
	value := []byte{0}
	if len(actor.Outbox) > 0 {
		value[0] |= pendingSends
	}
	engine.Set(f.eb, key, binary.BigEndian.AppendUint64(value, uint64(nextDue(actor))))
}

func nextDue(actor *quorum.Base) int64 {
	if len(actor.Timers) == 0 {
		return 0
	}
	due := int64(math.MaxInt64)
	for _, t := range actor.Timers {
		due = min(due, t.Due)
	}
	return max(due, 1)
}

func decodePending(key, value []byte) (PendingActor, error) {
	actor, rest, ok := splitActor(key[slotPrefixBytes+1:])
	if !ok || len(rest) > 0 || len(value) != pendingBytes {
		return PendingActor{}, damaged("key %x", key)
	}
	return PendingActor{
		Actor:   quorum.ActorKey(actor),
		Sends:   value[0]&pendingSends != 0,
		NextDue: int64(binary.BigEndian.Uint64(value[1:])),
	}, nil
}
