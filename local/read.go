package local

import (
	"bytes"
	"errors"
	"fmt"

	"actormesh/local/engine"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// ReadEntries returns the entries that which names, in its order, until they
// exceed maxBytes, at least one. It returns those before the first that is not
// there any more, and with none an error that wraps ErrGone.
func (s *Store) ReadEntries(slot quorum.SlotID, which []quorum.TailEntry, maxBytes int) ([]quorum.Entry, error) {
	if len(which) == 0 {
		return nil, nil
	}
	it, err := s.regionIter(slot, regionRecord)
	if err != nil {
		return nil, err
	}
	entries, err := readEntries(it, slot, which, maxBytes)
	if err = errors.Join(err, classify(it.Close())); err != nil {
		return nil, s.damage(err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: slot %d, entry %d", ErrGone, slot, which[0].LSN)
	}
	return entries, nil
}

func readEntries(it engine.Iterator, slot quorum.SlotID, which []quorum.TailEntry, maxBytes int) ([]quorum.Entry, error) {
	entries := make([]quorum.Entry, 0, len(which))
	var key []byte
	for i := range which {
		t := &which[i]
		key = appendRecordKey(key[:0], slot, t.Actor, t.LSN)
		if !it.SeekPrefixGE(key) { // the prefix of a key is the whole key
			break
		}
		e, err := entryAt(it, t.Actor)
		if err != nil {
			return nil, err
		}
		if e.Ballot != t.Ballot || e.Hash != t.Hash {
			break
		}
		if maxBytes -= e.Size(); maxBytes < 0 && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	return entries, classify(it.Error())
}

// entryAt decodes a copy of the record at which the iterator stands.
func entryAt(it engine.Iterator, actor quorum.ActorKey) (quorum.Entry, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return quorum.Entry{}, classify(err)
	}
	return decodeRecord(it.Key(), bytes.Clone(value), actor)
}

func (s *Store) regionIter(slot quorum.SlotID, region byte) (engine.Iterator, error) {
	start, end := regionRange(slot, region)
	it, err := s.engine.NewIter(start, end)
	return it, classify(err)
}

// slotIter iterates over all that a slot has but its promise, as it is now.
func (s *Store) slotIter(slot quorum.SlotID) (engine.Iterator, error) {
	start, end := slotRange(slot)
	it, err := s.engine.NewIter(start, end)
	return it, classify(err)
}

// damage makes damage that a read finds the store's failure.
func (s *Store) damage(err error) error {
	if errors.Is(err, ErrDamaged) {
		return s.fail(err)
	}
	return err
}

// ActorImage is what the store holds of one actor.
type ActorImage struct {
	Base    *quorum.Base   // with its marks; a new one for an actor that is not folded
	Entries []quorum.Entry // those not folded, by LSN
}

// LoadActor reads an actor at one instant. Its ordered keys and the answers to
// clients' own keys are left where they are.
func (s *Store) LoadActor(slot quorum.SlotID, actor quorum.ActorKey) (ActorImage, error) {
	it, err := s.slotIter(slot)
	if err != nil {
		return ActorImage{}, err
	}
	img, err := loadActor(it, slot, actor)
	if err = errors.Join(err, classify(it.Close())); err != nil {
		return ActorImage{}, s.damage(err)
	}
	return img, nil
}

func loadActor(it engine.Iterator, slot quorum.SlotID, actor quorum.ActorKey) (img ActorImage, err error) {
	if img.Base, err = loadBase(it, slot, actor); err != nil {
		return img, err
	}
	if img.Entries, err = loadEntries(it, slot, actor, img.Base.LSN, ^quorum.LSN(0)); err != nil {
		return img, err
	}
	if img.Base.Received, err = loadMarks(it, appendPart(nil, slot, actor, partReceived)); err != nil {
		return img, err
	}
	img.Base.Sent, err = loadMarks(it, appendPart(nil, slot, actor, partSent))
	return img, err
}

// loadMarks returns the marks below a prefix, nil if there are none.
func loadMarks(it engine.Iterator, prefix []byte) (marks map[quorum.ActorKey]uint64, err error) {
	for valid := it.SeekGE(prefix); valid && bytes.HasPrefix(it.Key(), prefix); valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, classify(err)
		}
		n, err := decodeMark(value)
		if err != nil {
			return nil, err
		}
		if marks == nil {
			marks = map[quorum.ActorKey]uint64{}
		}
		marks[quorum.ActorKey(it.Key()[len(prefix):])] = n
	}
	return marks, classify(it.Error())
}

// loadEntries returns the actor's entries after base, where it is folded to, up to
// upTo. To look from the first one on would pass over the tombstones of all that
// were folded lately.
func loadEntries(it engine.Iterator, slot quorum.SlotID, actor quorum.ActorKey, base, upTo quorum.LSN) (entries []quorum.Entry, err error) {
	if base >= upTo {
		return nil, nil
	}
	first := appendRecordKey(nil, slot, actor, base+1)
	last := appendRecordKey(nil, slot, actor, upTo)
	for valid := it.SeekGE(first); valid && bytes.Compare(it.Key(), last) <= 0; valid = it.Next() {
		e, err := entryAt(it, actor)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, classify(it.Error())
}

// loadBase returns the folded actor without its marks.
func loadBase(it engine.Iterator, slot quorum.SlotID, actor quorum.ActorKey) (*quorum.Base, error) {
	value, found, err := seek(it, appendPart(nil, slot, actor, partBase))
	if err != nil || !found {
		return quorum.NewBase(), err
	}
	base, err := quorum.DecodeBase(bytes.Clone(value))
	if err != nil {
		return nil, damaged("base of %v: %v", actor, err)
	}
	return base, nil
}

// seek returns the key's value, which is good until the iterator moves.
func seek(it engine.Iterator, key []byte) (value []byte, found bool, err error) {
	if !it.SeekPrefixGE(key) { // the prefix of a key is the whole key
		return nil, false, classify(it.Error())
	}
	value, err = it.ValueAndErr()
	return value, err == nil, classify(err)
}

// Answer returns what the call with a client's own key was answered, if that is
// folded and not yet forgotten. Its cost does not grow with the actor's history:
// a key that is not there costs a look at Bloom filters.
func (s *Store) Answer(slot quorum.SlotID, actor quorum.ActorKey, key string) (quorum.Answer, bool, error) {
	k := append(appendPart(nil, slot, actor, partAnswer), key...)
	if mutant.On(mutant.AnswerScans) {
		it, err := s.regionIter(slot, regionActor)
		for valid := err == nil && it.First(); valid && bytes.Compare(it.Key(), k) < 0; valid = it.Next() {
			continue
		}
		if err == nil {
			_ = it.Close()
		}
	}
	value, found, err := s.engine.Get(k, true)
	if err != nil || !found {
		return quorum.Answer{}, false, s.damage(classify(err))
	}
	a, err := quorum.DecodeAnswer(value)
	if err != nil {
		return quorum.Answer{}, false, s.damage(damaged("answer to %q: %v", key, err))
	}
	return a, true, nil
}

// GetKey returns the folded value of one of the actor's ordered keys.
func (s *Store) GetKey(slot quorum.SlotID, actor quorum.ActorKey, key []byte) (value []byte, found bool, err error) {
	value, found, err = s.get(append(appendPart(nil, slot, actor, partKey), key...))
	return value, found, s.damage(err)
}

// ScanKeys calls fn with the actor's folded ordered keys in [from, to), in order,
// until there were limit of them or fn returns false. An empty to is the end. fn
// must not keep the slices.
func (s *Store) ScanKeys(slot quorum.SlotID, actor quorum.ActorKey, from, to []byte, limit int, fn func(key, value []byte) bool) error {
	prefix := appendPart(nil, slot, actor, partKey)
	end := prefixEnd(prefix)
	if len(to) > 0 {
		end = append(bytes.Clone(prefix), to...)
	}
	it, err := s.engine.NewIter(append(bytes.Clone(prefix), from...), end)
	if err != nil {
		return s.damage(classify(err))
	}
	for valid := it.First(); valid && limit > 0; valid = it.Next() {
		value, verr := it.ValueAndErr()
		if verr != nil {
			err = classify(verr)
			break
		}
		if !fn(it.Key()[len(prefix):], value) {
			break
		}
		limit--
	}
	return s.damage(errors.Join(err, classify(it.Error()), classify(it.Close())))
}

// PendingActor is a folded actor with something left to do while nobody calls it.
type PendingActor struct {
	Actor   quorum.ActorKey
	Sends   bool  // its outbox is not empty
	NextDue int64 // wall time of its first timer, in ns since 1970; 0 if it has none
}

// Pending returns the slot's folded actors that have sends or timers
// outstanding, by their keys. What their unfolded entries change is not in it.
func (s *Store) Pending(slot quorum.SlotID) ([]PendingActor, error) {
	it, err := s.regionIter(slot, regionPending)
	if err != nil {
		return nil, s.damage(err)
	}
	var list []PendingActor
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			err = classify(err)
			break
		}
		var p PendingActor
		if p, err = decodePending(it.Key(), value); err == nil {
			list = append(list, p)
		}
	}
	if err = errors.Join(err, classify(it.Error()), classify(it.Close())); err != nil {
		return nil, s.damage(err)
	}
	return list, nil
}
