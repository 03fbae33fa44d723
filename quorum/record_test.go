package quorum

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// maker makes random values for the codecs, the empty ones among them.
type maker struct{ *rand.Rand }

func (m maker) bytes() []byte {
	if m.IntN(3) == 0 {
		return nil
	}
	b := make([]byte, 1+m.IntN(20))
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m maker) string() string { return string(m.bytes()) }

// number is small, or anything.
func (m maker) number() uint64 { return m.Uint64() >> (m.IntN(8) * 8) }

func (m maker) actor() ActorKey { return MakeActorKey("k", string(rune('a'+m.IntN(4)))) }

func list[T any](m maker, item func() T) []T {
	var items []T
	for range m.IntN(4) {
		items = append(items, item())
	}
	return items
}

func (m maker) appError() *AppError {
	if m.IntN(2) == 0 {
		return nil
	}
	return &AppError{Code: m.string(), Message: m.string(), Details: m.bytes()}
}

func (m maker) request() (r RequestID) {
	switch m.IntN(4) {
	case 0:
		r.Session = SessionID{1, byte(m.IntN(4))}
		r.Number, r.Low = m.number(), m.number()
	case 1:
		r.Key = string(rune(KeyOwn)) + m.string()
	case 2:
		r.Source, r.Number = m.actor(), m.number()
	}
	return r
}

func (m maker) send() Send {
	return Send{Target: m.actor(), Number: m.number(), Method: m.string(), Args: m.bytes(), JSON: m.IntN(2) == 0}
}

func (m maker) record() *Record {
	r := &Record{
		Wall: int64(m.number()), Turn: m.number(), Method: m.string(), Request: m.request(), Args: m.number(),
		Reply: m.bytes(), Err: m.appError(), Trace: m.bytes(), Principal: m.string(),
		Sends:     list(m, m.send),
		SendsDone: list(m, func() SendMark { return SendMark{m.actor(), m.number()} }),
		Writes: list(m, func() KeyWrite {
			if m.IntN(2) == 0 {
				return KeyWrite{Key: m.bytes(), Delete: true}
			}
			return KeyWrite{Key: m.bytes(), Value: m.bytes()}
		}),
		Timers: list(m, func() TimerChange {
			return TimerChange{Name: m.string(), Cancel: m.IntN(2) == 0, Due: int64(m.number()), Every: int64(m.number()), Method: m.string(), Args: m.bytes()}
		}),
	}
	if r.HasState = m.IntN(2) == 0; r.HasState {
		r.State = m.bytes()
	}
	return r
}

// TestRecordRoundTrip encodes records and decodes them, and every truncation of
// them, which is an error.
func TestRecordRoundTrip(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 5))}
	for range 500 {
		r := m.record()
		b := r.AppendTo([]byte("before"))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("what was before is gone")
		}
		b = b[len("before"):]
		got, err := DecodeRecord(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v\ndecoded to %+v, %v", r, got, err)
		}
		if RecordWall(b) != r.Wall || RecordSends(b) != (len(r.Sends)+len(r.SendsDone) > 0) {
			t.Fatalf("%+v: wall %d, sends %t", r, RecordWall(b), RecordSends(b))
		}
		for n := range b {
			if _, err := DecodeRecord(b[:n:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(b), err)
			}
			RecordWall(b[:n:n])
			RecordSends(b[:n:n])
		}
		if _, err := DecodeRecord(append(b, 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("one byte more: %v", err)
		}
	}
}

// TestRecordOfLaterVersion: this program does not guess at fields it does not
// know.
func TestRecordOfLaterVersion(t *testing.T) {
	b := (&Record{Wall: 5, Sends: []Send{{}}}).AppendTo(nil)
	b[0]++
	if _, err := DecodeRecord(b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("decoded, %v", err)
	}
	if RecordWall(b) != 0 || RecordSends(b) {
		t.Error("looked into it")
	}
	if RecordWall(nil) != 0 || RecordSends(nil) {
		t.Error("looked into a barrier")
	}
}

// TestRecordOnDiskIsForEver pins the encoding.
func TestRecordOnDiskIsForEver(t *testing.T) {
	r := &Record{
		Wall: 300, Turn: 2, Method: "Add", Request: RequestID{Session: SessionID{15: 9}, Number: 4, Low: 3}, Args: 5,
		HasState: true, State: []byte("s"), Writes: []KeyWrite{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("l"), Delete: true}},
		Reply: []byte("r"), Err: &AppError{"c", "m", []byte("d")}, Sends: []Send{{"t", 6, "Do", []byte("a"), true}},
		SendsDone: []SendMark{{"p", 7}}, Timers: []TimerChange{{"n", false, 8, 9, "Run", []byte("b")}}, Trace: []byte("x"), Principal: "y",
	}
	want := "\x01'\xac\x02\x02\x03Add\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\t\x04\x03\x05\x01s" +
		"\x02\x01k\x00\x01v\x01l\x01\x01r\x01c\x01m\x01d\x01\x01t\x06\x02Do\x01a\x01\x01\x01p\a\x01\x01n\x00\b\t\x03Run\x01b\x01x\x01y"
	if got := string(r.AppendTo(nil)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	m := maker{rand.New(rand.NewPCG(1, 6))}
	for range 20 {
		f.Add(m.record().AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		wall := RecordWall(b)
		r, err := DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if r.Wall != wall {
			t.Fatalf("wall %d and %d", r.Wall, wall)
		}
		again, err := DecodeRecord(r.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v\ndecoded again to %+v, %v", r, again, err)
		}
	})
}
