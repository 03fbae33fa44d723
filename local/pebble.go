package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"actormesh/local/engine"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFormat is pinned, so that a newer library does not change stores behind
// our back. It is above FormatWALSyncChunks, below which a flipped bit in the
// synced tail of the WAL reads as a clean end, and above what IngestAndExcise needs.
const pebbleFormat = pebble.FormatValueSeparation

const (
	memTablesBeforeStall = 4
	l0FilesBeforeStall   = 64
	bloomBitsPerKey      = 10
	tableBytes           = 4 << 20
	slowDiskThreshold    = 5 * time.Second
	discardFlushDelay    = 10 * time.Second // space of a discarded slot comes back after it
)

// pebbleEngine is Pebble as the store's engine.
type pebbleEngine struct {
	s            *Store
	db           *pebble.DB
	opts         *pebble.Options
	healthChecks io.Closer
	stalls       atomic.Int64
}

// openPebble opens Pebble, if its MANIFEST is as long as the witness said.
func (s *Store) openPebble(o Options, said testimony) (engine.Engine, error) {
	if err := checkManifest(s.fs, s.dir, said); err != nil {
		return nil, err
	}
	e := &pebbleEngine{s: s}
	e.setOptions(o)
	if err := e.open(); err != nil {
		if !s.stuck.Load() {
			err = errors.Join(err, e.healthChecks.Close())
		}
		return nil, err
	}
	return e, nil
}

// open opens Pebble in a goroutine of its own, for a failure on the way may end
// that goroutine, or leave it waiting for ever.
func (e *pebbleEngine) open() error {
	s := e.s
	s.opening.Store(true)
	defer s.opening.Store(false)
	type result struct {
		db  *pebble.DB
		err error
	}
	opened := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				opened <- result{err: damaged("%v", p)}
			}
		}()
		db, err := pebble.Open(s.dir, e.opts)
		opened <- result{db, err}
	}()
	select {
	case <-s.failed:
		s.stuck.Store(true)
		return s.Err()
	case r := <-opened:
		e.db = r.db
		if r.err != nil && strings.Contains(r.err.Error(), "format major version") {
			return fmt.Errorf("%w: %w", ErrFormat, r.err)
		}
		return classifyOpen(r.err)
	}
}

// setOptions makes the settings. WALMinSyncInterval stays zero: the
// committer groups commits itself, and a delay would be paid by each call.
func (e *pebbleEngine) setOptions(o Options) {
	s := e.s
	opts := &pebble.Options{
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   o.CacheBytes + memTablesBeforeStall*int64(o.MemTableBytes), // Pebble takes memtables off it
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: memTablesBeforeStall,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       l0FilesBeforeStall,
		BytesPerSync:                512 << 10,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		FlushDelayDeleteRange:       discardFlushDelay,
		Logger:                      pebbleLogger{s},
		EventListener:               e.eventListener(),
	}
	// A dedup key is missing far more often than it is found. Filter and index are
	// read whole, so that tables must not be large.
	for i := range opts.Levels {
		opts.TargetFileSizes[i] = tableBytes
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	// Reads of cold actors must not set off compactions.
	opts.Experimental.ReadSamplingMultiplier = -1
	// The newer table formats have a checksum in the footer as well.
	opts.Experimental.EnableColumnarBlocks = func() bool { return true }
	var disk vfs.FS
	disk, e.healthChecks = vfs.WithDiskHealthChecks(s.fs, slowDiskThreshold, nil,
		func(info vfs.DiskSlowInfo) { s.log.Warn("disk is slow", "what", info.String()) })
	opts.FS = witnessedFS{disk, &s.witness}
	opts.Lock = s.lock.(*pebble.Lock)
	opts.EnsureDefaults()
	e.opts = opts
}

func (e *pebbleEngine) eventListener() *pebble.EventListener {
	s := e.s
	return &pebble.EventListener{
		BackgroundError: s.backgroundError,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.fail(damaged("%s: %v", info.Path, info.Details))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			e.stalls.Add(1)
			s.log.Warn("writes stall", "why", info.Reason)
		},
		WriteStallEnd: func() { s.log.Info("writes go on") },
		LowDiskSpace:  func(info pebble.LowDiskSpaceInfo) { s.log.Warn("disk space is low", "what", info.String()) },
	}
}

// backgroundError is told of failed flushes and compactions, which Pebble repeats
// without a pause. Of a store that does not open nobody would end that. It is also
// told of a flush that gave way to a snapshot that was installed meanwhile: such a
// flush begins again, and nothing has failed.
func (s *Store) backgroundError(err error) {
	if errors.Is(err, pebble.ErrCancelledCompaction) {
		return
	}
	s.fail(fmt.Errorf("in the background: %w", classify(err)))
	if s.opening.Load() || s.stuck.Load() {
		s.stuck.Store(true)
		runtime.Goexit()
	}
}

// pebbleLogger passes Pebble's own messages on.
type pebbleLogger struct{ s *Store }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug) {
		l.s.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) { l.s.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf is called where Pebble cannot go on, as after a failed fsync of the
// MANIFEST, and must not return: what would follow relies on what has just
// failed. Only this goroutine ends, so that the node can say why it stops.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.stuck.Store(true)
	l.s.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}

// Get returns a copy of the key's value. DB.Get would not use the filters of the
// lowest level, where most keys are.
func (e *pebbleEngine) Get(key []byte, rare bool) (value []byte, found bool, err error) {
	if rare {
		return e.getFiltered(key)
	}
	v, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return append([]byte{}, v...), true, closer.Close()
}

func (e *pebbleEngine) getFiltered(key []byte) (value []byte, found bool, err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, false, err
	}
	if found = it.SeekPrefixGE(key); found {
		var v []byte
		v, err = it.ValueAndErr()
		value = append([]byte{}, v...)
	}
	err = errors.Join(err, it.Error(), it.Close())
	return value, found && err == nil, err
}

// NewIter returns an iterator over [lower, upper).
func (e *pebbleEngine) NewIter(lower, upper []byte) (engine.Iterator, error) {
	return e.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// DiskUsage does not count what is in memtables.
func (e *pebbleEngine) DiskUsage(start, end []byte) (uint64, error) {
	return e.db.EstimateDiskUsage(start, end)
}

// pebbleBatch is a batch without an index, whose methods cannot fail.
type pebbleBatch struct{ *pebble.Batch }

// NewBatch returns an empty batch.
func (e *pebbleEngine) NewBatch() engine.Batch { return pebbleBatch{e.db.NewBatch()} }

// SetDeferred sets a key.
func (b pebbleBatch) SetDeferred(keyBytes, valueBytes int) (key, value []byte) {
	op := b.Batch.SetDeferred(keyBytes, valueBytes) // Finish would do nothing
	return op.Key, op.Value
}

// Delete deletes a key.
func (b pebbleBatch) Delete(key []byte) { _ = b.Batch.Delete(key, nil) }

// DeleteSized deletes a key.
func (b pebbleBatch) DeleteSized(keyBytes int, valueBytes uint32) (key []byte) {
	return b.DeleteSizedDeferred(keyBytes, valueBytes).Key
}

// DeleteRange deletes the keys in [start, end).
func (b pebbleBatch) DeleteRange(start, end []byte) { _ = b.Batch.DeleteRange(start, end, nil) }

// Close drops the batch. It only ever fails if it is closed twice.
func (b pebbleBatch) Close() { _ = b.Batch.Close() }

// Apply applies a batch.
func (e *pebbleEngine) Apply(b engine.Batch, sync bool) (err error) {
	pb := b.(pebbleBatch).Batch
	// Where it cannot write its log, Pebble panics, with its locks held.
	defer func() {
		if p := recover(); p != nil {
			e.s.stuck.Store(true)
			err = fmt.Errorf("pebble: %v", p)
		}
	}()
	if !sync {
		return e.db.Apply(pb, pebble.NoSync)
	}
	if err := e.db.ApplyNoSyncWait(pb, pebble.Sync); err != nil {
		return err
	}
	return pb.SyncWait()
}

// CreateTable begins a file with the options of the level where an installed
// snapshot comes to rest.
func (e *pebbleEngine) CreateTable(name string) (engine.Table, error) {
	f, err := e.s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	o := e.opts.MakeWriterOptions(len(e.opts.Levels)-1, e.db.TableFormat())
	return sstable.NewWriter(objstorageprovider.NewFileWritable(f), o), nil
}

// Ingest replaces [start, end) by what the files hold.
func (e *pebbleEngine) Ingest(names []string, start, end []byte) error {
	_, err := e.db.IngestAndExcise(context.Background(), names, nil, nil, pebble.KeyRange{Start: start, End: end})
	return err
}

// Flush flushes the memtable.
func (e *pebbleEngine) Flush() error { return e.db.Flush() }

// Metrics returns Pebble's readings.
func (e *pebbleEngine) Metrics() engine.Metrics {
	m := e.db.Metrics()
	return engine.Metrics{
		DiskBytes:           m.DiskSpaceUsage(),
		WALBytes:            m.WAL.Size,
		MemTableBytes:       m.MemTable.Size,
		CacheBytes:          m.BlockCache.Size,
		CacheHits:           m.BlockCache.Hits,
		CacheMisses:         m.BlockCache.Misses,
		ReadAmplification:   m.ReadAmp(),
		L0Files:             m.Levels[0].TablesCount,
		CompactionDebtBytes: m.Compact.EstimatedDebt,
		Flushes:             m.Flush.Count,
		Compactions:         m.Compact.Count,
		WriteStalls:         e.stalls.Load(),
	}
}

// Close closes Pebble, which may panic if a write has failed before.
func (e *pebbleEngine) Close() (err error) {
	defer func() { err = errors.Join(err, e.healthChecks.Close()) }()
	return e.db.Close()
}
