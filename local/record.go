package local

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"actormesh/quorum"
)

// TailEntry is an entry of a slot's log without its data: what the core's index
// of the log is made of.
type TailEntry struct {
	LSN    quorum.LSN
	Ballot quorum.Ballot
	Prev   quorum.Ballot
	Hash   uint64
	Actor  quorum.ActorKey
	Bytes  int // as quorum.Entry.Size counts them
	Flags  EntryFlags
}

// Position returns the entry's place.
func (t *TailEntry) Position() quorum.Position {
	return quorum.Position{Ballot: t.Ballot, LSN: t.LSN}
}

// EntryFlags say what an entry's record holds, for those who look for it.
type EntryFlags uint8

// The flags. A record that does not decode, as a newer program may write it, has
// all of them.
const (
	HasSends  EntryFlags = 1 << iota // sends, or the end of some
	HasTimers                        // timers set or cancelled
)

// TailOf returns the index entry of an entry.
func TailOf(e *quorum.Entry) TailEntry {
	return TailEntry{
		LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash,
		Actor: e.Actor, Bytes: e.Size(), Flags: flagsOf(e.Data),
	}
}

func flagsOf(data []byte) (f EntryFlags) {
	if len(data) == 0 {
		return 0
	}
	r, err := quorum.DecodeRecord(data)
	if err != nil {
		return HasSends | HasTimers
	}
	if len(r.Sends) > 0 || len(r.SendsDone) > 0 {
		f |= HasSends
	}
	if len(r.Timers) > 0 {
		f |= HasTimers
	}
	return f
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
	if got, want := recordSum(key, value), binary.BigEndian.Uint32(value[4:]); got != want {
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
