package transport

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"actormesh/quorum"
)

func TestSendBothWays(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	for _, dir := range []struct{ from, to *testNode }{{a, b}, {b, a}} {
		want := logMessages()
		if err := dir.from.SendLog(dir.to.self, want); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, dir.to.h.logs); got.from != dir.from.self || !reflect.DeepEqual(got.msgs, want) {
			t.Errorf("got %+v", got)
		}
		if err := dir.from.SendControl(dir.to.self, Control{3, []byte("view")}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, dir.to.h.controls); got.from != dir.from.self || got.c.Kind != 3 || string(got.c.Body) != "view" {
			t.Errorf("got %+v", got)
		}
		beat := Beat{Kind: BeatAsk, Boot: 4, Epoch: 5, Sent: 6}
		if err := dir.from.SendBeat(dir.to.self, beat); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, dir.to.h.beats); got != (beatEvent{dir.from.self, beat}) {
			t.Errorf("got %+v", got)
		}
	}
	// b answered over the connection that a had dialled, and dialled none.
	for _, n := range []*testNode{a, b} {
		p, _ := n.peer(3 - n.self)
		if got := p.liveLinks(); got != 1 {
			t.Errorf("%d connections at %d", got, n.self)
		}
	}
}

// TestSendLogInOrder sends more than fits one frame, and one message at a time.
func TestSendLogInOrder(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	var msgs []quorum.Message
	for i := range 64 {
		msgs = append(msgs, quorum.Message{Kind: quorum.MsgAppend, Round: uint64(i), Entries: []quorum.Entry{{Data: make([]byte, 16<<10)}}})
	}
	if err := a.SendLog(2, msgs); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := a.SendLog(2, []quorum.Message{{Kind: quorum.MsgAck, Round: uint64(64 + i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for next := uint64(0); next < 1064; {
		got := receive(t, b.h.logs)
		if len(got.msgs) == len(msgs) {
			t.Error("1 MiB came in one frame")
		}
		for _, m := range got.msgs {
			if m.Round != next {
				t.Fatalf("message %d came where %d was next", m.Round, next)
			}
			next++
		}
	}
}

func TestSendToNobody(t *testing.T) {
	a := startNode(t, 1, "a")
	a.SetPeer(1, "a", a.addr)
	for _, to := range []quorum.NodeID{1, 2} {
		for _, err := range []error{
			a.SendLog(to, logMessages()), a.SendControl(to, Control{}), a.SendBeat(to, Beat{}),
		} {
			if !errors.Is(err, ErrNoPeer) {
				t.Errorf("to %d: %v", to, err)
			}
		}
	}
	a.SetPeer(2, "b", a.addr)
	a.RemovePeer(2)
	if err := a.SendControl(2, Control{}); !errors.Is(err, ErrNoPeer) {
		t.Error(err)
	}
}

// TestUnreachable: what nobody answers is known as unreachable, and is not
// dialled for each frame.
func TestUnreachable(t *testing.T) {
	silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := startNode(t, 1, "a", func(c *Config) { c.Limits.DialTimeout = 50 * time.Millisecond })
	a.SetPeer(2, "b", silent.LocalAddr().String())
	_, err = a.Call(within(t), 2, &Call{})
	if !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
	p, _ := a.peer(2)
	p.mu.Lock()
	p.retryAt = time.Now().Add(time.Hour)
	p.mu.Unlock()
	if err := a.SendControl(2, Control{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("in the pause: %v", err)
	}
	if _, err := a.Call(within(t), 2, &Call{}); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("in the pause: %v", err)
	}
	if p.control.take() != nil {
		t.Error("something waits for a node that is unreachable")
	}
}

// TestSimultaneousDial: both ends dial, and both choose the same connection.
func TestSimultaneousDial(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	links := map[*testNode]*link{}
	for _, n := range []*testNode{b, a} { // each dials as if it had not heard of the other
		p, _ := n.peer(3 - n.self)
		l, err := n.ep.dial(within(t), p.addr, p.name, classHelloPeer)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.add(l); err != nil {
			t.Fatal(err)
		}
		p.up(l)
		links[n] = l
	}
	connect(t, a, b)
	connect(t, b, a)
	pa, _ := a.peer(2)
	pb, _ := b.peer(1)
	if l, err := pa.best(); err != nil || l != links[a] {
		t.Errorf("a, the lower, does not send on what it dialled: %v", err)
	}
	if l, err := pb.best(); err != nil || l.dialled {
		t.Errorf("b, the higher, sends on what it dialled: %v", err)
	}
	for _, n := range []*testNode{a, b} {
		if got := receive(t, n.h.states); got != (stateEvent{3 - n.self, true}) {
			t.Errorf("got %+v", got)
		}
	}
	// The chosen one is lost: the other takes its place, and nobody was gone.
	closeConn(links[a].conn, codeClosed, "test")
	<-links[a].conn.Context().Done()
	for l, _ := pa.best(); l == links[a]; l, _ = pa.best() {
		pa.remove(links[a])
	}
	connect(t, a, b)
	if len(a.h.states) > 0 {
		t.Errorf("a was told %+v", <-a.h.states)
	}
}

// TestRestartIsNoticedAtOnce kills a node so that it says nothing, and starts
// it again on its port: the stateless reset ends the old connections.
func TestRestartIsNoticedAtOnce(t *testing.T) {
	key := [32]byte{1, 2, 3}
	patient := func(c *Config) { c.Limits.IdleTimeout = time.Hour }
	a := startNode(t, 1, "a", patient)
	b := startNode(t, 2, "b", patient, func(c *Config) { c.StatelessResetKey = &key })
	introduce(a, b)
	connect(t, a, b)
	receive(t, a.h.states)
	if err := b.ep.udp.Close(); err != nil { // without a word
		t.Fatal(err)
	}
	b2 := startNode(t, 2, "b", patient, func(c *Config) {
		c.StatelessResetKey, c.Listen, c.Boot = &key, b.addr, 2
	})
	b2.SetPeer(1, "a", a.addr)
	// Neighbours send all the time; what is sent first gets the reset.
	ctx := within(t)
	traffic := time.NewTicker(time.Millisecond)
	defer traffic.Stop()
	for noticed := false; !noticed; {
		select {
		case got := <-a.h.states:
			noticed = got == stateEvent{2, false}
		case <-traffic.C:
			// Until the restart is noticed, nothing says that this is in vain.
			_ = a.SendControl(2, Control{Body: make([]byte, 64)})
		case <-ctx.Done():
			t.Fatal("the restart was not noticed")
		}
	}
	for connected := false; !connected; {
		select {
		case <-b2.h.controls:
			connected = true
		case <-traffic.C:
			if err := a.SendControl(2, Control{}); err != nil && !errors.Is(err, ErrUnreachable) {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatal("no new connection")
		}
	}
	if got := receive(t, a.h.states); got != (stateEvent{2, true}) {
		t.Errorf("got %+v", got)
	}
	p, _ := a.peer(2)
	if l, err := p.best(); err != nil || l.remote.Boot != 2 {
		t.Errorf("not connected to the new start: %v", err)
	}
}

// TestQueueFull: a peer that takes nothing fills its queue, and not this node's
// memory; other classes still get through.
func TestQueueFull(t *testing.T) {
	a := startNode(t, 1, "a", func(c *Config) { c.Limits.LogQueueBytes = 64 << 10 })
	b := startNode(t, 2, "b")
	release := make(chan struct{})
	b.h.setLog(func() { <-release })
	introduce(a, b)
	big := []quorum.Message{{Kind: quorum.MsgAppend, Entries: []quorum.Entry{{Data: make([]byte, 32<<10)}}}}
	sent := 0
	var err error
	for ; err == nil; sent++ {
		if sent > 1<<12 {
			t.Fatal("128 MiB are queued")
		}
		err = a.SendLog(2, big)
	}
	if !errors.Is(err, ErrQueueFull) {
		t.Fatal(err)
	}
	connect(t, a, b)
	close(release)
	for range sent - 1 {
		receive(t, b.h.logs)
	}
	var beats int
	for err = nil; err == nil && beats < 1<<20; beats++ {
		err = a.SendBeat(2, Beat{Kind: BeatAsk})
	}
	if !errors.Is(err, ErrQueueFull) {
		t.Errorf("%d beats queued: %v", beats, err)
	}
}

// TestGarbageOnThePort: what is neither QUIC nor gossip harms nobody.
func TestGarbageOnThePort(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	connect(t, a, b)
	conn, err := net.Dial("udp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for first := range 256 {
		for _, n := range []int{1, 2, 20, 50, 1200} {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(first*7 + i*13)
			}
			p[0] = byte(first)
			if _, err := conn.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	connect(t, a, b)
	connect(t, b, a)
}

// TestBadFrames: a node that does not keep to the protocol loses its
// connection, with a line in the log, and can dial another.
func TestBadFrames(t *testing.T) {
	bad, err := endFrame(append(beginFrame(nil, frameLog), 0xc1), 0)
	if err != nil {
		t.Fatal(err)
	}
	empty, _ := endFrame(beginFrame(nil, frameReply), 0)
	uni := map[string][]byte{
		"malformed":           append([]byte{byte(classLog)}, bad...),
		"type of another":     append([]byte{byte(classControl)}, bad...),
		"too large":           {byte(classLog), frameLog, 0xff, 0xff, 0xff, 0xff},
		"class of no meaning": append([]byte{200}, bad...),
	}
	bidi := map[string][]byte{
		"malformed call":      append([]byte{byte(classCalls)}, empty...),
		"malformed question":  append([]byte{byte(classAsk)}, empty...),
		"malformed snapshot":  append([]byte{byte(classSnapshot)}, empty...),
		"class of no meaning": {200},
		"log both ways":       append([]byte{byte(classLog)}, bad...),
	}
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	check := func(name string, write func(l *link) error) {
		l, err := a.ep.dial(within(t), b.addr, "b", classHelloPeer)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(l); err != nil {
			t.Fatal(err)
		}
		<-l.conn.Context().Done()
		if err := l.explain(within(t), net.ErrClosed); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range uni {
		check(name, func(l *link) error {
			s, err := l.conn.OpenUniStream()
			if err == nil {
				_, err = s.Write(p)
			}
			return err
		})
	}
	for name, p := range bidi {
		check(name, func(l *link) error {
			s, err := l.conn.OpenStream()
			if err == nil {
				_, err = s.Write(p)
			}
			return err
		})
	}
	check("beat", func(l *link) error { return l.conn.SendDatagram([]byte{0xc1}) })
	if n := strings.Count(b.log.String(), "closed a connection"); n != len(uni)+len(bidi)+1 {
		t.Errorf("%d lines in the log:\n%s", n, b.log)
	}
	introduce(a, b)
	connect(t, a, b)
}

// TestHelloRefused checks who may be a peer.
func TestHelloRefused(t *testing.T) {
	b := startNode(t, 2, "b", func(c *Config) { c.Cluster = "red" })
	b.h.setCall(echo)
	ask := func(n *testNode) error {
		n.SetPeer(2, "b", b.addr)
		_, err := n.Call(within(t), 2, &Call{})
		return err
	}
	blue := startNode(t, 1, "a", func(c *Config) { c.Cluster = "blue" })
	if err := ask(blue); !errors.Is(err, ErrOtherCluster) || !errors.Is(err, ErrNotSent) {
		t.Errorf("of another cluster: %v", err)
	}
	if _, err := blue.Ask(within(t), b.addr, Control{}); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a question from another cluster: %v", err)
	}
	blue.SetCluster("red")
	blue.RemovePeer(2)
	if err := ask(blue); err != nil {
		t.Errorf("after it joined: %v", err)
	}
	copied := startNode(t, 2, "copy")
	l, err := copied.ep.dial(within(t), b.addr, "b", classHelloPeer)
	if err == nil {
		<-l.conn.Context().Done()
		err = l.explain(within(t), nil)
	}
	if !errors.Is(err, ErrWrongNode) {
		t.Errorf("with the id of the node itself: %v", err)
	}
	wiped := startNode(t, 3, "c")
	wiped.SetPeer(22, "b", b.addr)
	if _, err := wiped.Call(within(t), 22, &Call{}); !errors.Is(err, ErrWrongNode) {
		t.Errorf("to another disk: %v", err)
	}
}

// TestOldBoot: while a later start of a node is connected, an earlier one is
// not.
func TestOldBoot(t *testing.T) {
	b := startNode(t, 2, "b")
	late := startNode(t, 1, "a", func(c *Config) { c.Boot = 5 })
	introduce(late, b)
	connect(t, late, b)
	early := startNode(t, 1, "a", func(c *Config) { c.Boot = 4 })
	l, err := early.ep.dial(within(t), b.addr, "b", classHelloPeer)
	if err == nil {
		<-l.conn.Context().Done()
		err = l.explain(within(t), nil)
	}
	if !errors.Is(err, ErrOldBoot) {
		t.Error(err)
	}
	connect(t, b, late)
}

// TestStrayBecomesPeer: a node that connects before it is a peer is heard, and
// answered over its connection once it is one.
func TestStrayBecomesPeer(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	a.SetPeer(2, "b", b.addr)
	connect(t, a, b)
	b.SetPeer(1, "a", "127.0.0.1:1") // at which nobody can be dialled
	connect(t, b, a)
}

func TestPeerMoves(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	connect(t, a, b)
	moved := startNode(t, 2, "b", func(c *Config) { c.Boot = 2 })
	a.SetPeer(2, "b", moved.addr)
	connect(t, a, moved)
}

func TestCloseTwice(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	introduce(a, b)
	connect(t, a, b)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := a.SendControl(2, Control{}); err == nil {
		p, _ := a.peer(2)
		<-p.ctx.Done()
	}
	if got := receive(t, b.h.states); !got.connected {
		t.Errorf("got %+v", got)
	}
	if got := receive(t, b.h.states); got.connected { // it was told, and did not wait
		t.Errorf("got %+v", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	b := startNode(t, 2, "b", func(c *Config) { c.Limits.Connections = 2 })
	for i := range 3 {
		n := startNode(t, quorum.NodeID(10+i), fmt.Sprint("n", i))
		l, err := n.ep.dial(within(t), b.addr, "b", classHelloPeer)
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 && !errors.Is(err, ErrQueueFull) {
			t.Errorf("connection %d: %+v, %v", i, l, err)
		}
	}
}

func BenchmarkSendLog(b *testing.B) {
	x, y := startNode(b, 1, "a"), startNode(b, 2, "b")
	introduce(x, y)
	connect(b, x, y)
	msgs := []quorum.Message{{Kind: quorum.MsgAppend, Entries: []quorum.Entry{{LSN: 1, Actor: "\x00cart\x00u42", Data: make([]byte, 200)}}}}
	b.ReportAllocs()
	for b.Loop() {
		if err := x.SendLog(2, msgs); err != nil {
			b.Fatal(err)
		}
		<-y.h.logs
	}
}
