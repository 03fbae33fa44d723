package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// class is the first byte of every stream: what it is for.
type class byte

const (
	// The first stream of a connection has one of these two. A peer connection
	// carries all that two nodes send to each other; the other kind serves the
	// one purpose for which it was dialled.
	classHelloPeer class = iota + 1
	classHelloOnce
	classControl
	classLog
	classCalls
	classAsk
	classSnapshot
	classGossip
)

// allows says whether a certificate of the role may open a stream of the class.
func (c class) allows(r Role) bool {
	switch c {
	case classCalls, classAsk, classHelloOnce:
		return true
	}
	return r == RoleNode
}

// link is a connection whose ends know each other.
type link struct {
	ep      *endpoint
	conn    *quic.Conn
	dialled bool // by this end
	remote  Hello
	role    Role

	callsOnce sync.Once
	calls     *callMux
	callsErr  error
}

func (l *link) caller() Caller { return Caller{Hello: l.remote, Role: l.role} }

// fail closes the connection because of an error.
func (l *link) fail(err error) {
	closeConn(l.conn, codeOf(err), err.Error())
}

// maxReasonBytes keeps the reason within one packet.
const maxReasonBytes = 512

func closeConn(conn *quic.Conn, code uint64, reason string) {
	// The error is always nil: a connection that is closed already stays so.
	_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason[:min(len(reason), maxReasonBytes)])
}

// endpoint is one UDP socket with QUIC on it, and all connections over it: the
// part that Transport and Client have in common.
type endpoint struct {
	id     *Identity
	limits Limits
	log    *slog.Logger
	self   func() Hello
	udp    *net.UDPConn
	quic   *quic.Transport
	conf   *quic.Config
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	conns  map[*quic.Conn]struct{}
	wg     sync.WaitGroup
}

func newEndpoint(listen string, id *Identity, limits Limits, log *slog.Logger, resetKey *[32]byte, self func() Hello) (*endpoint, error) {
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return nil, err
	}
	if err := id.allows(addr); err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		id: id, limits: limits, log: log, self: self, udp: udp,
		quic:  &quic.Transport{Conn: udp, StatelessResetKey: (*quic.StatelessResetKey)(resetKey)},
		conf:  quicConfig(limits, addr.IP.IsLoopback()),
		conns: map[*quic.Conn]struct{}{},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

func quicConfig(limits Limits, loopback bool) *quic.Config {
	conf := &quic.Config{
		HandshakeIdleTimeout: limits.DialTimeout,
		MaxIdleTimeout:       limits.IdleTimeout,
		KeepAlivePeriod:      limits.IdleTimeout / 4,
		// A stream that waits for a window waits a round trip for each: the
		// windows are large enough that it does not, for as long as it is read.
		InitialStreamReceiveWindow:     4 << 20,
		MaxStreamReceiveWindow:         16 << 20,
		InitialConnectionReceiveWindow: 8 << 20,
		MaxConnectionReceiveWindow:     32 << 20,
		MaxIncomingStreams:             64,
		MaxIncomingUniStreams:          16,
		EnableDatagrams:                true,
	}
	if loopback {
		conf.InitialPacketSize = 1452 // no path to discover: the largest that quic-go sends
	}
	return conf
}

// spawn runs f in a goroutine for which close waits. It reports false, and runs
// nothing, once the endpoint is closed.
func (e *endpoint) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.wg.Go(f)
	return true
}

// track closes the connection with the endpoint. It reports false if there are
// too many, or the endpoint is closed.
func (e *endpoint) track(conn *quic.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.conns) >= e.limits.Connections {
		return false
	}
	e.conns[conn] = struct{}{}
	context.AfterFunc(conn.Context(), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.conns, conn)
	})
	return true
}

func (e *endpoint) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		e.wg.Wait()
		return nil
	}
	e.closed = true
	conns := make([]*quic.Conn, 0, len(e.conns))
	for conn := range e.conns {
		conns = append(conns, conn)
	}
	e.mu.Unlock()
	e.cancel()
	for _, conn := range conns {
		closeConn(conn, codeClosed, "closing")
	}
	err := e.quic.Close()
	e.wg.Wait()
	return errors.Join(err, e.udp.Close())
}

// resolve returns the UDP address of HOST:PORT, if the identity may use it.
func (e *endpoint) resolve(ctx context.Context, addr string) (*net.UDPAddr, error) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		udp := net.UDPAddrFromAddrPort(ap)
		return udp, e.id.allows(udp)
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	local := e.udp.LocalAddr().(*net.UDPAddr)
	for _, ip := range ips {
		// A socket that is bound to an IPv4 address reaches no other family.
		if ip.Unmap().Is4() || local.IP.To4() == nil {
			udp := net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(port)))
			return udp, e.id.allows(udp)
		}
	}
	return nil, fmt.Errorf("address %q: none that can be reached from %s", addr, local)
}

// dial connects to a node, checks its certificate and exchanges hellos. An
// empty name is any node of the cluster.
func (e *endpoint) dial(ctx context.Context, addr, name string, first class) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, e.limits.DialTimeout)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	udp, err := e.resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn, err := e.quic.Dial(ctx, udp, e.id.clientTLS(name), e.conf)
	if err != nil {
		return nil, explain(err)
	}
	if !e.track(conn) {
		closeConn(conn, codeBusy, "too many connections")
		return nil, ErrQueueFull
	}
	l, err := e.greet(ctx, conn, first)
	if err != nil {
		closeConn(conn, codeOf(err), err.Error())
		return nil, err
	}
	return l, nil
}

// greet sends the hello of the end that dialled and awaits the other.
func (e *endpoint) greet(ctx context.Context, conn *quic.Conn, first class) (*link, error) {
	stream, err := conn.OpenStream()
	if err != nil {
		return nil, explain(err)
	}
	defer watch(ctx, stream)()
	if err := writeHello(stream, []byte{byte(first)}, e.self()); err != nil {
		return nil, explain(err)
	}
	l, err := e.meet(conn, stream)
	if err != nil {
		return nil, explain(err)
	}
	l.dialled = true
	return l, nil
}

// welcome awaits the hello of the end that dialled and answers it.
func (e *endpoint) welcome(conn *quic.Conn) (*link, class, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.limits.DialTimeout)
	defer cancel()
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer watch(ctx, stream)()
	var first [1]byte
	if _, err := io.ReadFull(stream, first[:]); err != nil {
		return nil, 0, err
	}
	c := class(first[0])
	l, err := e.meet(conn, stream)
	switch {
	case err != nil:
		return nil, 0, err
	case c != classHelloPeer && c != classHelloOnce:
		return nil, 0, fmt.Errorf("%w: a first stream of class %d", ErrFrame, c)
	case !c.allows(l.role), c == classHelloPeer && l.remote.Node == 0:
		return nil, 0, fmt.Errorf("%w: %s %q is no peer", ErrWrongRole, l.role, l.remote.Name)
	}
	return l, c, writeHello(stream, nil, e.self())
}

// meet reads the other end's hello and checks it against its certificate.
func (e *endpoint) meet(conn *quic.Conn, stream *quic.Stream) (*link, error) {
	body, err := readFrame(stream, frameHello, maxHelloBytes)
	if err != nil {
		return nil, err
	}
	h, err := DecodeHello(body)
	if err != nil {
		return nil, err
	}
	name, role, err := peerOfConn(conn.ConnectionState().TLS)
	if err != nil {
		return nil, err
	}
	self := e.self()
	switch {
	case h.Name != name:
		return nil, fmt.Errorf("%w: it says %q, and its certificate %q; start it with --name %s", ErrWrongName, h.Name, name, name)
	case h.Cluster != "" && self.Cluster != "" && h.Cluster != self.Cluster:
		return nil, fmt.Errorf("%w: %q is of %s, %q of %s; check the seeds' addresses and the data directories",
			ErrOtherCluster, h.Name, h.Cluster, self.Name, self.Cluster)
	}
	return &link{ep: e, conn: conn, remote: h, role: role}, nil
}

func peerOfConn(s tls.ConnectionState) (string, Role, error) {
	if len(s.PeerCertificates) == 0 {
		return "", 0, ErrNoCert
	}
	return PeerOf(s.PeerCertificates[0])
}

const maxHelloBytes = 1 << 10

func writeHello(w io.Writer, prefix []byte, h Hello) error {
	h.Version = protocolVersion
	start := len(prefix)
	b, err := endFrame(AppendHello(beginFrame(prefix, frameHello), h), start)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// readFrame reads one frame of the given kind and nothing after it.
func readFrame(r io.Reader, kind byte, limit int) ([]byte, error) {
	var head [frameHeaderBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(head[1])<<24 | int(head[2])<<16 | int(head[3])<<8 | int(head[4])
	if head[0] != kind || n > limit {
		return nil, fmt.Errorf("%w: type %d with %d bytes where type %d was expected", ErrFrame, head[0], n, kind)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

// watch makes reads and writes of the stream fail when the context ends, until
// the function that it returns is called.
func watch(ctx context.Context, stream *quic.Stream) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		// Deadlines can always be set.
		_ = stream.SetDeadline(time.Unix(1, 0))
	})
}
