package local

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// TailOf returns the place of an entry, as Truncate and ReadEntries take it.
func TailOf(e *quorum.Entry) quorum.TailEntry {
	return quorum.TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: e.Size()}
}

const (
	recordVersion     = 1
	featureLevel      = 1 // of the records that this program writes
	recordHeaderBytes = 48
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeRecord fills value, of recordHeaderBytes + len(e.Data) bytes, for the
// record's key.
func encodeRecord(value, key []byte, e *quorum.Entry) {
	value[0], value[1] = recordVersion, 0
	binary.BigEndian.PutUint16(value[2:], featureLevel)
	binary.BigEndian.PutUint64(value[8:], uint64(e.Ballot.Epoch))
	binary.BigEndian.PutUint64(value[16:], uint64(e.Ballot.Boot))
	binary.BigEndian.PutUint64(value[24:], uint64(e.Prev.Epoch))
	binary.BigEndian.PutUint64(value[32:], uint64(e.Prev.Boot))
	binary.BigEndian.PutUint64(value[40:], e.Hash)
	copy(value[recordHeaderBytes:], e.Data)
	binary.BigEndian.PutUint32(value[4:], recordSum(key, value))
}

func recordSum(key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key[1:])
	sum = crc32.Update(sum, castagnoli, value[:4])
	return crc32.Update(sum, castagnoli, value[8:])
}

// decodeRecord checks and decodes what encodeRecord wrote. key is the whole key;
// the entry's data points into value.
func decodeRecord(key, value []byte, actor quorum.ActorKey) (quorum.Entry, error) {
	if len(value) < recordHeaderBytes {
		return quorum.Entry{}, damaged("record %x has %d bytes", key, len(value))
	}
	if got, want := recordSum(key, value), binary.BigEndian.Uint32(value[4:]); got != want && !mutant.On(mutant.SumsUnchecked) {
		return quorum.Entry{}, damaged("record %x has checksum %08x, want %08x", key, got, want)
	}
	if level := binary.BigEndian.Uint16(value[2:]); value[0] != recordVersion || value[1] != 0 || level > featureLevel {
		return quorum.Entry{}, fmt.Errorf("%w: record version %d, flags %x, feature level %d",
			ErrFormat, value[0], value[1], level)
	}
	e := quorum.Entry{
		LSN:    quorum.LSN(binary.BigEndian.Uint64(key[len(key)-lsnBytes:])),
		Ballot: decodeBallot(value[8:]),
		Prev:   decodeBallot(value[24:]),
		Hash:   binary.BigEndian.Uint64(value[40:]),
		Actor:  actor,
	}
	if len(value) > recordHeaderBytes {
		e.Data = value[recordHeaderBytes:]
	}
	return e, nil
}

func decodeBallot(b []byte) quorum.Ballot {
	return quorum.Ballot{
		Epoch: quorum.Epoch(binary.BigEndian.Uint64(b)),
		Boot:  quorum.Boot(binary.BigEndian.Uint64(b[8:])),
	}
}

func appendBallot(b []byte, ballot quorum.Ballot) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(ballot.Epoch))
	return binary.BigEndian.AppendUint64(b, uint64(ballot.Boot))
}

// A promise's value: ballot and owner.
const promiseBytes = 24

func encodePromise(p quorum.Promise) []byte {
	return binary.BigEndian.AppendUint64(appendBallot(nil, p.Ballot), uint64(p.Owner))
}

func decodePromise(b []byte) (quorum.Promise, error) {
	if len(b) != promiseBytes {
		return quorum.Promise{}, damaged("promise has %d bytes", len(b))
	}
	return quorum.Promise{Ballot: decodeBallot(b), Owner: quorum.NodeID(binary.BigEndian.Uint64(b[16:]))}, nil
}

// slotBase is how far a slot's log is folded: every entry after it is in the log.
type slotBase struct {
	at   quorum.Position
	hash uint64
}

const slotBaseBytes = 32

func (m slotBase) encode() []byte {
	b := binary.BigEndian.AppendUint64(appendBallot(nil, m.at.Ballot), uint64(m.at.LSN))
	return binary.BigEndian.AppendUint64(b, m.hash)
}

func decodeSlotBase(b []byte) (slotBase, error) {
	if len(b) != slotBaseBytes {
		return slotBase{}, damaged("slot base has %d bytes", len(b))
	}
	at := quorum.Position{Ballot: decodeBallot(b), LSN: quorum.LSN(binary.BigEndian.Uint64(b[16:]))}
	return slotBase{at, binary.BigEndian.Uint64(b[24:])}, nil
}
