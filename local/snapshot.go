package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"actormesh/local/engine"
	"actormesh/quorum"
)

// A snapshot is the slot's keys and values in order, as one stream of bytes: the
// lengths of key and value as uvarints, the key from the slot on, the value. The
// stream is cut anywhere into chunks:
//
//	0   version, flags
//	2   number of the chunk, from 0 on (4)
//	6   crc32c over all of the chunk but itself
//	10  a piece of the stream
const (
	chunkVersion     = 1
	chunkLast        = 1 // flag: the stream ends with this chunk
	chunkHeaderBytes = 10
)

// MinChunkBytes is the smallest size for which SnapshotReader.Next can be asked.
const MinChunkBytes = 1 << 10

// SnapshotReader reads all that a slot has, but its promise, as it was at one
// instant. It is for one goroutine, and must be closed: it keeps what it reads
// from being freed.
type SnapshotReader struct {
	s      *Store
	it     engine.Iterator
	slot   StoredSlot
	valid  bool   // the iterator is at a key that is not in stream yet
	stream []byte // read and not sent
	number uint32
	ended  bool
}

// OpenSnapshot returns a reader of the slot as it is now.
func (s *Store) OpenSnapshot(slot quorum.SlotID) (*SnapshotReader, error) {
	it, err := s.slotIter(slot)
	if err != nil {
		return nil, s.damage(err)
	}
	r := &SnapshotReader{s: s, it: it, slot: StoredSlot{Slot: slot}}
	if err := r.readState(); err != nil {
		return nil, s.damage(errors.Join(err, it.Close()))
	}
	r.valid = it.First()
	return r, nil
}

// readState reads the slot's base and the index of its log, and verifies them.
func (r *SnapshotReader) readState() error {
	v := verifier{slot: &r.slot}
	end := append(appendSlot(nil, r.slot.Slot), regionActor)
	for valid := r.it.First(); valid && string(r.it.Key()) < string(end); valid = r.it.Next() {
		value, err := r.it.ValueAndErr()
		if err != nil {
			return classify(err)
		}
		if err := v.add(r.it.Key(), value); err != nil {
			return err
		}
	}
	if err := r.it.Error(); err != nil {
		return classify(err)
	}
	return v.finish()
}

// Last returns the last position of the log that the snapshot holds.
func (r *SnapshotReader) Last() quorum.Position { return r.slot.Last() }

// Next returns the next chunk, of maxBytes at most, which must not be less than
// MinChunkBytes. After the last one the error is io.EOF.
func (r *SnapshotReader) Next(maxBytes int) ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	piece := max(maxBytes, MinChunkBytes) - chunkHeaderBytes
	for len(r.stream) < piece && r.valid {
		value, err := r.it.ValueAndErr()
		if err != nil {
			return nil, r.s.damage(classify(err))
		}
		key := r.it.Key()[slotPrefixBytes:]
		r.stream = binary.AppendUvarint(r.stream, uint64(len(key)))
		r.stream = binary.AppendUvarint(r.stream, uint64(len(value)))
		r.stream = append(append(r.stream, key...), value...)
		r.valid = r.it.Next()
	}
	if err := r.it.Error(); err != nil {
		return nil, r.s.damage(classify(err))
	}
	var flags byte
	if !r.valid && len(r.stream) <= piece {
		flags, r.ended = chunkLast, true
	}
	piece = min(piece, len(r.stream))
	chunk := make([]byte, chunkHeaderBytes, chunkHeaderBytes+piece)
	chunk[0], chunk[1] = chunkVersion, flags
	binary.BigEndian.PutUint32(chunk[2:], r.number)
	chunk = append(chunk, r.stream[:piece]...)
	binary.BigEndian.PutUint32(chunk[6:], chunkSum(chunk))
	r.stream = append(r.stream[:0], r.stream[piece:]...)
	r.number++
	return chunk, nil
}

// Close ends the reader.
func (r *SnapshotReader) Close() error { return classify(r.it.Close()) }

func chunkSum(chunk []byte) uint32 {
	sum := crc32.Checksum(chunk[:6], castagnoli)
	return crc32.Update(sum, castagnoli, chunk[chunkHeaderBytes:])
}

// openChunk checks a chunk and returns its piece of the stream.
func openChunk(chunk []byte, number uint32) (piece []byte, last bool, err error) {
	switch {
	case len(chunk) < chunkHeaderBytes:
		return nil, false, fmt.Errorf("%w: chunk of %d bytes", ErrSnapshot, len(chunk))
	case binary.BigEndian.Uint32(chunk[6:]) != chunkSum(chunk):
		return nil, false, fmt.Errorf("%w: checksum of chunk %d", ErrSnapshot, number)
	case chunk[0] != chunkVersion || chunk[1]&^chunkLast != 0:
		return nil, false, fmt.Errorf("%w: chunk version %d, flags %x", ErrSnapshot, chunk[0], chunk[1])
	case binary.BigEndian.Uint32(chunk[2:]) != number:
		return nil, false, fmt.Errorf("%w: chunk %d where %d is next", ErrSnapshot, binary.BigEndian.Uint32(chunk[2:]), number)
	}
	return chunk[chunkHeaderBytes:], chunk[1]&chunkLast != 0, nil
}
