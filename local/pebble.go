package local

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
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

// pebbleOptions are the settings of the store. WALMinSyncInterval stays zero: the
// committer groups commits itself, and a delay would be paid by each call.
func (s *Store) pebbleOptions(o Options) *pebble.Options {
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
		EventListener:               s.eventListener(),
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
	disk, s.healthChecks = vfs.WithDiskHealthChecks(s.fs, slowDiskThreshold, nil,
		func(info vfs.DiskSlowInfo) { s.log.Warn("disk is slow", "what", info.String()) })
	opts.FS = witnessedFS{disk, &s.witness}
	return opts
}

func (s *Store) eventListener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: s.backgroundError,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.fail(damaged("%s: %v", info.Path, info.Details))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.stalls.Add(1)
			s.log.Warn("writes stall", "why", info.Reason)
		},
		WriteStallEnd: func() { s.log.Info("writes go on") },
		LowDiskSpace:  func(info pebble.LowDiskSpaceInfo) { s.log.Warn("disk space is low", "what", info.String()) },
	}
}

// backgroundError is told of failed flushes and compactions, which Pebble repeats
// without a pause. Of a store that does not open nobody would end that.
func (s *Store) backgroundError(err error) {
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
