package local

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// What callers tell apart. Every error of this package wraps one of them, an
// error of the file system, or quorum.ErrCorrupt.
var (
	// ErrDamaged says that the store has lost or changed what it held. The node
	// must not serve from it: its data directory is to be wiped, and the node
	// comes back as a new disk.
	ErrDamaged = errors.New("store is damaged: wipe the data directory, the node comes back as a new disk")
	// ErrFormat says that a newer program wrote the store, or something in it.
	ErrFormat = errors.New("store has a format that this program does not know")
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrFailed says that a write or fsync failed before; what is durable is
	// uncertain until the store is opened again.
	ErrFailed = errors.New("store has failed")
	// ErrOtherName says that the data directory belongs to a node of another name.
	ErrOtherName = errors.New("data directory belongs to another node name")
	// ErrOtherCluster says that the data directory belongs to another cluster.
	ErrOtherCluster = errors.New("data directory belongs to another cluster")
	// ErrGone says that entries are no longer in the log: folded, cut or
	// discarded. Whoever needs them needs a snapshot, or asks again.
	ErrGone = errors.New("entries are no longer in the log")
	// ErrSuperseded says that the slot was discarded or replaced by a snapshot
	// while a fold was at work. Nothing was changed.
	ErrSuperseded = errors.New("slot was replaced meanwhile")
	// ErrSnapshot says that a snapshot's chunks are not what a sender writes, or
	// what they hold does not verify. Nothing of it is kept.
	ErrSnapshot = errors.New("snapshot is not valid")
	// ErrTooLarge says that an entry cannot be stored.
	ErrTooLarge = errors.New("entry is too large")
)

// damageError says what is wrong in the store. It is an ErrDamaged.
type damageError struct{ what string }

func (e *damageError) Error() string        { return ErrDamaged.Error() + ": " + e.what }
func (e *damageError) Is(target error) bool { return target == ErrDamaged }

func damaged(format string, args ...any) error {
	return &damageError{fmt.Sprintf(format, args...)}
}

// snapshotError says the same of a snapshot, which is not this node's store.
func snapshotError(err error) error {
	var damage *damageError
	if errors.As(err, &damage) {
		return fmt.Errorf("%w: %s", ErrSnapshot, damage.what)
	}
	return fmt.Errorf("%w: %w", ErrSnapshot, err)
}

// classify marks the errors of Pebble that mean damage.
func classify(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrDamaged):
		return err
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// classifyOpen is classify for the errors of pebble.Open, where a file that is
// missing or of another length is damage too.
func classifyOpen(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), "object size mismatch") {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return classify(err)
}
