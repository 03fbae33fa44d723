package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"actormesh/local/engine"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/btree"
)

// model is the engine of a disk that is not Pebble's. As Pebble does, it panics
// when it is used after its end.
type model struct {
	d      *Disk
	closed bool
}

func (d *Disk) openModel(engine.Config) (engine.Engine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return &model{d: d}, nil
}

// lock locks the disk for one call.
func (m *model) lock() {
	m.d.mu.Lock()
	if m.closed {
		m.d.mu.Unlock()
		panic("disk: the store is used after its end")
	}
}

// corrupt is the error of a pair that does not verify.
func (d *Disk) corrupt(p *pair) error {
	d.counts.DamageFound++
	d.found = true
	return fmt.Errorf("disk: key %x: checksum does not match: %w", p.key, pebble.ErrCorruption)
}

// Get returns a copy of the key's value.
func (m *model) Get(key []byte, _ bool) (value []byte, found bool, err error) {
	m.lock()
	defer m.d.mu.Unlock()
	p, found := m.d.contents.tree.Get(&pair{key: key})
	switch {
	case !found:
		return nil, false, nil
	case !p.sound():
		return nil, false, m.d.corrupt(p)
	}
	return append([]byte{}, p.value...), true, nil
}

// NewIter returns an iterator over [lower, upper).
func (m *model) NewIter(lower, upper []byte) (engine.Iterator, error) {
	m.lock()
	defer m.d.mu.Unlock()
	return &iterator{d: m.d, tree: m.d.contents.tree.Clone(), lower: lower, upper: upper}, nil
}

// DiskUsage returns what the pairs in [start, end) take.
func (m *model) DiskUsage(start, end []byte) (n uint64, err error) {
	m.lock()
	defer m.d.mu.Unlock()
	m.d.contents.tree.AscendRange(&pair{key: start}, &pair{key: end}, func(p *pair) bool {
		n += p.bytes()
		return true
	})
	return n, nil
}

// batch is a list of changes to come.
type batch struct {
	ops   []op
	bytes int
}

// op sets a pair, or deletes a key, or, with an end, a range of keys.
type op struct {
	pair   *pair
	delete bool
	end    []byte
}

// NewBatch returns an empty batch.
func (m *model) NewBatch() engine.Batch { return &batch{} }

// add adds an op for a key and a value of these lengths, in one piece of memory.
func (b *batch) add(keyBytes, valueBytes int, o op) *pair {
	data := make([]byte, keyBytes+valueBytes)
	o.pair = &pair{key: data[:keyBytes:keyBytes], value: data[keyBytes:]}
	b.ops = append(b.ops, o)
	b.bytes += int(o.pair.bytes())
	return o.pair
}

// SetDeferred sets a key.
func (b *batch) SetDeferred(keyBytes, valueBytes int) (key, value []byte) {
	p := b.add(keyBytes, valueBytes, op{})
	return p.key, p.value
}

// Delete deletes a key.
func (b *batch) Delete(key []byte) { copy(b.DeleteSized(len(key), 0), key) }

// DeleteSized deletes a key.
func (b *batch) DeleteSized(keyBytes int, _ uint32) (key []byte) {
	return b.add(keyBytes, 0, op{delete: true}).key
}

// DeleteRange deletes the keys in [start, end).
func (b *batch) DeleteRange(start, end []byte) {
	copy(b.add(len(start), 0, op{delete: true, end: bytes.Clone(end)}).key, start)
}

// Empty reports whether the batch changes nothing.
func (b *batch) Empty() bool { return len(b.ops) == 0 }

// Close drops the batch.
func (b *batch) Close() { b.ops = nil }

// Apply applies a batch. One whose sync fails is there, until a crash at least.
func (m *model) Apply(eb engine.Batch, sync bool) error {
	m.lock()
	defer m.d.mu.Unlock()
	b, c := eb.(*batch), &m.d.contents
	if err := m.d.room(b.bytes); err != nil {
		return err
	}
	changes := make([]change, 0, len(b.ops))
	for _, o := range b.ops {
		switch {
		case o.end != nil:
			changes = c.removeRange(o.pair.key, o.end, changes)
		case o.delete:
			if removed, found := c.remove(o.pair); found {
				changes = append(changes, removed)
			}
		default:
			o.pair.sum = pairSum(o.pair.key, o.pair.value)
			changes = append(changes, c.set(o.pair))
		}
	}
	c.applied(changes)
	if !sync {
		return nil
	}
	return m.syncAll()
}

func (m *model) syncAll() error {
	if err := m.d.sync(); err != nil {
		return err
	}
	m.d.contents.synced(m.d.lies)
	return nil
}

// Flush syncs what was applied, for the model has nothing that is in memory only.
func (m *model) Flush() error {
	m.lock()
	defer m.d.mu.Unlock()
	return m.syncAll()
}

// Close syncs what was applied.
func (m *model) Close() error {
	m.lock()
	defer m.d.mu.Unlock()
	m.closed = true
	m.d.open--
	return m.syncAll()
}

// Metrics returns what there is to measure.
func (m *model) Metrics() engine.Metrics {
	m.lock()
	defer m.d.mu.Unlock()
	return engine.Metrics{DiskBytes: m.d.contents.bytes, MemTableBytes: m.d.contents.bytes}
}

// table is a file of pairs, each with the lengths of key and value as uvarints
// before it, and a checksum of all at the end.
type table struct {
	d    *Disk
	f    vfs.File
	data []byte
}

// CreateTable begins a file of pairs.
func (m *model) CreateTable(name string) (engine.Table, error) {
	f, err := m.d.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &table{d: m.d, f: f}, nil
}

// Set adds a pair.
func (t *table) Set(key, value []byte) error {
	t.data = binary.AppendUvarint(t.data, uint64(len(key)))
	t.data = binary.AppendUvarint(t.data, uint64(len(value)))
	t.data = append(append(t.data, key...), value...)
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	return t.d.room(len(t.data))
}

// Close writes and syncs the file.
func (t *table) Close() error {
	t.data = binary.BigEndian.AppendUint32(t.data, crc32.Checksum(t.data, castagnoli))
	_, err := t.f.Write(t.data)
	return errors.Join(err, t.f.Sync(), t.f.Close())
}

// readTable returns the pairs of a file.
func (d *Disk) readTable(name string) ([]*pair, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	end := max(len(data)-crc32.Size, 0)
	if end == 0 || crc32.Checksum(data[:end], castagnoli) != binary.BigEndian.Uint32(data[end:]) {
		return nil, fmt.Errorf("disk: %s: %w", name, pebble.ErrCorruption)
	}
	var pairs []*pair
	for data = data[:end]; len(data) > 0; {
		keyBytes, n := binary.Uvarint(data)
		valueBytes, m := binary.Uvarint(data[n:])
		key := data[n+m:][:keyBytes:keyBytes]
		value := data[n+m+int(keyBytes):][:valueBytes:valueBytes]
		pairs = append(pairs, &pair{key: key, value: value, sum: pairSum(key, value)})
		data = data[n+m+int(keyBytes+valueBytes):]
	}
	return pairs, nil
}

// Ingest replaces [start, end) by what the files hold. If the sync of that fails,
// nothing has changed.
func (m *model) Ingest(names []string, start, end []byte) error {
	var pairs []*pair
	for _, name := range names {
		more, err := m.d.readTable(name)
		if err != nil {
			return err
		}
		pairs = append(pairs, more...)
	}
	if err := m.ingest(pairs, start, end); err != nil {
		return err
	}
	for _, name := range names {
		if err := m.d.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) ingest(pairs []*pair, start, end []byte) error {
	m.lock()
	defer m.d.mu.Unlock()
	if err := m.d.sync(); err != nil {
		return err
	}
	c := &m.d.contents
	changes := c.removeRange(start, end, nil)
	for _, p := range pairs {
		changes = append(changes, c.set(p))
	}
	if m.d.lies {
		c.applied(changes)
		c.synced(true)
	} else {
		c.excised(start, end)
	}
	return nil
}

// iterator goes over a copy of the tree, which costs nothing before the next
// write, some pairs at a time.
type iterator struct {
	d            *Disk
	tree         *btree.BTreeG[*pair]
	lower, upper []byte
	pairs        []*pair // the next ones
	at           int
	more         bool // there may be more after pairs
	limit        int  // of pairs
	err          error
}

const (
	minIterPairs = 4
	maxIterPairs = 256
)

// First goes to the first key.
func (it *iterator) First() bool { return it.SeekGE(it.lower) }

// SeekGE goes to the first key that is not less than this one.
func (it *iterator) SeekGE(key []byte) bool {
	if bytes.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	it.limit = minIterPairs
	it.fill(key, false)
	return it.check()
}

// SeekPrefixGE goes to this key.
func (it *iterator) SeekPrefixGE(key []byte) bool {
	it.pairs, it.at, it.more = it.pairs[:0], 0, false
	if bytes.Compare(key, it.lower) >= 0 && (it.upper == nil || bytes.Compare(key, it.upper) < 0) {
		if p, found := it.tree.Get(&pair{key: key}); found {
			it.pairs = append(it.pairs, p)
		}
	}
	return it.check()
}

// Next goes to the next key.
func (it *iterator) Next() bool {
	it.at++
	if it.at == len(it.pairs) && it.more {
		it.limit = min(2*it.limit, maxIterPairs)
		it.fill(it.pairs[it.at-1].key, true)
	}
	return it.check()
}

// fill reads pairs from a key on, or after it.
func (it *iterator) fill(key []byte, after bool) {
	it.pairs, it.at, it.more = it.pairs[:0], 0, false
	it.tree.AscendGreaterOrEqual(&pair{key: key}, func(p *pair) bool {
		if it.upper != nil && bytes.Compare(p.key, it.upper) >= 0 {
			return false
		}
		if after && bytes.Equal(p.key, key) {
			return true
		}
		it.pairs = append(it.pairs, p)
		it.more = len(it.pairs) == it.limit
		return !it.more
	})
}

// check reports whether there is a pair, and a sound one.
func (it *iterator) check() bool {
	if it.err != nil || it.at >= len(it.pairs) {
		return false
	}
	if p := it.pairs[it.at]; !p.sound() {
		it.d.mu.Lock()
		defer it.d.mu.Unlock()
		it.err = it.d.corrupt(p)
	}
	return it.err == nil
}

// Key returns the key.
func (it *iterator) Key() []byte { return it.pairs[it.at].key }

// ValueAndErr returns the value.
func (it *iterator) ValueAndErr() ([]byte, error) { return it.pairs[it.at].value, nil }

// Error returns the damage that was found.
func (it *iterator) Error() error { return it.err }

// Close ends the iterator.
func (it *iterator) Close() error { return it.err }
