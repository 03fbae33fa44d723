package mesh

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"time"
)

// Ctx is what a handler that may write knows of its turn, and how it acts. It is
// a context.Context that ends with the turn's deadline, with ErrDeadline, or when
// the node loses the actor, with ErrStopped. All its methods return such an error
// once the turn is over, and may be called from several goroutines.
type Ctx struct{ reading }

// View is what a handler that only reads knows of its turn: Ctx without the means
// to write.
type View struct{ reading }

var (
	_ context.Context = (*Ctx)(nil)
	_ Caller          = (*Ctx)(nil)
	_ context.Context = (*View)(nil)
	_ Caller          = (*View)(nil)
)

// Put sets one of the actor's own ordered keys, which are for state that is too
// large for its struct. It is part of the turn: if the turn is rolled back, so is
// it. A key is 1 to 1024 bytes and a value at most 1 MiB, if not configured
// otherwise; one that is larger is ErrTooLarge, and rolls the turn back. The
// value is copied.
func (c *Ctx) Put(key string, value []byte) error { return c.t.put(key, value) }

// Delete deletes one of the actor's ordered keys, whether it exists or not.
func (c *Ctx) Delete(key string) error { return c.t.delete(key) }

// reading is what Ctx and View have in common.
type reading struct{ t *turn }

// Key returns the actor's id.
func (r *reading) Key() string {
	_, _, id := r.t.start.Call.Actor.Split()
	return id
}

// Kind returns the name of the actor's kind.
func (r *reading) Kind() string { return r.t.kind.name }

// Now returns the wall time of the actor's node when the turn began. From turn to
// turn of an actor it never goes back, also from node to node.
func (r *reading) Now() time.Time { return time.Unix(0, r.t.wall) }

// Fence returns the turn's fence.
func (r *reading) Fence() Fence {
	f := r.t.start.Fence
	return Fence{Epoch: uint64(f.Ballot.Epoch), Boot: uint64(f.Ballot.Boot), Turn: f.Turn}
}

// Get returns the value of one of the actor's ordered keys, and whether there is
// one. It sees what this turn has written. The value is the caller's.
func (r *reading) Get(key string) (value []byte, found bool, err error) { return r.t.get(key) }

// Scan calls each with the actor's ordered keys in the range, in the order of
// their bytes, until it returns false. It sees what this turn has written before
// it. The values are the caller's.
func (r *reading) Scan(in Range, each func(key string, value []byte) bool) error {
	return r.t.scan(in, each)
}

// Deadline returns when the turn must have ended, by the clock of Now; ok is false
// where it has no deadline.
func (r *reading) Deadline() (deadline time.Time, ok bool) {
	if r.t.start.Call.Deadline == 0 {
		return time.Time{}, false
	}
	return r.Now().Add(r.t.start.Call.Deadline.Sub(r.t.began)), true
}

// Done returns a channel that is closed when the turn is over.
func (r *reading) Done() <-chan struct{} { return r.t.doneChan() }

// Err returns nil while the turn runs, ErrDeadline if its deadline passed, and
// otherwise ErrStopped.
func (r *reading) Err() error { return r.t.err() }

// Value returns nil: a turn carries no values.
func (r *reading) Value(key any) any {
	if key == (turnKey{}) {
		return r.t
	}
	return nil
}

// turnKey is the key by which contexts that are derived from a turn's find it.
type turnKey struct{}

// turnOf returns the turn from which ctx is derived, or nil.
func turnOf(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey{}).(*turn)
	return t
}

func (r *reading) invoke(ctx context.Context, inv *invocation) (*result, error) {
	return r.t.invoke(ctx, inv)
}

func (r *reading) kindFor(t reflect.Type) (string, error) { return r.t.env.kindFor(t) }

// Range is a range of an actor's ordered keys. The zero Range is all of them.
type Range struct {
	Prefix string // keys that begin with it
	From   string // keys at or above it
	To     string // keys below it; if empty, to the end
	Limit  int    // at most so many; if zero, no limit
}

// bounds returns the range as from <= key < to; an empty to is no bound.
func (r Range) bounds() (from, to string) {
	from, to = max(r.Prefix, r.From), r.To
	if end := prefixEnd(r.Prefix); end != "" && (to == "" || end < to) {
		to = end
	}
	return from, to
}

// prefixEnd returns the lowest string above all that begin with p, or "" if there
// is none.
func prefixEnd(p string) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			return p[:i] + string([]byte{p[i] + 1})
		}
	}
	return ""
}

// Fence protects a resource outside the mesh: it grows from turn to turn of an
// actor, also through crashes and moves. A resource that remembers the highest
// fence it has seen, and refuses lower ones, is never changed by a turn that a
// later one has overtaken.
type Fence struct {
	Epoch uint64 // of the actor's slot
	Boot  uint64 // of the owner
	Turn  uint64 // counted under that epoch and boot
}

// Compare orders fences: -1 if f is below g, 0 if they are equal, otherwise +1.
func (f Fence) Compare(g Fence) int {
	return cmp.Or(cmp.Compare(f.Epoch, g.Epoch), cmp.Compare(f.Boot, g.Boot), cmp.Compare(f.Turn, g.Turn))
}

// Less reports whether f is below g.
func (f Fence) Less(g Fence) bool { return f.Compare(g) < 0 }

// String returns "epoch.boot.turn".
func (f Fence) String() string { return fmt.Sprintf("%d.%d.%d", f.Epoch, f.Boot, f.Turn) }
