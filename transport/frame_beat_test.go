package transport

import (
	"math"
	"testing"
)

func beats() []Beat {
	return []Beat{
		{Kind: BeatAsk, Boot: 3, Epoch: 300, Sent: 1 << 50},
		{Kind: BeatAnswer, Boot: math.MaxUint64, AnsweredBoot: 3, Epoch: math.MaxUint64, Sent: -1, Granted: true, Wall: math.MaxInt64},
	}
}

func TestBeat(t *testing.T) {
	testFrame(t, AppendBeats, DecodeBeats, beats(), beats()[:1], []Beat{})
	testNewer(t, appendBeat, func(b []byte) (Beat, error) {
		d := decoder{b: b}
		return d.beat(), d.end()
	}, beats()[0])
	if n := len(AppendBeats(nil, beats())); n > 256 { // far below what any QUIC packet carries
		t.Errorf("%d bytes", n)
	}
}

func FuzzBeat(f *testing.F) { fuzzFrame(f, AppendBeats, DecodeBeats, beats(), beats()[:1]) }
