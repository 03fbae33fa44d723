package transport

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"actormesh/quorum"
)

func calls() []*Call {
	key := quorum.MakeActorKey("cart", "u42")
	return []*Call{
		{},
		{ID: 1, Kind: "counter", Actor: "a", Method: "add", Args: []byte(`{"n":1}`), JSON: true, Timeout: 10 * time.Second},
		{
			ID: math.MaxUint64, Epoch: 300, Kind: "cart", Actor: "u42", Method: "Add", Args: []byte{}, WantJSON: true, Internal: true, Hops: 255,
			Request: quorum.RequestID{Session: quorum.SessionID{15: 1}, Number: 70_000, Low: 9}, Timeout: math.MaxInt64,
			Chain: []quorum.ActorKey{key, quorum.MakeActorKey("wallet", "u42")}, Principal: "shop", Trace: []byte("00-trace"),
		},
		{Request: quorum.RequestID{Key: "kreq-7f3"}},
		{Request: quorum.RequestID{Source: key, Number: 1}},
	}
}

func TestCall(t *testing.T) {
	testFrame(t, AppendCall, plainCall, calls()...)
	testNewer(t, AppendCall, plainCall, calls()[2])
}

// TestCallCheck checks that what check lets pass can be decoded, and that what
// it does not could not be: the two must agree, for a call that a peer cannot
// decode ends its connection.
func TestCallCheck(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]func(c *Call, over int){
		"kind":      func(c *Call, over int) { c.Kind = long(maxNameBytes + over) },
		"actor":     func(c *Call, over int) { c.Actor = long(maxNameBytes + over) },
		"method":    func(c *Call, over int) { c.Method = long(maxNameBytes + over) },
		"principal": func(c *Call, over int) { c.Principal = long(maxNameBytes + over) },
		"key":       func(c *Call, over int) { c.Request.Key = long(maxRequestKeyBytes + over) },
		"source":    func(c *Call, over int) { c.Request.Source = quorum.ActorKey(long(maxKeyBytes + over)) },
		"trace":     func(c *Call, over int) { c.Trace = make([]byte, maxTraceBytes+over) },
		"chain":     func(c *Call, over int) { c.Chain = make([]quorum.ActorKey, maxChain+over) },
		"chain key": func(c *Call, over int) { c.Chain = []quorum.ActorKey{quorum.ActorKey(long(maxKeyBytes + over))} },
		"args":      func(c *Call, over int) { c.Args = make([]byte, maxFrameBytes+over) },
	}
	for name, set := range tests {
		for over := range 2 {
			c := &Call{}
			set(c, over)
			_, decodeErr := plainCall(AppendCall(nil, c))
			if err := c.check(); (err != nil) != (over > 0) || (decodeErr != nil) != (over > 0) || err != nil && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s, %d above the limit: check %v, decode %v", name, over, err, decodeErr)
			}
		}
	}
}

func FuzzCall(f *testing.F) { fuzzFrame(f, AppendCall, plainCall, calls()...) }

func BenchmarkCallCodec(b *testing.B) {
	c := calls()[1]
	names := &interner{}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCall(buf[:0], c)
		if _, err := decodeCall(buf, names); err != nil {
			b.Fatal(err)
		}
	}
}

func plainCall(b []byte) (*Call, error) { return decodeCall(b, nil) }
