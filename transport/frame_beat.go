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

// Beat is a heartbeat or the answer to one. Those that go to one node together
// share a datagram, which may be lost.
type Beat struct {
	Kind         BeatKind
	Boot         quorum.Boot
	AnsweredBoot quorum.Boot
	Epoch        quorum.Epoch
	Sent         quorum.Instant // of the clock of the node that asks
	Granted      bool
	Wall         int64 // of the sender, in ns since 1970: a hint that a clock is wrong, and nothing else
}

const (
	beatFields   = 7
	minBeatBytes = 1 + beatFields
)

// AppendBeats appends the encoding of the beats, a whole datagram, to b.
func AppendBeats(b []byte, beats []Beat) []byte {
	b = appendArray(b, len(beats))
	for _, t := range beats {
		b = appendBeat(b, t)
	}
	return b
}

func appendBeat(b []byte, t Beat) []byte {
	b = appendArray(b, beatFields)
	b = appendUint(b, uint64(t.Kind))
	b = appendUint(b, uint64(t.Boot))
	b = appendUint(b, uint64(t.AnsweredBoot))
	b = appendUint(b, uint64(t.Epoch))
	b = appendUint(b, uint64(t.Sent))
	b = appendBool(b, t.Granted)
	return appendUint(b, uint64(t.Wall))
}

// DecodeBeats decodes what AppendBeats wrote, all of it. The error wraps
// ErrFrame.
func DecodeBeats(b []byte) ([]Beat, error) {
	d := decoder{b: b}
	beats := make([]Beat, d.array(minBeatBytes))
	for i := range beats {
		beats[i] = d.beat()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return beats, nil
}

func (d *decoder) beat() (t Beat) {
	extra := d.fields(beatFields)
	t.Kind = BeatKind(d.uintMax(1<<8 - 1))
	t.Boot = quorum.Boot(d.uint())
	t.AnsweredBoot = quorum.Boot(d.uint())
	t.Epoch = quorum.Epoch(d.uint())
	t.Sent = quorum.Instant(d.uint())
	t.Granted = d.bool()
	t.Wall = int64(d.uint())
	d.skip(extra)
	return t
}
