package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fillSlot gives a slot folded actors, a tail and a promise, and returns its log.
func fillSlot(t testing.TB, s *Store, slot quorum.SlotID, actors int) *slotLog {
	t.Helper()
	l := newLog(slot)
	entries := []quorum.Entry{l.barrier()}
	for round := range 3 {
		for i := range actors {
			entries = append(entries, l.record(quorum.MakeActorKey("k", fmt.Sprint(i)), quorum.Record{
				HasState: true, State: bytes.Repeat([]byte{byte(i)}, 300*(round+1)),
				Request: quorum.RequestID{Key: fmt.Sprintf("k%d", round)},
				Writes:  []quorum.KeyWrite{{Key: []byte{byte(round)}, Value: bytes.Repeat([]byte{1}, 3000)}},
				Sends:   []quorum.Send{{Target: actorA, Number: uint64(round + 1)}},
			}))
		}
	}
	commit(t, s, true, func(b *Batch) {
		b.Promise(slot, quorum.Promise{Ballot: l.ballot, Owner: quorum.NodeID(slot)})
		b.Append(slot, entries)
	})
	at := entries[len(entries)*2/3]
	for i := range actors / 2 {
		must(s.Fold(slot, quorum.MakeActorKey("k", fmt.Sprint(i)), at.LSN, at.Position(), at.Hash))(t)
	}
	return l
}

func readSnapshot(t testing.TB, s *Store, slot quorum.SlotID, maxBytes int) (chunks [][]byte, last quorum.Position) {
	t.Helper()
	r := must(s.OpenSnapshot(slot))(t)
	for {
		c, err := r.Next(maxBytes)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(c) > maxBytes {
			t.Fatalf("a chunk of %d bytes, more than %d", len(c), maxBytes)
		}
		chunks = append(chunks, c)
	}
	last = r.Last()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return chunks, last
}

func stage(s *Store, slot quorum.SlotID, chunks [][]byte) (*Staged, error) {
	st, err := s.StageSnapshot(slot)
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		if err := st.Write(c); err != nil {
			return nil, errors.Join(err, st.Abort())
		}
	}
	return st.Finish()
}

// dump renders all of a slot.
func dump(t testing.TB, s *Store, slot quorum.SlotID) string {
	t.Helper()
	var out bytes.Buffer
	it := must(s.slotIter(slot))(t)
	for valid := it.First(); valid; valid = it.Next() {
		fmt.Fprintf(&out, "%x=%x\n", it.Key(), must(it.ValueAndErr())(t))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func stagedFiles(t testing.TB, s *Store) int {
	t.Helper()
	return len(must(s.fs.List(s.stagingDir()))(t))
}

func TestSnapshot(t *testing.T) {
	from, fs := mustOpen(t, newFS()), newFS()
	to := mustOpen(t, fs)
	l := fillSlot(t, from, 5, 40)
	fillSlot(t, to, 5, 10) // what the laggard has
	fillSlot(t, to, 4, 3)
	fillSlot(t, to, 6, 3)
	neighbours := dump(t, to, 4) + dump(t, to, 6)
	old := dump(t, to, 5)

	chunks, last := readSnapshot(t, from, 5, MinChunkBytes*3)
	if last != l.last.Position() {
		t.Errorf("last %v, want %v", last, l.last.Position())
	}
	// What is written after the snapshot was opened is not in it.
	staged := must(stage(to, 5, chunks))(t)
	if staged.Slot.Last() != last || len(staged.Slot.Unfolded) == 0 || len(staged.Slot.State.Senders) == 0 {
		t.Errorf("staged %+v", staged.Slot)
	}
	if dump(t, to, 5) != old {
		t.Error("staging has changed the slot")
	}
	promise := quorum.Promise{Ballot: quorum.Ballot{Epoch: 9}, Owner: 9}
	next := l.barrier()
	commit(t, to, true, func(b *Batch) {
		b.Promise(5, promise)
		b.InstallSnapshot(staged)
		b.Append(5, []quorum.Entry{next})
	})
	appendEntries(t, from, 5, next)
	if got, want := dump(t, to, 5), dump(t, from, 5); got != want {
		t.Errorf("installed\n%.500s, want\n%.500s", got, want)
	}
	if dump(t, to, 4)+dump(t, to, 6) != neighbours {
		t.Error("the neighbours have changed")
	}
	if n := stagedFiles(t, to); n != 0 {
		t.Errorf("%d staged files are left", n)
	}
	if err := staged.Drop(); err != nil {
		t.Error(err)
	}
	mustClose(t, to)
	to = mustOpen(t, fs)
	if got, want := dump(t, to, 5), dump(t, from, 5); got != want {
		t.Error("after a reopen the slot is another")
	}
	if st := recovered(t, to)[5]; st.State.Promise != promise || st.Last() != next.Position() {
		t.Errorf("promise %v, last %v", st.State.Promise, st.Last())
	}
}

// TestSnapshotIsOneInstant changes the slot while it is read.
func TestSnapshotIsOneInstant(t *testing.T) {
	s := mustOpen(t, newFS())
	l := fillSlot(t, s, 1, 20)
	want, _ := readSnapshot(t, s, 1, 4096)
	r := must(s.OpenSnapshot(1))(t)
	defer r.Close()
	var got [][]byte
	for i := 0; ; i++ {
		c, err := r.Next(4096)
		if errors.Is(err, io.EOF) {
			break
		}
		got = append(got, must(c, err)(t))
		switch i {
		case 0:
			appendEntries(t, s, 1, l.record(actorA, quorum.Record{}))
		case 1:
			fold(t, s, 1, quorum.MakeActorKey("k", "19"), l.last)
		case 2:
			commit(t, s, true, func(b *Batch) { b.Discard(1) })
		}
	}
	if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
		t.Error("the reader saw later changes")
	}
}

func TestEmptySnapshot(t *testing.T) {
	from, to := mustOpen(t, newFS()), mustOpen(t, newFS())
	fillSlot(t, to, 1, 4)
	chunks, last := readSnapshot(t, from, 1, MinChunkBytes)
	if last != (quorum.Position{}) {
		t.Errorf("last %v", last)
	}
	staged := must(stage(to, 1, chunks))(t)
	commit(t, to, true, func(b *Batch) { b.InstallSnapshot(staged) })
	if got := dump(t, to, 1); got != "" {
		t.Errorf("installed %s", got)
	}
}

// TestStagingRefuses gives a staging everything but what a sender sends.
func TestStagingRefuses(t *testing.T) {
	s := mustOpen(t, newFS())
	fillSlot(t, s, 1, 6)
	chunks, _ := readSnapshot(t, s, 1, MinChunkBytes)
	n := len(chunks)
	if n < 4 {
		t.Fatalf("only %d chunks", n)
	}
	clone := func() [][]byte {
		var list [][]byte
		for _, c := range chunks {
			list = append(list, bytes.Clone(c))
		}
		return list
	}
	cases := map[string][][]byte{
		"nothing":    {},
		"cut short":  chunks[:n-1],
		"a gap":      append(clone()[:1], chunks[2:]...),
		"reordered":  append([][]byte{chunks[1], chunks[0]}, chunks[2:]...),
		"one more":   append(clone(), chunks[n-1]),
		"a stump":    {chunks[0][:chunkHeaderBytes-1]},
		"other slot": chunks, // its records say which slot they are of
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		list := clone()
		c := list[r.IntN(n)]
		c[r.IntN(len(c))] ^= 1 << r.IntN(8)
		cases[fmt.Sprintf("flip %d", i)] = list
	}
	for name, list := range cases {
		slot := quorum.SlotID(1)
		if name == "other slot" {
			slot = 2
		}
		if _, err := stage(s, slot, list); !errors.Is(err, ErrSnapshot) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := stagedFiles(t, s); n != 0 || s.Err() != nil {
		t.Errorf("%d staged files are left, %v", n, s.Err())
	}
}

// TestStagingRefusesBadContent signs chunks as a sender would, with content that
// is no slot.
func TestStagingRefusesBadContent(t *testing.T) {
	s := mustOpen(t, newFS())
	for _, stream := range []string{
		"\x00\x00", "\x01\x00\xff", "\x01\x00\x07", "\x01\x01\x01x", "\x02\x00\x02x", "\x03\x00\x03\x00\x05",
		"\x05\x01\x03\x00\x00bx", "\x01\x00\x04\x01\x00\x04", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"\x01\xff\xff\xff\xff\xff\xff\x01\x01", "\x01",
	} {
		if _, err := stage(s, 1, [][]byte{signChunk(0, chunkLast, []byte(stream))}); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%x: %v", stream, err)
		}
	}
}

func signChunk(number uint32, flags byte, piece []byte) []byte {
	c := append([]byte{chunkVersion, flags, byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number), 0, 0, 0, 0}, piece...)
	sum := chunkSum(c)
	c[6], c[7], c[8], c[9] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	return c
}

func FuzzStaging(f *testing.F) {
	s, err := Open("data", testOptions(vfs.NewMem(), 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	fillSlot(f, s, 1, 2)
	chunks, _ := readSnapshot(f, s, 1, 1<<20)
	f.Add(chunks[0][chunkHeaderBytes:])
	f.Add([]byte("\x01\x00\x07"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		staged, err := stage(s, 1, [][]byte{signChunk(0, chunkLast, stream)})
		if err == nil {
			err = staged.Drop()
		}
		if err != nil && !errors.Is(err, ErrSnapshot) {
			t.Fatal(err)
		}
	})
}

func TestLeftoversAreRemoved(t *testing.T) {
	fs := newFS()
	s := mustOpen(t, fs)
	fillSlot(t, s, 1, 6)
	chunks, _ := readSnapshot(t, s, 1, MinChunkBytes)
	must(stage(s, 1, chunks))(t)
	if stagedFiles(t, s) == 0 {
		t.Fatal("nothing is staged")
	}
	mustClose(t, s)
	if s = mustOpen(t, fs); stagedFiles(t, s) != 0 {
		t.Error("staged files are left")
	}
}

// TestSnapshotsDuringFlushes installs snapshots while what is left and right of them is
// flushed. Pebble cancels such a flush, says so as it says that a disk fails, and
// flushes again: that is no failure.
func TestSnapshotsDuringFlushes(t *testing.T) {
	o := testOptions(vfs.NewMem(), 1)
	o.MemTableBytes = 32 << 20
	s := must(Open("data", o))(t)
	defer mustClose(t, s)
	fillSlot(t, s, 1, 5)
	chunks, _ := readSnapshot(t, s, 1, 1<<20)
	left, right := newLog(0), newLog(2)
	random := make([]byte, 10000) // not to be compressed, so that a flush writes several tables
	rand.NewChaCha8([32]byte{}).Read(random)
	state := quorum.Record{HasState: true, State: random}
	for range 20 {
		staged := must(stage(s, 1, chunks))(t)
		commit(t, s, false, func(b *Batch) {
			for range 800 {
				b.Append(0, []quorum.Entry{left.record(actorA, state)})
				b.Append(2, []quorum.Entry{right.record(actorA, state)})
			}
		})
		flushed, err := pebbleDB(s).AsyncFlush()
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, true, func(b *Batch) { b.InstallSnapshot(staged) })
		<-flushed
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}
