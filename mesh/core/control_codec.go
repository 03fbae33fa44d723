package core

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actormesh/quorum"
	"actormesh/ring"
)

// Messages between control cores: a version byte, then the fields in order,
// numbers as uvarints and strings with their length before them.

// ErrControl is wrapped by every error of Control about what came from a peer or
// from disk.
var ErrControl = errors.New("not a control message of this program")

const controlVersion = 1

type writer []byte

func newWriter() writer { return writer{controlVersion} }

func (w *writer) uint(v uint64) { *w = binary.AppendUvarint(*w, v) }

func (w *writer) bool(v bool) {
	if v {
		*w = append(*w, 1)
	} else {
		*w = append(*w, 0)
	}
}

func (w *writer) string(s string) { *w = append(binary.AppendUvarint(*w, uint64(len(s))), s...) }

func (w *writer) bytes(b []byte) { *w = append(binary.AppendUvarint(*w, uint64(len(b))), b...) }

func (w *writer) start(s quorum.Start) {
	w.uint(uint64(s.Node))
	w.uint(uint64(s.Boot))
	w.uint(uint64(s.Nonce))
}

func (w *writer) position(p quorum.Position) {
	w.ballot(p.Ballot)
	w.uint(uint64(p.LSN))
}

func (w *writer) ballot(b quorum.Ballot) {
	w.uint(uint64(b.Epoch))
	w.uint(uint64(b.Boot))
}

func (w *writer) member(m *ring.Member) {
	w.uint(uint64(m.ID))
	w.string(m.Name)
	w.string(m.Addr)
	w.string(m.HTTP)
	w.string(m.Zone)
	w.uint(uint64(m.Weight))
	w.uint(uint64(len(m.Kinds)))
	for _, kind := range m.Kinds {
		w.string(kind)
	}
	w.uint(uint64(m.State))
}

// reader reads what a writer wrote. After the first error every read returns
// zero, so that callers look at the error once, at the end.
type reader struct {
	b   []byte
	err error
}

func newReader(b []byte) *reader {
	r := &reader{b: b}
	if v := r.take(1); r.err == nil && v[0] != controlVersion {
		r.fail("version %d, this program reads %d", v[0], controlVersion)
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrControl, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.fail("no number of at most %d", limit)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 { return r.uint(1<<64 - 1) }

func (r *reader) bool() bool { return r.uint(1) == 1 }

func (r *reader) bytes() []byte { return r.take(int(r.uint(uint64(len(r.b))))) }

func (r *reader) string(limit uint64) string {
	return string(r.take(int(r.uint(min(limit, uint64(len(r.b)))))))
}

func (r *reader) start() quorum.Start {
	return quorum.Start{
		Node: quorum.NodeID(r.uint64()), Boot: quorum.Boot(r.uint64()), Nonce: quorum.Nonce(r.uint64()),
	}
}

func (r *reader) slot() quorum.SlotID { return quorum.SlotID(r.uint(ring.MaxSlots - 1)) }

func (r *reader) ballot() quorum.Ballot {
	return quorum.Ballot{Epoch: quorum.Epoch(r.uint64()), Boot: quorum.Boot(r.uint64())}
}

func (r *reader) position() quorum.Position {
	return quorum.Position{Ballot: r.ballot(), LSN: quorum.LSN(r.uint64())}
}

const (
	maxTextBytes = 1 << 10
	maxKinds     = 1024
)

func (r *reader) member() ring.Member {
	m := ring.Member{
		ID: ring.NodeID(r.uint64()), Name: r.string(maxTextBytes), Addr: r.string(maxTextBytes),
		HTTP: r.string(maxTextBytes), Zone: r.string(maxTextBytes), Weight: uint32(r.uint(ring.MaxWeight)),
	}
	m.Kinds = list(r, 1, func() string { return r.string(maxTextBytes) })
	m.State = ring.MemberState(r.uint(uint64(ring.Leaving)))
	if m.ID == 0 || len(m.Kinds) > maxKinds {
		r.fail("a member %s with %d kinds", m.ID, len(m.Kinds))
	}
	return m
}

// list reads a count and that many items, each of at least minBytes, so that a
// wrong count cannot allocate more than the input could hold.
func list[T any](r *reader, minBytes int, item func() T) []T {
	n := int(r.uint(uint64(len(r.b) / minBytes)))
	if n == 0 {
		return nil
	}
	items := make([]T, 0, n)
	for range n {
		items = append(items, item())
	}
	return items
}

// end returns the first error, or an error if bytes are left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes left over", len(r.b))
	}
	return r.err
}
