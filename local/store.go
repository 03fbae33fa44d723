package local

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"actormesh/local/engine"
	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a store. For each field zero means the default.
type Options struct {
	FS            vfs.FS        // default: the operating system's
	Name          string        // the node's name; the directory keeps it and refuses any other. Default: not checked
	CacheBytes    int64         // of the block cache, memtables aside; default 32 MiB
	MemTableBytes uint64        // of one memtable, of which there are 4 at most; default 16 MiB
	Retention     time.Duration // of answers to clients' own keys and of silent sessions; default 1 h
	Logger        *slog.Logger  // default: slog.Default()
	Entropy       io.Reader     // for disk id, nonce and reset key; default crypto/rand
	Engine        engine.Open   // default: Pebble
}

const (
	defaultCacheBytes    = 32 << 20
	defaultMemTableBytes = 16 << 20
	defaultRetention     = time.Hour
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	return o
}

// Store is the disk of one node. Its methods may be called from any goroutine.
type Store struct {
	fs        vfs.FS
	dir       string
	log       *slog.Logger
	retention time.Duration
	engine    engine.Engine // nil until it is open
	lock      io.Closer
	witness   witness

	commitMu sync.Mutex    // one commit at a time
	commits  atomic.Uint64 // synced ones, ever

	register atomic.Pointer[[]byte]

	idMu     sync.Mutex
	id       Identity
	peers    []string
	resetKey [32]byte

	gatesMu sync.Mutex
	gates   map[quorum.SlotID]*slotGate

	recoveredMu sync.Mutex
	recovered   []StoredSlot // found at open, until Recover hands it over

	stagings atomic.Uint64

	failure atomic.Pointer[error]
	opening atomic.Bool
	stuck   atomic.Bool   // Pebble cannot be closed any more
	failed  chan struct{} // closed after failure is set
}

// slotGate keeps a fold apart from what replaces the slot that it folds.
type slotGate struct {
	fold sync.Mutex // held by a fold from start to end
	mu   sync.Mutex // held while the slot is changed other than by its log
	gen  uint64     // counts discards and installed snapshots
}

func (s *Store) gate(slot quorum.SlotID) *slotGate {
	s.gatesMu.Lock()
	defer s.gatesMu.Unlock()
	g := s.gates[slot]
	if g == nil {
		g = &slotGate{}
		s.gates[slot] = g
	}
	return g
}

// Open opens the store in dir, or makes one in an empty or missing directory. It
// reads and checks all that the store holds, counts a new boot, and returns when
// that is durable. The errors to tell apart are ErrDamaged, ErrFormat, ErrLocked
// and ErrOtherName.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{
		fs: o.FS, dir: dir, log: o.Logger, retention: o.Retention,
		witness: witness{fs: o.FS, dir: dir},
		gates:   map[quorum.SlotID]*slotGate{},
		failed:  make(chan struct{}),
	}
	if err := makeDir(o.FS, dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.lockDir(o); err != nil {
		return nil, fmt.Errorf("open store %s: %w: %w", dir, ErrLocked, err)
	}
	if err := s.open(o); err != nil {
		err = errors.Join(err, s.Close())
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

// lockDir takes the directory's lock: as Pebble does it, which wants to know that
// it was given back, or else as a simulated process, which just ends.
func (s *Store) lockDir(o Options) (err error) {
	if o.Engine != nil {
		s.lock, err = s.fs.Lock(s.fs.PathJoin(s.dir, "LOCK"))
		return err
	}
	s.lock, err = pebble.LockDirectory(s.dir, s.fs)
	return err
}

// makeDir makes the directory and those above it that are missing, durably. Pebble
// would do it, but it finds the directory there, for the lock is in it.
func makeDir(fs vfs.FS, dir string) error {
	parents := []string{fs.PathDir(dir)}
	for {
		last := parents[len(parents)-1]
		_, err := fs.Stat(last)
		if err == nil || fs.PathDir(last) == last {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		parents = append(parents, fs.PathDir(last))
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		f, err := fs.OpenDir(parent)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) open(o Options) error {
	said, err := readWitness(s.fs, s.dir)
	if err != nil {
		return err
	}
	if s.engine, err = s.openEngine(o, said); err != nil {
		return err
	}
	empty, err := s.checkFormat()
	if err != nil {
		return err
	}
	commits, err := s.loadCommits()
	if err != nil {
		return err
	}
	if commits < said.commits {
		return damaged("%d synced commits are there of %d", commits, said.commits)
	}
	s.commits.Store(commits)
	if err := s.removeStaged(); err != nil {
		return err
	}
	if s.recovered, err = s.scan(); err != nil {
		return err
	}
	if err := s.startIdentity(empty, o.Entropy); err != nil {
		return err
	}
	if err := s.witness.open(s.commits.Load()); err != nil {
		return err
	}
	if o.Name != "" {
		return s.SetName(o.Name)
	}
	return nil
}

func (s *Store) openEngine(o Options, said testimony) (engine.Engine, error) {
	if o.Engine == nil {
		return s.openPebble(o, said)
	}
	e, err := o.Engine(engine.Config{
		Dir: s.dir, FS: s.fs, CacheBytes: o.CacheBytes, MemTableBytes: o.MemTableBytes, Logger: s.log,
		Fail: func(err error) { s.fail(classify(err)) },
	})
	if err != nil {
		return nil, classify(err)
	}
	return e, nil
}

// checkFormat checks the version of the store, and reports whether it holds
// nothing yet.
func (s *Store) checkFormat() (empty bool, err error) {
	value, found, err := s.get([]byte{keyFormat})
	if err != nil {
		return false, err
	}
	if found {
		if string(value) != storeFormat {
			return false, fmt.Errorf("%w: store format %q, this program knows %q", ErrFormat, value, storeFormat)
		}
		return false, nil
	}
	it, err := s.engine.NewIter(nil, nil)
	if err != nil {
		return false, classify(err)
	}
	empty = !it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, classify(err)
	}
	if !empty {
		return false, damaged("there is no format key")
	}
	return true, nil
}

// storeFormat is the value of the format key.
const storeFormat = "actormesh store 1"

func (s *Store) loadCommits() (uint64, error) {
	value, found, err := s.get([]byte{keyCommits})
	if err != nil || !found {
		return 0, err
	}
	if len(value) != 8 {
		return 0, damaged("count of commits has %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// get returns a copy of the key's value.
func (s *Store) get(key []byte) (value []byte, found bool, err error) {
	value, found, err = s.engine.Get(key, false)
	return value, found, classify(err)
}

// Failed returns a channel that is closed at the store's first failure, which Err
// then returns: a failed write or fsync, or damage found while running. The node
// must stop. What was being committed may be durable or not, and its Commit may
// not return.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns the store's first failure, which wraps ErrFailed, or nil.
func (s *Store) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail records the store's first failure and returns it.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
	if s.failure.CompareAndSwap(nil, &err) {
		s.log.Error("store has failed", "err", cause)
		close(s.failed)
		return err
	}
	return s.Err()
}

// Close closes the store. No other call may be running. What was committed
// without a sync is synced, if the store has not failed.
func (s *Store) Close() error {
	if s.stuck.Load() {
		return s.Err()
	}
	var errs []error
	if s.engine != nil {
		errs = append(errs, s.closeEngine())
	}
	errs = append(errs, s.witness.close(), s.lock.Close())
	return errors.Join(errs...)
}

func (s *Store) closeEngine() (err error) {
	if s.Err() != nil {
		// After a failed write it is reported again, in one way or another.
		defer func() {
			_ = recover()
			err = nil
		}()
	}
	return s.engine.Close()
}

// Flush writes out what is in memory only, and makes durable what was committed
// without a sync. The engine does it by itself when it has to.
func (s *Store) Flush() error {
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.engine.Flush(); err != nil {
		return s.fail(fmt.Errorf("flush: %w", classify(err)))
	}
	return nil
}

// FreeBytes returns how much space the disk has left for this process.
func (s *Store) FreeBytes() (uint64, error) {
	usage, err := s.fs.GetDiskUsage(s.dir)
	return usage.AvailBytes, err
}

// SlotBytes returns about how much disk the slot takes. What is not flushed from
// memory yet is not counted.
func (s *Store) SlotBytes(slot quorum.SlotID) (uint64, error) {
	start, end := slotRange(slot)
	n, err := s.engine.DiskUsage(start, end)
	return n, classify(err)
}

// removeStaged deletes what stagings of an earlier run have left.
func (s *Store) removeStaged() error {
	dir := s.stagingDir()
	if err := s.fs.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.fs.MkdirAll(dir, 0o700)
}

func (s *Store) stagingDir() string { return s.fs.PathJoin(s.dir, "staging") }
