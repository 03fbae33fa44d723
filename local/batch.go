package local

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"actormesh/local/engine"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// Batch collects changes that one Commit writes, in the order in which they were
// added. It keeps nothing of what it is given. It is not safe for concurrent use;
// after a Commit it is empty and may be filled again.
type Batch struct {
	s        *Store
	eb       engine.Batch // nil while empty
	earlier  []segment
	replaced []quorum.SlotID // discarded, or replaced by a snapshot
	register []byte          // not nil if the batch saves the register
	bytes    int
	err      error
}

// segment is a part of a batch that ends with the installation of a snapshot,
// which an engine does not do inside its own batches.
type segment struct {
	eb     engine.Batch
	staged *Staged
}

// NewBatch returns an empty batch.
func (s *Store) NewBatch() *Batch { return &Batch{s: s} }

// Bytes returns about how much the batch will write, snapshots aside.
func (b *Batch) Bytes() int { return b.bytes }

// Empty reports whether there is nothing to commit.
func (b *Batch) Empty() bool { return b.eb == nil && len(b.earlier) == 0 && b.err == nil }

// Close drops what the batch holds.
func (b *Batch) Close() {
	for _, seg := range b.earlier {
		closeBatch(seg.eb)
	}
	closeBatch(b.eb)
	*b = Batch{s: b.s, earlier: b.earlier[:0], replaced: b.replaced[:0]}
}

func closeBatch(eb engine.Batch) {
	if eb != nil {
		eb.Close()
	}
}

func (b *Batch) batch() engine.Batch {
	if b.eb == nil {
		b.eb = b.s.engine.NewBatch()
	}
	return b.eb
}

func (b *Batch) set(key, value []byte) {
	engine.Set(b.batch(), key, value)
	b.bytes += len(key) + len(value)
}

// SetRegister stores the view register's state.
func (b *Batch) SetRegister(state []byte) {
	b.register = append([]byte{}, state...)
	b.set(identityKey(fieldRegister), state)
}

// Promise stores what this node promises for the slot.
func (b *Batch) Promise(slot quorum.SlotID, p quorum.Promise) {
	b.set(promiseKey(slot), encodePromise(p))
}

// Append stores entries of the slot's log, in the order of their LSNs.
func (b *Batch) Append(slot quorum.SlotID, entries []quorum.Entry) {
	if invariantsEnabled {
		checkChained(entries)
	}
	eb := b.batch()
	for i := range entries {
		e := &entries[i]
		if len(e.Actor) > maxActorBytes {
			b.err = fmt.Errorf("%w: the actor's key has %d bytes", ErrTooLarge, len(e.Actor))
			return
		}
		keyBytes, valueBytes := recordKeyBytes(e.Actor), recordHeaderBytes+len(e.Data)
		key, value := eb.SetDeferred(keyBytes, valueBytes)
		appendRecordKey(key[:0], slot, e.Actor, e.LSN)
		encodeRecord(value, key, e)
		b.bytes += keyBytes + valueBytes
	}
}

// checkChained panics if entries that are appended together do not follow each
// other: that is a bug in the core.
func checkChained(entries []quorum.Entry) {
	for i := 1; i < len(entries); i++ {
		prev, e := &entries[i-1], &entries[i]
		if e.LSN != prev.LSN+1 || e.Prev != prev.Ballot || e.Hash != e.ChainHash(prev.Hash) {
			panic(fmt.Sprintf("local: entry %v does not follow %v", e.Position(), prev.Position()))
		}
	}
}

// Truncate deletes exactly these entries of the slot's log: a tail that differs
// from the owner's.
func (b *Batch) Truncate(slot quorum.SlotID, tail []quorum.TailEntry) {
	eb := b.batch()
	for i := range tail {
		deleteRecord(eb, slot, tail[i].Actor, tail[i].LSN, tail[i].Bytes)
		b.bytes += recordKeyBytes(tail[i].Actor)
	}
}

// deleteRecord deletes the record of an entry whose Size is entryBytes.
func deleteRecord(eb engine.Batch, slot quorum.SlotID, actor quorum.ActorKey, lsn quorum.LSN, entryBytes int) {
	valueBytes := max(entryBytes-entryOverheadBytes-len(actor), 0) + recordHeaderBytes
	key := eb.DeleteSized(recordKeyBytes(actor), uint32(valueBytes))
	appendRecordKey(key[:0], slot, actor, lsn)
}

// entryOverheadBytes is what quorum.Entry.Size counts for an entry beside its
// actor's key and its data.
var entryOverheadBytes = (&quorum.Entry{}).Size()

// Discard deletes the slot's log and all that is folded from it. The promise
// stays.
func (b *Batch) Discard(slot quorum.SlotID) {
	start, end := slotRange(slot)
	b.batch().DeleteRange(start, end)
	b.bytes += len(start) + len(end)
	b.replaced = append(b.replaced, slot)
}

// InstallSnapshot replaces everything of the slot but its promise by what was
// staged. What was added to the batch before is durable before, and what is added
// after comes after.
func (b *Batch) InstallSnapshot(staged *Staged) {
	b.earlier = append(b.earlier, segment{b.eb, staged})
	b.eb = nil
	b.replaced = append(b.replaced, staged.Slot.Slot)
}

// Commit writes the batch, and empties it. With sync it returns when the batch
// and everything committed before it are durable. A batch that installs a
// snapshot is always synced; without one it is written as a whole or not at all,
// also in a crash. After an error nothing that was in the batch may be relied on.
func (s *Store) Commit(b *Batch, sync bool) error {
	defer b.Close()
	if err := s.Err(); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	if b.Empty() {
		return nil
	}
	gates := s.lockGates(b.replaced)
	defer func() {
		for _, g := range gates {
			g.gen++
			g.mu.Unlock()
		}
	}()
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	for _, seg := range b.earlier {
		if err := s.commitSegment(seg); err != nil {
			return err
		}
	}
	if sync || len(b.earlier) > 0 {
		if err := s.commitSynced(b.batch()); err != nil {
			return err
		}
	} else if err := s.apply(b.eb, false); err != nil {
		return err
	}
	if b.register != nil {
		register := b.register
		s.register.Store(&register)
	}
	return nil
}

func (s *Store) commitSegment(seg segment) error {
	if seg.eb != nil {
		if err := s.apply(seg.eb, true); err != nil {
			return err
		}
	}
	return s.install(seg.staged)
}

// commitSynced writes a batch and its count, waits for the disk, and tells the
// witness.
func (s *Store) commitSynced(eb engine.Batch) error {
	key, value := eb.SetDeferred(1, 8)
	key[0] = keyCommits
	commits := s.commits.Load() + 1
	binary.BigEndian.PutUint64(value, commits)
	if err := s.apply(eb, true); err != nil {
		return err
	}
	s.commits.Store(commits)
	if err := s.witness.noteCommits(commits); err != nil {
		return s.fail(fmt.Errorf("witness: %w", err))
	}
	return nil
}

// apply writes one batch of the engine's.
func (s *Store) apply(eb engine.Batch, sync bool) error {
	sync = sync && !mutant.On(mutant.StoreUnsynced)
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.engine.Apply(eb, sync); err != nil {
		return s.fail(err)
	}
	return s.Err()
}

// install swaps a staged snapshot in, durably and at once.
func (s *Store) install(st *Staged) error {
	start, end := slotRange(st.Slot.Slot)
	if err := s.engine.Ingest(st.files, start, end); err != nil {
		return s.fail(fmt.Errorf("install snapshot: %w", classify(err)))
	}
	st.files = nil
	return nil
}

// lockGates locks the gates of the slots, in order, each once.
func (s *Store) lockGates(slots []quorum.SlotID) []*slotGate {
	if len(slots) == 0 {
		return nil
	}
	sort.Slice(slots, func(i, j int) bool { return slots[i] < slots[j] })
	var gates []*slotGate
	for _, slot := range slices.Compact(slots) {
		g := s.gate(slot)
		g.mu.Lock()
		gates = append(gates, g)
	}
	return gates
}
