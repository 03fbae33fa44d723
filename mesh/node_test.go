package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

func TestNodeAlone(t *testing.T) {
	m := newTestMesh(t)
	n := m.start("n1")
	if got := add(t, n, "a", 3); got != 3 {
		t.Errorf("3 added: %d", got)
	}
	add(t, n, "a", 4, Once("key"))
	if got := add(t, n, "a", 4, Once("key")); got != 7 {
		t.Errorf("the same request again: %d", got)
	}
	_, err := Call(t.Context(), Get[pot](n, "a"), (*pot).Add, 5, Once("key"))
	if !errors.Is(err, ErrKeyReused) {
		t.Errorf("the key for another argument: %v", err)
	}
	_, err = Call(t.Context(), Get[pot](n, "a"), (*pot).Add, -1)
	if app, ok := errors.AsType[*AppError](err); !ok || app.Code != "negative" {
		t.Errorf("a handler's error: %v", err)
	}
	if got := read(t, n, "a"); got != 7 {
		t.Errorf("read: %d", got)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}

	n = m.start("n1") // with its directory
	if got := read(t, n, "a"); got != 7 {
		t.Errorf("read after a restart: %d", got)
	}
	if got := add(t, n, "a", 4, Once("key")); got != 7 {
		t.Errorf("the same request again after a restart: %d", got)
	}
	if err := n.Drain(t.Context()); err != nil { // there is nobody to hand over to
		t.Errorf("drain: %v", err)
	}
	// Nobody is left to know that it left: that Drain was done does not mean so.
	if err := n.Leave(t.Context()); !errors.Is(err, ErrUsage) || n.store.Identity().Left {
		t.Errorf("leave after drain: %v; the directory says left: %t", err, n.store.Identity().Left)
	}
}

func TestNodeUsageErrors(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]Config{
		"no name":         {DataDir: dir},
		"no directory":    {Name: "n1"},
		"nothing to join": {Name: "n1", DataDir: filepath.Join(dir, "empty"), Listen: "127.0.0.1:0", Logger: quiet},
		"not loopback":    {Name: "n1", DataDir: dir, Expect: 1, Listen: "0.0.0.0:0", Logger: quiet},
	} {
		if n, err := Start(t.Context(), c, Host[pot]("pot")); n != nil || !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
	one := Config{Name: "n1", DataDir: filepath.Join(dir, "one"), Expect: 1, Listen: "127.0.0.1:0", Logger: quiet}
	if _, err := Start(t.Context(), one, Host[pot]("pot"), Host[pot]("pot")); err == nil {
		t.Error("two kinds of one name")
	}
	if _, err := Start(t.Context(), one, Host[int]("pot")); err == nil {
		t.Error("a kind that is no struct")
	}
}

// TestNodeStartGivesUp ends the context of a node that waits for others.
func TestNodeStartGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := Config{Name: "n1", DataDir: t.TempDir(), Expect: 3, Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	if n, err := Start(ctx, c, Host[pot]("pot")); n != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", n, err)
	}
	if n, err := Start(t.Context(), func() Config { c.Expect, c.Name = 1, "n2"; return c }(), Host[pot]("pot")); n != nil || err == nil {
		t.Error("the directory of another node was taken")
	}
}

// TestNodeClose closes a node while calls of all kinds are under way, several times
// at once, and uses it afterwards.
func TestNodeClose(t *testing.T) {
	m := newTestMesh(t)
	n := m.start("n1", func(c *Config) { c.CallTimeout = time.Minute })
	var calls sync.WaitGroup
	hung := make(chan error, 2)
	calls.Go(func() {
		_, err := Call(context.Background(), Get[pot](n, "h"), (*pot).Hang, None{})
		hung <- err
	})
	calls.Go(func() {
		resp, err := http.Post("http://"+n.HTTPAddr()+"/v1/actors/pot/g/hang", "application/json", nil)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			err = fmt.Errorf("%d %s", resp.StatusCode, body)
		}
		hung <- err
	})
	stop := make(chan struct{})
	for i := range 8 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := Call(context.Background(), Get[pot](n, fmt.Sprint(i)), (*pot).Add, 1)
				if err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("a call: %v", err)
				}
			}
		})
	}
	eventually(t, "handlers run", func() bool { return n.stats().Activations == 10 })
	began := time.Now()
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(func() {
			if err := n.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	closing.Wait()
	if took := time.Since(began); took > stopTimeout/2 {
		t.Errorf("closing took %v", took)
	}
	for range 2 {
		if err := <-hung; err == nil || !errors.Is(err, ErrOutcomeUnknown) && !strings.Contains(err.Error(), "504") {
			t.Errorf("a call that hung: %v", err)
		}
	}
	close(stop)
	calls.Wait()
	http.DefaultClient.CloseIdleConnections()

	began = time.Now()
	if _, err := Call(t.Context(), Get[pot](n, "a"), (*pot).Add, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a call of a closed node: %v", err)
	}
	if n.Drain(t.Context()) == nil || n.Leave(t.Context()) == nil {
		t.Error("a closed node drains, or leaves")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a closed node is slow to say so: %v", took)
	}
	<-n.Done()
	if n.Addr() == "" || n.Err() != nil || n.Close() != nil {
		t.Errorf("a closed node: %q, %v", n.Addr(), n.Err())
	}
}

// TestNodeKeepsReadersApart reads ordered keys in a handler that nobody waits for
// while its node closes.
func TestNodeKeepsReadersApart(t *testing.T) {
	m := newTestMesh(t)
	n := m.start("n1")
	turn := turns{n}
	reading, on := make(chan struct{}), make(chan struct{})
	key := quorum.MakeActorKey("pot", "k")
	if _, err := Call(t.Context(), Get[pot](n, "k"), (*pot).Put, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	slot := quorum.SlotID(ring.SlotOf(12, "", "pot", "k"))
	eventually(t, "a fold", func() bool { // of what the handler reads from the store
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if _, err := Call(t.Context(), Get[pot](n, "k"), (*pot).Add, 1); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		_, found, err := turn.getKey(slot, key, []byte("a"))
		return found && err == nil
	})
	var wait sync.WaitGroup
	wait.Go(func() {
		err := turn.scanKeys(slot, key, nil, nil, 10, func([]byte, []byte) bool {
			close(reading)
			<-on
			return true
		})
		if err != nil {
			t.Errorf("a scan that began before: %v", err)
		}
	})
	<-reading
	wait.Go(func() { n.Close() })
	<-n.ctx.Done()
	close(on)
	wait.Wait()
	if _, _, err := turn.getKey(slot, key, []byte("a")); err != errStopped {
		t.Errorf("a read after the end: %v", err)
	}
	if err := turn.scanKeys(slot, key, nil, nil, 10, nil); err != errStopped {
		t.Errorf("a scan after the end: %v", err)
	}
}

// TestNodeDiskReserve has a node whose disk never has enough free.
func TestNodeDiskReserve(t *testing.T) {
	m := newTestMesh(t)
	n := m.start("n1")
	add(t, n, "a", 1)
	n.judgeDisk(n.conf.DiskReserve - 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Call(ctx, Get[pot](n, "a"), (*pot).Add, 1)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "disk") {
		t.Errorf("a call with a full disk: %v", err)
	}
	if _, err := n.stage(0, bytes.NewReader([]byte{0, 0, 0, 1, 0})); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("a snapshot with a full disk: %v", err)
	}
	eventually(t, "the node says why", func() bool { return strings.Contains(n.control.facts().yielding, "MiB") })
	n.judgeDisk(2*n.conf.DiskReserve - 1)
	if !n.diskFull.Load() {
		t.Error("the node takes part again too soon")
	}
	n.judgeDisk(2 * n.conf.DiskReserve)
	if got := add(t, n, "a", 1); got != 2 {
		t.Errorf("with space again: %d", got)
	}
}

// TestEndsBadly has a store fail as its node stops: that is why it has stopped, if nothing
// was wrong before, or also.
func TestEndsBadly(t *testing.T) {
	first, disk := errors.New("first"), errors.New("disk")
	for _, test := range []struct{ before, want error }{
		{nil, disk}, {context.Canceled, disk}, {disk, disk}, {first, errors.Join(first, disk)},
	} {
		n := &Node{err: test.before}
		n.endsBadly(disk)
		if got := n.Err(); got.Error() != test.want.Error() {
			t.Errorf("before: %v, then: %v", test.before, got)
		}
	}
}
