package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2"
)

// SlotState is what the store holds of one slot, without the data: what was
// promised, and the index of the log.
type SlotState struct {
	Slot    quorum.SlotID
	Promise quorum.Promise
	// Base is the position up to which the log is folded, and BaseHash the
	// rolling hash there. Entries after it are all in Tail, without gaps.
	Base     quorum.Position
	BaseHash uint64
	// Tail holds the entries in the log, by LSN. Those at or before Base belong
	// to actors that are not folded so far yet.
	Tail []TailEntry
}

// Last returns the last position of the log.
func (st *SlotState) Last() quorum.Position {
	if n := len(st.Tail); n > 0 && st.Tail[n-1].LSN > st.Base.LSN {
		return st.Tail[n-1].Position()
	}
	return st.Base
}

// LastHash returns the rolling hash at the last position.
func (st *SlotState) LastHash() uint64 {
	if n := len(st.Tail); n > 0 && st.Tail[n-1].LSN > st.Base.LSN {
		return st.Tail[n-1].Hash
	}
	return st.BaseHash
}

// Recover calls fn for each slot that the store knew when it was opened, in
// order, and forgets what it tells. Open has verified all of it. An error of fn
// ends it.
func (s *Store) Recover(fn func(SlotState) error) error {
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
func (s *Store) scan() ([]SlotState, error) {
	states, err := s.scanPromises()
	if err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keySlot}, UpperBound: []byte{keySlot + 1}})
	if err != nil {
		return nil, classify(err)
	}
	err = scanSlots(it, states)
	if err = errors.Join(err, classify(it.Close())); err != nil {
		return nil, err
	}
	var list []SlotState
	for _, slot := range slices.Sorted(maps.Keys(states)) {
		list = append(list, *states[slot])
	}
	return list, nil
}

func (s *Store) scanPromises() (map[quorum.SlotID]*SlotState, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyPromise}, UpperBound: []byte{keyPromise + 1}})
	if err != nil {
		return nil, classify(err)
	}
	states := map[quorum.SlotID]*SlotState{}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		key := it.Key()
		if len(key) != 3 {
			err = damaged("key %x", key)
			break
		}
		st := &SlotState{Slot: quorum.SlotID(binary.BigEndian.Uint16(key[1:]))}
		if st.Promise, err = decodePromise(it.Value()); err == nil {
			states[st.Slot] = st
		}
	}
	return states, errors.Join(err, classify(it.Error()), classify(it.Close()))
}

// scanSlots adds what the iterator finds to states.
func scanSlots(it *pebble.Iterator, states map[quorum.SlotID]*SlotState) error {
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
		if v == nil || v.state.Slot != slot {
			if err := finish(); err != nil {
				return err
			}
			if states[slot] == nil {
				states[slot] = &SlotState{Slot: slot}
			}
			v = &verifier{state: states[slot]}
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

// verifier takes all keys of one slot in order, checks them, and collects the
// slot's state.
type verifier struct {
	state *SlotState
	data  map[quorum.LSN][]byte // of the entries, until their chain is verified
	actor quorum.ActorKey       // of the last record, to share the string
}

// add takes one key. Neither slice is kept.
func (v *verifier) add(key, value []byte) (err error) {
	switch region, rest := key[slotPrefixBytes], key[slotPrefixBytes+1:]; region {
	case regionMeta:
		var base slotBase
		if base, err = decodeSlotBase(value); len(rest) > 0 {
			err = damaged("key %x", key)
		}
		v.state.Base, v.state.BaseHash = base.at, base.hash
		return err
	case regionRecord:
		return v.addRecord(key, value)
	case regionActor:
		return checkPart(key, value)
	case regionPending:
		if _, rest, ok := splitActor(rest); !ok || len(rest) > 0 || len(value) != pendingBytes {
			return damaged("key %x", key)
		}
		return nil
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
	e, err := decodeRecord(key, value, v.actor)
	if err != nil {
		return err
	}
	if v.data == nil {
		v.data = map[quorum.LSN][]byte{}
	}
	if _, twice := v.data[e.LSN]; twice {
		return damaged("slot %d has two entries %d", v.state.Slot, e.LSN)
	}
	v.data[e.LSN] = bytes.Clone(e.Data)
	v.state.Tail = append(v.state.Tail, TailOf(&e))
	return nil
}

// checkPart checks one key of a folded actor.
func checkPart(key, value []byte) (err error) {
	_, rest, ok := splitActor(key[slotPrefixBytes+1:])
	if !ok || len(rest) == 0 {
		return damaged("key %x", key)
	}
	switch part, name := rest[0], rest[1:]; part {
	case partBase:
		if ok = len(name) == 0; ok {
			_, err = quorum.DecodeBase(value)
		}
	case partAnswer:
		_, err = quorum.DecodeAnswer(value)
	case partReceived, partSent:
		ok = len(value) == markBytes
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

// finish checks that the entries are one log: without gaps after the base, each
// following the one before it.
func (v *verifier) finish() error {
	st := v.state
	slices.SortFunc(st.Tail, func(a, b TailEntry) int {
		if a.LSN < b.LSN {
			return -1
		}
		return 1
	})
	lsn, ballot, hash := st.Base.LSN, st.Base.Ballot, st.BaseHash
	known := false // whether lsn, ballot and hash are of the entry before
	for i := range st.Tail {
		t := &st.Tail[i]
		if t.LSN > st.Base.LSN && (i == 0 || st.Tail[i-1].LSN <= st.Base.LSN) {
			lsn, ballot, hash, known = st.Base.LSN, st.Base.Ballot, st.BaseHash, true
		}
		switch {
		case t.LSN == 0 || t.LSN > st.Base.LSN && t.LSN != lsn+1:
			return damaged("slot %d: entry %d follows %d", st.Slot, t.LSN, lsn)
		case t.LSN == st.Base.LSN && (t.Ballot != st.Base.Ballot || t.Hash != st.BaseHash):
			return damaged("slot %d: entry %v is not the base %v", st.Slot, t.Position(), st.Base)
		case known && t.LSN == lsn+1:
			e := quorum.Entry{LSN: t.LSN, Ballot: t.Ballot, Prev: t.Prev, Actor: t.Actor, Data: v.data[t.LSN]}
			if t.Prev != ballot || t.Ballot.Less(ballot) || e.ChainHash(hash) != t.Hash {
				return damaged("slot %d: entry %v does not follow %v", st.Slot, t.Position(),
					quorum.Position{Ballot: ballot, LSN: lsn})
			}
		}
		lsn, ballot, hash, known = t.LSN, t.Ballot, t.Hash, true
	}
	v.data = nil
	return nil
}
