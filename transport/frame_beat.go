package transport

import (
	"actormesh/quorum"
)

// BeatKind says which way a heartbeat goes.
type BeatKind uint8

const (
	// BeatAsk asks for a lease: Boot, Epoch and Sent are the asker's.
	BeatAsk BeatKind = iota + 1
	// BeatAnswer gives or refuses it: Boot and Epoch are those of the node that
	// answers, AnsweredBoot and Sent come from the beat that it answers.
	BeatAnswer
)

// Beat is a heartbeat or the answer to one. It goes in a datagram, and may be
// lost.
type Beat struct {
	Kind         BeatKind
	Boot         quorum.Boot
	AnsweredBoot quorum.Boot
	Epoch        quorum.Epoch
	Sent         quorum.Instant // of the clock of the node that asks
	Granted      bool
	Wall         int64 // of the sender, in ns since 1970: a hint that a clock is wrong, and nothing else
}

const beatFields = 7

// AppendBeat appends the beat's encoding, a whole datagram, to b.
func AppendBeat(b []byte, t Beat) []byte {
	b = appendArray(b, beatFields)
	b = appendUint(b, uint64(t.Kind))
	b = appendUint(b, uint64(t.Boot))
	b = appendUint(b, uint64(t.AnsweredBoot))
	b = appendUint(b, uint64(t.Epoch))
	b = appendUint(b, uint64(t.Sent))
	b = appendBool(b, t.Granted)
	return appendUint(b, uint64(t.Wall))
}

// DecodeBeat decodes what AppendBeat wrote, all of it. The error wraps
// ErrFrame.
func DecodeBeat(b []byte) (Beat, error) {
	d := decoder{b: b}
	var t Beat
	extra := d.fields(beatFields)
	t.Kind = BeatKind(d.uintMax(1<<8 - 1))
	t.Boot = quorum.Boot(d.uint())
	t.AnsweredBoot = quorum.Boot(d.uint())
	t.Epoch = quorum.Epoch(d.uint())
	t.Sent = quorum.Instant(d.uint())
	t.Granted = d.bool()
	t.Wall = int64(d.uint())
	d.skip(extra)
	if err := d.end(); err != nil {
		return Beat{}, err
	}
	return t, nil
}
