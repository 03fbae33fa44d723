package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"actormesh/local/engine"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

const (
	stagedFileBytes  = 64 << 20  // a staged file is ended when it holds so much
	maxStagedKey     = 8 << 10   // actor key, user key and the rest
	maxStagedValue   = 256 << 20 // a folded actor with all its sessions is one value
	maxStagingChunks = 1<<32 - 1
)

// Staging takes in a snapshot beside the store, without touching the slot. It is
// for one goroutine, and ends with Finish or Abort.
type Staging struct {
	s       *Store
	number  uint64
	files   []string
	w       engine.Table // of the last file, nil between two
	bytes   int          // in the last file
	verify  verifier
	chunks  uint32
	ended   bool
	stream  []byte // taken in and not parsed
	key     []byte // the last one, whole
	failure error
}

// Staged is a complete and verified snapshot, durable but not part of the store.
// It is installed by a batch, or dropped.
type Staged struct {
	// Slot is what the slot will hold, without a promise.
	Slot  StoredSlot
	s     *Store
	files []string
}

// StageSnapshot begins to take in a snapshot of the slot.
func (s *Store) StageSnapshot(slot quorum.SlotID) (*Staging, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	return &Staging{
		s: s, number: s.stagings.Add(1),
		verify: verifier{slot: &StoredSlot{Slot: slot}},
	}, nil
}

// Write takes the next chunk. The error wraps ErrSnapshot if it is not what
// a SnapshotReader of an undamaged store gives. After an error only Abort is of use.
func (st *Staging) Write(chunk []byte) error {
	if st.failure == nil {
		st.failure = st.take(chunk)
	}
	return st.failure
}

func (st *Staging) take(chunk []byte) error {
	if st.ended || st.chunks == maxStagingChunks {
		return fmt.Errorf("%w: a chunk after the last", ErrSnapshot)
	}
	piece, last, err := openChunk(chunk, st.chunks)
	if err != nil {
		return err
	}
	st.chunks++
	st.ended = last
	st.stream = append(st.stream, piece...)
	rest := st.stream
	for len(rest) > 0 {
		n, err := st.takePair(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	st.stream = append(st.stream[:0], rest...)
	return nil
}

// takePair takes the pair at the head of b and returns its length, 0 if it is not
// all there yet.
func (st *Staging) takePair(b []byte) (int, error) {
	keyBytes, n := binary.Uvarint(b)
	if n == 0 {
		return 0, nil
	}
	valueBytes, m := binary.Uvarint(b[max(n, 0):])
	if n > 0 && m == 0 {
		return 0, nil
	}
	if n < 0 || m < 0 || keyBytes == 0 || keyBytes > maxStagedKey || valueBytes > maxStagedValue {
		return 0, fmt.Errorf("%w: a key of %d and a value of %d bytes", ErrSnapshot, keyBytes, valueBytes)
	}
	start, middle := n+m, n+m+int(keyBytes)
	end := middle + int(valueBytes)
	if len(b) < end {
		return 0, nil
	}
	return end, st.put(b[start:middle], b[middle:end])
}

func (st *Staging) put(suffix, value []byte) error {
	key := append(appendSlot(make([]byte, 0, slotPrefixBytes+len(suffix)), st.verify.slot.Slot), suffix...)
	if bytes.Compare(key, st.key) <= 0 {
		return fmt.Errorf("%w: key %x after %x", ErrSnapshot, key, st.key)
	}
	if err := st.verify.add(key, value); err != nil {
		return snapshotError(err)
	}
	if suffix[0] == regionActor && mutant.On(mutant.SnapshotLosesFolds) {
		return nil
	}
	if st.w == nil {
		if err := st.create(); err != nil {
			return err
		}
	}
	if err := st.w.Set(key, value); err != nil {
		return err
	}
	st.key = key
	if st.bytes += len(key) + len(value); st.bytes >= stagedFileBytes {
		return st.closeFile()
	}
	return nil
}

func (st *Staging) create() error {
	name := st.s.fs.PathJoin(st.s.stagingDir(), fmt.Sprintf("%d-%d.sst", st.number, len(st.files)))
	w, err := st.s.engine.CreateTable(name)
	if err != nil {
		return err
	}
	st.files = append(st.files, name)
	st.w, st.bytes = w, 0
	return nil
}

func (st *Staging) closeFile() error {
	if st.w == nil {
		return nil
	}
	w := st.w
	st.w = nil
	return w.Close()
}

// Finish ends the snapshot after its last chunk, and verifies it as Open does. On
// an error nothing is left of it.
func (st *Staging) Finish() (*Staged, error) {
	err := st.failure
	if err == nil {
		err = st.finish()
	}
	if err != nil {
		return nil, errors.Join(err, st.Abort())
	}
	staged := &Staged{Slot: *st.verify.slot, s: st.s, files: st.files}
	st.files, st.failure = nil, errors.New("staging is finished")
	return staged, nil
}

func (st *Staging) finish() error {
	if !st.ended || len(st.stream) > 0 {
		return fmt.Errorf("%w: it ends early, after %d chunks", ErrSnapshot, st.chunks)
	}
	if err := st.verify.finish(); err != nil {
		return snapshotError(err)
	}
	return st.closeFile()
}

// Abort drops what was taken in.
func (st *Staging) Abort() error {
	_ = st.closeFile() // the file goes anyway
	files := st.files
	st.files = nil
	if st.failure == nil {
		st.failure = errors.New("staging is aborted")
	}
	return st.s.removeFiles(files)
}

// Drop deletes a staged snapshot that is not to be installed. After it was
// installed it does nothing.
func (st *Staged) Drop() error {
	files := st.files
	st.files = nil
	return st.s.removeFiles(files)
}

func (s *Store) removeFiles(files []string) error {
	var errs []error
	for _, name := range files {
		errs = append(errs, s.fs.Remove(name))
	}
	return errors.Join(errs...)
}
