//go:build linux

package netns

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
)

// wired is a network of places n1, n2 and so on, with a socket in each.
type wired struct {
	t *testing.T
	*network
	conns map[string]net.PacketConn
}

func newWired(t *testing.T, names ...string) *wired {
	t.Helper()
	needsAll(t)
	n, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	w := &wired{t, n, map[string]net.PacketConn{}}
	for _, name := range names {
		p, err := n.add(name)
		if err != nil {
			t.Fatal(err)
		}
		err = p.space.do(func() (err error) {
			w.conns[name], err = net.ListenPacket("udp4", p.addr.String()+":7001")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.conns[name].Close() })
	}
	if err := n.filter(); err != nil {
		t.Fatal(err)
	}
	w.warmUp(names)
	return w
}

// warmUp waits until links are up and all know each other's hardware, and takes what
// has waited for that.
func (w *wired) warmUp(names []string) {
	w.t.Helper()
	for _, from := range names {
		for _, to := range names {
			for tries := 0; from != to; tries++ {
				if n, _ := w.arrive(from, to, 1, 10); n > 0 {
					break
				}
				if tries > 30 {
					w.t.Fatalf("%s does not reach %s", from, to)
				}
			}
		}
	}
	for _, to := range names {
		w.arrive(to, to, 0, 10) // until nothing comes any more
	}
}

// patience is how long to wait for another packet.
const patience = 300 * time.Millisecond

// arrive returns how many of the packets that one sends to another arrive, and how
// long it took.
func (w *wired) arrive(from, to string, packets, bytes int) (int, time.Duration) {
	w.t.Helper()
	began, last := time.Now(), time.Duration(0)
	for range packets {
		if _, err := w.conns[from].WriteTo(make([]byte, bytes), w.conns[to].LocalAddr()); err != nil {
			w.t.Fatal(err)
		}
	}
	b := make([]byte, 2*bytes)
	for n := 0; ; n++ {
		if n == packets && n > 0 {
			return n, last
		}
		if err := w.conns[to].SetReadDeadline(time.Now().Add(patience)); err != nil {
			w.t.Fatal(err)
		}
		_, _, err := w.conns[to].ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, last
		}
		if err != nil {
			w.t.Fatal(err)
		}
		last = time.Since(began)
	}
}

// hurt does a fault, as a script says it.
func (w *wired) hurt(text string) (undo func()) {
	w.t.Helper()
	f := plan(w.t, "nodes 3\nat 1s "+text).Faults[0]
	u, err := w.between(&f, f.Pairs(f.Resolve(everybody{})))
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if err := u(); err != nil {
			w.t.Error(err)
		}
	}
}

// everybody is a world in which only names are known.
type everybody struct{}

func (everybody) Members() []string               { return []string{"n1", "n2", "n3"} }
func (everybody) Replicas(script.Actor) []string  { return nil }
func (everybody) Coordinator() string             { return "" }
func (everybody) Handover() (giver, taker string) { return "", "" }

func TestCuts(t *testing.T) {
	w := newWired(t, "n1", "n2", "n3")
	want := func(when, from, to string, packets int) {
		t.Helper()
		if n, _ := w.arrive(from, to, 10, 100); n != packets {
			t.Errorf("%s: of 10 packets from %s to %s %d arrive, want %d", when, from, to, n, packets)
		}
	}
	want("at first", "n1", "n2", 10)
	undo := w.hurt("cut-one-way n1 > n2")
	want("cut one way", "n1", "n2", 0)
	want("against the cut", "n2", "n1", 10)
	want("beside the cut", "n1", "n3", 10)
	both := w.hurt("cut n1 | n2 n3")
	undo()
	want("cut again", "n1", "n2", 0)
	want("cut both ways", "n3", "n1", 0)
	want("on one side", "n3", "n2", 10)
	both()
	want("healed", "n1", "n2", 10)
	want("healed", "n3", "n1", 10)
	saw, err := w.saw()
	if err != nil || saw["packet cut off"] != 30 {
		t.Errorf("30 packets were cut off, and it saw %v, %v", saw, err)
	}
}

func TestLinks(t *testing.T) {
	w := newWired(t, "n1", "n2", "n3")
	undo := w.hurt("link loss 50% from n1 > n2")
	if n, _ := w.arrive("n1", "n2", 200, 100); n < 60 || n > 140 {
		t.Errorf("of 200 packets %d arrive where half are lost", n)
	}
	if n, _ := w.arrive("n2", "n1", 50, 100); n != 50 {
		t.Errorf("of 50 packets %d arrive in the other direction", n)
	}
	undo()
	undo = w.hurt("link loss 50%")
	if n, _ := w.arrive("n3", "n1", 200, 100); n < 60 || n > 140 {
		t.Errorf("of 200 packets %d arrive where all links lose half", n)
	}
	undo()
	undo = w.hurt("link rate 64kB/s between n1 | n2")
	slower := w.hurt("link rate 20kB/s from n2 > n1")
	if n, took := w.arrive("n1", "n2", 60, 958); n != 60 || took < 850*time.Millisecond {
		t.Errorf("at 64 kB/s %d packets of 60 arrive, which have 60 kB, in %v", n, took)
	}
	if n, took := w.arrive("n2", "n1", 10, 958); n != 10 || took < 350*time.Millisecond {
		t.Errorf("at 20 kB/s %d packets of 10 arrive, which have 10 kB, in %v", n, took)
	}
	if n, took := w.arrive("n3", "n1", 60, 958); n != 60 || took > 600*time.Millisecond {
		t.Errorf("beside the slow link %d packets of 60 arrive in %v", n, took)
	}
	if n, _ := w.arrive("n2", "n1", 60, 958); n < 15 || n > 35 {
		t.Errorf("of 60 kB at 20 kB/s %d kB arrive, and no more than a second's worth should wait", n)
	}
	slower()
	undo()
	if n, took := w.arrive("n1", "n2", 60, 958); n != 60 || took > 600*time.Millisecond {
		t.Errorf("when all is over %d packets of 60 arrive in %v", n, took)
	}
	saw, err := w.saw()
	if err != nil || saw["packet lost"] < 120 || saw["packet on a slow link"] != 130 {
		t.Errorf("130 packets were on slow links, and it saw %v, %v", saw, err)
	}
}

// A client reaches a node that is cut off, and nobody reaches it from outside.
func TestDial(t *testing.T) {
	w := newWired(t, "n1", "n2", "n3")
	defer w.hurt("cut n1 | n2 n3")()
	var listener net.Listener
	err := w.places[0].space.do(func() (err error) {
		listener, err = net.Listen("tcp4", "127.77.0.1:8001")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := w.dial(t.Context(), "tcp", "127.77.0.1:8001")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := w.dial(t.Context(), "tcp", "127.77.0.2:8001"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("where nobody listens the client gets %v", err)
	}
	if _, err := w.dial(t.Context(), "tcp", "127.77.0.9:8001"); err == nil {
		t.Error("a client connects to nobody")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.77.0.1:8001"); err == nil {
		conn.Close()
		t.Error("the node is reached from outside")
	}
}

// What the kernel is told is in one order, and only of the faults that there are.
func TestTable(t *testing.T) {
	n := &network{cuts: map[script.Pair]int{}, shaped: map[string]string{}}
	for i, name := range []string{"n1", "n2", "n1"} { // n1 has a clone
		p := &place{node: name, number: i + 1}
		p.addr = address(p.number)
		n.places = append(n.places, p)
	}
	const empty = "flush chain bridge chaos forward\nflush set bridge chaos cut\nadd rule bridge chaos forward ip saddr . ip daddr @cut counter name cut drop\n"
	if got := n.table(); got != empty {
		t.Errorf("without faults the table is\n%s", got)
	}
	way := script.Pair{From: "n1", To: "n2"}
	n.count([]script.Pair{way}, 1)
	n.links = []*impairment{
		{Link: script.Link{Loss: 500}, all: true},
		{Link: script.Link{Rate: 9000}, pairs: []script.Pair{way}},
		{Link: script.Link{Rate: 8000}, pairs: []script.Pair{way}},
	}
	const want = `flush chain bridge chaos forward
flush set bridge chaos cut
add element bridge chaos cut { 127.77.0.1 . 127.77.0.2, 127.77.0.3 . 127.77.0.2 }
add rule bridge chaos forward ip saddr . ip daddr @cut counter name cut drop
add rule bridge chaos forward ip saddr . ip daddr { 127.77.0.1 . 127.77.0.2, 127.77.0.2 . 127.77.0.1, 127.77.0.2 . 127.77.0.3, 127.77.0.3 . 127.77.0.2 } numgen random mod 10000 < 500 counter name lost drop
add rule bridge chaos forward ip saddr 127.77.0.1 ip daddr 127.77.0.2 counter name slowed meta priority set 1:1
add rule bridge chaos forward ip saddr 127.77.0.3 ip daddr 127.77.0.2 counter name slowed meta priority set 1:3
`
	if got := n.table(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	const buckets = `qdisc add dev p2 root handle 1: htb
class add dev p2 parent 1: classid 1:1 htb rate 8000bps burst 2000 cburst 2000 quantum 2000
qdisc add dev p2 parent 1:1 bfifo limit 8000
class add dev p2 parent 1: classid 1:3 htb rate 8000bps burst 2000 cburst 2000 quantum 2000
qdisc add dev p2 parent 1:3 bfifo limit 8000
`
	if got := n.buckets(n.places[1]); got != buckets {
		t.Errorf("the port to n2 is told\n%s\nwant\n%s", got, buckets)
	}
	if got := n.buckets(n.places[0]); got != "" {
		t.Errorf("the port to n1 is told\n%s", got)
	}
}
