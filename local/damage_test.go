package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var errDisk = errors.New("the disk is on fire")

// failOn fails the operations of a kind on files whose names contain part.
func failOn(on *errorfs.Toggle, part string, kinds ...errorfs.OpKind) errorfs.Injector {
	on.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		for _, k := range kinds {
			if op.Kind == k && strings.Contains(op.Path, part) {
				return errDisk
			}
		}
		return nil
	})
	return on
}

func TestFailedSyncIsFinal(t *testing.T) {
	for _, c := range []struct {
		part  string
		kinds []errorfs.OpKind
	}{
		{".log", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}},
		{".log", []errorfs.OpKind{errorfs.OpFileWrite}},
		{witnessName, []errorfs.OpKind{errorfs.OpFileWriteAt}},
	} {
		t.Run(fmt.Sprint(c.part, c.kinds), func(t *testing.T) {
			var on errorfs.Toggle
			fs := vfs.NewMem()
			s, err := Open("data", testOptions(errorfs.Wrap(fs, failOn(&on, c.part, c.kinds...)), 1))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetName("n1"); err != nil {
				t.Fatal(err)
			}
			on.On()
			b := s.NewBatch()
			b.SetRegister([]byte("lost"))
			if err := s.Commit(b, true); !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
				t.Errorf("commit: %v", err)
			}
			if s.Register() != nil {
				t.Error("the register is what was not written")
			}
			<-s.Failed()
			if err := s.Err(); !errors.Is(err, errDisk) {
				t.Errorf("fatal: %v", err)
			}
			on.Off()
			for _, sync := range []bool{true, false} {
				b.SetRegister([]byte("later"))
				if err := s.Commit(b, sync); !errors.Is(err, ErrFailed) {
					t.Errorf("a later commit: %v", err)
				}
			}
			if _, err := s.Fold(1, "", 0, quorum.Position{LSN: 1}, 0); !errors.Is(err, ErrFailed) {
				t.Errorf("a later fold: %v", err)
			}
			if _, err := s.StageSnapshot(1); !errors.Is(err, ErrFailed) {
				t.Errorf("a later staging: %v", err)
			}
			_ = s.Close() // says it again
			s = must(Open("data", testOptions(fs, 2)))(t)
			if s.Identity().Name != "n1" || string(s.Register()) == "later" {
				t.Errorf("after a restart: %+v, %q", s.Identity(), s.Register())
			}
			mustClose(t, s)
		})
	}
}

func TestFailedFlushIsFatal(t *testing.T) {
	var on errorfs.Toggle
	s, err := Open("data", testOptions(errorfs.Wrap(vfs.NewMem(), failOn(&on, ".sst", errorfs.OpFileWrite)), 1))
	if err != nil {
		t.Fatal(err)
	}
	fillSlot(t, s, 1, 3)
	on.On()
	done, err := pebbleDB(s).AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, errDisk) {
		t.Errorf("fatal: %v", err)
	}
	on.Off() // Pebble tries again
	<-done
	if err := s.SetLeft(); !errors.Is(err, ErrFailed) {
		t.Errorf("a later commit: %v", err)
	}
	_ = s.Close()
}

// TestFatalfEndsItsGoroutine is about what Pebble calls where it cannot go on.
func TestFatalfEndsItsGoroutine(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	ended, went := make(chan struct{}), false
	go func() {
		defer close(ended)
		pebbleLogger{s}.Fatalf("MANIFEST sync failed: %v", errDisk)
		went = true
	}()
	<-ended
	<-s.Failed()
	if err := s.Err(); went || !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "MANIFEST") {
		t.Errorf("went on %t, fatal %v", went, err)
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("close of a store that is stuck: %v", err)
	}
	s.stuck.Store(false) // it is not
	_ = s.Close()
	s.engine = nil
}

// TestFailedOpen fails an operation of an open.
func TestFailedOpen(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	fillSlot(t, s, 1, 3)
	mustClose(t, s)
	want := dump(t, mustOpen(t, copyDisk(fs)), 1)
	failed := 0
	for n := int32(0); n < 400; n += 5 {
		disk := copyDisk(fs)
		s, err := Open("data", testOptions(errorfs.Wrap(disk, failNth(n)), 1))
		if err == nil {
			if got := dump(t, s, 1); got != want {
				t.Errorf("with operation %d failed the store opens with\n%.500s", n, got)
			}
			_ = s.Close() // may be what fails
		} else {
			failed++
		}
		// Nothing of it is damage.
		s = must(Open("data", testOptions(copyDisk(disk), 1)))(t)
		if got := dump(t, s, 1); got != want {
			t.Errorf("after operation %d failed the store opens with\n%.500s", n, got)
		}
		mustClose(t, s)
	}
	if failed < 10 {
		t.Errorf("only %d opens have failed", failed)
	}
}

// failNth fails one operation, but never the sync of a directory: there Pebble
// panics in the background, which ends the process.
func failNth(n int32) errorfs.Injector {
	at := errorfs.OnIndex(n)
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && !strings.Contains(op.Path, "/") {
			return nil
		}
		if at.MaybeError(op) != nil {
			return errDisk
		}
		return nil
	})
}

// copyDisk returns a copy of all that was written, locks aside.
func copyDisk(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// damagedStore makes a store whose data are in the WAL, in files, and folded, and
// returns a copy of its disk as a killed process leaves it.
func damagedStore(t *testing.T, clean bool) (*vfs.MemFS, *model) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	o := testOptions(fs, 1)
	o.MemTableBytes, o.Retention = 64<<10, math.MaxInt64
	c := &crashRun{t: t, r: rand.New(rand.NewPCG(3, 3)), m: newModel()}
	c.s = must(Open("data", o))(t)
	c.donor = must(Open("data", testOptions(vfs.NewMem(), 1)))(t)
	defer mustClose(t, c.donor)
	c.run(50)
	if c.s.Metrics().Flushes == 0 {
		t.Fatal("nothing was flushed")
	}
	killed := copyDisk(fs)
	mustClose(t, c.s)
	if clean {
		return fs, c.m
	}
	return killed, c.m
}

// TestBitFlips turns bits of every file of a store. The store refuses to open, or fails
// as damaged soon after, or holds all that it held: never less.
func TestBitFlips(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean=%t", clean), func(t *testing.T) {
			fs, m := damagedStore(t, clean)
			want := m.render()
			r := rand.New(rand.NewPCG(9, 9))
			for _, name := range must(fs.List("data"))(t) {
				flips := 3
				if strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST") {
					flips = 10
				}
				seen := map[string]int{}
				for range flips {
					seen[openFlipped(t, fs, "data/"+name, r, want)]++
				}
				t.Logf("%-24s %v", name, seen)
			}
		})
	}
}

func openFlipped(t *testing.T, fs *vfs.MemFS, name string, r *rand.Rand, want string) string {
	t.Helper()
	bad := copyDisk(fs)
	data, err := bad.UnsafeGetFileDataBuffer(name)
	if err != nil || len(data) == 0 {
		return "empty"
	}
	at := r.IntN(len(data))
	if r.IntN(2) == 0 { // near the end of what was written
		end := len(data)
		for end > 1 && data[end-1] == 0 {
			end--
		}
		at = end - 1 - r.IntN(min(end, 200))
	}
	data[at] ^= 1 << r.IntN(8)
	o := testOptions(bad, 1)
	o.Retention = math.MaxInt64
	s, err := Open("data", o)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			return "refused: " + fmt.Sprintf("%.200s", err)
		}
		return "damaged"
	}
	got, unreadable := tried(t, func(t testing.TB) string { return renderStore(t, s) })
	closing := s.Close()
	switch failed := s.Err(); {
	case errors.Is(failed, ErrDamaged): // a filter, say, which is read for single keys only
		return "damaged later"
	case failed != nil || closing != nil || unreadable != "":
		t.Errorf("%s, byte %d of %d: the store fails: %v, %v, %s", name, at, len(data), failed, closing, unreadable)
	case got != want:
		t.Errorf("%s, byte %d of %d: the store opens with\n%.3000s, want\n%.3000s", name, at, len(data), got, want)
	}
	return "no effect"
}

// tried returns what f returns, or with what it has ended the test: only f ends.
func tried(t testing.TB, f func(testing.TB) string) (result, fatal string) {
	defer func() {
		if r := recover(); r != nil {
			end, ok := r.(triedEnd)
			if !ok {
				panic(r)
			}
			fatal = string(end)
		}
	}()
	return f(triedTB{t}), ""
}

type (
	triedTB  struct{ testing.TB }
	triedEnd string
)

func (triedTB) Fatal(args ...any)                 { panic(triedEnd(fmt.Sprint(args...))) }
func (triedTB) Fatalf(format string, args ...any) { panic(triedEnd(fmt.Sprintf(format, args...))) }

// TestManifestTail damages the last edit of the MANIFEST. Pebble takes it for the
// torn end of a crash and opens the store as it was before a flush, without the
// log of that time.
func TestManifestTail(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	fillSlot(t, s, 1, 3)
	if err := s.engine.Flush(); err != nil {
		t.Fatal(err)
	}
	fillSlot(t, s, 2, 3)
	disk := copyDisk(fs)
	name := must(pebble.Peek("data", disk))(t).ManifestFilename
	data := must(disk.UnsafeGetFileDataBuffer(name))(t)
	data[len(data)-1] ^= 1
	if _, err := Open("data", testOptions(disk, 1)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "MANIFEST") {
		t.Errorf("open: %v", err)
	}
	// A MANIFEST that is longer than the witness says is none of its business.
	disk = copyDisk(fs)
	data = must(disk.UnsafeGetFileDataBuffer("data/" + witnessName))(t)
	clear(data)
	mustClose(t, must(Open("data", testOptions(disk, 1)))(t))
}

func TestMissingFiles(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	fillSlot(t, s, 1, 3)
	if err := s.engine.Flush(); err != nil {
		t.Fatal(err)
	}
	fillSlot(t, s, 2, 3)
	for _, prefix := range []string{"marker.manifest", "MANIFEST"} {
		disk := copyDisk(fs)
		removed := 0
		for _, name := range must(disk.List("data"))(t) {
			if strings.HasPrefix(name, prefix) {
				removed++
				if err := disk.Remove("data/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := Open("data", testOptions(disk, 1)); removed == 0 || !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: %v", prefix, err)
		}
	}
	for _, suffix := range []string{".sst", ".log"} {
		disk := copyDisk(fs)
		for _, name := range must(disk.List("data"))(t) {
			if strings.HasSuffix(name, suffix) {
				if err := disk.Remove("data/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := Open("data", testOptions(disk, 1)); !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: %v", suffix, err)
		}
	}
}

// TestScanRefuses writes past the store what no commit writes.
func TestScanRefuses(t *testing.T) {
	l := newLog(1)
	e := []quorum.Entry{l.barrier(), l.record(actorA, quorum.Record{}), l.barrier(), l.record(actorB, quorum.Record{})}
	alter := func(e quorum.Entry, f func(*quorum.Entry)) quorum.Entry { f(&e); return e }
	for name, entries := range map[string][]quorum.Entry{
		"no first entry": e[1:],
		"a gap":          {e[0], e[1], e[3]},
		"another hash":   {e[0], alter(e[1], func(e *quorum.Entry) { e.Hash++ }), e[2]},
		"another ballot": {e[0], alter(e[1], func(e *quorum.Entry) { e.Ballot.Boot++ }), e[2]},
		"another before": {e[0], alter(e[1], func(e *quorum.Entry) { e.Prev.Boot++ })},
		"two of one":     {e[0], e[1], alter(e[1], func(e *quorum.Entry) { e.Actor = actorB })},
		"entry 0":        {alter(e[0], func(e *quorum.Entry) { e.LSN = 0 })},
	} {
		fs := newFS()
		s := mustOpen(t, fs)
		for i := range entries {
			appendEntries(t, s, 1, entries[i])
		}
		mustClose(t, s)
		if _, err := Open("data", testOptions(fs, 1)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	key := appendRecordKey(nil, 1, actorA, 1)
	newer := make([]byte, recordHeaderBytes)
	encodeRecord(newer, key, &quorum.Entry{})
	newer[0]++
	binary.BigEndian.PutUint32(newer[4:], recordSum(key, newer))
	for _, c := range []struct {
		key, value []byte
		want       error
	}{
		{key, newer, ErrFormat},
		{key, newer[:9], ErrDamaged},
		{key, make([]byte, recordHeaderBytes), ErrDamaged},
		{metaKey(1), []byte("x"), ErrDamaged},
		{append(metaKey(1), 1), make([]byte, slotBaseBytes), ErrDamaged},
		{promiseKey(1), []byte("x"), ErrDamaged},
		{promiseKey(1)[:2], nil, ErrDamaged},
		{appendSlot(nil, 1), nil, ErrDamaged},
		{append(appendSlot(nil, 1), 0x77), nil, ErrDamaged},
		{append(appendSlot(nil, 1), regionRecord, 1), nil, ErrDamaged},
		{append(appendSlot(nil, 1), regionActor, 0, 9), nil, ErrDamaged},
		{pendingKey(1, actorA), nil, ErrDamaged},
		{appendPart(nil, 1, actorA, partBase), []byte{9}, ErrDamaged},
		{appendPart(nil, 1, actorA, partAnswer), []byte{9}, ErrDamaged},
		{appendPart(nil, 1, actorA, partSent), []byte{9}, ErrDamaged},
		{appendPart(nil, 1, actorA, partExpiry), nil, ErrDamaged},
		{appendPart(nil, 1, actorA, 'z'), nil, ErrDamaged},
		{identityKey(fieldDisk), []byte{1}, ErrDamaged},
		{[]byte{keyCommits}, []byte{1}, ErrDamaged},
	} {
		fs := newFS()
		s := mustOpen(t, fs)
		writePast(t, s, c.key, c.value)
		mustClose(t, s)
		if _, err := Open("data", testOptions(fs, 1)); !errors.Is(err, c.want) {
			t.Errorf("key %x value %x: %v", c.key, c.value, err)
		}
	}
}

// TestReadFindsDamage damages a record in an open store.
func TestReadFindsDamage(t *testing.T) {
	s := mustOpen(t, newFS())
	l := newLog(1)
	e := l.record(actorA, quorum.Record{State: []byte("s")})
	appendEntries(t, s, 1, e)
	key := appendRecordKey(nil, 1, actorA, 1)
	bad := make([]byte, recordHeaderBytes+1)
	writePast(t, s, key, bad)
	if _, err := s.LoadActor(1, actorA); !errors.Is(err, ErrDamaged) {
		t.Errorf("load: %v", err)
	}
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, ErrDamaged) {
		t.Errorf("fatal: %v", err)
	}
	if _, err := s.ReadEntries(1, tails([]quorum.Entry{e}), 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.OpenSnapshot(1); !errors.Is(err, ErrDamaged) {
		t.Errorf("snapshot: %v", err)
	}
	if err := s.SetLeft(); !errors.Is(err, ErrFailed) {
		t.Errorf("commit: %v", err)
	}
}
