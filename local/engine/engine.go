// Package engine says what the store of a node asks of the ordered, durable map of
// bytes below it. In production that is Pebble; a simulator puts a model there.
//
//	local.Store ──► Engine ──► Pebble          production
//	                     └───► chaos/sim/disk  one goroutine, faults on demand
//
// An engine keeps bytes in a directory. It takes changes in batches, each atomic,
// also in a crash, and a crash loses a suffix of the batches that were not synced:
// never a synced one, and never one from between those that it keeps. What it reads
// it has checked: damage is an error for which pebble.IsCorruptionError holds.
package engine

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the engine in a directory that is there, durably, and locked, or makes
// a new one if the directory has none.
type Open func(Config) (Engine, error)

// Config is what a store tells the engine that it opens.
type Config struct {
	Dir           string
	FS            vfs.FS
	CacheBytes    int64
	MemTableBytes uint64
	Logger        *slog.Logger
	Fail          func(error) // is to be told of a failure that no call can return
}

// Engine is an ordered map of byte strings on a disk. Its methods may be called
// from many goroutines, as far as the store's own may.
type Engine interface {
	Reader
	Writer
	// Flush writes out what is in memory only, and makes durable all that was
	// applied.
	Flush() error
	Metrics() Metrics
	// Close makes durable all that was applied. No batch or iterator may be open.
	Close() error
}

// Reader is the part of an engine that reads.
type Reader interface {
	// Get returns a copy of the key's value. rare says that the key is missing
	// more often than not, and that to find that out should be cheap.
	Get(key []byte, rare bool) (value []byte, found bool, err error)
	// NewIter returns an iterator over [lower, upper) as it is now; nil bounds
	// nothing. The bounds must not be modified while it is open.
	NewIter(lower, upper []byte) (Iterator, error)
	// DiskUsage returns about how many bytes of [start, end) are on the disk.
	DiskUsage(start, end []byte) (uint64, error)
}

// Writer is the part of an engine that writes.
type Writer interface {
	NewBatch() Batch
	// Apply applies a batch of this engine. With sync it returns when this one and
	// all before it are durable. After an error what is durable is uncertain.
	Apply(b Batch, sync bool) error
	// CreateTable begins a file, outside of the map, that Ingest takes.
	CreateTable(name string) (Table, error)
	// Ingest replaces [start, end) by what the tables hold, durably and at once.
	// The files are the engine's from then on.
	Ingest(names []string, start, end []byte) error
}

// Batch collects changes, of which a later one of a key replaces an earlier one.
// It keeps nothing of what it is given.
type Batch interface {
	// SetDeferred sets a key to a value of these lengths, both to be filled in
	// before the next call of a method.
	SetDeferred(keyBytes, valueBytes int) (key, value []byte)
	Delete(key []byte)
	// DeleteSized deletes a key that has a value of about valueBytes. The key is
	// to be filled in before the next call of a method.
	DeleteSized(keyBytes int, valueBytes uint32) (key []byte)
	DeleteRange(start, end []byte)
	Empty() bool
	// Close drops the batch, applied or not. It is called once.
	Close()
}

// Set sets a key in a batch.
func Set(b Batch, key, value []byte) {
	k, v := b.SetDeferred(len(key), len(value))
	copy(k, key)
	copy(v, value)
}

// Iterator goes over keys in ascending order; it is the part of *pebble.Iterator
// that a store needs. What Key and ValueAndErr return is good until the iterator
// moves, and must not be modified. First, Next and the seeks report whether they
// have come to a key; if not, Error says whether that is the end.
type Iterator interface {
	First() bool
	Next() bool
	SeekGE(key []byte) bool
	// SeekPrefixGE goes to exactly this key, if it is there. Next may not follow.
	SeekPrefixGE(key []byte) bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

// Table takes pairs in the order of their keys. After Close it is durable.
type Table interface {
	Set(key, value []byte) error
	Close() error
}

// Metrics are readings of an engine, for monitoring.
type Metrics struct {
	DiskBytes           uint64 // all files, those that wait for their deletion included
	WALBytes            uint64 // live data in the write-ahead log
	MemTableBytes       uint64
	CacheBytes          int64
	CacheHits           int64 // block cache, since the start
	CacheMisses         int64
	ReadAmplification   int // sorted runs that a read may have to look at
	L0Files             int64
	CompactionDebtBytes uint64
	Flushes             int64 // since the start
	Compactions         int64 // since the start
	WriteStalls         int64 // since the start
}
