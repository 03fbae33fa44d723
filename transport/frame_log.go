package transport

import (
	"actormesh/quorum"
)

// The least that a message and an entry take, to bound counts by lengths.
const (
	minMessageBytes = 14
	minEntryBytes   = 9
	messageFields   = 13
	entryFields     = 8
)

// AppendLogFrame appends the encoding of the messages, without a frame's
// header, to b.
func AppendLogFrame(b []byte, msgs []quorum.Message) []byte {
	b = appendArray(b, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		b = appendArray(b, messageFields)
		b = appendUint(b, uint64(m.Kind))
		b = appendUint(b, uint64(m.Slot))
		b = appendBallot(b, m.Ballot)
		b = appendBallot(b, m.At.Ballot)
		b = appendUint(b, uint64(m.At.LSN))
		b = appendUint(b, uint64(m.Commit))
		b = appendBallot(b, m.Promised.Ballot)
		b = appendUint(b, uint64(m.Promised.Owner))
		b = appendUint(b, m.Round)
		b = appendArray(b, len(m.Entries))
		for j := range m.Entries {
			b = appendEntry(b, &m.Entries[j])
		}
	}
	return b
}

func appendBallot(b []byte, v quorum.Ballot) []byte {
	return appendUint(appendUint(b, uint64(v.Epoch)), uint64(v.Boot))
}

func appendEntry(b []byte, e *quorum.Entry) []byte {
	b = appendArray(b, entryFields)
	b = appendUint(b, uint64(e.LSN))
	b = appendBallot(b, e.Ballot)
	b = appendBallot(b, e.Prev)
	b = appendUint(b, e.Hash)
	b = appendStr(b, string(e.Actor))
	return appendBin(b, e.Data)
}

// decodeLog decodes what AppendLogFrame wrote, all of it. The entries' data points into b;
// names, if not nil, keeps the strings that come again. The error wraps ErrFrame.
func decodeLog(b []byte, names *interner) ([]quorum.Message, error) {
	d := decoder{b: b, names: names}
	msgs := make([]quorum.Message, d.array(minMessageBytes))
	for i := range msgs {
		m := &msgs[i]
		extra := d.fields(messageFields)
		m.Kind = quorum.MsgKind(d.uintMax(1<<8 - 1))
		m.Slot = quorum.SlotID(d.uintMax(1<<16 - 1))
		m.Ballot = d.ballot()
		m.At = quorum.Position{Ballot: d.ballot(), LSN: quorum.LSN(d.uint())}
		m.Commit = quorum.LSN(d.uint())
		m.Promised = quorum.Promise{Ballot: d.ballot(), Owner: quorum.NodeID(d.uint())}
		m.Round = d.uint()
		if n := d.array(minEntryBytes); n > 0 {
			m.Entries = make([]quorum.Entry, n)
			for j := range m.Entries {
				d.entry(&m.Entries[j])
			}
		}
		d.skip(extra)
		if d.err != nil {
			break
		}
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return msgs, nil
}

func (d *decoder) ballot() quorum.Ballot {
	return quorum.Ballot{Epoch: quorum.Epoch(d.uint()), Boot: quorum.Boot(d.uint())}
}

func (d *decoder) entry(e *quorum.Entry) {
	extra := d.fields(entryFields)
	e.LSN = quorum.LSN(d.uint())
	e.Ballot = d.ballot()
	e.Prev = d.ballot()
	e.Hash = d.uint()
	e.Actor = quorum.ActorKey(d.str(maxKeyBytes))
	e.Data = d.bin(maxFrameBytes)
	d.skip(extra)
}

// messageBytes is about what a message takes in a frame, and never less.
func messageBytes(m *quorum.Message) int {
	n := 128
	for i := range m.Entries {
		n += m.Entries[i].Size()
	}
	return n
}
