package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"actormesh/local"
	"actormesh/quorum"
)

// logSyncs counts, holds up and fails the fsyncs of Pebble's write-ahead log.
type logSyncs struct {
	count atomic.Int64
	hold  chan struct{} // takes a value for each while it is not nil
	begun chan struct{}
	bad   atomic.Bool
}

var errDisk = errors.New("the disk is broken")

// fs is a file system in memory whose syncs these are.
func (s *logSyncs) fs() vfs.FS {
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if !sync || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		s.count.Add(1)
		if s.hold != nil {
			s.begun <- struct{}{}
			<-s.hold
		}
		if s.bad.Load() {
			return errDisk
		}
		return nil
	}))
}

// testCommitter is a committer of a store in memory.
type testCommitter struct {
	*committer
	t      *testing.T
	store  *local.Store
	syncs  *logSyncs
	failed chan error

	mu   sync.Mutex
	told []string // loop and number, in the order in which they were told
}

func newTestCommitter(t *testing.T) *testCommitter {
	c := &testCommitter{t: t, syncs: &logSyncs{}, failed: make(chan error, 8)}
	var err error
	c.store, err = local.Open("store", local.Options{FS: c.syncs.fs(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.committer = newCommitter(machine{}, c.store, newMetrics(func() nodeStats { return nodeStats{} }), func(err error) { c.failed <- err })
	return c
}

// promise submits a promise of a slot for a loop.
func (c *testCommitter) promise(loop string, seq uint64) {
	w := quorum.Write{Kind: quorum.WritePromise, Slot: 1, Promise: quorum.Promise{Ballot: quorum.Ballot{Epoch: quorum.Epoch(seq), Boot: 1}, Owner: 7}}
	c.submit(submission{writes: []quorum.Write{w}, seq: seq, durable: func(seq uint64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, fmt.Sprint(loop, seq))
	}})
}

func (c *testCommitter) toldSoFar() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

// TestCommitBatches submits while a commit syncs: all of it goes into the next one.
func TestCommitBatches(t *testing.T) {
	c := newTestCommitter(t)
	c.syncs.hold, c.syncs.begun = make(chan struct{}), make(chan struct{})
	go c.run()
	c.promise("a", 1)
	<-c.syncs.begun
	var want []string
	for i := range uint64(50) {
		c.promise("a", 2+i)
		c.promise("b", 1+i)
		want = append(want, fmt.Sprint("a", 2+i), fmt.Sprint("b", 1+i))
	}
	if told := c.toldSoFar(); len(told) > 0 {
		t.Errorf("durable before the sync: %v", told)
	}
	before := c.syncs.count.Load()
	c.syncs.hold <- struct{}{}
	<-c.syncs.begun
	if told := c.toldSoFar(); !slices.Equal(told, []string{"a1"}) {
		t.Errorf("after the first sync: %v", told)
	}
	c.syncs.hold <- struct{}{}
	closed := make(chan struct{})
	go func() {
		c.close()
		close(closed)
	}()
	<-closed
	if told := c.toldSoFar(); !slices.Equal(told[1:], want) {
		t.Errorf("told %v,\nwant %v", told[1:], want)
	}
	if n := c.syncs.count.Load() - before; n != 1 {
		t.Errorf("%d syncs of what was submitted during one", n)
	}
	c.syncs.hold = nil
	if err := c.store.Close(); err != nil {
		t.Error(err)
	}
}

// TestCommitCloseWritesAll submits, and closes at once.
func TestCommitCloseWritesAll(t *testing.T) {
	c := newTestCommitter(t)
	c.submit(submission{register: []byte("state"), seq: 1, durable: func(uint64) {}})
	for i := range uint64(20) {
		c.promise("a", 1+i)
	}
	go c.run()
	c.close()
	if told := c.toldSoFar(); len(told) != 20 || string(c.store.Register()) != "state" {
		t.Errorf("told %v, register %q", told, c.store.Register())
	}
	if err := c.store.Close(); err != nil {
		t.Error(err)
	}
}

// TestCommitBound writes more than one batch is to hold.
func TestCommitBound(t *testing.T) {
	c := newTestCommitter(t)
	c.most = 16 << 10
	data := make([]byte, 1<<10)
	const entries = 2*16 + 1
	var list []submission
	hash, told := uint64(0), uint64(0)
	for i := range uint64(entries) {
		e := quorum.Entry{LSN: quorum.LSN(i + 1), Ballot: quorum.Ballot{Epoch: 1, Boot: 1}, Actor: quorum.MakeActorKey("pot", "a"), Data: data}
		if i > 0 {
			e.Prev = e.Ballot
		}
		e.Hash = e.ChainHash(hash)
		hash = e.Hash
		list = append(list, submission{seq: i + 1, durable: func(seq uint64) { told = seq },
			writes: []quorum.Write{{Kind: quorum.WriteAppend, Slot: 1, Entries: []quorum.Entry{e}}}})
	}
	batch := c.store.NewBatch()
	defer batch.Close()
	commits := 0
	for rest := list; len(rest) > 0; commits++ {
		n, err := c.write(batch, rest)
		if err != nil || n == 0 || told != list[len(list)-len(rest)+n-1].seq {
			t.Fatalf("%d written, %v; told %d", n, err, told)
		}
		rest = rest[n:]
	}
	if commits < 2 || commits > 3 { // an entry is a little more than its data
		t.Errorf("%d commits", commits)
	}
	if err := c.store.Close(); err != nil {
		t.Error(err)
	}
}

// TestCommitFailureStops breaks the disk: nothing is called durable from then on,
// and the node is told once.
func TestCommitFailureStops(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	c := newTestCommitter(t)
	go c.run()
	c.promise("a", 1)
	eventually(t, "the first write", func() bool { return len(c.toldSoFar()) == 1 })
	c.syncs.bad.Store(true)
	c.promise("a", 2)
	select {
	case <-c.store.Failed():
		if err := c.store.Err(); !errors.Is(err, local.ErrFailed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the store does not say that it has failed")
	}
	c.promise("a", 3)
	if told := c.toldSoFar(); len(told) != 1 {
		t.Errorf("durable after a failed fsync: %v", told)
	}
}

// TestNodeDiskFails breaks the disk under a node, which stops with the reason, and
// does not wait for what will never end.
func TestNodeDiskFails(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	m := newTestMesh(t)
	var syncs logSyncs
	n := m.start("n1", func(c *Config) { c.store.FS = syncs.fs() })
	add(t, n, "a", 1)
	syncs.bad.Store(true)
	if _, err := Call(t.Context(), Get[pot](n, "a"), (*pot).Add, 1); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a call as the disk breaks: %v", err)
	}
	select {
	case <-n.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not stop")
	}
	if err := n.Err(); !errors.Is(err, local.ErrFailed) {
		t.Errorf("why it has stopped: %v", err)
	}
	if err := n.Close(); !errors.Is(err, local.ErrFailed) {
		t.Errorf("close: %v", err)
	}
}

// TestNodeDiskFailsAsItStops breaks the disk when the node is told to stop: it says so.
func TestNodeDiskFailsAsItStops(t *testing.T) {
	if !ownProcess(t) {
		return
	}
	m := newTestMesh(t)
	var syncs logSyncs
	n := m.start("n1", func(c *Config) { c.store.FS = syncs.fs() })
	add(t, n, "a", 1)
	syncs.bad.Store(true)
	if err := n.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close: %v", err)
	}
}

// pauses is a machine on which waiting for a time is only noted.
type pauses struct {
	machine
	took []time.Duration
}

func (p *pauses) Wait(until quorum.Instant, a, b, c <-chan struct{}) {
	if until == 0 {
		p.machine.Wait(until, a, b, c)
		return
	}
	p.took = append(p.took, until.Sub(p.About()))
}

// TestCommitPauses commits what a few have written, and then what many have: only
// that is followed by a pause, after all have been told, and not by a long one.
func TestCommitPauses(t *testing.T) {
	c := newTestCommitter(t)
	defer c.store.Close()
	env := &pauses{}
	c.env = env
	batch := c.store.NewBatch()
	defer batch.Close()
	told, toldAtPause := 0, 0
	shared := func(n int) []submission {
		var list []submission
		for i := range n {
			w := quorum.Write{Kind: quorum.WriteAppend, Slot: quorum.SlotID(i), Entries: []quorum.Entry{{LSN: 1}}}
			list = append(list, submission{writes: []quorum.Write{w}, durable: func(uint64) { told++; toldAtPause = len(env.took) }})
		}
		return list
	}
	for _, n := range []int{1, sharedEntries - 1} {
		if _, err := c.write(batch, shared(n)); err != nil || len(env.took) != 0 {
			t.Fatalf("%d entries: %v, pauses %v", n, err, env.took)
		}
	}
	told = 0
	if _, err := c.write(batch, shared(sharedEntries)); err != nil || len(env.took) != 1 || env.took[0] > maxPause {
		t.Fatalf("%d entries: %v, pauses %v", sharedEntries, err, env.took)
	}
	if told != sharedEntries || toldAtPause != 0 {
		t.Errorf("%d were told, the last after %d pauses", told, toldAtPause)
	}
}
