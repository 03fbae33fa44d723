// Package disk is the disk of a simulated node: one that crashes, loses what was
// not synced, lies, fills up and rots, always when and how a seed says.
//
//	Disk ── FS ──────► WITNESS, LOCK, staged snapshots      vfs.MemFS
//	     └─ Engine ──► the store's map: a copy-on-write     New
//	                   tree, and what a crash would undo
//	                 or Pebble, on the same MemFS           NewPebble
//
// Options.FS of a local.Store is the Disk, and Options.Engine is its Engine. The
// model has no goroutine and no clock, and takes a few microseconds for what takes
// Pebble milliseconds. It promises what Pebble promises, and no more:
//
//   - A batch is atomic. A crash loses a suffix of the batches that were not
//     synced; a sync makes durable all before it.
//   - Each pair has a checksum over its key and value, as Pebble's blocks have. What
//     does not verify is an error for which pebble.IsCorruptionError holds.
//   - A batch needs its own length of free space, also if it only deletes.
//   - A snapshot is swapped in durably, and says nothing of unsynced batches of
//     other slots.
//
// What it does not have: latency, which is the node's to wait for; and space that
// deleted pairs still take.
package disk

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"syscall"

	"actormesh/local/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Counts say how often each fault was injected, and what came of it. Disks that
// come from each other by Crash and Clone count in the same.
type Counts struct {
	Crashes       uint64
	LostBatches   uint64 // unsynced, at a crash
	LostSyncs     uint64 // batches that a lying disk had said to be synced, at a crash
	TornSyncs     uint64 // synced batches that were damaged at the end of the log
	FailedSyncs   uint64 // with EIO
	FullWrites    uint64 // refused with ENOSPC
	BitFlips      uint64
	Misdirections uint64
	DamageFound   uint64 // reads that found a pair damaged
}

// Disk is one node's disk. It is the file system on which the store keeps all but
// its map. The faults that are ordered are one-time, and are not inherited by a
// disk that comes from it.
type Disk struct {
	vfs.FS // mem, with the faults of its syncs

	mem    *vfs.MemFS
	pebble bool
	counts *Counts

	mu       sync.Mutex // never held while anything else is called
	contents contents
	open     int  // stores on it
	found    bool // a read has found a pair damaged
	failSync int  // this many syncs from now on, the last fails; 0: none
	lies     bool // syncs do nothing
	tear     bool // at the crash
	capacity uint64
}

// New returns an empty disk with the model as its engine. The counts are the
// caller's.
func New(counts *Counts) *Disk {
	return newDisk(vfs.NewCrashableMem(), counts, newContents())
}

// NewPebble returns an empty disk with Pebble as its engine. It can crash, be
// cloned, and fail a sync; of the other faults it knows nothing. Pebble has
// goroutines of its own, and flushes when its memtable is full.
func NewPebble(counts *Counts) *Disk {
	d := newDisk(vfs.NewCrashableMem(), counts, contents{})
	d.pebble = true
	return d
}

func newDisk(mem *vfs.MemFS, counts *Counts, c contents) *Disk {
	d := &Disk{mem: mem, counts: counts, contents: c}
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(d.fileSync))
	return d
}

// Engine returns what a store's Options.Engine is to be: nil for Pebble.
func (d *Disk) Engine() engine.Open {
	if d.pebble {
		return nil
	}
	return d.openModel
}

// Crash returns the disk as a restart finds it after the power was lost: without a
// random part of what was not synced, or without any of it if rng is nil. The store
// on the old disk is not to be used any more. One over the model may just be
// dropped; one over Pebble is to be closed, which the new disk does not notice.
func (d *Disk) Crash(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Crashes++
	d.failSync = 0 // the store that is closed is nobody's
	c := d.contents.clone()
	kept, n := 0, c.durable
	if rng != nil {
		kept, n = 100*rng.IntN(2), n+rng.IntN(len(c.history)-n+1)
	}
	if !d.pebble {
		at := c.lastSynced()
		torn := d.tear && at >= 0
		if torn {
			n, kept = min(n, at), 100 // the witness is another file, and sound
		}
		batches, syncs := c.cut(n)
		if torn {
			syncs--
			d.counts.TornSyncs++
		}
		d.counts.LostBatches += batches
		d.counts.LostSyncs += syncs
	}
	return d.copied(c, kept)
}

// Clone returns a copy of the disk as it is: as a killed process leaves it, or as
// a copied or rolled back machine finds it.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.copied(d.contents.clone(), 100)
}

// copied returns a disk with these contents and so many of the unsynced bytes of
// files. Only 0 and 100 percent do not depend on the order of a map.
func (d *Disk) copied(c contents, unsyncedPercent int) *Disk {
	mem := d.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: unsyncedPercent,
		RNG:                 rand.New(rand.NewPCG(0, 0)),
	})
	next := newDisk(mem, d.counts, c)
	next.pebble, next.capacity = d.pebble, d.capacity
	return next
}

// FailSync lets the n-th sync from now on fail with EIO, 1 being the next; 0
// takes that back. What it was to sync may be durable after a crash, or not.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failSync = n
}

// LieAboutSyncs turns syncs into lies: they return at once and do nothing. When
// the lies end, the next sync makes all durable that is still there.
func (d *Disk) LieAboutSyncs(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = on
}

// TearAtCrash lets the next Crash damage the end of the log: the last synced batch
// and all after it are gone, as Pebble takes them for the end of a crash.
func (d *Disk) TearAtCrash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tear = true
}

// InUse reports whether a store is open on the disk. Of Pebble it knows nothing.
func (d *Disk) InUse() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open > 0
}

// Damaged reports whether a pair is damaged, or a read has found that one was.
func (d *Disk) Damaged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found || d.contents.damaged()
}

// SetCapacity bounds what the map may hold, in bytes; 0 means a terabyte. What is
// there already stays.
func (d *Disk) SetCapacity(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

const defaultCapacity = 1 << 40

// GetDiskUsage returns the capacity, and what the map takes of it.
func (d *Disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := d.total()
	used := min(d.contents.bytes, total)
	return vfs.DiskUsage{AvailBytes: total - used, TotalBytes: total, UsedBytes: used}, nil
}

func (d *Disk) total() uint64 {
	if d.capacity == 0 {
		return defaultCapacity
	}
	return d.capacity
}

// room fails if there is no place for so many bytes more.
func (d *Disk) room(bytes int) error {
	if d.contents.bytes+uint64(bytes) > d.total() {
		d.counts.FullWrites++
		return fmt.Errorf("disk: %w", syscall.ENOSPC)
	}
	return nil
}

// FlipBit turns one bit of a pair that the map holds, and reports whether it holds
// any.
func (d *Disk) FlipBit(rng *rand.Rand) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.contents.len()
	if n == 0 {
		return false
	}
	d.contents.flip(rng.IntN(n), rng)
	d.counts.BitFlips++
	return true
}

// MisdirectWrite puts the value of one pair where that of another should be, and
// leaves no sound value in its own place. It reports whether there are two pairs.
func (d *Disk) MisdirectWrite(rng *rand.Rand) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.contents.len()
	if n < 2 {
		return false
	}
	from := rng.IntN(n)
	d.contents.misdirect(from, (from+1+rng.IntN(n-1))%n)
	d.counts.Misdirections++
	return true
}

// sync counts a sync, and fails if it is its turn.
func (d *Disk) sync() error {
	if d.failSync > 0 {
		if d.failSync--; d.failSync == 0 {
			d.counts.FailedSyncs++
			return fmt.Errorf("disk: %w", syscall.EIO)
		}
	}
	return nil
}

// fileSync counts the syncs of the witness, and of Pebble's log. Where another of
// Pebble's syncs fails, it may end the process.
func (d *Disk) fileSync(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	if name := path.Base(op.Path); name != "WITNESS" && !strings.HasSuffix(name, ".log") {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sync()
}

// ReuseForWrite makes a new file instead, as it may: the one that would be reused
// would escape the faults.
func (d *Disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.Remove(oldname); err != nil {
		return nil, err
	}
	return d.Create(newname, category)
}
