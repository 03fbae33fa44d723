package transport

import (
	"context"

	"github.com/quic-go/quic-go"

	"actormesh/quorum"
)

// beatsQueued is small: a heartbeat that waited is worth less than the next.
const beatsQueued = 4

// Streams share a connection by urgency, RFC 9218: what decides who owns a slot
// goes before what is in it, and both before calls.
const (
	urgencyControl = 1
	urgencyLog     = 2
	urgencyCalls   = 3
)

// peer is a node to which this one sends.
type peer struct {
	*route
	control *sendQueue
	log     *sendQueue
	beats   chan Beat
}

func newPeer(t *Transport, id quorum.NodeID, name, addr string) *peer {
	p := &peer{
		route:   newRoute(t.ep, addr, name, id, classHelloPeer),
		control: newSendQueue(t.ep.limits.ControlQueueBytes),
		log:     newSendQueue(t.ep.limits.LogQueueBytes),
		beats:   make(chan Beat, beatsQueued),
	}
	// If both dial at once, both nodes choose the connection of the lower id.
	p.prefer = func(l *link) bool { return l.dialled == (t.self < id) }
	p.state = func(connected bool) { t.handler.PeerState(id, connected) }
	p.up = t.peerUp
	t.ep.spawn(func() { p.write(p.control, classControl, urgencyControl) })
	t.ep.spawn(func() { p.write(p.log, classLog, urgencyLog) })
	t.ep.spawn(p.writeBeats)
	return p
}

// send queues one frame unless the node is known to be unreachable.
func send[T any](p *peer, q *sendQueue, kind byte, size int, encode func([]byte, T) []byte, v T) error {
	if _, err := p.best(); err != nil {
		return err
	}
	_, err := put(q, kind, size, encode, v)
	return err
}

// write sends what is queued on a stream of the best connection there is, for
// as long as the peer exists. A failed write loses what it wrote; a failed dial
// all that waits for it.
func (p *peer) write(q *sendQueue, c class, urgency int8) {
	var stream *quic.SendStream
	var on *link
	for {
		select {
		case <-q.ready:
		case <-p.ctx.Done():
			q.close()
			return
		}
		l, err := p.await(p.ctx)
		if err != nil {
			q.clear()
			continue
		}
		if l != on {
			if stream != nil {
				// The error is that the connection is gone.
				_ = stream.Close()
			}
			if stream, err = openUni(p.ctx, l, c, urgency); err != nil {
				stream, on = nil, nil
				q.clear()
				continue
			}
			on = l
		}
		b := q.batch()
		if b == nil {
			continue
		}
		if _, err := stream.Write(b); err != nil {
			stream, on = nil, nil
		}
		q.recycle(b)
	}
}

func openUni(ctx context.Context, l *link, c class, urgency int8) (*quic.SendStream, error) {
	stream, err := l.conn.OpenUniStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stream.SetPriority(urgency, true)
	_, err = stream.Write([]byte{byte(c)})
	return stream, err
}

// writeBeats sends heartbeats, each in a datagram. They have a goroutine of
// their own, for sending one waits while many others are in front of it.
func (p *peer) writeBeats() {
	var b []byte
	for {
		select {
		case t := <-p.beats:
			l, err := p.best()
			if l == nil || err != nil {
				continue
			}
			b = AppendBeat(b[:0], t)
			if err := l.conn.SendDatagram(b); err != nil {
				p.ep.log.Debug("heartbeat not sent", "peer", p.name, "err", err)
			}
		case <-p.ctx.Done():
			return
		}
	}
}
