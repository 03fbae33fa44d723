package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func startGossip(t testing.TB, n *testNode) *Gossip {
	t.Helper()
	g, err := n.NewGossip()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// deliver sends a packet until it arrives: the first ones may come before the
// other end reads.
func deliver(t testing.TB, from, to *Gossip, p []byte) (*memberlist.Packet, time.Time) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	ctx := within(t)
	addr := memberlist.Address{Addr: to.t.Addr().String(), Name: to.t.ep.id.Name}
	for {
		sent, err := from.WriteToAddress(p, addr)
		if err != nil {
			t.Fatal(err)
		}
		for waiting := true; waiting; {
			select {
			case got := <-to.PacketCh():
				if bytes.Equal(got.Buf, p) { // else it is an earlier one, sent twice
					return got, sent
				}
			case <-again.C:
				waiting = false
			case <-ctx.Done():
				t.Fatal("no packet came")
			}
		}
	}
}

func TestGossipPackets(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	ga, gb := startGossip(t, a), startGossip(t, b)
	introduce(a, b)
	for first := range 256 { // whatever memberlist writes first
		want := append([]byte{byte(first)}, bytes.Repeat([]byte("p"), GossipPacketBytes-1)...)
		got, sent := deliver(t, ga, gb, want)
		if got.From.String() != a.addr || got.Timestamp.Before(sent.Add(-time.Second)) {
			t.Fatalf("%d bytes from %s at %s", len(got.Buf), got.From, got.Timestamp)
		}
	}
	connect(t, a, b) // beside QUIC, on the same port
	connect(t, b, a)
}

// failedRemote is memberlist's own rule, from its state.go: an error for which
// it is false ends a probe with nobody suspected.
func failedRemote(err error) bool {
	e, ok := err.(*net.OpError)
	return ok && strings.HasPrefix(e.Net, "udp") && e.Op == "write"
}

// TestGossipErrors: memberlist must be able to classify every error of a write.
func TestGossipErrors(t *testing.T) {
	a := startNode(t, 1, "a")
	g := startGossip(t, a)
	for name, write := range map[string]func() error{
		"too large": func() error { _, err := g.WriteTo(make([]byte, maxPacketBytes), a.addr); return err },
		"no port":   func() error { _, err := g.WriteTo(nil, "127.0.0.1"); return err },
		"a name":    func() error { _, err := g.WriteTo(nil, "localhost:7001"); return err }, // resolving would block
		"elsewhere": func() error { _, err := g.WriteTo(nil, "192.0.2.1:7001"); return err },
		"ended":     func() error { g.Shutdown(); _, err := g.WriteTo([]byte("x"), a.addr); return err },
	} {
		if name == "ended" {
			defer func() {
				if err := write(); !failedRemote(err) || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
			}()
			continue
		}
		if err := write(); err == nil || !failedRemote(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGossipNeverBlocks: neither a queue that nobody empties nor packets that
// nobody takes stop anything.
func TestGossipNeverBlocks(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	ga := &Gossip{t: a.Transport, out: make(chan gossipPacket, 1), ctx: a.ep.ctx} // without a writer
	for range 10 {
		if _, err := ga.WriteTo([]byte("x"), b.addr); err != nil {
			t.Fatal(err) // a dropped packet is no error
		}
	}
	gb := startGossip(t, b)
	g := startGossip(t, a)
	deliver(t, g, gb, []byte("first"))
	for range 4 * packetsReceived {
		if _, err := g.WriteTo([]byte("x"), b.addr); err != nil {
			t.Fatal(err)
		}
	}
	introduce(a, b)
	connect(t, a, b)
	for deadline := time.Now().Add(patience); len(gb.packets) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no packet came")
		}
	}
	for range 2 {
		if err := gb.Shutdown(); err != nil { // with packets that nobody took
			t.Fatal(err)
		}
	}
}

func TestGossipStreams(t *testing.T) {
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	ga, gb := startGossip(t, a), startGossip(t, b)
	for _, name := range []string{"", "b"} {
		x, err := ga.DialAddressTimeout(memberlist.Address{Addr: b.addr, Name: name}, patience)
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("state"), 100_000)
		go func() {
			x.Write(data)
			x.Close() // at once: all of it must still arrive
		}()
		y := receive(t, gb.StreamCh())
		got, err := io.ReadAll(y)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
		}
		if y.RemoteAddr().String() != a.addr || x.RemoteAddr().String() != b.addr || x.LocalAddr().String() != a.addr {
			t.Errorf("addresses %s, %s, %s", y.RemoteAddr(), x.RemoteAddr(), x.LocalAddr())
		}
		if err := y.Close(); err != nil {
			t.Error(err)
		}
		if err := y.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
	}
	if _, err := ga.DialAddressTimeout(memberlist.Address{Addr: b.addr, Name: "c"}, patience); !errors.Is(err, ErrWrongName) {
		t.Errorf("to another name: %v", err)
	}
	// Streams that nobody takes are refused, and not kept for ever.
	var refused bool
	for i := 0; i <= streamsReceived && !refused; i++ {
		c, err := ga.DialTimeout(b.addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i == streamsReceived {
			_, err := c.Read(make([]byte, 1))
			refused = errors.Is(explain(err), ErrQueueFull)
		}
	}
	if !refused {
		t.Error("one stream too many was taken")
	}
}

func TestGossipDialTimesOut(t *testing.T) {
	silent := listenUDP(t)
	defer silent.Close()
	a := startNode(t, 1, "a")
	g := startGossip(t, a)
	start := time.Now()
	_, err := g.DialTimeout(silent.LocalAddr().String(), 30*time.Millisecond)
	if !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if d := time.Since(start); d > a.ep.limits.DialTimeout/2 {
		t.Errorf("after %v", d)
	}
	b := startNode(t, 2, "b") // where no gossip runs
	c, err := g.DialTimeout(b.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(explain(err), ErrQueueFull) {
		t.Error(err)
	}
}

func TestGossipOnceAtATime(t *testing.T) {
	a := startNode(t, 1, "a")
	g := startGossip(t, a)
	if _, err := a.NewGossip(); err == nil {
		t.Error("twice at once")
	}
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	again := startGossip(t, a)
	deliver(t, again, again, []byte("x"))
	a.Close()
	if err := again.Shutdown(); err != nil {
		t.Error(err)
	}
	if _, err := a.NewGossip(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestFinalAdvertiseAddr(t *testing.T) {
	a := startNode(t, 1, "a")
	dir := testCA(t)
	all := startNode(t, 2, "b", as(load(t, dir, "b")), func(c *Config) { c.Listen = "0.0.0.0:0" })
	for _, tt := range []struct {
		n    *testNode
		ip   string
		port int
		want string
	}{
		{a, "", 0, a.addr},
		{a, "192.0.2.7", 7001, "192.0.2.7:7001"},
		{all, "192.0.2.7", 0, fmt.Sprint("192.0.2.7:", all.Addr().Port)},
		{all, "", 0, "error"},
		{a, "mesh.example", 7001, "error"},
	} {
		g := &Gossip{t: tt.n.Transport}
		ip, port, err := g.FinalAdvertiseAddr(tt.ip, tt.port)
		got := (&net.UDPAddr{IP: ip, Port: port}).String()
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%q, %d: %s, want %s", tt.ip, tt.port, got, tt.want)
		}
	}
}

// TestMemberlist runs the real thing: two members find each other through this
// transport, and when one dies without a word, the other learns it.
func TestMemberlist(t *testing.T) {
	events := make(chan memberlist.NodeEvent, 16)
	start := func(n *testNode) *memberlist.Memberlist {
		conf := memberlist.DefaultLocalConfig()
		conf.Name = n.ep.id.Name
		conf.Transport = startGossip(t, n)
		conf.SecretKey = n.ep.id.GossipKey
		conf.UDPBufferSize = GossipPacketBytes
		conf.DisableTcpPings = true
		conf.ProbeInterval, conf.ProbeTimeout, conf.SuspicionMult = 20*time.Millisecond, 10*time.Millisecond, 1
		conf.Logger = log.New(io.Discard, "", 0)
		if n.self == 1 {
			conf.Events = &memberlist.ChannelEventDelegate{Ch: events}
		}
		m, err := memberlist.Create(conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Shutdown() })
		return m
	}
	a, b := startNode(t, 1, "a"), startNode(t, 2, "b")
	ma, mb := start(a), start(b)
	if n, err := mb.Join([]string{a.addr}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	expect := func(name string, event memberlist.NodeEventType) {
		t.Helper()
		for {
			if e := receive(t, events); e.Node.Name == name && e.Event == event {
				return
			}
		}
	}
	expect("b", memberlist.NodeJoin)
	b.ep.udp.Close()
	expect("b", memberlist.NodeLeave)
	if n := ma.NumMembers(); n != 1 {
		t.Errorf("%d members", n)
	}
}
