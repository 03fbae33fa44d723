package transport

import "testing"

func controls() []Control {
	return []Control{{}, {Kind: 1, Body: []byte{}}, {Kind: 255, Body: make([]byte, 700)}}
}

func TestControl(t *testing.T) {
	testFrame(t, AppendControl, DecodeControl, controls()...)
	testNewer(t, AppendControl, DecodeControl, controls()[1])
}

func FuzzControl(f *testing.F) { fuzzFrame(f, AppendControl, DecodeControl, controls()[:2]...) }
