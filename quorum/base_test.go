package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// history is a random log of one actor whose requests, sends and timers mean
// something to each other.
func history(m maker, n int) ([]Entry, []*Record) {
	var entries []Entry
	var records []*Record
	wall := int64(1)
	low, next, sent := map[SessionID]uint64{}, map[SessionID]uint64{}, map[ActorKey]uint64{}
	for i := range n {
		wall += m.Int64N(int64(time.Minute))
		r := m.record()
		r.Wall, r.Request, r.Sends, r.SendsDone, r.Timers = wall, RequestID{}, nil, nil, nil
		switch m.IntN(4) {
		case 0:
			id := SessionID{1, byte(m.IntN(3))}
			next[id] += m.Uint64N(2)
			low[id] = min(next[id], low[id]+m.Uint64N(3))
			r.Request = RequestID{Session: id, Number: next[id], Low: low[id]}
		case 1:
			r.Request.Key = fmt.Sprint("k", i)
		case 2:
			r.Request = RequestID{Source: m.actor(), Number: m.Uint64N(20)}
		}
		for range m.IntN(3) {
			s := m.send()
			sent[s.Target]++
			s.Number = sent[s.Target]
			r.Sends = append(r.Sends, s)
		}
		if k := m.actor(); m.IntN(2) == 0 && sent[k] > 0 {
			r.SendsDone = append(r.SendsDone, SendMark{k, m.Uint64N(sent[k]) + 1})
		}
		for range m.IntN(2) {
			r.Timers = append(r.Timers, TimerChange{Name: string(rune('a' + m.IntN(3))), Cancel: m.IntN(2) == 0, Due: wall, Method: "M"})
		}
		entries = append(entries, Entry{LSN: LSN(2*i + 5), Ballot: Ballot{Epoch(i/5 + 1), 1}})
		records = append(records, r)
	}
	return entries, records
}

const testRetention = 20 * time.Minute

// TestBaseRoundTrip folds histories, and encodes and decodes what comes of it:
// the same base, the same bytes. No truncation decodes.
func TestBaseRoundTrip(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 7))}
	for range 200 {
		b := NewBase()
		entries, records := history(m, m.IntN(30))
		for i := range records {
			b.Apply(&entries[i], records[i], testRetention)
		}
		out := b.AppendTo(nil, false)
		got, err := DecodeBase(out)
		if err != nil {
			t.Fatal(err)
		}
		if again := got.AppendTo(nil, false); !bytes.Equal(again, out) {
			t.Fatalf("%q\nencoded again %q", out, again)
		}
		compareBases(t, got, b)
		for n := range out {
			if _, err := DecodeBase(out[:n:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(out), err)
			}
		}
		if _, err := DecodeBase(append(out, 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("one byte more: %v", err)
		}
		split, err := DecodeBase(b.AppendTo(nil, true))
		if err != nil || len(split.Received)+len(split.Sent) > 0 {
			t.Fatalf("%v, marks %v %v", err, split.Received, split.Sent)
		}
		split.Received, split.Sent = b.Received, b.Sent
		compareBases(t, split, b)
	}
}

// compareBases compares what two bases say; nil and empty are the same.
func compareBases(t *testing.T, got, want *Base) {
	t.Helper()
	if a, b := got.AppendTo(nil, false), want.AppendTo(nil, false); !bytes.Equal(a, b) {
		t.Fatalf("%+v\nis not %+v", got, want)
	}
	if got.LSN != want.LSN || got.Ballot != want.Ballot || got.Wall != want.Wall || got.OwnKeys != want.OwnKeys || !bytes.Equal(got.State, want.State) ||
		!reflect.DeepEqual(got.Received, want.Received) || !reflect.DeepEqual(got.Sent, want.Sent) || len(got.Timers) != len(want.Timers) {
		t.Fatalf("%+v\nis not %+v", got, want)
	}
	for i, s := range want.Sessions {
		g, id := got.Sessions[i], s.ID
		if g.ID != id || g.Low != s.Low || g.Wall != s.Wall || len(g.Answers) != len(s.Answers) {
			t.Fatalf("session %v: %+v is not %+v", id, g, s)
		}
		for i := range s.Answers {
			if !reflect.DeepEqual(g.Answers[i], s.Answers[i]) {
				t.Fatalf("session %v: %+v is not %+v", id, g.Answers[i], s.Answers[i])
			}
		}
	}
}

// TestBaseFoldsInParts: folding a history at once, and with the base stored and
// read again in between, gives the same.
func TestBaseFoldsInParts(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 8))}
	for range 200 {
		entries, records := history(m, 30)
		whole, parts := NewBase(), NewBase()
		for i := range records {
			whole.Apply(&entries[i], records[i], testRetention)
			parts.Apply(&entries[i], records[i], testRetention)
			if m.IntN(5) == 0 {
				var err error
				if parts, err = DecodeBase(parts.AppendTo(nil, false)); err != nil {
					t.Fatal(err)
				}
			}
		}
		compareBases(t, parts, whole)
	}
}

// TestBaseAgainstModel asks the base what the whole history would answer.
func TestBaseAgainstModel(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 9))}
	for range 300 {
		entries, records := history(m, 30)
		b := NewBase()
		for i := range records {
			b.Apply(&entries[i], records[i], time.Hour*24)
		}
		h := &historyModel{entries, records}
		h.compareAnswers(t, b)
		h.compareOutbox(t, b)
		h.compareTimers(t, b)
		h.compareState(t, b)
	}
}

type historyModel struct {
	entries []Entry
	records []*Record
}

func (h *historyModel) compareAnswers(t *testing.T, b *Base) {
	t.Helper()
	for number := range uint64(25) {
		for k := range 3 {
			id := RequestID{Session: SessionID{1, byte(k)}, Number: number}
			var low uint64
			var want *Answer
			for i, r := range h.records {
				if r.Request.Session != id.Session {
					continue
				}
				low = max(low, r.Request.Low)
				if r.Request.Number == number && want == nil {
					a := AnswerOf(&h.entries[i], r)
					want = &a
				}
			}
			a, found, forgotten := b.Answered(id)
			if number < low {
				if found || !forgotten {
					t.Fatalf("%v %d below the low mark %d: found %t, forgotten %t", id.Session, number, low, found, forgotten)
				}
				continue
			}
			if forgotten || found != (want != nil) || found && !reflect.DeepEqual(a, *want) {
				t.Fatalf("%v %d: found %t, forgotten %t: %+v, want %+v", id.Session, number, found, forgotten, a, want)
			}
		}
		for k := range 4 {
			id := RequestID{Source: MakeActorKey("k", string(rune('a'+k))), Number: number}
			var highest uint64
			for _, r := range h.records {
				if r.Request.Source == id.Source {
					highest = max(highest, r.Request.Number)
				}
			}
			if _, found, forgotten := b.Answered(id); found || forgotten != (number <= highest) {
				t.Fatalf("%v: forgotten %t, the highest was %d", id, forgotten, highest)
			}
		}
	}
	if _, found, forgotten := b.Answered(RequestID{Key: "k1"}); found || forgotten {
		t.Fatal("an own key is not kept here")
	}
}

func (h *historyModel) compareOutbox(t *testing.T, b *Base) {
	t.Helper()
	var want []Send
	sent := map[ActorKey]uint64{}
	for i, r := range h.records {
		for _, s := range r.Sends {
			sent[s.Target] = s.Number
			done := false
			for _, later := range h.records[i:] {
				for _, d := range later.SendsDone {
					done = done || d.Peer == s.Target && d.Number >= s.Number
				}
			}
			if !done {
				want = append(want, s)
			}
		}
	}
	if len(b.Outbox) != len(want) || len(want) > 0 && !reflect.DeepEqual(b.Outbox, want) || !reflect.DeepEqual(b.Sent, sent) {
		t.Fatalf("outbox %+v, want %+v; sent %v, want %v", b.Outbox, want, b.Sent, sent)
	}
}

func (h *historyModel) compareTimers(t *testing.T, b *Base) {
	t.Helper()
	for k := range 3 {
		name := string(rune('a' + k))
		var want *TimerChange
		for _, r := range h.records {
			for i := range r.Timers {
				if r.Timers[i].Name == name {
					want = &r.Timers[i]
				}
			}
		}
		got, ok := b.Timers[name]
		if set := want != nil && !want.Cancel; ok != set || ok && got.Due != want.Due {
			t.Fatalf("timer %s: %+v, %t; want %+v", name, got, ok, want)
		}
	}
}

func (h *historyModel) compareState(t *testing.T, b *Base) {
	t.Helper()
	var state []byte
	own := 0
	for _, r := range h.records {
		if r.HasState {
			state = r.State
		}
		if r.Request.Key != "" {
			own++
		}
	}
	last := len(h.records) - 1
	if !bytes.Equal(b.State, state) || b.OwnKeys != own || b.LSN != h.entries[last].LSN || b.Ballot != h.entries[last].Ballot || b.Wall != h.records[last].Wall {
		t.Fatalf("%+v", b)
	}
}

// TestBaseForgetsSilentSessions: a session that said nothing for longer than the
// retention is gone when another begins, and not before its time.
func TestBaseForgetsSilentSessions(t *testing.T) {
	b := NewBase()
	call := func(lsn LSN, session byte, at time.Duration) {
		r := &Record{Wall: int64(at), Request: RequestID{Session: SessionID{session}, Number: uint64(lsn)}}
		b.Apply(&Entry{LSN: lsn}, r, time.Hour)
	}
	call(1, 1, 0)
	call(2, 2, time.Minute)
	call(3, 3, time.Hour)
	if len(b.Sessions) != 3 {
		t.Errorf("%d sessions after an hour", len(b.Sessions))
	}
	call(4, 3, time.Hour+30*time.Second)
	call(5, 4, time.Hour+30*time.Second)
	if _, ok := b.findSession(SessionID{1}); ok || len(b.Sessions) != 3 {
		t.Errorf("%d sessions; the first is there: %t", len(b.Sessions), ok)
	}
}

// TestBaseSessionsInOrder refuses sessions that no search would find, and one that is
// there twice.
func TestBaseSessionsInOrder(t *testing.T) {
	for _, ids := range [][]SessionID{{{2}, {1}}, {{1}, {1}}} {
		b := NewBase()
		for _, id := range ids {
			b.Sessions = append(b.Sessions, &Session{ID: id})
		}
		if _, err := DecodeBase(b.AppendTo(nil, false)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", ids, err)
		}
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 10))}
	for range 500 {
		a := Answer{At: Position{Ballot{Epoch(m.number()), Boot(m.number())}, LSN(m.number())}, Args: m.number(), Wall: int64(m.number()), Reply: m.bytes(), Err: m.appError()}
		out := a.AppendTo(nil)
		got, err := DecodeAnswer(out)
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Fatalf("%+v\ndecoded to %+v, %v", a, got, err)
		}
		for n := range out {
			if _, err := DecodeAnswer(out[:n:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(out), err)
			}
		}
		if _, err := DecodeAnswer(append(out, 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("one byte more: %v", err)
		}
	}
}

// TestCountsAreNotBelieved puts a huge number in the place of every byte: a
// decoder that allocates as many items as it is told would not come back.
func TestCountsAreNotBelieved(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 12))}
	b := NewBase()
	entries, records := history(m, 10)
	for i := range records {
		b.Apply(&entries[i], records[i], testRetention)
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f}
	base, record, answer := b.AppendTo(nil, false), m.record().AppendTo(nil), (&Answer{}).AppendTo(nil)
	errs := 0
	for _, in := range [][]byte{base, record, answer} {
		for i := range in {
			wrong := append(append(append([]byte{}, in[:i]...), huge...), in[i+1:]...)
			_, err1 := DecodeBase(wrong)
			_, err2 := DecodeRecord(wrong)
			_, err3 := DecodeAnswer(wrong)
			for _, err := range []error{err1, err2, err3} {
				if err != nil {
					errs++
				}
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
			}
		}
	}
	if errs == 0 {
		t.Error("all was believed")
	}
}

func FuzzDecodeBase(f *testing.F) {
	m := maker{rand.New(rand.NewPCG(1, 11))}
	for range 20 {
		b := NewBase()
		entries, records := history(m, 10)
		for i := range records {
			b.Apply(&entries[i], records[i], testRetention)
		}
		f.Add(b.AppendTo(nil, m.IntN(2) == 0))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := DecodeBase(in)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeBase(b.AppendTo(nil, false))
		if err != nil {
			t.Fatal(err)
		}
		compareBases(t, again, b)
		for _, s := range b.Sessions {
			b.Answered(RequestID{Session: s.ID, Number: 1})
		}
		b.Apply(&Entry{LSN: b.LSN + 1}, &Record{Request: RequestID{Session: SessionID{1}, Number: 1, Low: 1}}, time.Hour)
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add((&Answer{}).AppendTo(nil))
	f.Add((&Answer{Reply: []byte("r"), Err: &AppError{Code: "c"}}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := DecodeAnswer(in)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := DecodeAnswer(a.AppendTo(nil)); err != nil || !reflect.DeepEqual(again, a) {
			t.Fatalf("%+v\ndecoded again to %+v, %v", a, again, err)
		}
	})
}
