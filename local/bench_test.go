package local

import (
	"bytes"
	"fmt"
	"testing"

	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// benchStore is on the real disk, under TMPDIR.
func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.TempDir(), Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { mustClose(b, s) })
	return s
}

// benchRecord is one whose encoding has about 300 bytes.
func benchRecord(l *slotLog, actor quorum.ActorKey) quorum.Entry {
	return l.record(actor, quorum.Record{
		Method: "Add", HasState: true, State: bytes.Repeat([]byte("s"), 200), Reply: []byte("reply"),
		Request: quorum.RequestID{Session: quorum.SessionID{1}, Number: uint64(l.last.LSN), Low: uint64(l.last.LSN)},
	})
}

// BenchmarkCommit appends batches of records to one slot and waits for the disk.
// It folds outside of the time, so that the store is as large as one in use.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s := benchStore(b)
			l := newLog(1)
			batch := s.NewBatch()
			entries := make([]quorum.Entry, n)
			var bytes, unfolded int
			for b.Loop() {
				b.StopTimer()
				for i := range entries {
					entries[i] = benchRecord(l, crashActors[i%len(crashActors)])
					bytes += len(entries[i].Data)
				}
				if unfolded += n; unfolded > 1024 {
					unfolded = 0
					for _, actor := range crashActors {
						fold(b, s, 1, actor, l.last)
					}
				}
				b.StartTimer()
				batch.Append(1, entries)
				if err := s.Commit(batch, true); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
			b.SetBytes(int64(bytes / max(b.N, 1)))
		})
	}
}

// BenchmarkFold folds 64 records of one actor.
func BenchmarkFold(b *testing.B) {
	s := benchStore(b)
	l := newLog(1)
	for b.Loop() {
		b.StopTimer()
		var entries []quorum.Entry
		for range 64 {
			entries = append(entries, benchRecord(l, actorA))
		}
		commit(b, s, false, func(batch *Batch) { batch.Append(1, entries) })
		b.StartTimer()
		fold(b, s, 1, actorA, l.last)
	}
}

// answeredStore holds n answers to own keys of one actor.
func answeredStore(tb testing.TB, fs vfs.FS, n int) *Store {
	tb.Helper()
	o := testOptions(fs, 1)
	o.CacheBytes, o.MemTableBytes = 32<<20, 16<<20
	s := must(Open("data", o))(tb)
	f := folder{s: s, slot: 1, actor: actorA}
	answer := quorum.Answer{At: quorum.Position{LSN: 1}, Reply: []byte("reply")}
	for i := 0; i < n; {
		f.eb = s.engine.NewBatch()
		for range min(10_000, n-i) {
			f.setAnswer(ownKey(quorum.LSN(2*i)), &answer)
			i++
		}
		if err := s.engine.Apply(f.eb, false); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.engine.Flush(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkAnswer looks up answers to own keys. Its cost must not grow with their
// number (H27).
func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		s := answeredStore(b, vfs.NewMem(), n)
		for _, want := range []bool{true, false} {
			b.Run(fmt.Sprintf("answers=%d/found=%t", n, want), func(b *testing.B) {
				i := 0
				for b.Loop() {
					i = (i + 7919) % n
					key := ownKey(quorum.LSN(2 * i))
					if !want {
						key = ownKey(quorum.LSN(2*i + 1))
					}
					if _, found, err := s.Answer(1, actorA, key); found != want || err != nil {
						b.Fatal(key, found, err)
					}
				}
			})
		}
		mustClose(b, s)
	}
}

// TestAnswerReadsFewBlocks counts the blocks that lookups read instead of their
// time: as many with forty times the answers (H27).
func TestAnswerReadsFewBlocks(t *testing.T) {
	for _, n := range []int{500, 20_000} {
		s := answeredStore(t, vfs.NewMem(), n)
		if err := pebbleDB(s).Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
		const lookups = 200
		before := pebbleDB(s).Metrics().BlockCache
		for i := range lookups {
			key := ownKey(quorum.LSN(2*(i*n/lookups) + i%2))
			if _, found, err := s.Answer(1, actorA, key); found != (i%2 == 0) || err != nil {
				t.Fatal(key, found, err)
			}
		}
		after := pebbleDB(s).Metrics().BlockCache
		blocks := after.Hits + after.Misses - before.Hits - before.Misses
		t.Logf("%d answers: %d blocks for %d lookups", n, blocks, lookups)
		if blocks > 4*lookups {
			t.Errorf("%d answers: %d blocks for %d lookups", n, blocks, lookups)
		}
		mustClose(t, s)
	}
}

func TestSpace(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 77, TotalBytes: 100})
	s := mustOpen(t, fs)
	if n, err := s.FreeBytes(); n != 77 || err != nil {
		t.Errorf("%d bytes free, %v", n, err)
	}
	fillSlot(t, s, 1, 20)
	if err := s.engine.Flush(); err != nil {
		t.Fatal(err)
	}
	one, two := must(s.SlotBytes(1))(t), must(s.SlotBytes(2))(t)
	if one < 1000 || two != 0 {
		t.Errorf("slot 1 takes %d bytes, slot 2 %d", one, two)
	}
}
