package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"

	"actormesh/bench"
)

// bare is a bench.System that is a limit, not a peer: what this machine's disk
// does for the same payload with no network, no other process and no protocol.
// Calls that wait together share one commit. Its CPU is that of the clients.
type bare struct {
	name    string
	version string
	open    func(dir string) (store, error)
}

var _ bench.System = (*bare)(nil)

// store makes values durable.
type store interface {
	// commit returns how many fsyncs it took to make all of the values safe.
	commit(batch []bench.Request) (fsyncs int, err error)
	Close() error
}

// Name implements bench.System.
func (b *bare) Name() string { return b.name }

// Version implements bench.System.
func (b *bare) Version(context.Context) (string, error) { return b.version, nil }

// Vias implements bench.System.
func (b *bare) Vias() []string { return []string{"bare"} }

// Workloads implements bench.System.
func (b *bare) Workloads() []bench.Workload { return []bench.Workload{bench.KVPut} }

// Start implements bench.System.
func (b *bare) Start(_ context.Context, dir string) (bench.Cluster, error) {
	s, err := b.open(dir)
	if err != nil {
		return nil, err
	}
	c := &committer{store: s, waiting: make(chan waiting, bench.MaxClients)}
	c.wg.Go(c.run)
	return c, nil
}

// committer commits what waits, one batch after the other. It is a bench.Cluster
// and its own bench.Client.
type committer struct {
	store   store
	waiting chan waiting
	fsyncs  atomic.Uint64
	wg      sync.WaitGroup
}

// waiting is a call that waits.
type waiting struct {
	bench.Request
	done chan error
}

func (c *committer) run() {
	var calls []waiting
	var batch []bench.Request
	for first := range c.waiting {
		calls, batch = append(calls[:0], first), append(batch[:0], first.Request)
		for range len(c.waiting) {
			w := <-c.waiting
			calls, batch = append(calls, w), append(batch, w.Request)
		}
		n, err := c.store.commit(batch)
		c.fsyncs.Add(uint64(n))
		for _, w := range calls {
			w.done <- err
		}
	}
}

// Dial implements bench.Cluster.
func (c *committer) Dial(context.Context, string, int) (bench.Client, error) {
	return committerClient{c}, nil
}

// Counters implements bench.Cluster.
func (c *committer) Counters(context.Context) (bench.Counters, error) {
	return bench.Counters{Fsyncs: c.fsyncs.Load()}, nil
}

// PIDs implements bench.Cluster: the stores are in this process.
func (c *committer) PIDs() []int { return []int{os.Getpid()} }

// Close implements bench.Cluster.
func (c *committer) Close() error {
	close(c.waiting)
	c.wg.Wait()
	return c.store.Close()
}

// committerClient is a bench.Client.
type committerClient struct{ *committer }

// Do implements bench.Client. A disk that is asked answers: nothing else ends it.
func (c committerClient) Do(_ context.Context, _ int, r bench.Request) error {
	done := make(chan error, 1)
	c.waiting <- waiting{r, done}
	return <-done
}

// Close implements bench.Client.
func (c committerClient) Close() error { return nil }

// file is a store: one file, to which values are appended.
type file struct {
	f   *os.File
	out []byte
}

func openFile(dir string) (store, error) {
	f, err := os.Create(filepath.Join(dir, "log"))
	return &file{f: f}, err
}

func (s *file) commit(batch []bench.Request) (int, error) {
	s.out = s.out[:0]
	for _, r := range batch {
		s.out = append(s.out, r.Value...)
	}
	if _, err := s.f.Write(s.out); err != nil {
		return 0, err
	}
	return 1, unix.Fdatasync(int(s.f.Fd()))
}

func (s *file) Close() error { return s.f.Close() }

// pebbles is a store: as many Pebble stores as a mesh has nodes, which commit each
// batch at the same time, each with one fsync. A batch is safe when all have it.
type pebbles [nodes]*pebble.DB

func openPebbles(dir string) (store, error) {
	var s pebbles
	for i := range s {
		var err error
		s[i], err = pebble.Open(filepath.Join(dir, strconv.Itoa(i)), &pebble.Options{Logger: silent{}})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return &s, nil
}

func (s *pebbles) commit(batch []bench.Request) (int, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(s))
	for i, db := range s {
		wg.Go(func() { errs[i] = commitTo(db, batch) })
	}
	wg.Wait()
	return len(s), errors.Join(errs...)
}

func commitTo(db *pebble.DB, batch []bench.Request) error {
	b := db.NewBatch()
	defer b.Close()
	var key []byte
	for _, r := range batch {
		key = strconv.AppendInt(append(key[:0], "bench-"...), int64(r.Key), 10)
		if err := b.Set(key, []byte(r.Value), nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (s *pebbles) Close() error {
	var errs []error
	for _, db := range s {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// silent is a pebble.Logger of the last words only.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
