package local

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"actormesh/quorum"
)

var (
	actorA = quorum.MakeActorKey("k", "a")
	actorB = quorum.MakeActorKey("k", "b")
)

func fold(t testing.TB, s *Store, slot quorum.SlotID, actor quorum.ActorKey, e quorum.Entry) int {
	t.Helper()
	return must(s.Fold(slot, actor, e.LSN, e.Position(), e.Hash))(t)
}

func appendEntries(t testing.TB, s *Store, slot quorum.SlotID, entries ...quorum.Entry) {
	t.Helper()
	commit(t, s, true, func(b *Batch) { b.Append(slot, entries) })
}

// render shows all of an actor that counts, canonically.
func (img ActorImage) render() string {
	return fmt.Sprintf("%x %v", img.Base.AppendTo(nil, false), img.Entries)
}

// TestFoldEqualsApply folds in steps and compares with applying the records at once.
func TestFoldEqualsApply(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(7)
	session := quorum.SessionID{1}
	records := []quorum.Record{
		{HasState: true, State: []byte("s1"), Request: quorum.RequestID{Session: session, Number: 1}, Reply: []byte("r1")},
		{Sends: []quorum.Send{{Target: actorB, Number: 1, Method: "M", Args: []byte("x")}, {Target: actorB, Number: 2}}},
		{Timers: []quorum.TimerChange{{Name: "t", Due: 50}, {Name: "u", Due: 40}}, Request: quorum.RequestID{Source: actorB, Number: 4}},
		{SendsDone: []quorum.SendMark{{Peer: actorB, Number: 1}}, Request: quorum.RequestID{Key: "kown", Number: 0}},
		{Timers: []quorum.TimerChange{{Name: "u", Cancel: true}}, Request: quorum.RequestID{Session: session, Number: 3, Low: 2}},
		{Request: quorum.RequestID{Source: actorB, Number: 5}, HasState: true, State: []byte("s2")},
	}
	want := quorum.NewBase()
	var entries []quorum.Entry
	for i := range records {
		records[i].Wall = 1
		e := l.record(actorA, records[i])
		want.Apply(&e, &records[i], s.retention)
		entries = append(entries, e)
	}
	appendEntries(t, s, 7, entries...)
	wantText := ActorImage{Base: want}.render()
	for _, step := range []int{1, 1, 2, 3, 5} {
		freed := fold(t, s, 7, actorA, entries[step])
		img := must(s.LoadActor(7, actorA))(t)
		for i := range img.Entries {
			r := must(quorum.DecodeRecord(img.Entries[i].Data))(t)
			img.Base.Apply(&img.Entries[i], r, s.retention)
		}
		if img.Entries = nil; img.render() != wantText {
			t.Fatalf("folded to %d and applied the rest:\n%s, want\n%s", step+1, img.render(), wantText)
		}
		t.Logf("folded to %d, freed %d bytes", step+1, freed)
	}
	if a, found, err := s.Answer(7, actorA, "kown"); err != nil || !found || a.At != entries[3].Position() {
		t.Errorf("answer %+v, found %t, %v", a, found, err)
	}
	if _, found, err := s.Answer(7, actorA, "kow"); err != nil || found {
		t.Errorf("a key that was not answered: found %t, %v", found, err)
	}
}

func TestFoldFreesWhatItCovers(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	l := newLog(1)
	entries := []quorum.Entry{
		l.barrier(), l.record(actorA, quorum.Record{}), l.record(actorB, quorum.Record{}),
		l.record(actorA, quorum.Record{}), l.record(actorB, quorum.Record{}),
	}
	appendEntries(t, s, 1, entries...)
	if got, want := fold(t, s, 1, actorA, entries[3]), entries[1].Size()+entries[3].Size(); got != want {
		t.Errorf("freed %d bytes, want %d", got, want)
	}
	if got := fold(t, s, 1, actorA, entries[3]); got != 0 {
		t.Errorf("the same fold again freed %d bytes", got)
	}
	if got, want := fold(t, s, 1, "", entries[0]), entries[0].Size(); got != want {
		t.Errorf("freed %d bytes of barriers, want %d", got, want)
	}
	if _, err := s.Fold(1, actorB, 5, entries[3].Position(), entries[3].Hash); err == nil {
		t.Error("a fold beyond the slot's base was taken")
	}
	mustClose(t, s)

	s = mustOpen(t, fs)
	st := recovered(t, s)[1]
	if st.State.Base != entries[3].Position() || st.State.BaseHash != entries[3].Hash {
		t.Errorf("base %v", st.State.Base)
	}
	if got, want := append(st.Unfolded, st.State.Tail...), tails([]quorum.Entry{entries[2], entries[4]}); fmt.Sprint(got) != fmt.Sprint(want) || len(st.Unfolded) != 1 {
		t.Errorf("entries\n%v, want\n%v", got, want)
	}
	if st.Last() != entries[4].Position() {
		t.Errorf("last %v", st.Last())
	}
}

func TestFoldKeys(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	write := func(actor quorum.ActorKey, writes ...quorum.KeyWrite) {
		e := l.record(actor, quorum.Record{Writes: writes})
		appendEntries(t, s, 1, e)
		fold(t, s, 1, actor, e)
	}
	for i := range 10 {
		write(actorA, quorum.KeyWrite{Key: []byte{'x', byte(i)}, Value: []byte{byte(i)}})
		write(actorB, quorum.KeyWrite{Key: []byte{'x', byte(i)}, Value: []byte("other")})
	}
	write(actorA, quorum.KeyWrite{Key: []byte{'x', 3}, Delete: true}, quorum.KeyWrite{Key: []byte{0xff}, Value: []byte("end")})
	if v, found, err := s.GetKey(1, actorA, []byte{'x', 4}); err != nil || !found || !bytes.Equal(v, []byte{4}) {
		t.Errorf("key 4 is %v, found %t, %v", v, found, err)
	}
	if _, found, err := s.GetKey(1, actorA, []byte{'x', 3}); err != nil || found {
		t.Errorf("deleted key: found %t, %v", found, err)
	}
	for _, c := range []struct {
		from, to string
		limit    int
		stop     int
		want     string
	}{
		{"", "", 99, 99, "[120 1 2 4 5 6 7 8 9 end]"},
		{"x\x02", "x\x06", 99, 99, "[2 4 5]"},
		{"", "", 2, 99, "[120 1]"},
		{"x\x08", "", 99, 2, "[8 9]"},
		{"y", "z", 99, 99, "[]"},
	} {
		got := []string{}
		err := s.ScanKeys(1, actorA, []byte(c.from), []byte(c.to), c.limit, func(k, v []byte) bool {
			if len(got) == 0 && k[0] == 'x' && k[1] == 0 {
				got = append(got, fmt.Sprint(k[0]))
			} else if k[0] == 'x' {
				got = append(got, fmt.Sprint(v[0]))
			} else {
				got = append(got, string(v))
			}
			return len(got) < c.stop
		})
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("scan [%q, %q) limit %d: %v, want %s, %v", c.from, c.to, c.limit, got, c.want, err)
		}
	}
}

func TestPending(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	step := func(actor quorum.ActorKey, r quorum.Record, want string) {
		t.Helper()
		e := l.record(actor, r)
		appendEntries(t, s, 1, e)
		fold(t, s, 1, actor, e)
		if got := must(s.Pending(1))(t); fmt.Sprint(got) != want {
			t.Errorf("pending %v, want %s", got, want)
		}
	}
	a, b := actorA.String(), actorB.String() // as they are printed
	step(actorA, quorum.Record{}, "[]")
	step(actorA, quorum.Record{Sends: []quorum.Send{{Target: actorB, Number: 1}}}, "[{"+a+" true 0}]")
	step(actorB, quorum.Record{Timers: []quorum.TimerChange{{Name: "t", Due: 9}, {Name: "u", Due: 8}}}, "[{"+a+" true 0} {"+b+" false 8}]")
	step(actorA, quorum.Record{SendsDone: []quorum.SendMark{{Peer: actorB, Number: 1}}}, "[{"+b+" false 8}]")
	step(actorB, quorum.Record{Timers: []quorum.TimerChange{{Name: "u", Cancel: true}}}, "[{"+b+" false 9}]")
	step(actorB, quorum.Record{Timers: []quorum.TimerChange{{Name: "t", Cancel: true}}}, "[]")
}

func TestOwnKeysExpire(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	hour := int64(time.Hour)
	call := func(key string, wall int64) quorum.Entry {
		e := l.record(actorA, quorum.Record{Wall: wall, Request: quorum.RequestID{Key: key}})
		appendEntries(t, s, 1, e)
		fold(t, s, 1, actorA, e)
		return e
	}
	check := func(key string, want bool) {
		t.Helper()
		if _, found, err := s.Answer(1, actorA, key); err != nil || found != want {
			t.Errorf("answer to %s: found %t, want %t, %v", key, found, want, err)
		}
	}
	call("k1", hour)
	call("k2", 2*hour)
	check("k1", true) // exactly the retention old: not evicted earlier
	again := call("k1", 2*hour+1)
	check("k1", true) // answered again in the fold that forgets the first answer
	if a, _, _ := s.Answer(1, actorA, "k1"); a.At != again.Position() {
		t.Errorf("answer %+v", a)
	}
	call("k3", 3*hour+2)
	check("k1", false)
	check("k2", false)
	check("k3", true)
	if n := must(s.LoadActor(1, actorA))(t).Base.OwnKeys; n != 1 {
		t.Errorf("%d own keys are counted, want 1", n)
	}
}

// TestOwnKeysExpireInTurns lets more keys expire at once than one fold forgets.
func TestOwnKeysExpireInTurns(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	hour := int64(time.Hour)
	var entries []quorum.Entry
	for i := range 3 * expirePerFold {
		entries = append(entries, l.record(actorA, quorum.Record{Wall: hour + int64(i/100), Request: quorum.RequestID{Key: fmt.Sprint("k", i)}}))
	}
	appendEntries(t, s, 1, entries...)
	fold(t, s, 1, actorA, l.last)
	for left := 3 * expirePerFold; left > 0; {
		left = max(left-expirePerFold, 0)
		e := l.record(actorA, quorum.Record{Wall: 3 * hour})
		appendEntries(t, s, 1, e)
		fold(t, s, 1, actorA, e)
		if n := must(s.LoadActor(1, actorA))(t).Base.OwnKeys; n != left {
			t.Fatalf("%d own keys are counted, want %d", n, left)
		}
	}
	for i := range entries {
		if _, found, err := s.Answer(1, actorA, fmt.Sprint("k", i)); found || err != nil {
			t.Fatalf("k%d: found %t, %v", i, found, err)
		}
	}
}

// TestFoldSuperseded holds a fold between what it read and what it writes, and
// replaces the slot in between.
func TestFoldSuperseded(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	e := l.record(actorA, quorum.Record{HasState: true, State: []byte("old")})
	appendEntries(t, s, 1, e)
	g := s.gate(1)
	hold := s.engine.NewBatch()
	f := folder{s: s, slot: 1, actor: actorA, eb: hold}
	if err := f.run(e.LSN, slotBase{e.Position(), e.Hash}); err != nil {
		t.Fatal(err)
	}
	gen := g.gen
	commit(t, s, true, func(b *Batch) { b.Discard(1) })
	if g.gen == gen {
		t.Fatal("a discard did not move the generation")
	}
	if err := f.write(g, gen); !errors.Is(err, ErrSuperseded) {
		t.Errorf("fold of a discarded slot: %v", err)
	}
	hold.Close()
	if img := must(s.LoadActor(1, actorA))(t); img.Base.LSN != 0 {
		t.Errorf("the fold came back as %+v", img.Base)
	}
}

// TestStoreStaysBounded overwrites the same state for ever, and looks at what the
// store holds (H28).
func TestStoreStaysBounded(t *testing.T) {
	s := mustOpen(t, newFS())
	const rounds, perRound, actors = 36, 64, 4
	l := newLog(1)
	live := 0
	var most, mostDisk uint64
	for round := range rounds {
		var entries []quorum.Entry
		last := map[quorum.ActorKey]quorum.Entry{}
		for i := range perRound {
			actor := quorum.MakeActorKey("k", fmt.Sprint(i%actors))
			state := bytes.Repeat([]byte{byte(round), byte(i)}, 500)
			e := l.record(actor, quorum.Record{
				Wall: int64(round+1) * int64(10*time.Minute), HasState: true, State: state,
				Writes:  []quorum.KeyWrite{{Key: []byte("x"), Value: state}},
				Request: quorum.RequestID{Key: fmt.Sprintf("k%d", l.last.LSN)},
			})
			entries = append(entries, e)
			last[actor] = e
		}
		appendEntries(t, s, 1, entries...)
		end := entries[len(entries)-1]
		for actor := range last {
			must(s.Fold(1, actor, end.LSN, end.Position(), end.Hash))(t)
		}
		if n := logicalBytes(t, s, 1); round >= rounds/2 {
			most = max(most, n)
			mostDisk = max(mostDisk, s.Metrics().DiskBytes)
		} else {
			live = max(live, int(n))
		}
	}
	written := uint64(l.last.LSN) * 2000
	if most > uint64(live)*11/10 {
		t.Errorf("holds %d bytes, after %d in the first half", most, live)
	}
	if limit := uint64(16*live) + 4<<20; mostDisk > limit {
		t.Errorf("%d bytes on disk, more than %d", mostDisk, limit)
	}
	t.Logf("%d bytes written, %d live, %d held, %d on disk", written, live, most, mostDisk)
}

func logicalBytes(t testing.TB, s *Store, slot quorum.SlotID) (n uint64) {
	t.Helper()
	it := must(s.slotIter(slot))(t)
	for valid := it.First(); valid; valid = it.Next() {
		n += uint64(len(it.Key()) + len(must(it.ValueAndErr())(t)))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// A fold that was ordered for a log which is gone must not move the base of the
// one that is there: recovery would take entries for folded that never came.
func TestFoldOfAGoneLog(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	l := newLog(1)
	entries := []quorum.Entry{l.barrier(), l.record(actorA, quorum.Record{Wall: 1})}
	appendEntries(t, s, 1, entries...)
	commit(t, s, true, func(b *Batch) { b.Discard(1) })
	if freed := fold(t, s, 1, actorA, entries[1]); freed != 0 {
		t.Errorf("%d bytes freed", freed)
	}
	mustClose(t, s)
	s = mustOpen(t, fs)
	if st := recovered(t, s)[1]; st.Last() != (quorum.Position{}) {
		t.Errorf("the log ends at %s", st.Last())
	}
}
