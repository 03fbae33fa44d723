package kinds

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"actormesh/mesh"
)

// KV is an ordered map from keys to values, which are any JSON. Every change of a
// key gives it a version that no key of this store ever had before, so that a
// version seen twice means that nothing happened in between.
//
// The entries are the actor's ordered keys, each the version in 8 bytes and then
// the value, so that the store may be far larger than a struct.
type KV struct {
	Version uint64 `json:"version"` // the highest that was given
}

// Bounds of a store. A key and its value fit into an argument and, with a version,
// into a reply.
const (
	maxKeyBytes      = 1 << 10
	maxValueBytes    = 1<<20 - 4<<10
	defaultListLimit = 100
	maxListLimit     = 1000
	maxListBytes     = 512 << 10 // after which a list stops, whatever its limit
)

// PutArg is the argument of KV.Put.
type PutArg struct {
	Key   string          `json:"key"` // 1 to 1024 bytes of UTF-8
	Value json.RawMessage `json:"value"`
}

// KeyArg is the argument of KV.Get and KV.Delete.
type KeyArg struct {
	Key string `json:"key"`
}

// CASArg is the argument of KV.Cas.
type CASArg struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Version uint64          `json:"version"` // that the key must have; 0 for absent
}

// ListArg is the argument of KV.List.
type ListArg struct {
	Prefix string `json:"prefix"` // of the keys wanted
	After  string `json:"after"`  // begin behind this key
	Limit  int    `json:"limit"`  // at most so many: 1 to 1000; if zero, 100
}

// Versioned is a result that is a version.
type Versioned struct {
	Version uint64 `json:"version"`
}

// Entry is the result of KV.Get.
type Entry struct {
	Value   json.RawMessage `json:"value"`
	Version uint64          `json:"version"`
}

// Deleted is the result of KV.Delete.
type Deleted struct {
	Deleted bool `json:"deleted"`
}

// Item is one entry of a List.
type Item struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Version uint64          `json:"version"`
}

// List is the result of KV.List, in the order of the keys' bytes.
type List struct {
	Items []Item `json:"items"`
	Next  string `json:"next"` // for ListArg.After, to read on; empty at the end
}

// Put sets a key and returns its new version.
func (kv *KV) Put(ctx *mesh.Ctx, in PutArg) (Versioned, error) {
	if err := checkKey(in.Key); err != nil {
		return Versioned{}, err
	}
	return kv.set(ctx, in.Key, in.Value)
}

// Cas sets a key if its version is the given one, and returns its new version.
// Otherwise the error is CodeVersionMismatch.
func (kv *KV) Cas(ctx *mesh.Ctx, in CASArg) (Versioned, error) {
	if err := checkKey(in.Key); err != nil {
		return Versioned{}, err
	}
	entry, _, err := getEntry(ctx, in.Key)
	if err != nil {
		return Versioned{}, err
	}
	if entry.Version != in.Version {
		mismatch := appError(CodeVersionMismatch, "key %q has version %d, not %d", in.Key, entry.Version, in.Version)
		mismatch.Details = fmt.Appendf(nil, `{"version":%d}`, entry.Version)
		return Versioned{}, mismatch
	}
	return kv.set(ctx, in.Key, in.Value)
}

func (kv *KV) set(ctx *mesh.Ctx, key string, value json.RawMessage) (Versioned, error) {
	var compact bytes.Buffer
	switch {
	case len(value) == 0:
		return Versioned{}, invalid("the value is missing")
	case len(value) > maxValueBytes:
		return Versioned{}, invalid("the value is %d bytes, the limit is %d", len(value), maxValueBytes)
	}
	compact.Write(make([]byte, 8)) // of the version
	if err := json.Compact(&compact, value); err != nil {
		return Versioned{}, invalid("the value is no JSON: %v", err)
	}
	kv.Version++
	b := compact.Bytes()
	binary.BigEndian.PutUint64(b, kv.Version)
	return Versioned{kv.Version}, ctx.Put(key, b)
}

// Delete deletes a key and returns whether it existed.
func (kv *KV) Delete(ctx *mesh.Ctx, in KeyArg) (Deleted, error) {
	if err := checkKey(in.Key); err != nil {
		return Deleted{}, err
	}
	_, found, err := getEntry(ctx, in.Key)
	if err != nil || !found {
		return Deleted{}, err
	}
	return Deleted{true}, ctx.Delete(in.Key)
}

// Get returns a key's value and version, or CodeNotFound.
func (kv *KV) Get(ctx *mesh.View, in KeyArg) (Entry, error) {
	if err := checkKey(in.Key); err != nil {
		return Entry{}, err
	}
	entry, found, err := getEntry(ctx, in.Key)
	if err == nil && !found {
		err = appError(CodeNotFound, "no key %q", in.Key)
	}
	return entry, err
}

// List returns keys in order. Where there are more than the limit, or than a reply
// holds, Next says how to go on.
func (kv *KV) List(ctx *mesh.View, in ListArg) (List, error) {
	if in.Limit < 0 || in.Limit > maxListLimit {
		return List{}, invalid("the limit is %d, it must be from 1 to %d", in.Limit, maxListLimit)
	}
	if in.Limit == 0 {
		in.Limit = defaultListLimit
	}
	r := mesh.Range{Prefix: in.Prefix, Limit: in.Limit + 1} // one more tells whether there are more
	if in.After != "" {
		r.From = in.After + "\x00"
	}
	out := List{Items: []Item{}}
	size := 0
	var damaged error
	err := ctx.Scan(r, func(key string, b []byte) bool {
		if size += len(key) + len(b); len(out.Items) > 0 && (len(out.Items) == in.Limit || size > maxListBytes) {
			out.Next = out.Items[len(out.Items)-1].Key
			return false
		}
		var entry Entry
		entry, damaged = parseEntry(key, b)
		out.Items = append(out.Items, Item{key, entry.Value, entry.Version})
		return damaged == nil
	})
	if err == nil {
		err = damaged
	}
	return out, err
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKeyBytes || !utf8.ValidString(key) {
		return invalid("a key is 1 to %d bytes of UTF-8", maxKeyBytes)
	}
	return nil
}

// reader is what a Ctx and a View have in common here.
type reader interface {
	// Get returns the value of an ordered key, and whether there is one.
	Get(key string) ([]byte, bool, error)
}

// getEntry returns a key's entry, the zero Entry if there is none.
func getEntry(ctx reader, key string) (Entry, bool, error) {
	b, found, err := ctx.Get(key)
	if err != nil || !found {
		return Entry{}, false, err
	}
	entry, err := parseEntry(key, b)
	return entry, err == nil, err
}

func parseEntry(key string, b []byte) (Entry, error) {
	if len(b) < 8 {
		return Entry{}, fmt.Errorf("the entry of key %q is damaged", key)
	}
	return Entry{Value: b[8:], Version: binary.BigEndian.Uint64(b)}, nil
}
