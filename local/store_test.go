package local

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"actormesh/chaos/sim/disk"
	"actormesh/local/engine"
	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// small options, so that flushes and compactions happen in a test.
func testOptions(fs vfs.FS, seed uint64) Options {
	o := Options{
		FS: fs, Logger: quiet, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Retention: time.Hour,
		Entropy: seeded{rand.New(rand.NewPCG(seed, 1))},
	}
	if d, ok := fs.(*disk.Disk); ok {
		o.Engine = d.Engine()
	}
	return o
}

type seeded struct{ r *rand.Rand }

func (s seeded) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.r.Uint32())
	}
	return len(b), nil
}

func mustOpen(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("data", testOptions(fs, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.engine != nil {
			mustClose(t, s)
		}
	})
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.engine = nil
}

// pebbleDB is what a test does to Pebble behind the store's back.
func pebbleDB(s *Store) *pebble.DB { return s.engine.(*pebbleEngine).db }

// writePast writes past the store what no commit writes.
func writePast(t testing.TB, s *Store, key, value []byte) {
	t.Helper()
	b := s.engine.NewBatch()
	defer b.Close()
	engine.Set(b, key, value)
	if err := s.engine.Apply(b, true); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// logger builds entries of one slot's log.
type slotLog struct {
	slot   quorum.SlotID
	ballot quorum.Ballot
	last   quorum.Entry
	wall   int64
}

func newLog(slot quorum.SlotID) *slotLog {
	return &slotLog{slot: slot, ballot: quorum.Ballot{Epoch: 1, Boot: 1}, wall: 1}
}

func (l *slotLog) barrier() quorum.Entry { return l.next("", nil) }

func (l *slotLog) record(actor quorum.ActorKey, r quorum.Record) quorum.Entry {
	if r.Wall == 0 {
		r.Wall = l.wall
	}
	l.wall = max(l.wall, r.Wall)
	return l.next(actor, r.AppendTo(nil))
}

func (l *slotLog) next(actor quorum.ActorKey, data []byte) quorum.Entry {
	e := quorum.Entry{LSN: l.last.LSN + 1, Ballot: l.ballot, Prev: l.last.Ballot, Actor: actor, Data: data}
	e.Hash = e.ChainHash(l.last.Hash)
	l.last = e
	return e
}

func tails(entries []quorum.Entry) []quorum.TailEntry {
	var list []quorum.TailEntry
	for i := range entries {
		list = append(list, TailOf(&entries[i]))
	}
	return list
}

func commit(t testing.TB, s *Store, sync bool, fill func(b *Batch)) {
	t.Helper()
	b := s.NewBatch()
	fill(b)
	if err := s.Commit(b, sync); err != nil {
		t.Fatal(err)
	}
}

func recovered(t testing.TB, s *Store) map[quorum.SlotID]StoredSlot {
	t.Helper()
	states := map[quorum.SlotID]StoredSlot{}
	if err := s.Recover(func(st StoredSlot) error { states[st.Slot] = st; return nil }); err != nil {
		t.Fatal(err)
	}
	return states
}

func TestIdentity(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	first := s.Identity()
	if first.Disk == 0 || first.Boot != 1 || first.Nonce == 0 || !s.Empty() {
		t.Fatalf("new disk is %+v, empty %t", first, s.Empty())
	}
	key := s.ResetKey()
	for _, err := range []error{
		s.SetName("n1"), s.SetCluster([16]byte{7}), s.SaveRegister([]byte("view")),
		s.SavePeers([]string{"a:1", "b:2"}), s.SetLeft(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)

	s = must(Open("data", testOptions(fs, 2)))(t)
	defer mustClose(t, s)
	got := s.Identity()
	want := Identity{Disk: first.Disk, Boot: 2, Nonce: got.Nonce, Name: "n1", Cluster: [16]byte{7}, Left: true}
	if got != want || got.Nonce == first.Nonce {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if s.Empty() || string(s.Register()) != "view" || fmt.Sprint(s.Peers()) != "[a:1 b:2]" || s.ResetKey() != key {
		t.Fatalf("register %q, peers %v", s.Register(), s.Peers())
	}
	if err := s.SetName("n2"); !errors.Is(err, ErrOtherName) {
		t.Errorf("another name: %v", err)
	}
	if err := s.SetCluster([16]byte{8}); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster: %v", err)
	}
	if err := errors.Join(s.SetName("n1"), s.SetCluster([16]byte{7})); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	if _, err := Open("data", testOptions(fs, 1)); !errors.Is(err, ErrLocked) {
		t.Errorf("a second open: %v", err)
	}
	if err := s.SetName("n1"); err != nil {
		t.Fatal(err)
	}
	writePast(t, s, []byte{keyFormat}, []byte("actormesh store 2"))
	mustClose(t, s)
	if _, err := Open("data", testOptions(fs, 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("a newer format: %v", err)
	}

	fs = newFS()
	s = mustOpen(t, fs)
	if err := s.SetName("n1"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	o := testOptions(fs, 1)
	o.Name = "n2"
	if _, err := Open("data", o); !errors.Is(err, ErrOtherName) {
		t.Errorf("another name: %v", err)
	}
}

func TestLogSurvivesReopen(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	a, b := quorum.MakeActorKey("cart", "a"), quorum.MakeActorKey("cart", "b")
	l := newLog(3)
	entries := []quorum.Entry{
		l.barrier(),
		l.record(a, quorum.Record{HasState: true, State: []byte("1")}),
		l.record(b, quorum.Record{Sends: []quorum.Send{{Target: a, Number: 1}}}),
		l.record(a, quorum.Record{Timers: []quorum.TimerChange{{Name: "t", Due: 9}}}),
	}
	promise := quorum.Promise{Ballot: l.ballot, Owner: 42}
	commit(t, s, true, func(b *Batch) {
		b.Promise(3, promise)
		b.Promise(9, promise)
		b.Append(3, entries)
	})
	mustClose(t, s)

	s = mustOpen(t, fs)
	states := recovered(t, s)
	st := states[3]
	if len(states) != 2 || st.State.Promise != promise || states[9].State.Promise != promise {
		t.Fatalf("states %+v", states)
	}
	if want := tails(entries); fmt.Sprint(st.State.Tail) != fmt.Sprint(want) {
		t.Fatalf("tail\n%v, want\n%v", st.State.Tail, want)
	}
	if st.Last() != l.last.Position() {
		t.Errorf("last %v", st.Last())
	}
	if want := map[quorum.ActorKey]quorum.LSN{b: 3}; !maps.Equal(st.State.Senders, want) || st.State.Wall != 1 {
		t.Errorf("senders %v, wall %d", st.State.Senders, st.State.Wall)
	}
	got := must(s.ReadEntries(3, st.State.Tail, 1<<20))(t)
	if fmt.Sprint(got) != fmt.Sprint(entries) {
		t.Errorf("entries\n%v, want\n%v", got, entries)
	}
	if got := must(s.ReadEntries(3, st.State.Tail, entries[0].Size()+entries[1].Size()))(t); len(got) != 2 {
		t.Errorf("%d entries in the bytes of 2", len(got))
	}
	if got := must(s.ReadEntries(3, st.State.Tail, 1))(t); len(got) != 1 {
		t.Errorf("%d entries in one byte", len(got))
	}
	if n := 0; s.Recover(func(StoredSlot) error { n++; return nil }) != nil || n != 0 {
		t.Errorf("recovered %d slots twice", n)
	}
}

func TestTruncateAndDiscard(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	actor := quorum.MakeActorKey("k", "a")
	l := newLog(1)
	head := []quorum.Entry{l.barrier(), l.record(actor, quorum.Record{Turn: 1})}
	kept := *l
	old := []quorum.Entry{l.record(actor, quorum.Record{Turn: 2}), l.record(actor, quorum.Record{Turn: 3})}
	commit(t, s, true, func(b *Batch) {
		b.Append(1, head)
		b.Append(1, old)
		b.Append(2, head)
		b.Promise(2, quorum.Promise{Ballot: l.ballot, Owner: 5})
	})
	kept.ballot.Epoch++
	fresh := []quorum.Entry{kept.barrier()}
	commit(t, s, true, func(b *Batch) {
		b.Truncate(1, tails(old))
		b.Append(1, fresh)
		b.Discard(2)
	})
	if _, err := s.ReadEntries(1, tails(old), 1<<20); !errors.Is(err, ErrGone) {
		t.Errorf("cut entries: %v", err)
	}
	mustClose(t, s)

	s = mustOpen(t, fs)
	states := recovered(t, s)
	if want := tails(append(head, fresh...)); fmt.Sprint(states[1].State.Tail) != fmt.Sprint(want) {
		t.Errorf("tail\n%v, want\n%v", states[1].State.Tail, want)
	}
	if st := states[2]; len(st.State.Tail) != 0 || st.State.Promise.Owner != 5 {
		t.Errorf("discarded slot is %+v", st)
	}
}

func TestAppendRefusesLongActor(t *testing.T) {
	s := mustOpen(t, newFS())
	b := s.NewBatch()
	b.Append(1, []quorum.Entry{{LSN: 1, Actor: quorum.ActorKey(make([]byte, maxActorBytes+1))}})
	if err := s.Commit(b, true); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if !b.Empty() || s.Err() != nil {
		t.Errorf("after it: empty %t, %v", b.Empty(), s.Err())
	}
}

func TestMetrics(t *testing.T) {
	s := mustOpen(t, newFS())
	before := s.Metrics().SyncedCommits
	if err := s.SetName("n"); err != nil {
		t.Fatal(err)
	}
	if m := s.Metrics(); m.SyncedCommits != before+1 || m.MemTableBytes == 0 {
		t.Errorf("metrics %+v", m)
	}
	select {
	case <-s.Failed():
		t.Error("a sound store has failed")
	default:
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}
