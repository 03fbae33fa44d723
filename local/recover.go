package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"actormesh/local/engine"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// StoredSlot is what the store holds of one slot, without the data. Entries above
// State.Base are in State.Tail, without gaps.
type StoredSlot struct {
	Slot  quorum.SlotID
	State quorum.SlotState
	// Unfolded are entries at or below the base, by LSN: their actors are not
	// folded so far yet.
	Unfolded []quorum.TailEntry
}

// Last returns the last position of the log.
func (st *StoredSlot) Last() quorum.Position {
	if n := len(st.State.Tail); n > 0 {
		return quorum.Position{Ballot: st.State.Tail[n-1].Ballot, LSN: st.State.Tail[n-1].LSN}
	}
	return st.State.Base
}

// Recover calls fn for each slot that the store knew when it was opened, in
// order, and forgets what it tells. Open has verified all of it. An error of fn
// ends it.
func (s *Store) Recover(fn func(StoredSlot) error) error {
	s.recoveredMu.Lock()
	defer s.recoveredMu.Unlock()
	for len(s.recovered) > 0 {
		st := s.recovered[0]
		s.recovered = s.recovered[1:]
		if err := fn(st); err != nil {
			return err
		}
	}
	s.recovered = nil
	return nil
}

// scan reads and verifies every key of every slot.
func (s *Store) scan() ([]StoredSlot, error) {
	states, err := s.scanPromises()
	if err != nil {
		return nil, err
	}
	it, err := s.engine.NewIter([]byte{keySlot}, []byte{keySlot + 1})
	if err != nil {
		return nil, classify(err)
	}
	err = scanSlots(it, states)
	if err = errors.Join(err, classify(it.Close())); err != nil {
		return nil, err
	}
	var list []StoredSlot
	for _, slot := range slices.Sorted(maps.Keys(states)) {
		list = append(list, *states[slot])
	}
	return list, nil
}

func (s *Store) scanPromises() (map[quorum.SlotID]*StoredSlot, error) {
	it, err := s.engine.NewIter([]byte{keyPromise}, []byte{keyPromise + 1})
	if err != nil {
		return nil, classify(err)
	}
	states := map[quorum.SlotID]*StoredSlot{}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		key := it.Key()
		if len(key) != 3 {
			err = damaged("key %x", key)
			break
		}
		value, verr := it.ValueAndErr()
		if verr != nil {
			err = classify(verr)
			break
		}
		st := &StoredSlot{Slot: quorum.SlotID(binary.BigEndian.Uint16(key[1:]))}
		if st.State.Promise, err = decodePromise(value); err == nil && !mutant.On(mutant.PromisesUnread) {
			states[st.Slot] = st
		}
	}
	return states, errors.Join(err, classify(it.Error()), classify(it.Close()))
}

// scanSlots adds what the iterator finds to states.
func scanSlots(it engine.Iterator, states map[quorum.SlotID]*StoredSlot) error {
	var v *verifier
	finish := func() error {
		if v == nil {
			return nil
		}
		return v.finish()
	}
	for valid := it.First(); valid; valid = it.Next() {
		key := it.Key()
		value, err := it.ValueAndErr()
		if err != nil {
			return classify(err)
		}
		if len(key) <= slotPrefixBytes {
			return damaged("key %x", key)
		}
		slot := quorum.SlotID(binary.BigEndian.Uint16(key[1:]))
		if v == nil || v.slot.Slot != slot {
			if err := finish(); err != nil {
				return err
			}
			if states[slot] == nil {
				states[slot] = &StoredSlot{Slot: slot}
			}
			v = &verifier{slot: states[slot]}
		}
		if err := v.add(key, value); err != nil {
			return err
		}
	}
	if err := classify(it.Error()); err != nil {
		return err
	}
	return finish()
}

// verifier takes all keys of one slot in order, checks them, and collects what
// the slot is.
type verifier struct {
	slot    *StoredSlot
	entries []quorum.Entry  // with their data, until their chain is verified
	actor   quorum.ActorKey // of the last record, to share the string
}

// add takes one key. Neither slice is kept.
func (v *verifier) add(key, value []byte) error {
	switch region, rest := key[slotPrefixBytes], key[slotPrefixBytes+1:]; region {
	case regionMeta:
		base, err := decodeSlotBase(value)
		if len(rest) > 0 {
			return damaged("key %x", key)
		}
		v.slot.State.Base, v.slot.State.BaseHash = base.at, base.hash
		return err
	case regionRecord:
		return v.addRecord(key, value)
	case regionActor:
		return v.addPart(key, value)
	case regionPending:
		_, err := decodePending(key, value)
		return err
	default:
		return damaged("key %x", key)
	}
}

func (v *verifier) addRecord(key, value []byte) error {
	actor, rest, ok := splitActor(key[slotPrefixBytes+1:])
	if !ok || len(rest) != lsnBytes {
		return damaged("key %x", key)
	}
	if string(actor) != string(v.actor) {
		v.actor = quorum.ActorKey(actor)
	}
	e, err := decodeRecord(key, bytes.Clone(value), v.actor)
	if err != nil {
		return err
	}
	v.entries = append(v.entries, e)
	v.sawWall(quorum.RecordWall(e.Data))
	return nil
}

func (v *verifier) sawWall(wall int64) { v.slot.State.Wall = max(v.slot.State.Wall, wall) }

// addPart takes one key of a folded actor.
func (v *verifier) addPart(key, value []byte) (err error) {
	_, rest, ok := splitActor(key[slotPrefixBytes+1:])
	if !ok || len(rest) == 0 {
		return damaged("key %x", key)
	}
	switch part, name := rest[0], rest[1:]; part {
	case partBase:
		var base *quorum.Base
		if base, err = quorum.DecodeBase(value); err == nil {
			v.sawWall(base.Wall)
		}
		ok = len(name) == 0
	case partAnswer:
		_, err = quorum.DecodeAnswer(value)
	case partReceived, partSent, partCursor:
		_, err = decodeMark(value)
	case partExpiry:
		ok = len(name) >= wallBytes && len(value) == 0
	case partKey:
	default:
		ok = false
	}
	if !ok || err != nil {
		return damaged("key %x: %v", key, err)
	}
	return nil
}

// finish checks that the entries are one log, and indexes them.
func (v *verifier) finish() error {
	slices.SortFunc(v.entries, func(a, b quorum.Entry) int { return cmp.Compare(a.LSN, b.LSN) })
	st := &v.slot.State
	base := slotBase{st.Base, st.BaseHash}
	for i := range v.entries {
		e := &v.entries[i]
		var before *quorum.Entry
		if i > 0 {
			before = &v.entries[i-1]
		}
		if err := checkFollows(base, before, e); err != nil {
			return damaged("slot %d: %v", v.slot.Slot, err)
		}
		if e.LSN > st.Base.LSN && mutant.On(mutant.TailUnread) {
			continue
		}
		if e.LSN > st.Base.LSN {
			st.Tail = append(st.Tail, TailOf(e))
		} else {
			v.slot.Unfolded = append(v.slot.Unfolded, TailOf(e))
		}
		if quorum.RecordSends(e.Data) {
			if st.Senders == nil {
				st.Senders = map[quorum.ActorKey]quorum.LSN{}
			}
			st.Senders[e.Actor] = e.LSN
		}
	}
	v.entries = nil
	return nil
}

// checkFollows checks the place of an entry after the one that is before it among
// those that are there, nil for the first. Above the base there are no gaps.
func checkFollows(base slotBase, before, e *quorum.Entry) error {
	prev, hash := base.at, base.hash
	if before != nil && (e.LSN <= base.at.LSN || before.LSN > base.at.LSN) {
		prev, hash = before.Position(), before.Hash
	}
	switch {
	case e.LSN == 0 || before != nil && e.LSN == before.LSN:
		return fmt.Errorf("there are two entries %d", e.LSN)
	case e.LSN == base.at.LSN && (e.Ballot != base.at.Ballot || e.Hash != base.hash):
		return fmt.Errorf("entry %v is not the base %v", e.Position(), base.at)
	case e.LSN > base.at.LSN && e.LSN != prev.LSN+1:
		return fmt.Errorf("entry %v comes after %v", e.Position(), prev)
	case e.LSN != prev.LSN+1:
		return nil // the one before is folded
	case e.Prev != prev.Ballot || e.Ballot.Less(prev.Ballot) || e.Hash != e.ChainHash(hash):
		return fmt.Errorf("entry %v does not follow %v", e.Position(), prev)
	}
	return nil
}
