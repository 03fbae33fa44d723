package transport

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"actormesh/quorum"
)

// Handler takes what comes from other nodes. Its methods are called from many
// goroutines, for one stream in order. A method that blocks stops its stream,
// and with it the sender, so none may block for long; none may call Close. All
// byte slices are the handler's for good.
type Handler interface {
	// Log takes slot messages of one frame.
	Log(from quorum.NodeID, msgs []quorum.Message)
	// Control takes a message between control cores.
	Control(from quorum.NodeID, c Control)
	// Beat takes a heartbeat or the answer to one.
	Beat(from quorum.NodeID, b Beat)
	// Call takes a call. It must call reply once, from any goroutine; reply
	// does not block.
	Call(from Caller, c *Call, reply func(*Reply))
	// Snapshot takes a snapshot in a goroutine of its own. The reader returns
	// io.EOF only at the end of a whole one. The sender is told whether
	// Snapshot returned nil.
	Snapshot(from quorum.NodeID, header []byte, r io.Reader) error
	// PeerState tells when the first connection to a peer comes and when the
	// last one is lost, in turns. It is not called for the end of Close.
	PeerState(id quorum.NodeID, connected bool)
}

// Caller is who is at the other end of a connection, as its certificate says.
type Caller struct {
	Hello
	Role Role
}

// Config says how a Transport runs. Identity and Handler have no defaults.
type Config struct {
	// Listen is the HOST:PORT of the UDP port. If empty, a free port on
	// 127.0.0.1.
	Listen   string
	Identity *Identity
	// Self and Boot are this node's; its name is the identity's.
	Self quorum.NodeID
	Boot quorum.Boot
	// Cluster is the cluster's id, empty if there is none yet. SetCluster
	// changes it.
	Cluster string
	Handler Handler
	// Answer answers a question that came with Ask. If nil, all are refused.
	Answer func(from Caller, c Control) Control
	// ClientKinds are the kinds of Control that clients, and not only nodes,
	// may ask.
	ClientKinds []uint8
	// StatelessResetKey must be the same for each start of the node: with it a
	// restarted node tells others at once that their connections are gone. If
	// nil, they notice after Limits.IdleTimeout.
	StatelessResetKey *[32]byte
	// Logger takes what operators should know. If nil, slog.Default().
	Logger *slog.Logger
	Limits Limits
}

// Limits bounds what a Transport or a Client holds and how long it waits. The
// zero value of a field means its default.
type Limits struct {
	DialTimeout       time.Duration // connecting, and both hellos: 3 s
	IdleTimeout       time.Duration // of a connection from which nothing comes: 4 s
	LogQueueBytes     int           // queued for one peer: 32 MiB
	ControlQueueBytes int           // queued for one peer: 8 MiB
	CallQueueBytes    int           // calls, and replies, queued on one connection: 32 MiB
	CallsInFlight     int           // on one connection: 65,536
	Connections       int           // in all: 4,096
	Snapshots         int           // being received: 4
}

func (l Limits) withDefaults() Limits {
	return Limits{
		DialTimeout:       cmp.Or(l.DialTimeout, 3*time.Second),
		IdleTimeout:       cmp.Or(l.IdleTimeout, 4*time.Second),
		LogQueueBytes:     cmp.Or(l.LogQueueBytes, 32<<20),
		ControlQueueBytes: cmp.Or(l.ControlQueueBytes, 8<<20),
		CallQueueBytes:    cmp.Or(l.CallQueueBytes, 32<<20),
		CallsInFlight:     cmp.Or(l.CallsInFlight, 1<<16),
		Connections:       cmp.Or(l.Connections, 4096),
		Snapshots:         cmp.Or(l.Snapshots, 4),
	}
}

// Transport is a node's end of all its connections.
type Transport struct {
	ep          *endpoint
	self        quorum.NodeID
	handler     Handler
	answer      func(Caller, Control) Control
	clientKinds []uint8
	snapshots   chan struct{} // one value for each that is being received
	listener    *quic.Listener

	mu     sync.RWMutex
	hello  Hello
	peers  map[quorum.NodeID]*peer
	strays map[quorum.NodeID]*link // accepted from nodes that are no peers
	gossip *Gossip                 // nil until it is wanted
}

// Listen opens the UDP port and begins to accept connections.
func Listen(conf Config) (*Transport, error) {
	if conf.Identity == nil || conf.Handler == nil {
		return nil, errors.New("transport: a Config needs an Identity and a Handler")
	}
	if conf.Self == 0 || conf.Identity.Role != RoleNode {
		return nil, errors.New("transport: a node needs an id and a certificate with the role of a node")
	}
	limits := conf.Limits.withDefaults()
	t := &Transport{
		self:        conf.Self,
		handler:     conf.Handler,
		answer:      conf.Answer,
		clientKinds: conf.ClientKinds,
		snapshots:   make(chan struct{}, limits.Snapshots),
		hello:       Hello{Cluster: conf.Cluster, Node: conf.Self, Name: conf.Identity.Name, Boot: conf.Boot},
		peers:       map[quorum.NodeID]*peer{},
		strays:      map[quorum.NodeID]*link{},
	}
	log := conf.Logger
	if log == nil {
		log = slog.Default()
	}
	var err error
	t.ep, err = newEndpoint(cmp.Or(conf.Listen, "127.0.0.1:0"), conf.Identity, limits, log, conf.StatelessResetKey, t.selfHello)
	if err != nil {
		return nil, err
	}
	tls := conf.Identity.serverTLS(func(err error) { log.Warn("refused a connection", "err", err) })
	if t.listener, err = t.ep.quic.Listen(tls, t.ep.conf); err != nil {
		return nil, errors.Join(err, t.ep.close())
	}
	t.ep.spawn(t.accept)
	return t, nil
}

// Close ends all connections and waits for all goroutines, those in handlers
// included. It can be called more than once.
func (t *Transport) Close() error { return t.ep.close() }

// Addr returns the address of the UDP port.
func (t *Transport) Addr() *net.UDPAddr { return t.ep.udp.LocalAddr().(*net.UDPAddr) }

func (t *Transport) selfHello() Hello {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.hello
}

// SetCluster sets the cluster's id: from then on nodes that have another are
// refused.
func (t *Transport) SetCluster(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hello.Cluster = id
}

// SetPeer makes a node one to which can be sent, under its name and HOST:PORT;
// where it is one already, with these instead. Nothing is dialled yet. This
// node itself is no peer, and ignored.
func (t *Transport) SetPeer(id quorum.NodeID, name, addr string) {
	if id == t.self {
		return
	}
	t.mu.Lock()
	old := t.peers[id]
	if old != nil && old.name == name && old.addr == addr {
		t.mu.Unlock()
		return
	}
	p := newPeer(t, id, name, addr)
	t.peers[id] = p
	stray := t.strays[id]
	delete(t.strays, id)
	t.mu.Unlock()
	if old != nil {
		old.close()
	}
	if stray != nil {
		t.adopt(p, stray)
	}
}

// RemovePeer closes the connections to a node and forgets what is queued for
// it. The node may still connect.
func (t *Transport) RemovePeer(id quorum.NodeID) {
	t.mu.Lock()
	p := t.peers[id]
	delete(t.peers, id)
	t.mu.Unlock()
	if p != nil {
		p.close()
	}
}

func (t *Transport) peer(id quorum.NodeID) (*peer, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p := t.peers[id]; p != nil {
		return p, nil
	}
	return nil, ErrNoPeer
}

// SendLog queues slot messages for a peer. They are encoded before it returns.
func (t *Transport) SendLog(to quorum.NodeID, msgs []quorum.Message) error {
	p, err := t.peer(to)
	if err != nil {
		return err
	}
	for len(msgs) > 0 {
		n, size := 0, 0
		for n < len(msgs) && (n == 0 || size < targetFrameBytes) {
			size += messageBytes(&msgs[n])
			n++
		}
		if err := send(p, p.log, frameLog, size, AppendLogFrame, msgs[:n]); err != nil {
			return err
		}
		msgs = msgs[n:]
	}
	return nil
}

// SendControl queues a control message for a peer. It is encoded before it
// returns.
func (t *Transport) SendControl(to quorum.NodeID, c Control) error {
	p, err := t.peer(to)
	if err != nil {
		return err
	}
	return send(p, p.control, frameControl, len(c.Body), AppendControl, c)
}

// SendBeat sends a heartbeat in a datagram. It is dropped where there is no
// connection, and one is then dialled for the next.
func (t *Transport) SendBeat(to quorum.NodeID, b Beat) error {
	p, err := t.peer(to)
	if err != nil {
		return err
	}
	select {
	case p.beats <- b:
		return nil
	default:
		return ErrQueueFull
	}
}
