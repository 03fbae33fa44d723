package mesh

import (
	"fmt"
	"sync"
	"time"

	"actormesh/local"
	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// committer makes writes durable: one Pebble commit with one fsync for all that
// the loops handed over while the last one was syncing.
//
//	shard loops ─┐
//	control loop ┴► pending ──swap──► one batch ──fsync──► durable(seq) to each
//
// After a commit that many shared, it pauses for as long as that took: an fsync
// costs CPU beside its time, and then twice as many share the next. A few callers
// never wait, and many wait for one fsync more at most.
type committer struct {
	env     Environment
	store   *local.Store
	metrics *metrics
	failed  func(error)
	most    int // bytes that are written at once, about

	mu      sync.Mutex
	pending []submission
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

// submission is what one loop wants durable, in the order in which it was
// handed over.
type submission struct {
	writes   []quorum.Write
	register []byte // the view register's state; nil if it has not changed
	durable  func(seq uint64)
	seq      uint64
}

func newCommitter(env Environment, store *local.Store, m *metrics, failed func(error)) *committer {
	return &committer{env: env, store: store, metrics: m, failed: failed, most: maxBatchBytes, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// submit hands writes over. It never blocks: what a loop has under way is
// bounded by what it admits.
func (c *committer) submit(s submission) {
	c.mu.Lock()
	c.pending = append(c.pending, s)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close ends run after what was submitted is written.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.env.Wait(0, c.done, nil, nil)
}

func (c *committer) run() {
	defer close(c.done)
	batch := c.store.NewBatch()
	defer batch.Close()
	var taken []submission
	for {
		c.env.Wait(0, c.wake, nil, nil)
		for {
			c.mu.Lock()
			taken, c.pending = c.pending, taken[:0]
			closed := c.closed
			c.mu.Unlock()
			if len(taken) == 0 {
				if closed {
					return
				}
				break
			}
			for rest := taken; len(rest) > 0; {
				n, err := c.write(batch, rest)
				if err != nil {
					// What is durable is uncertain: nothing more is said.
					c.failed(fmt.Errorf("writing to %w", err))
					return
				}
				rest = rest[n:]
			}
			clear(taken)
		}
	}
}

// maxBatchBytes is about how much is written at once: the store has a limit of its
// own far above it, and what a commit holds is in memory twice.
const maxBatchBytes = 64 << 20

// write commits one batch, of all of the list that goes into one, and tells the
// loops. It returns how many submissions these were.
func (c *committer) write(batch *local.Batch, list []submission) (int, error) {
	n, entries := 0, 0
	for ; n < len(list) && batch.Bytes() < c.most; n++ {
		if list[n].register != nil {
			batch.SetRegister(list[n].register)
		}
		for j := range list[n].writes {
			entries += addWrite(batch, &list[n].writes[j])
		}
	}
	began := c.env.About()
	if err := c.env.Commit(c.store, batch); err != nil && !mutant.On(mutant.FailedSyncIgnored) {
		return 0, err
	}
	took := c.env.About().Sub(began)
	c.metrics.observeCommit(entries, took)
	for i := range list[:n] {
		list[i].durable(list[i].seq)
	}
	if entries >= sharedEntries {
		c.env.Wait(c.env.About().Add(min(took, maxPause)), nil, nil, nil)
	}
	return n, nil
}

// After commits of so many entries there is a pause, of so long at most.
const (
	sharedEntries = 8
	maxPause      = 2 * time.Millisecond
)

// addWrite adds a write of the core's to a batch, and returns the entries in it.
func addWrite(batch *local.Batch, w *quorum.Write) int {
	switch w.Kind {
	case quorum.WritePromise:
		batch.Promise(w.Slot, w.Promise)
	case quorum.WriteAppend:
		batch.Append(w.Slot, w.Entries)
		return len(w.Entries)
	case quorum.WriteTruncate:
		batch.Truncate(w.Slot, w.Cut)
	case quorum.WriteDiscard:
		batch.Discard(w.Slot)
	case quorum.WriteInstall:
		batch.InstallSnapshot(w.Snapshot.(*local.Staged))
	}
	return 0
}
