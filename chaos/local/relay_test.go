package local

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"actormesh/chaos/script"
)

// peer is a node's socket.
type peer struct {
	conn  *net.UDPConn
	relay netip.AddrPort // where others reach it
}

func newPeers(t *testing.T, names ...string) (*relay, map[string]peer) {
	t.Helper()
	r := newRelay(1)
	t.Cleanup(func() { r.Close() })
	peers := map[string]peer{}
	for _, name := range names {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		address, err := r.add(name, conn.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		peers[name] = peer{conn, netip.MustParseAddrPort(address)}
	}
	return r, peers
}

func (p peer) send(t *testing.T, to peer, text string) {
	t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(text), to.relay); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next packet, and who has sent it; "" if there is none soon.
func (p peer) receive(t *testing.T, within time.Duration) (string, netip.AddrPort) {
	t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(within))
	var b [64]byte
	n, from, err := p.conn.ReadFromUDPAddrPort(b[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", from
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), from
}

const (
	soon = 5 * time.Second
	none = 50 * time.Millisecond
)

// A packet comes from the address at which its sender is reached.
func TestRelayPasses(t *testing.T) {
	_, p := newPeers(t, "n1", "n2")
	p["n1"].send(t, p["n2"], "hello")
	if got, from := p["n2"].receive(t, soon); got != "hello" || from != p["n1"].relay {
		t.Errorf("got %q from %v, want it from %v", got, from, p["n1"].relay)
	}
}

func TestRelayCuts(t *testing.T) {
	r, p := newPeers(t, "n1", "n2", "n3")
	way := []script.Pair{{From: "n1", To: "n2"}}
	undo, undoToo := r.cut(way), r.cut(way)
	p["n1"].send(t, p["n2"], "lost")
	if got, _ := p["n2"].receive(t, none); got != "" {
		t.Errorf("over a cut came %q", got)
	}
	p["n2"].send(t, p["n1"], "back")
	p["n1"].send(t, p["n3"], "aside")
	if got, _ := p["n1"].receive(t, soon); got != "back" {
		t.Errorf("against the cut came %q", got)
	}
	if got, _ := p["n3"].receive(t, soon); got != "aside" {
		t.Errorf("beside the cut came %q", got)
	}
	undo()
	p["n1"].send(t, p["n2"], "lost")
	if got, _ := p["n2"].receive(t, none); got != "" {
		t.Errorf("over the second cut came %q", got)
	}
	undoToo()
	p["n1"].send(t, p["n2"], "healed")
	if got, _ := p["n2"].receive(t, soon); got != "healed" {
		t.Errorf("over a healed cut came %q", got)
	}
	if n := r.Saw()["packet cut off"]; n != 2 {
		t.Errorf("%d packets were cut off, want 2", n)
	}
}

// What happens to packets is as often as it should be, and only where it should.
func TestRelayFate(t *testing.T) {
	r := newRelay(1)
	way, back := script.Pair{From: "n1", To: "n2"}, script.Pair{From: "n2", To: "n1"}
	undo := r.impair(script.Link{
		Loss: 2000, Repeat: 1000, Reorder: 5000, Delay: script.Span{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond},
	}, []script.Pair{way}, false)
	lost, repeated, reordered := 0, 0, 0
	for range 1000 {
		f := r.fate(way, 100)
		switch {
		case len(f) == 0:
			lost++
			continue
		case len(f) == 2:
			repeated++
		}
		if f[0] < 10*time.Millisecond || f[0] > 42*time.Millisecond {
			t.Errorf("a delay of %v", f[0])
		}
		if f[0] > 20*time.Millisecond {
			reordered++
		}
	}
	if lost < 150 || lost > 250 || repeated < 50 || repeated > 120 || reordered < 300 || reordered > 500 {
		t.Errorf("of 1000 packets %d are lost, %d repeated, %d reordered", lost, repeated, reordered)
	}
	if f := r.fate(back, 100); !slices.Equal(f, []time.Duration{0}) {
		t.Errorf("in the other direction packets are delayed by %v", f)
	}
	undo()
	if f := r.fate(way, 100); !slices.Equal(f, []time.Duration{0}) {
		t.Errorf("when all is over packets are delayed by %v", f)
	}
	defer r.impair(script.Link{Rate: 10000}, nil, true)()
	first, last := r.fate(back, 1000), r.fate(back, 1000)
	if first[0] < 90*time.Millisecond || last[0] < 190*time.Millisecond || last[0] > 210*time.Millisecond {
		t.Errorf("at 10 kB/s two packets of 1 kB take %v and %v", first, last)
	}
	for range 20 {
		last = r.fate(back, 1000)
	}
	if len(last) > 0 || r.Saw()["packet over the rate"] == 0 {
		t.Errorf("a link takes 22 kB at 10 kB/s, and the last waits for %v", last)
	}
}

// A packet that is delayed, or repeated, arrives.
func TestRelayDelays(t *testing.T) {
	r, p := newPeers(t, "n1", "n2")
	defer r.impair(script.Link{Repeat: 10000, Delay: script.Span{Min: 20 * time.Millisecond, Max: 20 * time.Millisecond}}, nil, true)()
	began := time.Now()
	p["n1"].send(t, p["n2"], "twice")
	for range 2 {
		if got, _ := p["n2"].receive(t, soon); got != "twice" {
			t.Errorf("got %q", got)
		}
	}
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

func TestRelayRefuses(t *testing.T) {
	r, p := newPeers(t, "n1")
	if _, err := r.add("n2", p["n1"].conn.LocalAddr().String()); err == nil {
		t.Error("two nodes have one port")
	}
	if _, err := r.add("n2", "nowhere"); err == nil {
		t.Error("a node is nowhere")
	}
}
