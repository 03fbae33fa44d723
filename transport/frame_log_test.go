package transport

import (
	"bytes"
	"math"
	"testing"

	"actormesh/quorum"
)

// logMessages has one message of each kind.
func logMessages() []quorum.Message {
	ballot := quorum.Ballot{Epoch: 300, Boot: 7}
	at := quorum.Position{Ballot: quorum.Ballot{Epoch: 299, Boot: 70000}, LSN: 1 << 33}
	entries := []quorum.Entry{
		{LSN: 1<<33 + 1, Ballot: ballot, Prev: at.Ballot, Hash: math.MaxUint64},
		{LSN: 1<<33 + 2, Ballot: ballot, Prev: ballot, Hash: 5, Actor: quorum.MakeActorKey("cart", "u42"), Data: []byte("record")},
		{LSN: 1<<33 + 3, Ballot: ballot, Prev: ballot, Actor: quorum.MakeActorKey("cart", "u43"), Data: []byte{}},
	}
	promised := quorum.Promise{Ballot: quorum.Ballot{Epoch: 301, Boot: 1}, Owner: math.MaxUint64}
	return []quorum.Message{
		{Kind: quorum.MsgSeal, Slot: 255, Ballot: ballot},
		{Kind: quorum.MsgPromise, Slot: math.MaxUint16, Ballot: ballot, At: at},
		{Kind: quorum.MsgAppend, Slot: 1, Ballot: ballot, At: at, Commit: 1<<33 - 1, Round: 9, Entries: entries},
		{Kind: quorum.MsgAck, Slot: 1, Ballot: ballot, At: at, Round: 9},
		{Kind: quorum.MsgRefuse, Slot: 1, Ballot: ballot, Promised: promised},
		{Kind: quorum.MsgMismatch, Slot: 1, Ballot: ballot, At: at},
		{Kind: quorum.MsgFetch, Slot: 1, Ballot: ballot, At: at},
		{Kind: quorum.MsgFetched, Slot: 1, Ballot: ballot, At: at, Entries: entries[:1]},
		{Kind: quorum.MsgSnapshot, Slot: 1, Ballot: ballot, At: at},
	}
}

func TestLogFrame(t *testing.T) {
	all := logMessages()
	values := [][]quorum.Message{{}, all}
	for i := range all {
		values = append(values, all[i:i+1])
	}
	testFrame(t, AppendLogFrame, plainLogFrame, values...)
}

func TestLogFrameNewer(t *testing.T) {
	one := []quorum.Message{{Kind: quorum.MsgAck, Slot: 1}}
	b := AppendLogFrame(nil, one)
	b[1]++ // the head of the message's array
	got, err := plainLogFrame(appendStr(b, "a field of tomorrow"))
	if err != nil || len(got) != 1 || got[0].Kind != quorum.MsgAck {
		t.Fatalf("%+v, %v", got, err)
	}
}

// TestLogFrameInPlace checks that data is not copied.
func TestLogFrameInPlace(t *testing.T) {
	b := AppendLogFrame(nil, logMessages())
	msgs, err := plainLogFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	data := msgs[2].Entries[1].Data
	copy(b[bytes.Index(b, data):], "RECORD")
	if string(data) != "RECORD" {
		t.Errorf("the data is a copy: %q", data)
	}
	if cap(data) != len(data) {
		t.Errorf("an append to the data would overwrite what follows it: %d of %d bytes", len(data), cap(data))
	}
}

func TestMessageBytesIsEnough(t *testing.T) {
	for _, m := range logMessages() {
		if n := len(AppendLogFrame(nil, []quorum.Message{m})); messageBytes(&m) < n {
			t.Errorf("%s takes %d bytes, and not %d", m.Kind, n, messageBytes(&m))
		}
	}
}

func TestAppendLogFrameAllocatesNothing(t *testing.T) {
	msgs := logMessages()
	b := AppendLogFrame(nil, msgs)
	if n := testing.AllocsPerRun(100, func() { b = AppendLogFrame(b[:0], msgs) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzLogFrame(f *testing.F) {
	fuzzFrame(f, AppendLogFrame, plainLogFrame, logMessages(), nil)
}

func BenchmarkAppendLogFrame(b *testing.B) {
	msgs := logMessages()
	buf := AppendLogFrame(nil, msgs)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendLogFrame(buf[:0], msgs)
	}
}

func BenchmarkDecodeLogFrame(b *testing.B) {
	buf := AppendLogFrame(nil, logMessages())
	names := &interner{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeLog(buf, names); err != nil {
			b.Fatal(err)
		}
	}
}

func plainLogFrame(b []byte) ([]quorum.Message, error) { return decodeLog(b, nil) }
