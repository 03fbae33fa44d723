package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"actormesh/quorum"
)

type snapshotResult struct {
	from   quorum.NodeID
	header string
	data   []byte
	err    error
}

// takeSnapshots makes the node read snapshots to their end, and report.
func takeSnapshots(n *testNode) chan snapshotResult {
	results := make(chan snapshotResult, 8)
	n.h.setSnapshot(func(from quorum.NodeID, header []byte, r io.Reader) error {
		n.h.controls <- controlEvent{from: from} // it has begun
		data, err := io.ReadAll(r)
		results <- snapshotResult{from, string(header), data, err}
		return err
	})
	return results
}

func TestSnapshot(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	results := takeSnapshots(b)
	for _, n := range []int{0, 1, 5 << 20} {
		data := bytes.Repeat([]byte("data"), n/4+1)[:n]
		w, err := a.OpenSnapshot(within(t), 2, []byte("slot 7"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := receive(t, results)
		if got.err != nil || got.from != 1 || got.header != "slot 7" || !bytes.Equal(got.data, data) {
			t.Errorf("%d of %d bytes from %d, %v", len(got.data), n, got.from, got.err)
		}
	}
}

// TestSnapshotCutShort: what does not come to its end is never taken for whole.
func TestSnapshotCutShort(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	results := takeSnapshots(b)
	for name, end := range map[string]func(*SnapshotWriter, context.CancelFunc){
		"aborted":        func(w *SnapshotWriter, _ context.CancelFunc) { w.Abort() },
		"context ended":  func(w *SnapshotWriter, cancel context.CancelFunc) { cancel(); w.Write(make([]byte, 64<<20)); w.Abort() },
		"connection cut": func(w *SnapshotWriter, _ context.CancelFunc) { closeConn(w.link.conn, codeClosed, "test"); w.Abort() },
	} {
		ctx, cancel := context.WithCancel(within(t))
		w, err := a.OpenSnapshot(ctx, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("half of it")); err != nil {
			t.Fatal(err)
		}
		receive(t, b.h.controls)
		end(w, cancel)
		cancel()
		if got := receive(t, results); got.err == nil {
			t.Errorf("%s: taken for whole", name)
		}
	}
}

func TestSnapshotRefused(t *testing.T) {
	a := startNode(t, 1, "a")
	b := startNode(t, 2, "b", func(c *Config) { c.Limits.Snapshots = 1 })
	busy, release := make(chan struct{}), make(chan struct{})
	b.h.setSnapshot(func(_ quorum.NodeID, header []byte, r io.Reader) error {
		if string(header) == "wait" {
			close(busy)
			<-release
			return nil
		}
		return errors.New("of another cluster")
	})
	introduce(a, b)
	first, err := a.OpenSnapshot(within(t), 2, []byte("wait"))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, busy)
	second, err := a.OpenSnapshot(within(t), 2, nil)
	if err == nil {
		err = second.Close()
	}
	if !errors.Is(err, ErrQueueFull) {
		t.Errorf("one too many: %v", err)
	}
	close(release)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	for refused := false; !refused; { // the place may not be free yet
		third, err := a.OpenSnapshot(within(t), 2, nil)
		if err == nil {
			err = third.Close()
		}
		if refused = errors.Is(err, ErrRefused); !refused && !errors.Is(err, ErrQueueFull) {
			t.Fatalf("a handler's error: %v", err)
		}
	}
	if _, err := a.OpenSnapshot(within(t), 2, make([]byte, maxSnapshotHeaderBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := a.OpenSnapshot(within(t), 9, nil); !errors.Is(err, ErrNoPeer) {
		t.Error(err)
	}
	a.SetPeer(22, "b", b.addr)
	if _, err := a.OpenSnapshot(within(t), 22, nil); !errors.Is(err, ErrWrongNode) {
		t.Error(err)
	}
}
