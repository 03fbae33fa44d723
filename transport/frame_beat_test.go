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
	testFrame(t, AppendBeat, DecodeBeat, beats()...)
	testNewer(t, AppendBeat, DecodeBeat, beats()[0])
	for _, b := range beats() {
		if n := len(AppendBeat(nil, b)); n > 256 { // far below what any QUIC packet carries
			t.Errorf("%d bytes", n)
		}
	}
}

func FuzzBeat(f *testing.F) { fuzzFrame(f, AppendBeat, DecodeBeat, beats()...) }
