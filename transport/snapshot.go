package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quic-go/quic-go"

	"actormesh/quorum"
)

const maxSnapshotHeaderBytes = 64 << 10

// SnapshotWriter sends one snapshot. Exactly one of Close and Abort must be
// called.
type SnapshotWriter struct {
	ctx    context.Context
	link   *link
	stream *quic.Stream
	stop   func() bool
}

// OpenSnapshot begins to send a snapshot to a peer, on a connection of its own,
// so that it delays nothing else. The header, up to 64 KiB, comes first. The
// context bounds the whole of it.
func (t *Transport) OpenSnapshot(ctx context.Context, to quorum.NodeID, header []byte) (*SnapshotWriter, error) {
	p, err := t.peer(to)
	if err != nil {
		return nil, err
	}
	if len(header) > maxSnapshotHeaderBytes {
		return nil, fmt.Errorf("%w: a header of %d bytes", ErrTooLarge, len(header))
	}
	l, err := t.ep.dial(ctx, p.addr, p.name, classHelloOnce)
	if err != nil {
		return nil, err
	}
	if l.remote.Node != to {
		err := fmt.Errorf("%w: at %s is %s, where %s was", ErrWrongNode, p.addr, l.remote.Node, to)
		l.fail(err)
		return nil, err
	}
	s, err := l.openStream(ctx, classSnapshot)
	if err != nil {
		l.fail(err)
		return nil, explain(err)
	}
	w := &SnapshotWriter{ctx: ctx, link: l, stream: s, stop: watch(ctx, s)}
	b, err := endFrame(append(beginFrame(nil, frameSnapshot), header...), 0)
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// Write sends a part of the snapshot, and waits while the receiver is behind.
func (w *SnapshotWriter) Write(b []byte) (int, error) {
	n, err := w.stream.Write(b)
	if err != nil {
		err = w.link.explain(w.ctx, err)
	}
	return n, err
}

// Close ends the snapshot and returns nil if the receiver took all of it.
func (w *SnapshotWriter) Close() error {
	defer closeConn(w.link.conn, codeClosed, "done")
	defer w.stop()
	if err := w.stream.Close(); err != nil {
		return w.link.explain(w.ctx, context.Cause(w.stream.Context()))
	}
	var taken [1]byte
	if _, err := io.ReadFull(w.stream, taken[:]); err != nil {
		return w.link.explain(w.ctx, err)
	}
	return nil
}

// Abort ends the snapshot; the receiver reads an error in place of its end.
func (w *SnapshotWriter) Abort() {
	w.stop()
	w.stream.CancelWrite(codeAborted)
	closeConn(w.link.conn, codeAborted, "snapshot aborted")
}

func (t *Transport) serveSnapshot(l *link, s *quic.Stream) error {
	select {
	case t.snapshots <- struct{}{}:
		defer func() { <-t.snapshots }()
	default:
		s.CancelRead(codeBusy)
		s.CancelWrite(codeBusy)
		return nil
	}
	header, err := readFrame(s, frameSnapshot, maxSnapshotHeaderBytes)
	if err != nil {
		return err
	}
	if err := t.handler.Snapshot(l.remote.Node, header, s); err != nil {
		t.ep.log.Warn("a snapshot was not taken", "from", l.remote.Name, "err", err)
		s.CancelRead(codeAborted)
		s.CancelWrite(codeAborted)
		return nil
	}
	// The writer waits for this byte; if it is gone, it knows no less.
	_, err = s.Write([]byte{1})
	return errors.Join(err, s.Close())
}
