package core

import (
	"bytes"

	"actormesh/quorum"

	"github.com/google/btree"
)

// Overlay holds an actor's writes to its ordered keys that are newer than what
// the store has folded. A turn reads a frozen copy.
type Overlay struct {
	tree *btree.BTreeG[overlayWrite]
}

type overlayWrite struct {
	quorum.KeyWrite
	lsn quorum.LSN
}

// NewOverlay returns an empty overlay.
func NewOverlay() *Overlay {
	return &Overlay{tree: btree.NewG(16, func(a, b overlayWrite) bool {
		return bytes.Compare(a.Key, b.Key) < 0
	})}
}

// Freeze returns a copy that later writes do not change. It costs the same
// however large the overlay is.
func (o *Overlay) Freeze() *Overlay { return &Overlay{tree: o.tree.Clone()} }

// Get returns the newest write to the key, if there is one.
func (o *Overlay) Get(key []byte) (quorum.KeyWrite, bool) {
	w, ok := o.tree.Get(overlayWrite{KeyWrite: quorum.KeyWrite{Key: key}})
	return w.KeyWrite, ok
}

// Ascend calls yield with each write from key from on, in the order of the keys,
// until it returns false.
func (o *Overlay) Ascend(from []byte, yield func(quorum.KeyWrite) bool) {
	o.tree.AscendGreaterOrEqual(overlayWrite{KeyWrite: quorum.KeyWrite{Key: from}}, func(w overlayWrite) bool {
		return yield(w.KeyWrite)
	})
}

func (o *Overlay) add(lsn quorum.LSN, writes []quorum.KeyWrite) {
	for _, w := range writes {
		o.tree.ReplaceOrInsert(overlayWrite{w, lsn})
	}
}

// folded drops what the store now has: writes of records up to lsn.
func (o *Overlay) folded(lsn quorum.LSN) {
	var done []overlayWrite
	o.tree.Ascend(func(w overlayWrite) bool {
		if w.lsn <= lsn {
			done = append(done, w)
		}
		return true
	})
	for _, w := range done {
		o.tree.Delete(w)
	}
}
