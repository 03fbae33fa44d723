package mesh

import (
	"io"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/transport"
)

// peers takes what comes from other nodes and clients, in the transport's
// goroutines, and passes it on to the loops.
type peers struct{ n *Node }

var _ transport.Handler = peers{}

// Log implements transport.Handler.
func (p peers) Log(from quorum.NodeID, msgs []quorum.Message) {
	shards := p.n.shards
	if len(shards) == 1 {
		shards[0].log(from, msgs)
		return
	}
	parts := make([][]quorum.Message, len(shards))
	for _, m := range msgs {
		i := int(m.Slot) % len(shards)
		parts[i] = append(parts[i], m)
	}
	for i, part := range parts {
		if len(part) > 0 {
			shards[i].log(from, part)
		}
	}
}

// Control implements transport.Handler.
func (p peers) Control(from quorum.NodeID, c transport.Control) { p.n.control.message(from, c) }

// Beat implements transport.Handler.
func (p peers) Beat(from quorum.NodeID, b transport.Beat) { p.n.control.beat(from, b) }

// Snapshot implements transport.Handler.
func (p peers) Snapshot(from quorum.NodeID, header []byte, r io.Reader) error {
	return p.n.receiveSnapshot(from, header, r)
}

// PeerState implements transport.Handler.
func (p peers) PeerState(id quorum.NodeID, connected bool) {
	if !connected {
		return
	}
	for _, l := range p.n.shards {
		l.do(func(s *core.Shard, now quorum.Instant) { s.Reconnected(now, id) })
	}
}

// Call implements transport.Handler. A call that came to the wrong node is not
// passed on: who sent it is told, and knows the way.
func (p peers) Call(from transport.Caller, c *transport.Call, reply func(*transport.Reply)) {
	n := p.n
	r := &request{
		kind: c.Kind, id: c.Actor, method: c.Method, args: c.Args, json: c.JSON, wantJSON: c.WantJSON,
		requestID: c.Request, deadline: n.env.About().Add(min(c.Timeout, maxCallTimeout)),
		trace: c.Trace,
	}
	if from.Role == transport.RoleNode {
		r.chain, r.internal, r.principal = c.Chain, c.Internal, c.Principal
	} else {
		r.principal = from.Name
	}
	if detail := badRequestID(&r.requestID, from.Role); detail != "" {
		reply(n.replyOf(answered(core.CodeBadRequest, detail), 0))
		return
	}
	v := n.view.Load()
	if v == nil || quorum.Epoch(v.Epoch) < c.Epoch {
		n.control.behind(c.Epoch)
	}
	slot, owner, a := n.locateOwner(v, r)
	if owner != n.id {
		reply(n.replyOf(a, owner))
		return
	}
	n.submit(slot, r, func(a answer) { reply(n.replyOf(a, 0)) })
}

// badRequestID says what is wrong with a request id that came from elsewhere,
// empty if nothing is. An actor remembers each form of ids in its own way, so an id
// has one of them. Only an actor sends, and only a turn derives keys.
func badRequestID(id *quorum.RequestID, from transport.Role) string {
	forms := 0
	for _, has := range []bool{id.Session != quorum.SessionID{}, id.Key != "", id.Source != ""} {
		if has {
			forms++
		}
	}
	own := id.Key == "" || id.Key[0] == quorum.KeyOwn && isName(id.Key[1:], maxKeyOwnBytes)
	switch {
	case forms > 1:
		return "a request id has one of session, key and source"
	case from != transport.RoleNode && (id.Source != "" || !own):
		return "a client's request id is a number of its session, or a key of its own"
	}
	return ""
}

// replyOf turns an answer into what travels.
func (n *Node) replyOf(a answer, redirect quorum.NodeID) *transport.Reply {
	return &transport.Reply{
		Code: uint8(a.Code), JSON: a.json, Replayed: a.Replayed, Detail: a.Detail, App: a.App,
		Result: a.Reply, Fence: a.Fence, LSN: a.LSN, Node: n.conf.Name, Epoch: n.epoch(), Redirect: redirect,
	}
}

// Hint takes a hint from gossip that is not this node's own: a node is at an
// address, and has the view of epoch.
func (p peers) Hint(id quorum.NodeID, addr string, epoch quorum.Epoch) {
	p.n.control.gossiped(gossipPeer{id: id, addr: addr, epoch: epoch, state: "alive"})
}
