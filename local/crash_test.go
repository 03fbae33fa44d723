package local

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// The model of a store: what a sequence of commits must have left. Folds change
// nothing in it.
type model struct {
	slots    [3]modelSlot
	register string
}

type modelSlot struct {
	log       slotLog
	entries   []quorum.Entry // since the slot was empty; shared, never modified
	committed int            // of the entries: may be folded, are never cut
	promise   quorum.Promise
}

var crashActors = []quorum.ActorKey{actorA, actorB, quorum.MakeActorKey("k2", "a")}

func newModel() *model {
	m := &model{}
	for i := range m.slots {
		m.slots[i].log = *newLog(quorum.SlotID(i))
	}
	return m
}

func (m *model) clone() *model {
	c := *m
	return &c
}

func (m *model) render() string {
	var out strings.Builder
	fmt.Fprintf(&out, "register %s\n", m.register)
	for i := range m.slots {
		ms := &m.slots[i]
		fmt.Fprintf(&out, "slot %d promise %v last %v\n", i, ms.promise, ms.log.last.Position())
		for _, actor := range crashActors {
			img := image{base: quorum.NewBase(), keys: map[string]string{}, answers: map[string]string{}}
			for _, e := range ms.entries {
				if e.Actor == actor {
					img.apply(e)
				}
			}
			out.WriteString(img.render(actor))
		}
	}
	return out.String()
}

// image is all of an actor.
type image struct {
	base    *quorum.Base
	keys    map[string]string
	answers map[string]string
}

func (img *image) apply(e quorum.Entry) {
	r, err := quorum.DecodeRecord(e.Data)
	if err != nil {
		panic(err)
	}
	img.base.Apply(&e, r, math.MaxInt64)
	for _, w := range r.Writes {
		if delete(img.keys, string(w.Key)); !w.Delete {
			img.keys[string(w.Key)] = string(w.Value)
		}
	}
	if hasOwnKey(r) {
		img.answers[r.Request.Key] = string(r.Reply)
	}
}

func (img *image) render(actor quorum.ActorKey) string {
	var out strings.Builder
	fmt.Fprintf(&out, "  %v %x keys", actor, img.base.AppendTo(nil, false))
	for _, k := range slices.Sorted(maps.Keys(img.keys)) {
		fmt.Fprintf(&out, " %s=%s", k, img.keys[k])
	}
	out.WriteString(" answers")
	for _, k := range slices.Sorted(maps.Keys(img.answers)) {
		fmt.Fprintf(&out, " %s=%s", k, img.answers[k])
	}
	return out.String() + "\n"
}

// renderStore renders what a store holds as the model renders itself.
func renderStore(t testing.TB, s *Store) string {
	t.Helper()
	states := recovered(t, s)
	var out strings.Builder
	fmt.Fprintf(&out, "register %s\n", s.Register())
	for i := range (&model{}).slots {
		slot := quorum.SlotID(i)
		st := states[slot]
		fmt.Fprintf(&out, "slot %d promise %v last %v\n", i, st.State.Promise, st.Last())
		for _, actor := range crashActors {
			loaded := must(s.LoadActor(slot, actor))(t)
			img := image{base: loaded.Base, keys: map[string]string{}, answers: map[string]string{}}
			err := s.ScanKeys(slot, actor, nil, nil, math.MaxInt, func(k, v []byte) bool {
				img.keys[string(k)] = string(v)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			for lsn := range img.base.LSN + 1 {
				key := ownKey(lsn)
				if a, found, err := s.Answer(slot, actor, key); err != nil {
					t.Fatal(err)
				} else if found {
					img.answers[key] = string(a.Reply)
				}
			}
			for _, e := range loaded.Entries {
				img.apply(e)
			}
			out.WriteString(img.render(actor))
		}
	}
	return out.String()
}

func ownKey(lsn quorum.LSN) string { return fmt.Sprintf("k%d", lsn) }

// crashRun drives one store by a seed until it crashes.
type crashRun struct {
	t     testing.TB
	r     *rand.Rand
	s     *Store
	m     *model
	donor *Store // sends snapshots

	states   []*model     // what it may have held when it was opened, then after each step
	acked    atomic.Int64 // index of the last one that must be durable
	started  atomic.Int64 // index of the last one that may be
	boot     atomic.Int64 // the last one that must be durable
	installs int
	mayFail  bool // a commit may, which ends the run
}

func (c *crashRun) record(ms *modelSlot) quorum.Entry {
	r := c.r
	rec := quorum.Record{HasState: r.IntN(2) == 0, State: []byte(strings.Repeat("s", r.IntN(400))), Reply: []byte(fmt.Sprint(r.IntN(9)))}
	switch r.IntN(4) {
	case 0:
		rec.Request.Key = ownKey(ms.log.last.LSN + 1)
	case 1:
		rec.Request.Session = quorum.SessionID{byte(r.IntN(3) + 1)}
		rec.Request.Number = uint64(r.IntN(20))
		rec.Request.Low = uint64(r.IntN(20))
	case 2:
		rec.Request.Source, rec.Request.Number = crashActors[r.IntN(3)], uint64(ms.log.last.LSN)
	}
	if r.IntN(3) == 0 {
		rec.Writes = []quorum.KeyWrite{{Key: []byte{'a' + byte(r.IntN(5))}, Value: []byte("v"), Delete: r.IntN(3) == 0}}
	}
	if r.IntN(3) == 0 {
		rec.Sends = []quorum.Send{{Target: crashActors[r.IntN(3)], Number: uint64(ms.log.last.LSN), Args: []byte("x")}}
	}
	if r.IntN(4) == 0 {
		rec.SendsDone = []quorum.SendMark{{Peer: crashActors[r.IntN(3)], Number: uint64(ms.log.last.LSN)}}
	}
	if r.IntN(5) == 0 {
		rec.Timers = []quorum.TimerChange{{Name: "t", Due: int64(r.IntN(99)), Cancel: r.IntN(2) == 0}}
	}
	return ms.log.record(crashActors[r.IntN(3)], rec)
}

func (c *crashRun) append(b *Batch, ms *modelSlot, slot quorum.SlotID) {
	var fresh []quorum.Entry
	for range 1 + c.r.IntN(6) {
		if c.r.IntN(10) == 0 {
			fresh = append(fresh, ms.log.barrier())
		} else {
			fresh = append(fresh, c.record(ms))
		}
	}
	ms.entries = append(slices.Clip(ms.entries), fresh...)
	b.Append(slot, fresh)
}

// step fills a batch with one change of a slot, in the model too.
func (c *crashRun) step(b *Batch) {
	slot := quorum.SlotID(c.r.IntN(len(c.m.slots)))
	ms := &c.m.slots[slot]
	switch n := c.r.IntN(20); {
	case n == 0:
		b.Discard(slot)
		*ms = modelSlot{log: slotLog{slot: slot, ballot: ms.log.ballot, wall: 1}, promise: ms.promise}
	case n == 1:
		c.install(b, ms, slot)
	case n < 5:
		ms.promise = quorum.Promise{Ballot: quorum.Ballot{Epoch: ms.promise.Ballot.Epoch + 1}, Owner: quorum.NodeID(c.r.IntN(9))}
		b.Promise(slot, ms.promise)
	case n < 7:
		c.m.register = fmt.Sprint("view ", c.r.Uint32())
		b.SetRegister([]byte(c.m.register))
	case n < 10 && ms.committed < len(ms.entries):
		keep := ms.committed + c.r.IntN(len(ms.entries)-ms.committed)
		b.Truncate(slot, tails(ms.entries[keep:]))
		ms.entries = ms.entries[:keep:keep]
		ms.log.last = quorum.Entry{}
		if keep > 0 {
			ms.log.last = ms.entries[keep-1]
		}
		ms.log.ballot.Epoch++
		c.append(b, ms, slot)
	default:
		c.append(b, ms, slot)
	}
}

// install replaces the slot by what the donor has, which is some other log.
func (c *crashRun) install(b *Batch, ms *modelSlot, slot quorum.SlotID) {
	promise := ms.promise
	*ms = modelSlot{log: slotLog{slot: slot, ballot: quorum.Ballot{Epoch: ms.log.ballot.Epoch + 1}, wall: 1}, promise: promise}
	fill := c.donor.NewBatch()
	fill.Discard(slot)
	for range 1 + c.r.IntN(5) {
		c.append(fill, ms, slot)
	}
	if err := c.donor.Commit(fill, true); err != nil {
		c.t.Fatal(err)
	}
	ms.committed = len(ms.entries)
	c.fold(c.donor, ms, slot)
	chunks, _ := readSnapshot(c.t, c.donor, slot, MinChunkBytes)
	b.InstallSnapshot(must(stage(c.s, slot, chunks))(c.t))
}

func (c *crashRun) fold(s *Store, ms *modelSlot, slot quorum.SlotID) {
	if ms.committed == 0 {
		return
	}
	base := ms.entries[c.r.IntN(ms.committed)]
	actor := append(crashActors, "")[c.r.IntN(len(crashActors)+1)]
	upTo := quorum.LSN(c.r.IntN(int(base.LSN) + 1))
	// A base that has moved on stays; what is beyond the base cannot be folded.
	if _, err := s.Fold(slot, actor, upTo, base.Position(), base.Hash); err != nil {
		c.t.Fatal(err)
	}
}

// adopt goes on from what the store was found to hold. A fold that the crash has
// left may be newer than the state says.
func (c *crashRun) adopt(m *model) {
	c.m = m.clone()
	for i := range c.m.slots {
		snapshot := must(c.s.OpenSnapshot(quorum.SlotID(i)))(c.t)
		c.m.slots[i].committed = max(c.m.slots[i].committed, int(snapshot.slot.State.Base.LSN))
		if err := snapshot.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// begun says that the store holds what the model holds.
func (c *crashRun) begun() {
	c.states = append(slices.Clip(c.states), c.m.clone())
	c.started.Store(int64(len(c.states) - 1))
	c.acked.Store(int64(len(c.states) - 1))
}

func (c *crashRun) run(steps int) {
	c.begun()
	for range steps {
		b := c.s.NewBatch()
		for range 1 + c.r.IntN(4) {
			before, installs := c.m.clone(), len(b.earlier)
			c.step(b)
			if len(b.earlier) > installs {
				// What comes before a snapshot in its batch is durable before it.
				c.states = append(c.states, before, c.m.clone())
			}
		}
		c.states = append(c.states, c.m.clone())
		c.started.Store(int64(len(c.states) - 1))
		c.installs += len(b.earlier)
		if err := c.s.Commit(b, true); err != nil {
			if c.mayFail && errors.Is(err, ErrFailed) {
				return
			}
			c.t.Fatal(err)
		}
		c.acked.Store(int64(len(c.states) - 1))
		for i := range c.m.slots {
			if ms := &c.m.slots[i]; c.r.IntN(3) == 0 {
				ms.committed += c.r.IntN(len(ms.entries) - ms.committed + 1)
				c.fold(c.s, ms, quorum.SlotID(i))
			}
		}
	}
}

// crashAt makes a copy of a file system as a crash at the n-th write leaves it.
type crashAt struct {
	fs   *vfs.MemFS
	cfg  vfs.CrashCloneCfg
	n    int64
	run  *crashRun
	done atomic.Int64

	mu     sync.Mutex
	clone  *vfs.MemFS
	lo, hi int64       // which of the run's states the copy may hold
	boot   quorum.Boot // that it must know
}

func (c *crashAt) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.done.Add(1) == c.n {
		c.crash()
	}
	return nil
}

func (c *crashAt) String() string { return "crash" }

func (c *crashAt) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lo, c.boot = c.run.acked.Load(), quorum.Boot(c.run.boot.Load())
	c.clone = c.fs.CrashClone(c.cfg)
	c.hi = c.run.started.Load()
}

// after returns what the crash left, crashing now if it did not come to it.
func (c *crashAt) after() (fs *vfs.MemFS, states []*model, early bool) {
	c.mu.Lock()
	early = c.clone != nil
	c.mu.Unlock()
	if !early {
		c.crash()
	}
	return c.clone, c.run.states[c.lo : c.hi+1], early
}

var (
	firstSeed = flag.Uint64("crash-seed", 0, "first seed of TestCrash")
	seeds     = flag.Uint64("crash-seeds", 12, "how many seeds TestCrash runs")
)

// TestCrash runs random commits and folds on a disk that loses what was not
// synced, crashes at a random write, and expects what was acknowledged, and no
// part of what was not begun (H05, H23).
func TestCrash(t *testing.T) {
	var seen crashCounts
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		crashSeed(t, seed, &seen)
	}
	t.Logf("%+v", seen)
	if seen.atWrite == 0 || seen.inDoubt == 0 || seen.installs == 0 || seen.flushes == 0 {
		t.Error("the runs did not come to what they are for")
	}
}

// crashCounts counts what a run is meant to come to.
type crashCounts struct {
	atWrite  int // crashes in the middle
	inDoubt  int // crashes with a commit on the way
	installs int // of snapshots
	flushes  int64
}

func crashSeed(t *testing.T, seed uint64, seen *crashCounts) {
	r := rand.New(rand.NewPCG(seed, 7))
	fs := vfs.NewCrashableMem()
	possible := []*model{newModel()}
	donor, err := Open("data", testOptions(vfs.NewMem(), seed))
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, donor)
	boot := quorum.Boot(0)
	for round := range 4 {
		c := &crashRun{t: t, r: r, donor: donor, states: possible}
		c.started.Store(int64(len(possible) - 1))
		c.boot.Store(int64(boot))
		at := &crashAt{fs: fs, n: 1 + r.Int64N(1200), run: c, cfg: vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 0, 50, 100}[r.IntN(4)],
			RNG:                 rand.New(rand.NewPCG(seed, uint64(round))),
		}}
		o := testOptions(errorfs.Wrap(fs, at), seed+uint64(round))
		o.MemTableBytes, o.Retention = 64<<10, math.MaxInt64
		if c.s, err = Open("data", o); err != nil {
			t.Fatalf("seed %d round %d: %v", seed, round, err)
		}
		if c.s.Identity().Boot <= boot {
			t.Fatalf("seed %d round %d: boot %d after %d", seed, round, c.s.Identity().Boot, boot)
		}
		c.boot.Store(int64(c.s.Identity().Boot))
		got := renderStore(t, c.s)
		i := slices.IndexFunc(possible, func(m *model) bool { return m.render() == got })
		if i < 0 {
			t.Fatalf("seed %d round %d: the store holds\n%s, and none of %d states, the first\n%s",
				seed, round, got, len(possible), possible[0].render())
		}
		c.adopt(possible[i])
		c.run(60)
		seen.installs += c.installs
		seen.flushes += c.s.Metrics().Flushes
		mustClose(t, c.s)
		var crashed bool
		fs, possible, crashed = at.after()
		boot = at.boot
		if crashed {
			seen.atWrite++
		}
		if len(possible) > 1 {
			seen.inDoubt++
		}
	}
}

// TestNewDirectoriesSurvive opens a store in directories that are not there, and
// loses the power.
func TestNewDirectoriesSurvive(t *testing.T) {
	for _, dir := range []string{"data", "a/b/data", "/a/b/data"} {
		fs := vfs.NewCrashableMem()
		s := must(Open(dir, testOptions(fs, 1)))(t)
		disk := s.Identity().Disk
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, s)
		s = must(Open(dir, testOptions(crashed, 2)))(t)
		if got := s.Identity(); got.Disk != disk || got.Boot != 2 {
			t.Errorf("%s: %+v, want boot 2 of disk %v", dir, got, disk)
		}
		mustClose(t, s)
	}
}
