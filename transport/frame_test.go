package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/vmihailenco/msgpack/v5"
)

// testFrame encodes each value and decodes it: whole, cut short everywhere,
// with a byte too many, and with a field that only a newer program knows.
func testFrame[T any](t *testing.T, encode func([]byte, T) []byte, decode func([]byte) (T, error), values ...T) {
	t.Helper()
	for _, v := range values {
		b := encode(nil, v)
		got, err := decode(b)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("decoded %+v, %v\nwant    %+v", got, err, v)
		}
		for i := range b {
			if _, err := decode(b[:i:i]); !errors.Is(err, ErrFrame) {
				t.Fatalf("the first %d of %d bytes: %v", i, len(b), err)
			}
		}
		if _, err := decode(append(bytes.Clone(b), 0)); !errors.Is(err, ErrFrame) {
			t.Fatalf("a byte too many: %v", err)
		}
		var lib any
		if err := msgpack.Unmarshal(b, &lib); err != nil {
			t.Fatalf("no msgpack: %v", err)
		}
		if b2 := encode([]byte("before"), v); !bytes.Equal(b2, append([]byte("before"), b...)) {
			t.Fatal("the encoding depends on what is before it")
		}
	}
}

// testNewer decodes the value with fields that only a newer program knows.
func testNewer[T any](t *testing.T, encode func([]byte, T) []byte, decode func([]byte) (T, error), v T) {
	t.Helper()
	b := encode(nil, v)
	if b[0]&0xf0 != 0x90 || b[0] == 0x9f {
		t.Fatalf("code %#x is no short array", b[0])
	}
	b[0]++
	b = append(appendArray(b, 2), 0xc0, 0x07)
	got, err := decode(b)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("decoded %+v, %v\nwant    %+v", got, err, v)
	}
}

// fuzzFrame wants of what can be decoded that it is the same after another
// round: encoded and decoded again.
func fuzzFrame[T any](f *testing.F, encode func([]byte, T) []byte, decode func([]byte) (T, error), seeds ...T) {
	for _, v := range seeds {
		f.Add(encode(nil, v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("%v does not wrap ErrFrame", err)
			}
			return
		}
		again, err := decode(encode(nil, v))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%+v became %+v, %v", v, again, err)
		}
	})
}

func frames(t *testing.T, bodies ...[]byte) []byte {
	t.Helper()
	var all []byte
	for i, body := range bodies {
		start := len(all)
		var err error
		if all, err = endFrame(append(beginFrame(all, byte(i)), body...), start); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestFrameReader(t *testing.T) {
	bodies := [][]byte{
		nil, []byte("a"), make([]byte, firstChunkBytes), bytes.Repeat([]byte("b"), chunkBytes-frameHeaderBytes),
		bytes.Repeat([]byte("c"), 3*chunkBytes), []byte("d"), bytes.Repeat([]byte("e"), chunkBytes/2), bytes.Repeat([]byte("f"), chunkBytes/2),
	}
	all := frames(t, bodies...)
	readers := map[string]io.Reader{
		"whole": bytes.NewReader(all),
		"half":  iotest.HalfReader(bytes.NewReader(all)),
		"byte":  iotest.OneByteReader(bytes.NewReader(all)),
		"error": iotest.DataErrReader(bytes.NewReader(all)),
	}
	for name, r := range readers {
		f := frameReader{r: r}
		var got [][]byte // all are kept: none may be overwritten by the next
		for i := range bodies {
			kind, body, err := f.next()
			if err != nil || kind != byte(i) {
				t.Fatalf("%s: frame %d: type %d, %v", name, i, kind, err)
			}
			got = append(got, body)
		}
		for i := range bodies {
			if !bytes.Equal(got[i], bodies[i]) {
				t.Errorf("%s: frame %d differs", name, i)
			}
		}
		if _, _, err := f.next(); err != io.EOF {
			t.Errorf("%s: after the last frame: %v", name, err)
		}
	}
}

func TestFrameReaderTruncated(t *testing.T) {
	all := frames(t, []byte("first"), []byte("second"))
	first := frameHeaderBytes + len("first")
	for i := range all {
		f := frameReader{r: bytes.NewReader(all[:i])}
		var err error
		for err == nil {
			_, _, err = f.next()
		}
		want := io.ErrUnexpectedEOF
		if i == 0 || i == first {
			want = io.EOF
		}
		if err != want {
			t.Errorf("%d of %d bytes: %v, want %v", i, len(all), err, want)
		}
	}
}

func TestFrameReaderRefusesLarge(t *testing.T) {
	head := binary.BigEndian.AppendUint32([]byte{frameLog}, maxFrameBytes+1)
	f := frameReader{r: bytes.NewReader(head)}
	if _, _, err := f.next(); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
	if _, err := readFrame(bytes.NewReader(head), frameLog, maxFrameBytes); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
	b, err := endFrame(make([]byte, 3+frameHeaderBytes+maxFrameBytes+1), 3)
	if !errors.Is(err, ErrTooLarge) || len(b) != 3 {
		t.Errorf("%d bytes left, %v", len(b), err)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 7, 8, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := frameReader{r: iotest.HalfReader(bytes.NewReader(b))}
		var again []byte
		for {
			kind, body, err := r.next()
			if err != nil {
				break
			}
			start := len(again)
			again, _ = endFrame(append(beginFrame(again, kind), body...), start)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("%x was read from %x", again, b)
		}
	})
}
