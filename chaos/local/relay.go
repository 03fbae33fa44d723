package local

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// relayHost is where nodes think that the others are.
const relayHost = "127.0.0.2"

// maxPacketBytes is the most that a UDP packet has.
const maxPacketBytes = 1 << 16

// socketBytes is the buffer that each socket asks the system for.
const socketBytes = 4 << 20

// relay passes packets between nodes, and hurts them. It is the Ground of a run on
// loopback.
type relay struct {
	running sync.WaitGroup // readers, and packets that are delayed

	mu     sync.Mutex
	ports  map[uint16]*end // by the port that a node listens on
	cuts   map[script.Pair]int
	links  []*impairment
	rng    *rand.Rand
	counts map[string]int
	closed bool
}

// end is the relay's socket for one node: what arrives is for that node.
type end struct {
	node string
	real netip.AddrPort // where the node listens
	conn *net.UDPConn
}

// impairment is what happens to packets on some directions, or on all.
type impairment struct {
	script.Link
	pairs map[script.Pair]bool // nil for all
	free  map[script.Pair]time.Time
}

func newRelay(seed uint64) *relay {
	return &relay{
		ports: map[uint16]*end{}, cuts: map[script.Pair]int{}, counts: map[string]int{},
		rng: rand.New(rand.NewPCG(seed, 0x72656c6179)),
	}
}

// add makes the relay stand before a node that listens at address, and returns the
// address at which others reach it. Two processes may have one name.
func (r *relay) add(node, address string) (string, error) {
	real, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", err
	}
	host := netip.AddrPortFrom(netip.MustParseAddr(relayHost), real.Port())
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(host))
	if err != nil {
		return "", fmt.Errorf("the relay before %s: %w", node, err)
	}
	if err := errors.Join(conn.SetReadBuffer(socketBytes), conn.SetWriteBuffer(socketBytes)); err != nil {
		conn.Close()
		return "", err
	}
	e := &end{node, real, conn}
	r.mu.Lock()
	r.ports[real.Port()] = e
	r.mu.Unlock()
	r.running.Go(func() { r.read(e) })
	return host.String(), nil
}

// Place implements Ground.
func (r *relay) Place(n *cluster.Node) (address string, err error) { return r.add(n.Name, n.Listen) }

// Start implements Ground.
func (r *relay) Start(n *cluster.Node) error { return onKeptThread(n.Start) }

// Between implements Ground.
func (r *relay) Between(f *script.Fault, pairs []script.Pair) (undo func() error, err error) {
	var end func()
	if f.Verb == script.LinkFault {
		end = r.impair(f.Link, pairs, len(f.Sides) == 0)
	} else {
		end = r.cut(pairs)
	}
	return func() error { end(); return nil }, nil
}

// Below implements Ground: there is nothing below.
func (r *relay) Below(f *script.Fault, _ *cluster.Node) (undo func() error, err error) {
	return nil, fmt.Errorf("the engine has no %s", f.Verb)
}

// Close implements Ground.
func (r *relay) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, e := range r.ports {
		e.conn.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

// read passes on what arrives for a node.
func (r *relay) read(to *end) {
	buffer := make([]byte, maxPacketBytes)
	for {
		n, sender, err := to.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of an earlier packet, to a node that is down
		}
		r.mu.Lock()
		if from := r.ports[sender.Port()]; from != nil && !r.closed {
			for _, delay := range r.fate(script.Pair{From: from.node, To: to.node}, n) {
				r.pass(from, to, buffer[:n], delay)
			}
		}
		r.mu.Unlock()
	}
}

// pass sends a packet to its node, from its sender's address, after a delay. The
// caller has the lock.
func (r *relay) pass(from, to *end, packet []byte, delay time.Duration) {
	if delay <= 0 {
		from.conn.WriteToUDPAddrPort(packet, to.real) // what cannot be sent is lost
		return
	}
	packet = append([]byte(nil), packet...)
	r.running.Add(1)
	time.AfterFunc(delay, func() {
		defer r.running.Done()
		from.conn.WriteToUDPAddrPort(packet, to.real)
	})
}

// maxQueue is how long a packet waits for a slow link before it is dropped.
const maxQueue = time.Second

// fate returns how long each copy of a packet is delayed: none if it is lost.
func (r *relay) fate(way script.Pair, bytes int) []time.Duration {
	if r.cuts[way] > 0 {
		r.counts["packet cut off"]++
		return nil
	}
	delay, copies := time.Duration(0), 1
	for _, l := range r.links {
		if l.pairs != nil && !l.pairs[way] {
			continue
		}
		if r.chance(l.Loss) {
			r.counts["packet lost"]++
			return nil
		}
		own := r.draw(l.Delay)
		if r.chance(l.Reorder) {
			r.counts["packet reordered"]++
			own += r.draw(l.Delay) + reorderDelay
		}
		if l.Rate > 0 {
			now := time.Now()
			begin := l.free[way]
			if begin.Before(now) {
				begin = now
			}
			if begin.Sub(now) > maxQueue {
				r.counts["packet over the rate"]++
				return nil
			}
			l.free[way] = begin.Add(time.Duration(int64(bytes) * int64(time.Second) / l.Rate))
			own += l.free[way].Sub(now)
		}
		if own > 0 {
			r.counts["packet delayed"]++
			delay += own
		}
		if r.chance(l.Repeat) {
			r.counts["packet repeated"]++
			copies++
		}
	}
	fates := make([]time.Duration, copies)
	for i := range fates {
		fates[i] = delay * time.Duration(i+1)
	}
	return fates
}

// reorderDelay is the least by which a packet that is reordered comes later.
const reorderDelay = 2 * time.Millisecond

func (r *relay) chance(s script.Share) bool {
	return s > 0 && r.rng.Float64() < s.Float()
}

func (r *relay) draw(s script.Span) time.Duration {
	return s.Min + time.Duration(r.rng.Int64N(int64(s.Max-s.Min)+1))
}

// cut lets nothing pass in some directions, until the function is called.
func (r *relay) cut(pairs []script.Pair) (undo func()) {
	change := func(by int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range pairs {
			r.cuts[p] += by
		}
	}
	change(1)
	return func() { change(-1) }
}

// impair does to packets what a link has, in some directions or, if there are
// none, in all, until the function is called.
func (r *relay) impair(l script.Link, pairs []script.Pair, everywhere bool) (undo func()) {
	i := &impairment{Link: l, free: map[script.Pair]time.Time{}}
	if !everywhere {
		i.pairs = map[script.Pair]bool{}
		for _, p := range pairs {
			i.pairs[p] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links = append(r.links, i)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for at, other := range r.links {
			if other == i {
				r.links = append(r.links[:at:at], r.links[at+1:]...)
				return
			}
		}
	}
}

// Saw implements Ground.
func (r *relay) Saw() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
