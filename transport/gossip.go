package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/quic-go/quic-go"
)

const (
	// GossipPacketBytes is what memberlist's UDPBufferSize must be: below what
	// every path carries unfragmented, for the socket forbids fragments.
	GossipPacketBytes = 1100

	// gossipByte comes before each packet. QUIC's packets have one of the two
	// highest bits set, RFC 9000 section 17, so this is how the two are told
	// apart.
	gossipByte = 0x01

	// maxPacketBytes allows for what encryption adds to a packet.
	maxPacketBytes  = 1200
	packetsQueued   = 512
	packetsReceived = 512
	streamsReceived = 16
	// drainTimeout bounds how long a stream that was closed waits for the
	// other end, which may still have to read what was written.
	drainTimeout = time.Second
)

// Gossip is a memberlist.NodeAwareTransport over a Transport's UDP port:
// packets go beside QUIC, streams each on a QUIC connection of its own.
//
// memberlist suspects a peer only if a write returns nil and no answer comes,
// or if the error is a *net.OpError for "udp" and "write": after any other
// error it leaves the probe, and a peer that is dead stays alive for good. So
// writes return no other.
type Gossip struct {
	t       *Transport
	packets chan *memberlist.Packet
	streams chan net.Conn
	out     chan gossipPacket
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

type gossipPacket struct {
	to  *net.UDPAddr
	buf []byte // with gossipByte in front
}

var _ memberlist.NodeAwareTransport = (*Gossip)(nil)

var (
	errGossipAddress = errors.New("no IP address with a port")
	errGossipSize    = errors.New("packet too large for gossip; set UDPBufferSize to GossipPacketBytes")
	errGossipTwice   = errors.New("transport: gossip runs already")
)

// NewGossip starts gossip on the transport's port. There is one at a time.
func (t *Transport) NewGossip() (*Gossip, error) {
	g := &Gossip{
		t:       t,
		packets: make(chan *memberlist.Packet, packetsReceived),
		streams: make(chan net.Conn, streamsReceived),
		out:     make(chan gossipPacket, packetsQueued),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gossip != nil {
		return nil, errGossipTwice
	}
	g.ctx, g.cancel = context.WithCancel(t.ep.ctx)
	g.wg.Add(2)
	run := func(f func()) func() { return func() { defer g.wg.Done(); f() } }
	if !t.ep.spawn(run(g.read)) {
		g.cancel()
		return nil, ErrClosed
	}
	if !t.ep.spawn(run(g.write)) {
		g.cancel()
		return nil, ErrClosed
	}
	t.gossip = g
	return g, nil
}

// FinalAdvertiseAddr returns the address that is given, or the one that the
// transport listens on.
func (g *Gossip) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	local := g.t.Addr()
	if ip == "" {
		if local.IP.IsUnspecified() {
			return nil, 0, errors.New("transport: listening on all addresses; say by which of them others reach this node")
		}
		return local.IP, local.Port, nil
	}
	parsed := net.ParseIP(ip)
	if parsed == nil {
		return nil, 0, &net.AddrError{Err: "no IP address to advertise", Addr: ip}
	}
	if port == 0 {
		port = local.Port
	}
	if ip4 := parsed.To4(); ip4 != nil {
		parsed = ip4
	}
	return parsed, port, nil
}

// WriteTo is WriteToAddress without a name.
func (g *Gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress queues a packet. It never blocks; a packet that finds the
// queue full is dropped, like one that the network drops.
func (g *Gossip) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	ap, err := netip.ParseAddrPort(addr.Addr)
	if err != nil {
		return time.Time{}, gossipError(nil, errGossipAddress)
	}
	to := net.UDPAddrFromAddrPort(ap)
	switch {
	case g.ctx.Err() != nil:
		return time.Time{}, gossipError(to, net.ErrClosed)
	case len(b)+1 > maxPacketBytes:
		return time.Time{}, gossipError(to, errGossipSize)
	}
	if err := g.t.ep.id.allows(to); err != nil {
		return time.Time{}, gossipError(to, err)
	}
	p := gossipPacket{to: to, buf: make([]byte, 1+len(b))}
	p.buf[0] = gossipByte
	copy(p.buf[1:], b)
	select {
	case g.out <- p:
	default:
	}
	return time.Now(), nil
}

// gossipError returns an error that memberlist takes for the peer's failure.
func gossipError(to *net.UDPAddr, err error) error {
	e := &net.OpError{Op: "write", Net: "udp", Err: err}
	if to != nil {
		e.Addr = to
	}
	return e
}

// write sends what is queued. That a packet could not be sent is nothing that
// memberlist does not find out by itself.
func (g *Gossip) write() {
	for {
		select {
		case p := <-g.out:
			if _, err := g.t.ep.quic.WriteTo(p.buf, p.to); err != nil {
				g.t.ep.log.Debug("gossip packet not sent", "to", p.to, "err", err)
			}
		case <-g.ctx.Done():
			return
		}
	}
}

// read hands packets over until gossip ends. One that finds the channel full is
// dropped.
func (g *Gossip) read() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := g.t.ep.quic.ReadNonQUICPacket(g.ctx, buf)
		if err != nil {
			return
		}
		if n < 2 || n > maxPacketBytes || buf[0] != gossipByte {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[1:n]...), From: from, Timestamp: time.Now()}
		select {
		case g.packets <- p:
		default:
		}
	}
}

// PacketCh returns the packets that come in.
func (g *Gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// StreamCh returns the streams that others open.
func (g *Gossip) StreamCh() <-chan net.Conn { return g.streams }

// DialTimeout is DialAddressTimeout without a name.
func (g *Gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream to the node of that name, or to any node of
// the cluster if it is empty.
func (g *Gossip) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	c, err := g.dial(ctx, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: err}
	}
	return c, nil
}

func (g *Gossip) dial(ctx context.Context, addr memberlist.Address) (net.Conn, error) {
	l, err := g.t.ep.dial(ctx, addr.Addr, addr.Name, classHelloOnce)
	if err != nil {
		return nil, err
	}
	s, err := l.openStream(ctx, classGossip)
	if err != nil {
		l.fail(err)
		return nil, explain(err)
	}
	return &gossipConn{Stream: s, link: l}, nil
}

// serveGossip hands a stream over, unless nobody takes it.
func (t *Transport) serveGossip(l *link, s *quic.Stream) error {
	t.mu.RLock()
	g := t.gossip
	t.mu.RUnlock()
	if g != nil && g.ctx.Err() == nil {
		select {
		case g.streams <- &gossipConn{Stream: s, link: l}:
			return nil
		default:
		}
	}
	s.CancelRead(codeBusy)
	s.CancelWrite(codeBusy)
	return nil
}

// Shutdown ends gossip, and leaves the transport as it is. It can be called
// more than once.
func (g *Gossip) Shutdown() error {
	g.cancel()
	g.wg.Wait()
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.t.gossip == g {
		g.t.gossip = nil
	}
	return nil
}

// gossipConn makes a stream a net.Conn.
type gossipConn struct {
	*quic.Stream
	link *link
	once sync.Once
}

// LocalAddr returns the address of this end's UDP port.
func (c *gossipConn) LocalAddr() net.Addr { return c.link.conn.LocalAddr() }

// RemoteAddr returns the address of the other end's UDP port.
func (c *gossipConn) RemoteAddr() net.Addr { return c.link.conn.RemoteAddr() }

// Close ends the stream. The end that dialled then waits, in a goroutine, for
// the other to close its own, before it ends the connection: that would take
// back what is still on its way.
func (c *gossipConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Stream.Close()
		if !c.link.dialled {
			c.Stream.CancelRead(codeClosed)
			return
		}
		drain := func() {
			_ = c.Stream.SetReadDeadline(time.Now().Add(drainTimeout))          // can always be set
			_, _ = io.Copy(io.Discard, io.LimitReader(c.Stream, maxFrameBytes)) // however it ends, the connection does
			closeConn(c.link.conn, codeClosed, "done")
		}
		if !c.link.ep.spawn(drain) {
			closeConn(c.link.conn, codeClosed, "closing")
		}
	})
	return err
}
