package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"

	"actormesh/quorum"
)

// caller is what nodes and clients have in common.
type caller func(ctx context.Context, c *Call) (*Reply, error)

func TestCalls(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	b.h.setCall(func(from Caller, c *Call, reply func(*Reply)) {
		reply(&Reply{Result: c.Args, Detail: fmt.Sprint(from.Name, " ", from.Role, " ", from.Node)})
	})
	introduce(a, b)
	client := startClient(t)
	for want, call := range map[string]caller{
		"a node 0000000000000001": func(ctx context.Context, c *Call) (*Reply, error) { return a.Call(ctx, 2, c) },
		"client client 0000000000000000": func(ctx context.Context, c *Call) (*Reply, error) {
			return client.Call(ctx, b.addr, c)
		},
	} {
		for _, n := range []int{0, 1, 1 << 20} {
			args := bytes.Repeat([]byte("x"), n)
			r, err := call(within(t), &Call{Args: args})
			if err != nil || !bytes.Equal(r.Result, args) || r.Detail != want {
				t.Errorf("%d bytes: %+v, %v", n, r, err)
			}
		}
	}
}

// TestManyCalls runs 10,000 calls from 64 goroutines over one stream, answered
// out of order, and checks that everyone gets the answer to its own.
func TestManyCalls(t *testing.T) {
	const workers, each = 64, 10_000 / 64
	b := startNode(t, 2, "b")
	var held atomic.Pointer[func()]
	b.h.setCall(func(_ Caller, c *Call, reply func(*Reply)) {
		answer := func() { reply(&Reply{Result: c.Args}) }
		if f := held.Swap(&answer); f != nil {
			(*f)()
		}
		if c.Method == "flush" {
			if f := held.Swap(nil); f != nil {
				(*f)()
			}
		}
	})
	client := startClient(t)
	ctx := within(t)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				want := fmt.Sprint(w, "/", i)
				// All but the last of those at work are held until another comes.
				r, err := client.Call(ctx, b.addr, &Call{Args: []byte(want), Method: "flush"})
				if err != nil || string(r.Result) != want {
					t.Errorf("%s: %+v, %v", want, r, err)
					return
				}
			}
		})
	}
	wg.Wait()
	r, err := client.route(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.liveLinks(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestCallCancelled: the answer to a call whose caller gave up goes to nobody
// else.
func TestCallCancelled(t *testing.T) {
	b := startNode(t, 2, "b")
	late := make(chan func(), 1)
	b.h.setCall(func(_ Caller, c *Call, reply func(*Reply)) {
		if c.Method == "late" {
			late <- func() { reply(&Reply{Detail: "late"}) }
			return
		}
		reply(&Reply{Detail: c.Method})
	})
	client := startClient(t)
	ctx, cancel := context.WithCancel(within(t))
	failed := make(chan error)
	go func() {
		_, err := client.Call(ctx, b.addr, &Call{Method: "late"})
		failed <- err
	}()
	answer := receive(t, late)
	cancel()
	if err := receive(t, failed); !errors.Is(err, ErrLost) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	answer()
	for i := range 10 {
		want := fmt.Sprint("m", i)
		if r, err := client.Call(within(t), b.addr, &Call{Method: want}); err != nil || r.Detail != want {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// TestCallLost: when a node goes away, a call that it was given is lost.
func TestCallLost(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	came := make(chan struct{})
	b.h.setCall(func(Caller, *Call, func(*Reply)) { close(came) })
	introduce(a, b)
	failed := make(chan error)
	go func() {
		_, err := a.Call(context.Background(), 2, &Call{})
		failed <- err
	}()
	receive(t, came)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, failed); !errors.Is(err, ErrLost) || errors.Is(err, ErrNotSent) {
		t.Error(err)
	}
}

// TestCallNotSent lists the calls that certainly took no effect.
func TestCallNotSent(t *testing.T) {
	a := startNode(t, 1, "a", func(c *Config) { c.Limits.CallsInFlight = 1 })
	b := startNode(t, 2, "b")
	came := make(chan func(*Reply), 1)
	b.h.setCall(func(_ Caller, _ *Call, reply func(*Reply)) { came <- reply })
	introduce(a, b)
	done := make(chan error)
	go func() {
		_, err := a.Call(context.Background(), 2, &Call{})
		done <- err
	}()
	reply := receive(t, came)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	a.SetPeer(3, "nobody", "127.0.0.1:1")
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		to    quorum.NodeID
		c     *Call
		cause error
	}{
		{"no peer", within(t), 9, &Call{}, ErrNoPeer},
		{"too large", within(t), 2, &Call{Args: make([]byte, maxFrameBytes+1)}, ErrTooLarge},
		{"too large with its header", within(t), 2, &Call{Args: make([]byte, maxFrameBytes)}, ErrQueueFull},
		{"too many", within(t), 2, &Call{}, ErrQueueFull},
		{"context ended before there was a connection", ended, 3, &Call{}, context.Canceled},
	} {
		if _, err := a.Call(tt.ctx, tt.to, tt.c); !errors.Is(err, ErrNotSent) || !errors.Is(err, tt.cause) || errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	reply(&Reply{})
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
	if _, err := a.Call(within(t), 2, &Call{Args: make([]byte, maxFrameBytes)}); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// TestNotTakenIsNotSent: when a stream is lost, the calls that its writer had
// not taken from the queue were not sent, and the others may have been.
func TestNotTakenIsNotSent(t *testing.T) {
	m := &callMux{queue: newSendQueue(1 << 20), limit: 10, pending: map[uint64]*pendingCall{}, stream: brokenStream(t)}
	var results []chan error
	start := func() {
		done := make(chan error, 1)
		results = append(results, done)
		before := m.queue.queued
		go func() {
			_, err := m.call(context.Background(), &Call{Method: "add"})
			done <- err
		}()
		for queued := before; queued == before; {
			m.mu.Lock()
			for _, p := range m.pending {
				queued = max(queued, p.end)
			}
			m.mu.Unlock()
		}
	}
	start()
	if m.queue.take() == nil {
		t.Fatal("nothing was queued")
	}
	start()
	m.fail(io.ErrUnexpectedEOF)
	if err := receive(t, results[0]); !errors.Is(err, ErrLost) || errors.Is(err, ErrNotSent) {
		t.Errorf("taken: %v", err)
	}
	if err := receive(t, results[1]); !errors.Is(err, ErrNotSent) || errors.Is(err, ErrLost) {
		t.Errorf("not taken: %v", err)
	}
	if _, err := m.call(context.Background(), &Call{}); !errors.Is(err, ErrNotSent) {
		t.Errorf("after the stream was lost: %v", err)
	}
}

// brokenStream returns a stream of a connection that is closed.
func brokenStream(t *testing.T) *quic.Stream {
	t.Helper()
	a, b := startNode(t, 11, "a"), startNode(t, 12, "b")
	l, err := a.ep.dial(within(t), b.addr, "b", classHelloOnce)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.openStream(within(t), classCalls)
	if err != nil {
		t.Fatal(err)
	}
	closeConn(l.conn, codeClosed, "test")
	return s
}

// TestReplyThatCannotBeSent: its caller must not wait for its deadline.
func TestReplyThatCannotBeSent(t *testing.T) {
	b := startNode(t, 2, "b")
	b.h.setCall(func(_ Caller, c *Call, reply func(*Reply)) {
		if c.Method == "large" {
			reply(&Reply{Result: make([]byte, maxFrameBytes+1)})
			return
		}
		reply(&Reply{})
	})
	client := startClient(t)
	if _, err := client.Call(within(t), b.addr, &Call{Method: "large"}); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if _, err := client.Call(within(t), b.addr, &Call{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestSlowReader: a client that sends calls and reads no replies loses its
// connection when they fill their queue.
func TestSlowReader(t *testing.T) {
	b := startNode(t, 2, "b", func(c *Config) { c.Limits.CallQueueBytes = 64 << 10 })
	b.h.setCall(func(_ Caller, _ *Call, reply func(*Reply)) { reply(&Reply{Result: make([]byte, 1<<20)}) })
	client := startClient(t)
	l, err := client.ep.dial(within(t), b.addr, "b", classHelloOnce)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.openStream(within(t), classCalls)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := endFrame(AppendCall(beginFrame(nil, frameCall), &Call{}), 0)
	for l.conn.Context().Err() == nil {
		if _, err := s.Write(one); err != nil {
			break
		}
	}
	<-l.conn.Context().Done()
	if err := l.explain(within(t), nil); !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	const view, join = 1, 2
	answer := func(from Caller, c Control) Control {
		return Control{c.Kind + 100, []byte(fmt.Sprintf("%s %s %s", from.Name, from.Role, c.Body))}
	}
	b := startNode(t, 2, "b", func(c *Config) { c.Answer, c.ClientKinds = answer, []uint8{view} })
	a := startNode(t, 1, "a")
	for _, kind := range []uint8{view, join} {
		got, err := a.Ask(within(t), b.addr, Control{kind, []byte("hello")})
		if err != nil || got.Kind != kind+100 || string(got.Body) != "a node hello" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, role := range []Role{RoleClient, RoleAdmin} {
		client := startClient(t, func(c *ClientConfig) { c.Identity = loopback(t, "c", role) })
		got, err := client.Ask(within(t), b.addr, Control{Kind: view})
		if err != nil || string(got.Body) != fmt.Sprintf("c %s ", role) {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := client.Ask(within(t), b.addr, Control{Kind: join}); !errors.Is(err, ErrWrongRole) {
			t.Errorf("a client asked to join: %v", err)
		}
		if _, err := client.Ask(within(t), b.addr, Control{Kind: view}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	if _, err := b.Ask(within(t), a.addr, Control{}); !errors.Is(err, ErrWrongRole) {
		t.Errorf("from a node that answers nothing: %v", err)
	}
	big := Control{Body: make([]byte, maxFrameBytes)}
	if _, err := a.Ask(within(t), b.addr, big); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := b.Ask(within(t), b.addr, Control{Kind: view}); err != nil {
		t.Errorf("a node may find itself among its seeds: %v", err)
	}
}

func TestClientForgets(t *testing.T) {
	b := startNode(t, 2, "b")
	b.h.setCall(echo)
	client := startClient(t)
	for range 2 {
		if _, err := client.Call(within(t), b.addr, &Call{}); err != nil {
			t.Fatal(err)
		}
		client.Forget(b.addr)
	}
	for i := range maxClientRoutes {
		if _, err := client.route(fmt.Sprint("127.0.0.1:", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Call(within(t), b.addr, &Call{}); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
}

// BenchmarkCalls runs 64 calls at a time over one stream on loopback.
func BenchmarkCalls(b *testing.B) {
	n := startNode(b, 2, "b")
	n.h.setCall(echo)
	client := startClient(b)
	ctx := context.Background()
	args := make([]byte, 64)
	inFlight(b, func() error {
		_, err := client.Call(ctx, n.addr, &Call{Kind: "counter", Actor: "a", Method: "add", Args: args})
		return err
	})
}

// BenchmarkOneCall runs one call at a time: the round trip.
func BenchmarkOneCall(b *testing.B) {
	n := startNode(b, 2, "b")
	n.h.setCall(echo)
	client := startClient(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Call(context.Background(), n.addr, &Call{Method: "add"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareEcho is the bound for BenchmarkCalls: 64 goroutines that write
// 96 bytes each and read them again, with a stream for each and nothing else.
func BenchmarkBareEcho(b *testing.B) {
	n := startNode(b, 2, "b")
	conf := n.ep.id.serverTLS(func(error) {})
	server := &quic.Transport{Conn: listenUDP(b)}
	ln, err := server.Listen(conf, n.ep.conf)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		conn, err := ln.Accept(context.Background())
		for err == nil {
			var s *quic.Stream
			if s, err = conn.AcceptStream(context.Background()); err == nil {
				go io.Copy(s, s)
			}
		}
	}()
	conn, err := n.ep.quic.Dial(context.Background(), server.Conn.LocalAddr(), n.ep.id.clientTLS(""), n.ep.conf)
	if err != nil {
		b.Fatal(err)
	}
	streams := make(chan *quic.Stream, 64)
	for range cap(streams) {
		s, err := conn.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		streams <- s
	}
	inFlight(b, func() error {
		s := <-streams
		defer func() { streams <- s }()
		var p [96]byte
		if _, err := s.Write(p[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(s, p[:])
		return err
	})
	closeConn(conn, 0, "")
	server.Close()
	server.Conn.Close()
}

// inFlight runs f b.N times, 64 at once.
func inFlight(b *testing.B, f func() error) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
