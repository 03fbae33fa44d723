package disk_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	"actormesh/chaos/sim/disk"
	"actormesh/local"
	"actormesh/quorum"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

// entropy is what a store draws from in a simulation.
type entropy struct{ r *rand.Rand }

func (e entropy) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e.r.Uint32())
	}
	return len(b), nil
}

func open(d *disk.Disk, seed uint64) (*local.Store, error) {
	return local.Open("data", local.Options{
		FS: d, Engine: d.Engine(), Entropy: entropy{newRand(seed)},
		Retention: math.MaxInt64, Logger: slog.New(slog.DiscardHandler),
	})
}

func mustOpen(t testing.TB, d *disk.Disk) *local.Store {
	t.Helper()
	s, err := open(d, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *local.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// slotLog builds the entries of slot 1.
type slotLog struct{ last quorum.Entry }

var actor = quorum.MakeActorKey("k", "a")

func (l *slotLog) next(state string) quorum.Entry {
	r := quorum.Record{Wall: 1, HasState: true, State: []byte(state)}
	e := quorum.Entry{
		LSN: l.last.LSN + 1, Ballot: quorum.Ballot{Epoch: 1, Boot: 1}, Prev: l.last.Ballot,
		Actor: actor, Data: r.AppendTo(nil),
	}
	e.Hash = e.ChainHash(l.last.Hash)
	l.last = e
	return e
}

func (l *slotLog) append(s *local.Store, n int, sync bool) error {
	b := s.NewBatch()
	for range n {
		b.Append(1, []quorum.Entry{l.next("state")})
	}
	return s.Commit(b, sync)
}

func last(t testing.TB, s *local.Store) (lsn quorum.LSN) {
	t.Helper()
	err := s.Recover(func(st local.StoredSlot) error {
		lsn = st.Last().LSN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	var counts disk.Counts
	r := newRand(1)
	seen := map[quorum.LSN]bool{}
	for range 200 {
		d, l := disk.New(&counts), slotLog{}
		s := mustOpen(t, d)
		for _, sync := range []bool{true, false, true, false, false} {
			if err := l.append(s, 2, sync); err != nil {
				t.Fatal(err)
			}
		}
		after := d.Crash(r)
		mustClose(t, s)
		s = mustOpen(t, after)
		seen[last(t, s)] = true
		mustClose(t, s)
	}
	if len(seen) != 3 || !seen[6] || !seen[8] || !seen[10] {
		t.Errorf("crashes left the log at %v", seen)
	}
	if counts.Crashes != 200 || counts.LostBatches == 0 || counts.LostSyncs+counts.TornSyncs != 0 {
		t.Errorf("%+v", counts)
	}
}

// TestCloneIsApart rolls a disk back.
func TestCloneIsApart(t *testing.T) {
	d, l := disk.New(&disk.Counts{}), slotLog{}
	s := mustOpen(t, d)
	if err := errors.Join(l.append(s, 1, true), l.append(s, 1, false)); err != nil {
		t.Fatal(err)
	}
	boot := s.Identity().Boot
	early := d.Clone()
	if err := l.append(s, 1, true); err != nil {
		t.Fatal(err)
	}
	late := d.Clone()
	mustClose(t, s)
	for _, c := range []struct {
		d    *disk.Disk
		want quorum.LSN
	}{{early, 2}, {late, 3}, {d, 3}} {
		s := mustOpen(t, c.d)
		if got := last(t, s); got != c.want || s.Identity().Boot != boot+1 {
			t.Errorf("entry %d is the last, want %d; boot %d", got, c.want, s.Identity().Boot)
		}
		mustClose(t, s)
	}
}

func TestFailedSync(t *testing.T) {
	for _, over := range []func(*disk.Counts) *disk.Disk{disk.New, disk.NewPebble} {
		var counts disk.Counts
		seen := map[quorum.LSN]bool{}
		for seed := range uint64(30) {
			d, l := over(&counts), slotLog{}
			s := mustOpen(t, d)
			d.FailSync(2)
			if err := l.append(s, 1, true); err != nil {
				t.Fatal(err)
			}
			err := l.append(s, 1, true)
			if !errors.Is(err, local.ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Fatalf("commit: %v", err)
			}
			<-s.Failed()
			if err := s.Err(); !errors.Is(err, syscall.EIO) {
				t.Fatalf("fatal: %v", err)
			}
			after := d.Crash(newRand(seed))
			_ = s.Close() // may say it again
			s = mustOpen(t, after)
			seen[last(t, s)] = true
			mustClose(t, s)
		}
		if len(seen) != 2 || !seen[1] || !seen[2] || counts.FailedSyncs != 30 {
			t.Errorf("the log ends at %v, %+v", seen, counts)
		}
	}
}

func TestFullDisk(t *testing.T) {
	var counts disk.Counts
	d, l := disk.New(&counts), slotLog{}
	s := mustOpen(t, d)
	free, err := s.FreeBytes()
	if err != nil || free < 1<<39 {
		t.Fatalf("%d bytes free, %v", free, err)
	}
	d.SetCapacity(10_000)
	commits := 0
	for ; err == nil; commits++ {
		if free, err = s.FreeBytes(); err != nil {
			t.Fatal(err)
		}
		err = l.append(s, 1, true)
	}
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, local.ErrFailed) || commits < 10 || free > 300 || counts.FullWrites != 1 {
		t.Errorf("with %d bytes free after %d commits: %v, %+v", free, commits, err, counts)
	}
	mustClose(t, s)
	if _, err := open(d, 1); err == nil {
		t.Error("a full disk takes a boot")
	}
	d.SetCapacity(0)
	s = mustOpen(t, d)
	if got := last(t, s); got != quorum.LSN(commits-1) {
		t.Errorf("%d entries of %d", got, commits-1)
	}
	mustClose(t, s)
}

// TestLyingDisk loses what was said to be synced. Either the witness knows better,
// or it was lost with the rest.
func TestLyingDisk(t *testing.T) {
	var counts disk.Counts
	damaged, short := 0, 0
	for seed := range uint64(60) {
		d, l := disk.New(&counts), slotLog{}
		s := mustOpen(t, d)
		if err := l.append(s, 1, true); err != nil {
			t.Fatal(err)
		}
		d.LieAboutSyncs(true)
		if err := errors.Join(l.append(s, 1, true), l.append(s, 1, true)); err != nil {
			t.Fatal(err)
		}
		after := d.Crash(newRand(seed))
		mustClose(t, s)
		s, err := open(after, 1)
		if errors.Is(err, local.ErrDamaged) {
			damaged++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if last(t, s) < 3 {
			short++
		}
		mustClose(t, s)
	}
	if damaged == 0 || short == 0 || counts.LostSyncs == 0 {
		t.Errorf("%d damaged, %d short, %+v", damaged, short, counts)
	}

	d, l := disk.New(&counts), slotLog{}
	s := mustOpen(t, d)
	d.LieAboutSyncs(true)
	err := l.append(s, 1, true)
	d.LieAboutSyncs(false)
	if err := errors.Join(err, l.append(s, 1, true)); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(9) {
		after := mustOpen(t, d.Crash(newRand(seed)))
		if got := last(t, after); got != 2 {
			t.Errorf("after an honest sync the log ends at %d", got)
		}
		mustClose(t, after)
	}
	mustClose(t, s)
}

// TestTornEnd damages the last synced batch, which the witness knows of.
func TestTornEnd(t *testing.T) {
	var counts disk.Counts
	for seed := range uint64(20) {
		d, l := disk.New(&counts), slotLog{}
		s := mustOpen(t, d)
		if err := errors.Join(l.append(s, 1, true), l.append(s, 1, false)); err != nil {
			t.Fatal(err)
		}
		d.TearAtCrash()
		after := d.Crash(newRand(seed))
		mustClose(t, s)
		if _, err := open(after, 1); !errors.Is(err, local.ErrDamaged) {
			t.Fatalf("open: %v", err)
		}
	}
	if counts.TornSyncs != 20 || counts.LostSyncs != 0 || counts.LostBatches != 20 {
		t.Errorf("%+v", counts)
	}
}

// TestRot damages pairs of a store, at rest and while it runs: a start finds all of
// it, a read what it comes to.
func TestRot(t *testing.T) {
	var counts disk.Counts
	d, l := disk.New(&counts), slotLog{}
	s := mustOpen(t, d)
	if d := disk.New(&counts); d.FlipBit(newRand(1)) || d.MisdirectWrite(newRand(1)) {
		t.Error("an empty disk rots")
	}
	if err := l.append(s, 20, true); err != nil {
		t.Fatal(err)
	}
	base := l.last
	if err := l.append(s, 20, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fold(1, actor, base.LSN, base.Position(), base.Hash); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(200) {
		r := newRand(seed)
		rot := (*disk.Disk).FlipBit
		if seed%2 == 0 {
			rot = (*disk.Disk).MisdirectWrite
		}
		bad := d.Clone()
		if !rot(bad, r) {
			t.Fatal("nothing to damage")
		}
		if _, err := open(bad, 1); !errors.Is(err, local.ErrDamaged) {
			t.Fatalf("seed %d: open: %v", seed, err)
		}
	}
	want, err := s.LoadActor(1, actor)
	if err != nil {
		t.Fatal(err)
	}
	r := newRand(3)
	for n := 0; ; n++ {
		got, err := s.LoadActor(1, actor)
		if errors.Is(err, local.ErrDamaged) {
			break
		}
		if err != nil || n == 1000 || fmt.Sprint(got.Entries) != fmt.Sprint(want.Entries) {
			t.Fatalf("after %d flips: %v, %d entries", n, err, len(got.Entries))
		}
		d.FlipBit(r)
	}
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, local.ErrDamaged) {
		t.Errorf("fatal: %v", err)
	}
	if counts.BitFlips < 100 || counts.Misdirections != 100 || counts.DamageFound < 201 {
		t.Errorf("%+v", counts)
	}
	mustClose(t, s)
}

// TestReplays does the same twice.
func TestReplays(t *testing.T) {
	run := func() string {
		var counts disk.Counts
		r := newRand(8)
		d := disk.New(&counts)
		out := ""
		for range 40 {
			s, err := open(d, r.Uint64())
			if err != nil {
				out += fmt.Sprintln(err)
				d = disk.New(&counts)
				continue
			}
			l := slotLog{}
			b := s.NewBatch()
			b.Discard(1)
			err = s.Commit(b, true)
			d.FailSync(r.IntN(9))
			d.LieAboutSyncs(r.IntN(3) == 0)
			for range 8 {
				err = errors.Join(err, l.append(s, 1+r.IntN(5), r.IntN(2) == 0))
			}
			if r.IntN(4) == 0 {
				d.FlipBit(r)
			}
			out += fmt.Sprintf("%+v %v %+v\n", s.Identity(), err, counts)
			next := d.Crash(r)
			_ = s.Close() // may be what fails
			d = next
		}
		return out
	}
	if a, b := run(), run(); a != b {
		t.Errorf("first\n%s, then\n%s", a, b)
	}
}

// BenchmarkOpen opens, crashes and closes a store of 100 entries.
func BenchmarkOpen(b *testing.B) {
	d, l := disk.New(&disk.Counts{}), slotLog{}
	s := mustOpen(b, d)
	if err := l.append(s, 100, true); err != nil {
		b.Fatal(err)
	}
	r := newRand(1)
	for b.Loop() {
		d = d.Crash(r)
		mustClose(b, s)
		s = mustOpen(b, d)
	}
}

// BenchmarkCommit appends three entries to a store of 1,000 to 10,000.
func BenchmarkCommit(b *testing.B) {
	var s *local.Store
	var l slotLog
	batch := []quorum.Entry{{}, {}, {}}
	for b.Loop() {
		b.StopTimer()
		if s == nil || l.last.LSN > 10_000 {
			s, l = mustOpen(b, disk.New(&disk.Counts{})), slotLog{}
			if err := l.append(s, 1000, true); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func(s *local.Store) func() { return func() { mustClose(b, s) } }(s))
		}
		for i := range batch {
			batch[i] = l.next("a state of some bytes")
		}
		b.StartTimer()
		eb := s.NewBatch()
		eb.Append(1, batch)
		if err := s.Commit(eb, true); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot reads a snapshot of 1,000 entries.
func BenchmarkSnapshot(b *testing.B) {
	s, l := mustOpen(b, disk.New(&disk.Counts{})), slotLog{}
	if err := l.append(s, 1000, true); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := s.OpenSnapshot(1)
		for err == nil {
			_, err = r.Next(1 << 16)
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, s)
}
