package mesh

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"actormesh/quorum"
)

// err returns why the turn is over, nil while it runs.
func (t *turn) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

func (t *turn) doneChan() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == nil {
		t.done = make(chan struct{})
		if t.over != nil {
			close(t.done)
		}
	}
	return t.done
}

// reject makes the turn fail, whatever its handler does about err. The first
// reason stays.
func (t *turn) reject(f *failure, detail string) error {
	e := &Error{Err: f, Detail: detail}
	if t.wrong == nil {
		t.wrong = e
	}
	return e
}

func (t *turn) put(key string, value []byte) error {
	if len(value) > t.limits.valueBytes {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.reject(errTooLarge, fmt.Sprintf("a value of %d bytes, the limit is %d", len(value), t.limits.valueBytes))
	}
	return t.write(key, quorum.KeyWrite{Key: []byte(key), Value: append([]byte{}, value...)})
}

func (t *turn) delete(key string) error {
	return t.write(key, quorum.KeyWrite{Key: []byte(key), Delete: true})
}

// writeOverheadBytes is what the encoding of a write takes at most beside its key
// and value.
const writeOverheadBytes = 11

func (t *turn) write(key string, w quorum.KeyWrite) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over != nil:
		return t.over
	case key == "":
		return fail(errBadRequest, "an ordered key is not empty")
	case len(key) > t.limits.keyBytes:
		return t.reject(errTooLarge, fmt.Sprintf("a key of %d bytes, the limit is %d", len(key), t.limits.keyBytes))
	}
	if old, ok := t.writes[key]; ok {
		t.recordBytes -= writeOverheadBytes + len(old.Key) + len(old.Value)
	}
	if err := t.grow(writeOverheadBytes + len(w.Key) + len(w.Value)); err != nil {
		return err
	}
	if t.writes == nil {
		t.writes = map[string]quorum.KeyWrite{}
	}
	t.writes[key] = w
	return nil
}

// grow adds to what the turn's record will take, so that a turn holds no more in
// memory than it could commit.
func (t *turn) grow(bytes int) error {
	if t.recordBytes += bytes; t.recordBytes > t.limits.recordBytes {
		return t.reject(errTooLarge, fmt.Sprintf("the turn's record is over %d bytes", t.limits.recordBytes))
	}
	return nil
}

func (t *turn) get(key string) ([]byte, bool, error) {
	t.mu.Lock()
	over := t.over
	w, written := t.writes[key]
	t.mu.Unlock()
	if over != nil {
		return nil, false, over
	}
	if !written && t.start.Keys != nil {
		w, written = t.start.Keys.Get([]byte(key))
	}
	if written {
		if w.Delete {
			return nil, false, nil
		}
		return append([]byte{}, w.Value...), true, nil
	}
	value, found, err := t.env.getKey(t.start.Slot, t.start.Call.Actor, []byte(key))
	if err != nil {
		return nil, false, t.unreadable(err)
	}
	if !found {
		return nil, false, nil
	}
	return append([]byte{}, value...), true, nil
}

// unreadable fails a turn that could not read its own state: whatever it then did
// would rest on nothing.
func (t *turn) unreadable(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reject(errUnavailable, "the store cannot be read: "+err.Error())
}

// keyValue is one entry of a scan. It holds copies.
type keyValue struct {
	key   string
	value []byte
}

// Bounds of what a scan takes from the store at a time. The user's code runs
// between, not inside, those reads.
const (
	scanPageKeys  = 128
	scanPageBytes = 1 << 20
)

// scan merges what the store has with what is newer: the overlay, and above it
// the writes of this turn.
func (t *turn) scan(in Range, each func(key string, value []byte) bool) error {
	from, to := in.bounds()
	if to != "" && from >= to {
		return t.err()
	}
	newer := t.newer(from, to)
	left := in.Limit
	if left <= 0 {
		left = math.MaxInt
	}
	emit := func(key string, value []byte) bool {
		left--
		return each(key, value) && left > 0
	}
	emitNewer := func(w quorum.KeyWrite) bool {
		return w.Delete || emit(string(w.Key), append([]byte{}, w.Value...))
	}
	for more := true; more; {
		var page []keyValue
		var err error
		if page, more, err = t.scanPage(from, to, min(left, scanPageKeys)+min(len(newer), scanPageKeys)); err != nil {
			return err
		}
		for _, stored := range page {
			for len(newer) > 0 && string(newer[0].Key) < stored.key {
				w := newer[0]
				if newer = newer[1:]; !emitNewer(w) {
					return nil
				}
			}
			if len(newer) > 0 && string(newer[0].Key) == stored.key {
				continue // the newer one comes next
			}
			if !emit(stored.key, stored.value) {
				return nil
			}
		}
		if more {
			from = page[len(page)-1].key + "\x00"
		}
	}
	for _, w := range newer {
		if !emitNewer(w) {
			return nil
		}
	}
	return nil
}

// scanPage reads a part of the store, and tells whether there may be more.
func (t *turn) scanPage(from, to string, limit int) (page []keyValue, more bool, err error) {
	if err := t.err(); err != nil {
		return nil, false, err
	}
	var end []byte
	if to != "" {
		end = []byte(to)
	}
	size := 0
	err = t.env.scanKeys(t.start.Slot, t.start.Call.Actor, []byte(from), end, limit, func(key, value []byte) bool {
		page = append(page, keyValue{string(key), append([]byte{}, value...)})
		size += len(key) + len(value)
		more = len(page) == limit || size >= scanPageBytes
		return !more
	})
	if err != nil {
		return nil, false, t.unreadable(err)
	}
	return page, more, nil
}

// newer returns the writes in the range that the store does not have, in order,
// each key once. They stay as they are while the handler goes on writing.
func (t *turn) newer(from, to string) []quorum.KeyWrite {
	t.mu.Lock()
	own := make([]quorum.KeyWrite, 0, len(t.writes))
	for w := range maps.Values(t.writes) {
		if key := string(w.Key); key >= from && (to == "" || key < to) {
			own = append(own, w)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(own, compareWrites)
	if t.start.Keys == nil {
		return own
	}
	return mergeWrites(own, from, to, t.start.Keys.Ascend)
}

// mergeWrites merges a turn's own writes, which are in order and in the range, with
// older ones of that range, which ascend gives from a key on. Of two to one key the
// own one stays.
func mergeWrites(own []quorum.KeyWrite, from, to string, ascend func(from []byte, yield func(quorum.KeyWrite) bool)) []quorum.KeyWrite {
	var all []quorum.KeyWrite
	ascend([]byte(from), func(w quorum.KeyWrite) bool {
		if to != "" && string(w.Key) >= to {
			return false
		}
		for len(own) > 0 && bytes.Compare(own[0].Key, w.Key) < 0 {
			all, own = append(all, own[0]), own[1:]
		}
		if len(own) == 0 || !bytes.Equal(own[0].Key, w.Key) {
			all = append(all, w)
		}
		return true
	})
	return append(all, own...)
}
