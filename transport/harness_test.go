package transport

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"actormesh/quorum"
)

// patience is how long a test waits for what must happen; nothing waits for it
// to pass.
const patience = 20 * time.Second

// testHandler sends what it is given to channels, and calls functions where
// they are set.
type testHandler struct {
	logs     chan logEvent
	controls chan controlEvent
	beats    chan beatEvent
	states   chan stateEvent

	mu       sync.Mutex // a node may be called from when it has started
	call     func(from Caller, c *Call, reply func(*Reply))
	snapshot func(from quorum.NodeID, header []byte, r io.Reader) error
	onLog    func()
}

func (h *testHandler) setCall(call func(from Caller, c *Call, reply func(*Reply))) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.call = call
}

func (h *testHandler) setSnapshot(snapshot func(from quorum.NodeID, header []byte, r io.Reader) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.snapshot = snapshot
}

func (h *testHandler) setLog(onLog func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onLog = onLog
}

type logEvent struct {
	from quorum.NodeID
	msgs []quorum.Message
}

type controlEvent struct {
	from quorum.NodeID
	c    Control
}

type beatEvent struct {
	from quorum.NodeID
	b    Beat
}

type stateEvent struct {
	id        quorum.NodeID
	connected bool
}

func newTestHandler() *testHandler {
	return &testHandler{
		logs:     make(chan logEvent, 1<<16),
		controls: make(chan controlEvent, 1<<10),
		beats:    make(chan beatEvent, 1<<10),
		states:   make(chan stateEvent, 1<<10),
	}
}

func (h *testHandler) Log(from quorum.NodeID, msgs []quorum.Message) {
	h.mu.Lock()
	onLog := h.onLog
	h.mu.Unlock()
	if onLog != nil {
		onLog()
	}
	h.logs <- logEvent{from, msgs}
}

func (h *testHandler) Control(from quorum.NodeID, c Control) {
	select {
	case h.controls <- controlEvent{from, c}:
	default: // a test that reads no more is over
	}
}
func (h *testHandler) Beat(from quorum.NodeID, b Beat) { h.beats <- beatEvent{from, b} }
func (h *testHandler) Call(from Caller, c *Call, reply func(*Reply)) {
	h.mu.Lock()
	call := h.call
	h.mu.Unlock()
	call(from, c, reply)
}
func (h *testHandler) Snapshot(from quorum.NodeID, header []byte, r io.Reader) error {
	h.mu.Lock()
	snapshot := h.snapshot
	h.mu.Unlock()
	return snapshot(from, header, r)
}
func (h *testHandler) PeerState(id quorum.NodeID, connected bool) {
	h.states <- stateEvent{id, connected}
}

// logBuffer keeps what is logged, to look for it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testNode is a transport with all that belongs to it.
type testNode struct {
	*Transport
	h    *testHandler
	log  *logBuffer
	addr string
}

// startNode starts a node on a free port, with a loopback identity unless
// change sets another.
func startNode(t testing.TB, id quorum.NodeID, name string, change ...func(*Config)) *testNode {
	t.Helper()
	n := &testNode{h: newTestHandler(), log: &logBuffer{}}
	conf := Config{
		Identity: loopback(t, name, RoleNode),
		Self:     id,
		Boot:     1,
		Handler:  n.h,
		Logger:   slog.New(slog.NewTextHandler(n.log, nil)),
	}
	for _, f := range change {
		f(&conf)
	}
	var err error
	if n.Transport, err = Listen(conf); err != nil {
		t.Fatal(err)
	}
	n.addr = n.Addr().String()
	t.Cleanup(func() { n.Close() })
	return n
}

func startClient(t testing.TB, change ...func(*ClientConfig)) *Client {
	t.Helper()
	conf := ClientConfig{Identity: loopback(t, "client", RoleClient)}
	for _, f := range change {
		f(&conf)
	}
	c, err := NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func loopback(t testing.TB, name string, role Role) *Identity {
	t.Helper()
	id, err := LoopbackIdentity(name, role)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// introduce makes nodes each other's peers.
func introduce(nodes ...*testNode) {
	for _, a := range nodes {
		for _, b := range nodes {
			a.SetPeer(b.self, b.ep.id.Name, b.addr)
		}
	}
}

// receive takes the next value of a channel.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came in %v", patience)
	}
	panic("unreachable")
}

// connect sends from a to b until something arrives.
func connect(t testing.TB, a, b *testNode) {
	t.Helper()
	if err := a.SendControl(b.self, Control{Kind: 99}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, b.h.controls); got.c.Kind != 99 || got.from != a.self {
		t.Fatalf("got %+v", got)
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// echo answers a call with its argument.
func echo(_ Caller, c *Call, reply func(*Reply)) { reply(&Reply{Result: c.Args, Detail: c.Method}) }

func init() {
	// quic-go would print to the tests' output that the machine's socket
	// buffers are small.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
}

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// liveLinks returns how many connections the route has.
func (r *route) liveLinks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}
