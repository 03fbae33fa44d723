package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/mesh"
	"actormesh/quorum"
	"actormesh/transport"
)

// network takes messages from port to port: late, twice, in another order, or not
// at all.
type network struct {
	ports map[string]*port // by address
	cuts  []*cut
	links []*linkFault
}

// linkFault is what is wrong with some directions of the network, or with all.
type linkFault struct {
	script.Link
	pairs map[[2]int]bool // nil for all
	busy  map[[2]int]time.Duration
}

// cut is in the way of some directions.
type cut struct{ routes map[[2]int]bool } // by machines, from and to

func (n *network) init() { n.ports = map[string]*port{} }

// isCut reports whether nothing gets through in a direction.
func (n *network) isCut(route [2]int) bool {
	return slices.ContainsFunc(n.cuts, func(c *cut) bool { return c.routes[route] })
}

// The times of the network. A connection from which nothing comes is lost after
// idleTimeout, and one that is dialled in vain after dialTimeout, as in package
// transport.
const (
	latencyMin  = 60 * time.Microsecond
	latencyMax  = 400 * time.Microsecond
	lateMax     = 40 * time.Millisecond
	idleTimeout = 4 * time.Second
	dialTimeout = 3 * time.Second
	resendTime  = 60 * time.Millisecond
)

// port is a process's end of the network: a mesh.Network.
type port struct {
	p       *process
	addr    string
	conf    transport.Config
	cluster string
	peers   map[quorum.NodeID]peer
	heard   map[quorum.NodeID]*connection
	closed  bool
	down    chan struct{} // closed when it is
	calls   []*outgoing
	serving int           // handlers that are at work
	served  chan struct{} // one value: a handler has ended
}

type peer struct{ name, addr string }

// connection is what a port knows of another one.
type connection struct {
	from *port
	at   time.Duration // when something last came
}

var _ mesh.Network = (*port)(nil)

func (n *network) listen(p *process, conf transport.Config) (mesh.Network, error) {
	addr := p.m.addr
	if old := n.ports[addr]; old != nil && !old.p.gone && !old.closed {
		return nil, fmt.Errorf("sim: %s is in use", addr)
	}
	p.port = &port{
		p: p, addr: addr, conf: conf, cluster: conf.Cluster,
		peers: map[quorum.NodeID]peer{}, heard: map[quorum.NodeID]*connection{},
		down: make(chan struct{}), served: make(chan struct{}, 1),
	}
	n.ports[addr] = p.port
	return p.port, nil
}

func (t *port) Addr() string                          { return t.addr }
func (t *port) SetCluster(id string)                  { t.cluster = id }
func (t *port) RemovePeer(id quorum.NodeID)           { delete(t.peers, id) }
func (t *port) NewGossip() (*transport.Gossip, error) { return nil, nil }

func (t *port) SetPeer(id quorum.NodeID, name, addr string) {
	if id != t.conf.Self {
		t.peers[id] = peer{name, addr}
	}
}

// Close implements mesh.Network: it tells those who wait for an answer from here,
// and waits for what is at work here.
func (t *port) Close() error {
	w := t.p.w
	t.closed = true
	close(t.down)
	for _, m := range w.machines {
		if m.process == nil || m.process.port == nil || w.net.isCut(t.route(m.process.port)) {
			continue
		}
		for _, c := range m.process.port.calls {
			if c.to == t {
				w.after(w.between(latencyMin, latencyMax), evMessage, m.process, c.end)
			}
		}
	}
	for t.serving > 0 {
		t.p.Wait(0, t.served, nil, nil)
	}
	return nil
}

// serve runs a handler that Close waits for.
func (t *port) serve(handle func()) {
	t.serving++
	t.p.begin(func() {
		handle()
		t.serving--
		select {
		case t.served <- struct{}{}:
		default:
		}
	})
}

// outgoing is something that waits for an answer from another port.
type outgoing struct {
	to    *port // nil before it is known
	done  chan struct{}
	ended bool
}

func (c *outgoing) end() {
	if !c.ended {
		c.ended = true
		close(c.done)
	}
}

// waits waits until an answer is there, or cannot come any more.
func (t *port) waits(ctx context.Context, c *outgoing) {
	t.calls = append(t.calls, c)
	t.await(ctx, idleTimeout, c.done)
	t.calls = slices.DeleteFunc(t.calls, func(o *outgoing) bool { return o == c })
}

// route is the direction from one machine to another.
func (t *port) route(to *port) [2]int { return [2]int{t.p.m.index, to.p.m.index} }

// at returns who listens at an address.
func (n *network) at(addr string) *port {
	t := n.ports[addr]
	if t == nil || t.closed || t.p.gone {
		return nil
	}
	return t
}

// travel takes something from one port to whoever is at an address when it
// arrives. What is sent on a stream comes once, or, if the connection breaks, not
// at all: loss makes it late.
func (t *port) travel(addr string, size int, stream bool, arrive func(to *port)) {
	t.send(message{addr: addr, size: size, arrive: arrive}, stream)
}

func (t *port) send(m message, stream bool) {
	w := t.p.w
	t.p.crash(crashAtSend)
	to := w.net.at(m.addr)
	if to == nil || t.closed {
		return
	}
	m.from, m.to = t, to
	route := t.route(to)
	if w.net.isCut(route) {
		w.count("message cut")
		return
	}
	delay, copies := w.fate(route, m.size, stream)
	for range copies {
		travels := m
		w.schedule(delay, event{evWorld, nil, &travels})
		delay += w.between(0, lateMax)
	}
}

// message is on its way. It arrives in two steps: where it was sent to, and then, when
// that is not paused, at the port that it found there.
type message struct {
	from    *port
	to      *port
	addr    string
	node    quorum.NodeID // that may take it; 0 for whoever is there
	name    string        // of that node
	size    int
	arrived bool // at to, which it now is for
	arrive  func(to *port)
}

func (m *message) happen() {
	if m.arrived {
		to := m.to
		if !to.closed && (m.node == 0 || to.conf.Self == m.node && to.p.m.conf.Name == m.name && to.hears(m.from)) {
			m.arrive(to)
			to.p.quiet = m.node != 0 // for a loop's queue
		}
		return
	}
	w := m.from.p.w
	if m.to.closed || m.to.p.gone {
		m.to = w.net.at(m.addr)
	}
	switch {
	case m.to == nil:
	case w.net.isCut(m.from.route(m.to)):
		w.count("message cut")
	default:
		m.arrived = true
		w.note(uint64(m.size))
		w.happensOn(m.to.p, m)
	}
}

// fate draws how late a message is, and how many copies of it arrive.
func (w *world) fate(route [2]int, size int, stream bool) (delay time.Duration, copies int) {
	delay, copies = w.between(latencyMin, latencyMax), 1
	for _, l := range w.net.links {
		if l.pairs != nil && !l.pairs[route] {
			continue
		}
		if l.Delay.Max > 0 {
			w.count("message delayed")
			delay += w.between(l.Delay.Min, l.Delay.Max)
		}
		if l.Rate > 0 {
			w.count("message on a slow link")
			l.busy[route] = max(l.busy[route], w.time) + time.Duration(int64(size)*int64(time.Second)/l.Rate)
			delay += l.busy[route] - w.time
		}
		if w.share(l.Reorder) {
			w.count("message reordered")
			delay += max(w.between(l.Delay.Min, l.Delay.Max), w.between(0, lateMax))
		}
		for w.share(l.Loss) {
			w.count("message lost")
			if !stream {
				return 0, 0
			}
			delay += resendTime
		}
		if !stream && w.share(l.Repeat) {
			w.count("message repeated")
			copies++
		}
	}
	return delay, copies
}

func (w *world) share(s script.Share) bool { return s > 0 && w.rng.IntN(10_000) < int(s) }

// hears notes that something came from a port, and reports whether it is let in:
// not from another cluster, nor from an earlier start of a node of which a later
// one is connected.
func (t *port) hears(from *port) bool {
	w := t.p.w
	if t.cluster != "" && from.cluster != "" && t.cluster != from.cluster {
		return false
	}
	id := from.conf.Self
	c := t.heard[id]
	fresh := c == nil || w.time-c.at > idleTimeout
	if !fresh && c.from.conf.Boot > from.conf.Boot {
		w.count("earlier start refused")
		return false
	}
	if fresh || c.from != from {
		if c != nil {
			t.conf.Handler.PeerState(id, false)
		}
		c = &connection{from: from}
		t.heard[id] = c
		t.conf.Handler.PeerState(id, true)
	}
	c.at = w.time
	return true
}

// sendTo takes a message to a peer, if the right node is where it is thought to be.
func (t *port) sendTo(to quorum.NodeID, size int, arrive func(at *port)) error {
	p, ok := t.peers[to]
	if !ok {
		return transport.ErrNoPeer
	}
	t.send(message{addr: p.addr, node: to, name: p.name, size: size, arrive: arrive}, false)
	return nil
}

// SendLog implements mesh.Network.
func (t *port) SendLog(to quorum.NodeID, msgs []quorum.Message) error {
	size := 0
	for i := range msgs {
		size += 48
		for j := range msgs[i].Entries {
			size += 48 + len(msgs[i].Entries[j].Data)
		}
	}
	sent := slices.Clone(msgs)
	for i := range sent {
		t.p.w.sends(t, to, &sent[i])
	}
	return t.sendTo(to, size, func(at *port) { at.conf.Handler.Log(t.conf.Self, slices.Clone(sent)) })
}

// SendControl implements mesh.Network.
func (t *port) SendControl(to quorum.NodeID, c transport.Control) error {
	return t.sendTo(to, len(c.Body), func(at *port) { at.conf.Handler.Control(t.conf.Self, c) })
}

// SendBeat implements mesh.Network.
func (t *port) SendBeat(to quorum.NodeID, b transport.Beat) error {
	return t.sendTo(to, 64, func(at *port) { at.conf.Handler.Beat(t.conf.Self, b) })
}

// Call implements mesh.Network.
func (t *port) Call(ctx context.Context, to quorum.NodeID, c *transport.Call) (*transport.Reply, error) {
	p, ok := t.peers[to]
	if !ok {
		return nil, fmt.Errorf("%w: %w", transport.ErrNotSent, transport.ErrNoPeer)
	}
	if !t.connected(to, p.addr) {
		t.await(ctx, dialTimeout, nil)
		return nil, fmt.Errorf("%w: %w", transport.ErrNotSent, transport.ErrUnreachable)
	}
	var reply *transport.Reply
	out := &outgoing{done: make(chan struct{})}
	t.travel(p.addr, len(c.Args), true, func(at *port) {
		if at.conf.Self != to || !at.hears(t) {
			return
		}
		out.to = at
		given := *c
		from := transport.Caller{Hello: transport.Hello{Node: t.conf.Self, Name: t.p.m.conf.Name, Boot: t.conf.Boot}, Role: transport.RoleNode}
		at.conf.Handler.Call(from, &given, func(r *transport.Reply) {
			at.travel(t.addr, len(r.Result), true, func(back *port) {
				if back == t && !out.ended {
					reply = r
					out.end()
				}
			})
		})
	})
	t.waits(ctx, out)
	if reply == nil {
		return nil, fmt.Errorf("%w: no answer", transport.ErrLost)
	}
	return reply, nil
}

// connected reports whether a call can be written to a peer: on a connection that is
// thought to be there, though nothing may get through any more, or on a new one.
func (t *port) connected(id quorum.NodeID, addr string) bool {
	n := &t.p.w.net
	if c := t.heard[id]; c != nil && t.p.w.time-c.at <= idleTimeout {
		return true
	}
	at := n.at(addr)
	return at != nil && !n.isCut(t.route(at)) && !n.isCut(at.route(t))
}

// await waits for done, for the end of ctx, or for a while.
func (t *port) await(ctx context.Context, d time.Duration, done <-chan struct{}) {
	t.p.Wait(t.p.About().Add(d), done, ctx.Done(), t.down)
}

// Ask implements mesh.Network.
func (t *port) Ask(ctx context.Context, addr string, c transport.Control) (transport.Control, error) {
	w := t.p.w
	at := w.net.at(addr)
	if at == nil || w.net.isCut(t.route(at)) || w.net.isCut(at.route(t)) {
		t.await(ctx, dialTimeout, nil)
		return transport.Control{}, transport.ErrUnreachable
	}
	if t.cluster != "" && at.cluster != "" && t.cluster != at.cluster {
		t.await(ctx, latencyMax, nil)
		return transport.Control{}, transport.ErrOtherCluster
	}
	var answer *transport.Control
	out := &outgoing{done: make(chan struct{})}
	from := transport.Caller{Hello: transport.Hello{Node: t.conf.Self, Name: t.p.m.conf.Name, Boot: t.conf.Boot}, Role: transport.RoleNode}
	t.travel(addr, len(c.Body), true, func(at *port) {
		out.to = at
		at.serve(func() {
			a := at.conf.Answer(from, c)
			at.travel(t.addr, len(a.Body), true, func(back *port) {
				if back == t && !out.ended {
					answer = &a
					out.end()
				}
			})
		})
	})
	t.waits(ctx, out)
	if answer == nil {
		return transport.Control{}, transport.ErrLost
	}
	return *answer, nil
}
