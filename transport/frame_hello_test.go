package transport

import "testing"

func hellos() []Hello {
	return []Hello{{}, {Version: 1, Cluster: "c-7", Node: 1 << 63, Name: "n1", Boot: 300}}
}

func TestHello(t *testing.T) {
	testFrame(t, AppendHello, DecodeHello, hellos()...)
	testNewer(t, AppendHello, DecodeHello, hellos()[1])
}

func FuzzHello(f *testing.F) { fuzzFrame(f, AppendHello, DecodeHello, hellos()...) }
