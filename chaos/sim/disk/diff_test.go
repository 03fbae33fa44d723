package disk_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"actormesh/chaos/sim/disk"
	"actormesh/local"
	"actormesh/quorum"
)

var (
	diffFirst = flag.Uint64("diff-seed", 0, "first seed of TestModelIsPebble")
	diffSeeds = flag.Uint64("diff-seeds", 8, "how many seeds TestModelIsPebble runs")
)

// TestModelIsPebble does the same to a store over the model and to one over Pebble,
// and expects the same of them after each step: errors, reads, and what a restart
// finds after a crash that keeps nothing that was not synced.
func TestModelIsPebble(t *testing.T) {
	done := map[string]int{}
	for seed := *diffFirst; seed < *diffFirst+*diffSeeds; seed++ {
		newTwins(t, seed, done).run(100)
	}
	t.Logf("seeds %d to %d: %v", *diffFirst, *diffFirst+*diffSeeds-1, done)
	for _, what := range twinSteps {
		if done[what.name] == 0 {
			t.Errorf("never did %s", what.name)
		}
	}
	if done["failed commit"] == 0 || done["lost"] == 0 {
		t.Error("no sync has failed, or no crash has lost anything")
	}
}

const twinSlots = 3

var twinActors = []quorum.ActorKey{actor, quorum.MakeActorKey("k", "b"), quorum.MakeActorKey("k2", "a")}

// twins are the two stores, and what to know of them to go on.
type twins struct {
	t      *testing.T
	seed   uint64
	step   int
	r      *rand.Rand
	done   map[string]int
	disks  [2]*disk.Disk // the model, Pebble
	stores [2]*local.Store
	donor  *local.Store
	slots  [twinSlots]twinSlot
	epoch  quorum.Epoch
}

type twinSlot struct {
	entries   []quorum.TailEntry // those that may be in the log
	base      quorum.TailEntry   // when it was opened
	committed int                // of the entries
}

func (s *twinSlot) last() quorum.TailEntry {
	if n := len(s.entries); n > 0 && s.entries[n-1].LSN > s.base.LSN {
		return s.entries[n-1]
	}
	return s.base
}

func newTwins(t *testing.T, seed uint64, done map[string]int) *twins {
	var counts disk.Counts
	w := &twins{t: t, seed: seed, r: newRand(seed), done: done, epoch: 1}
	w.disks = [2]*disk.Disk{disk.New(&counts), disk.NewPebble(&counts)}
	w.donor = mustOpen(t, disk.New(&counts))
	return w
}

// both does the same to both stores and compares what it returns.
func (w *twins) both(what string, do func(i int, s *local.Store) string) string {
	w.t.Helper()
	model, pebble := do(0, w.stores[0]), do(1, w.stores[1])
	if model != pebble {
		w.t.Fatalf("seed %d step %d: %s: the model\n%.2000s, Pebble\n%.2000s", w.seed, w.step, what, model, pebble)
	}
	return model
}

// kind is what a caller can tell about an error.
func kind(err error) string {
	for _, is := range []error{local.ErrDamaged, local.ErrFormat, local.ErrFailed, local.ErrOtherName,
		local.ErrOtherCluster, local.ErrGone, local.ErrSuperseded, local.ErrSnapshot, local.ErrTooLarge} {
		if errors.Is(err, is) {
			return is.Error()
		}
	}
	return fmt.Sprint(err)
}

// reopen opens both stores and takes over what they recover.
func (w *twins) reopen() {
	seed := w.r.Uint64()
	w.both("open", func(i int, _ *local.Store) string {
		var err error
		if w.stores[i], err = open(w.disks[i], seed); err != nil {
			w.t.Fatalf("seed %d step %d: store %d: %v", w.seed, w.step, i, err)
		}
		return ""
	})
	var found []local.StoredSlot
	w.both("recover", func(_ int, s *local.Store) string {
		found = nil
		err := s.Recover(func(st local.StoredSlot) error {
			found = append(found, st)
			return nil
		})
		return fmt.Sprintf("%+v %v", found, err)
	})
	before := w.slots
	w.slots = [twinSlots]twinSlot{}
	for _, st := range found {
		s := &w.slots[st.Slot]
		s.base = quorum.TailEntry{LSN: st.State.Base.LSN, Ballot: st.State.Base.Ballot, Hash: st.State.BaseHash}
		s.entries = append(st.Unfolded, st.State.Tail...)
		s.committed = len(st.Unfolded)
	}
	for i := range before {
		if before[i].last() != w.slots[i].last() {
			w.done["lost"]++
		}
	}
}

func (w *twins) run(steps int) {
	w.reopen()
	for w.step = range steps {
		n := w.r.IntN(100)
		for _, s := range twinSteps {
			if n -= s.weight; n < 0 {
				w.done[s.name]++
				s.do(w)
				break
			}
		}
		w.compare()
	}
	w.both("close", func(_ int, s *local.Store) string { return fmt.Sprint(s.Close()) })
	mustClose(w.t, w.donor)
}

// twinSteps are what may be done, with weights that add up to 100.
var twinSteps = []struct {
	name   string
	weight int
	do     func(*twins)
}{
	{"batch", 35, func(w *twins) { w.batch(w.r.IntN(3) > 0) }},
	{"fold", 25, (*twins).fold},
	{"install", 8, (*twins).install},
	{"refuse a snapshot", 3, (*twins).refuse},
	{"hold a snapshot", 4, (*twins).hold},
	{"identity", 6, (*twins).identity},
	{"flush", 4, (*twins).flush},
	{"crash", 6, (*twins).crash},
	{"crash at a failed sync", 3, (*twins).failedSync},
	{"restart", 3, (*twins).restart},
	{"copy", 3, (*twins).copied},
}

func (w *twins) slot() (quorum.SlotID, *twinSlot) {
	i := w.r.IntN(twinSlots)
	return quorum.SlotID(i), &w.slots[i]
}

func (w *twins) entry(s *twinSlot) quorum.Entry {
	r, last := w.r, s.last()
	rec := quorum.Record{
		Wall: int64(w.step + 1), HasState: r.IntN(2) == 0, State: []byte(strings.Repeat("s", r.IntN(300))),
		Reply: []byte(fmt.Sprint(r.IntN(9))),
	}
	switch r.IntN(4) {
	case 0:
		rec.Request.Key = fmt.Sprint("key", r.IntN(6))
	case 1:
		rec.Request.Source, rec.Request.Number = twinActors[r.IntN(3)], uint64(last.LSN+1)
	}
	for range r.IntN(3) {
		rec.Writes = append(rec.Writes, quorum.KeyWrite{Key: []byte{'a' + byte(r.IntN(4))}, Value: []byte("v"), Delete: r.IntN(3) == 0})
	}
	if r.IntN(3) == 0 {
		rec.Sends = []quorum.Send{{Target: twinActors[r.IntN(3)], Number: uint64(last.LSN + 1)}}
	}
	if r.IntN(3) == 0 {
		rec.Timers = []quorum.TimerChange{{Name: "t", Due: int64(1 + r.IntN(99)), Cancel: r.IntN(2) == 0}}
	}
	e := quorum.Entry{LSN: last.LSN + 1, Ballot: quorum.Ballot{Epoch: w.epoch, Boot: 1}, Prev: last.Ballot}
	if r.IntN(6) > 0 {
		e.Actor, e.Data = twinActors[r.IntN(3)], rec.AppendTo(nil)
	}
	e.Hash = e.ChainHash(last.Hash)
	s.entries = append(s.entries, local.TailOf(&e))
	return e
}

func (w *twins) entries(s *twinSlot) (list []quorum.Entry) {
	for range 1 + w.r.IntN(6) {
		list = append(list, w.entry(s))
	}
	return list
}

// changes returns what fills a batch.
func (w *twins) changes() (fill []func(*local.Batch)) {
	for range 1 + w.r.IntN(3) {
		id, s := w.slot()
		switch n := w.r.IntN(12); {
		case n == 0:
			*s = twinSlot{}
			fill = append(fill, func(b *local.Batch) { b.Discard(id) })
		case n < 3:
			p := quorum.Promise{Ballot: quorum.Ballot{Epoch: w.epoch}, Owner: quorum.NodeID(w.r.IntN(9))}
			fill = append(fill, func(b *local.Batch) { b.Promise(id, p) })
		case n < 4:
			state := fmt.Append(nil, "view", w.r.IntN(99))
			fill = append(fill, func(b *local.Batch) { b.SetRegister(state) })
		case n < 7 && s.committed < len(s.entries):
			keep := s.committed + w.r.IntN(len(s.entries)-s.committed)
			cut := s.entries[keep:]
			s.entries = s.entries[:keep:keep]
			w.epoch++
			more := w.entries(s)
			fill = append(fill, func(b *local.Batch) { b.Truncate(id, cut); b.Append(id, more) })
		default:
			more := w.entries(s)
			fill = append(fill, func(b *local.Batch) { b.Append(id, more) })
		}
	}
	return fill
}

func (w *twins) commit(fill []func(*local.Batch), sync bool) string {
	return w.both("commit", func(_ int, s *local.Store) string {
		b := s.NewBatch()
		for _, f := range fill {
			f(b)
		}
		return fmt.Sprint(b.Bytes(), kind(s.Commit(b, sync)))
	})
}

func (w *twins) batch(sync bool) { w.commit(w.changes(), sync) }

func (w *twins) fold() {
	id, s := w.slot()
	if len(s.entries) == 0 {
		return
	}
	s.committed += w.r.IntN(len(s.entries) - s.committed + 1)
	if s.committed == 0 {
		return
	}
	base := s.entries[w.r.IntN(s.committed)]
	upTo := quorum.LSN(w.r.IntN(int(base.LSN) + 1))
	who := append(twinActors, "")[w.r.IntN(4)]
	w.both("fold", func(_ int, s *local.Store) string {
		freed, err := s.Fold(id, who, upTo, quorum.Position{Ballot: base.Ballot, LSN: base.LSN}, base.Hash)
		return fmt.Sprint(freed, kind(err))
	})
}

// snapshot returns the chunks of a slot.
func (w *twins) snapshot(r *local.SnapshotReader, err error) (chunks [][]byte) {
	for err == nil {
		var chunk []byte
		if chunk, err = r.Next(local.MinChunkBytes); err == nil {
			chunks = append(chunks, chunk)
		}
	}
	if !errors.Is(err, io.EOF) {
		w.t.Fatalf("seed %d step %d: snapshot: %v", w.seed, w.step, err)
	}
	if err := r.Close(); err != nil {
		w.t.Fatal(err)
	}
	return chunks
}

// donated is a snapshot of another log of the slot.
func (w *twins) donated(id quorum.SlotID, s *twinSlot) [][]byte {
	*s = twinSlot{}
	w.epoch++
	b := w.donor.NewBatch()
	b.Discard(id)
	for range w.r.IntN(4) {
		b.Append(id, w.entries(s))
	}
	if err := w.donor.Commit(b, true); err != nil {
		w.t.Fatal(err)
	}
	if s.committed = len(s.entries); s.committed > 0 {
		base := s.entries[w.r.IntN(s.committed)]
		at := quorum.Position{Ballot: base.Ballot, LSN: base.LSN}
		if _, err := w.donor.Fold(id, twinActors[0], base.LSN, at, base.Hash); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.snapshot(w.donor.OpenSnapshot(id))
}

func stage(s *local.Store, id quorum.SlotID, chunks [][]byte) (*local.Staged, error) {
	st, err := s.StageSnapshot(id)
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

// install installs a snapshot in the middle of a batch.
func (w *twins) install() {
	var before, after []func(*local.Batch)
	if w.r.IntN(2) == 0 {
		before = w.changes()
	}
	id, s := w.slot()
	chunks := w.donated(id, s)
	if w.r.IntN(2) == 0 {
		after = w.changes()
	}
	w.both("install", func(_ int, s *local.Store) string {
		staged, err := stage(s, id, chunks)
		if err != nil {
			return kind(err)
		}
		b := s.NewBatch()
		for _, f := range before {
			f(b)
		}
		b.InstallSnapshot(staged)
		for _, f := range after {
			f(b)
		}
		err = s.Commit(b, false)
		return fmt.Sprintf("%+v %s %v", staged.Slot, kind(err), staged.Drop())
	})
}

// refuse stages what is no snapshot, or what is then dropped.
func (w *twins) refuse() {
	id, s := w.slot()
	kept := *s
	chunks := w.donated(id, s)
	*s = kept
	at := w.r.IntN(2 * len(chunks))
	if at < len(chunks) {
		chunks[at][w.r.IntN(len(chunks[at]))] ^= 4
	}
	w.both("stage", func(_ int, s *local.Store) string {
		staged, err := stage(s, id, chunks)
		if err == nil {
			err = staged.Drop()
		}
		return kind(err)
	})
}

// hold reads a snapshot after what follows it.
func (w *twins) hold() {
	id, _ := w.slot()
	var readers [2]*local.SnapshotReader
	w.both("open a snapshot", func(i int, s *local.Store) string {
		var err error
		readers[i], err = s.OpenSnapshot(id)
		return kind(err)
	})
	w.batch(true)
	w.fold()
	w.both("read a snapshot", func(i int, _ *local.Store) string {
		return fmt.Sprintf("%v %x", readers[i].Last(), w.snapshot(readers[i], nil))
	})
}

func (w *twins) identity() {
	n := w.r.IntN(20)
	w.both("identity", func(_ int, s *local.Store) string {
		switch n {
		case 0, 1, 2:
			return kind(s.SetName(fmt.Sprint("n", n%2)))
		case 3, 4, 5:
			return kind(s.SetCluster([16]byte{byte(n % 2)}))
		case 6:
			return kind(s.SetLeft())
		case 7, 8, 9:
			return kind(s.SaveRegister(fmt.Append(nil, n)))
		}
		return kind(s.SavePeers([]string{fmt.Sprint("a:", n), "b"}))
	})
}

func (w *twins) flush() {
	w.both("flush", func(_ int, s *local.Store) string { return kind(s.Flush()) })
}

func (w *twins) crash() {
	w.both("crash", func(i int, s *local.Store) string {
		w.disks[i] = w.disks[i].Crash(nil)
		_ = s.Close() // its disk is gone
		return ""
	})
	w.reopen()
}

func (w *twins) failedSync() {
	for _, d := range w.disks {
		d.FailSync(1)
	}
	if kind := w.commit(w.changes(), true); strings.Contains(kind, local.ErrFailed.Error()) {
		w.done["failed commit"]++
	}
	w.crash()
}

func (w *twins) restart() {
	w.both("close", func(_ int, s *local.Store) string { return fmt.Sprint(s.Close()) })
	w.reopen()
}

// copied goes on with a copy of the disk.
func (w *twins) copied() {
	w.flush()
	w.both("copy", func(i int, s *local.Store) string {
		w.disks[i] = w.disks[i].Clone()
		return fmt.Sprint(s.Close())
	})
	w.reopen()
}

// compare compares all that the stores hold, and some of the ways to read it.
func (w *twins) compare() {
	w.t.Helper()
	n := w.r.IntN(8)
	w.both("reads", func(_ int, s *local.Store) string {
		var out strings.Builder
		id, m := s.Identity(), s.Metrics()
		fmt.Fprintf(&out, "%+v %q %v %x %d\n", id, s.Register(), s.Peers(), s.ResetKey(), m.SyncedCommits)
		for i := range w.slots {
			w.describe(&out, s, quorum.SlotID(i), &w.slots[i], n)
		}
		return out.String()
	})
}

func (w *twins) describe(out *strings.Builder, s *local.Store, id quorum.SlotID, slot *twinSlot, n int) {
	fmt.Fprintf(out, "slot %d %x\n", id, w.snapshot(s.OpenSnapshot(id)))
	pending, err := s.Pending(id)
	fmt.Fprintf(out, "  %+v %s\n", pending, kind(err))
	entries, err := s.ReadEntries(id, slot.entries[min(n, len(slot.entries)):], 1+200*n)
	fmt.Fprintf(out, "  %+v %s\n", entries, kind(err))
	for _, who := range twinActors {
		img, err := s.LoadActor(id, who)
		fmt.Fprintf(out, "  %v %x %+v %s", who, img.Base.AppendTo(nil, false), img.Entries, kind(err))
		answer, found, err := s.Answer(id, who, fmt.Sprint("key", n))
		fmt.Fprintf(out, " %+v %t %s", answer, found, kind(err))
		value, found, err := s.GetKey(id, who, []byte{'a' + byte(n)})
		fmt.Fprintf(out, " %s %t %s", value, found, kind(err))
		err = s.ScanKeys(id, who, []byte{'a' + byte(n/4)}, nil, max(n, 1), func(k, v []byte) bool {
			fmt.Fprintf(out, " %s=%s", k, v)
			return true
		})
		fmt.Fprintf(out, " %s\n", kind(err))
	}
}
