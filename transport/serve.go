package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/quic-go/quic-go"
)

// accept takes connections until the transport is closed.
func (t *Transport) accept() {
	for {
		conn, err := t.listener.Accept(t.ep.ctx)
		if err != nil {
			return
		}
		if !t.ep.track(conn) {
			t.ep.log.Warn("too many connections", "from", conn.RemoteAddr())
			closeConn(conn, codeBusy, "too many connections")
			continue
		}
		if !t.ep.spawn(func() { t.meet(conn) }) {
			closeConn(conn, codeClosed, "closing")
		}
	}
}

// meet learns who has connected, and serves it.
func (t *Transport) meet(conn *quic.Conn) {
	l, first, err := t.ep.welcome(conn)
	if err == nil && l.remote.Node == t.self && first == classHelloPeer {
		err = fmt.Errorf("%w: %q has the id of %q; was its data directory copied?", ErrWrongNode, l.remote.Name, t.ep.id.Name)
	}
	if err != nil {
		t.ep.log.Warn("refused a connection", "from", conn.RemoteAddr(), "err", explain(err))
		closeConn(conn, codeOf(err), err.Error())
		return
	}
	if first == classHelloOnce {
		t.serveStreams(l)
		return
	}
	t.mu.Lock()
	p := t.peers[l.remote.Node]
	var old *link
	if p == nil {
		old = t.strays[l.remote.Node]
		t.strays[l.remote.Node] = l
		context.AfterFunc(conn.Context(), func() { t.dropStray(l) })
	}
	t.mu.Unlock()
	if old != nil {
		closeConn(old.conn, codeSuperseded, "a newer connection took its place")
	}
	if p != nil && !t.adopt(p, l) {
		return
	}
	t.servePeer(l)
}

// adopt lets a peer send on a connection that it has dialled.
func (t *Transport) adopt(p *peer, l *link) bool {
	if err := p.add(l); err != nil {
		t.ep.log.Warn("refused a connection", "from", l.remote.Name, "err", err)
		return false
	}
	return true
}

func (t *Transport) dropStray(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.strays[l.remote.Node] == l {
		delete(t.strays, l.remote.Node)
	}
}

// peerUp serves a peer connection that this end has dialled.
func (t *Transport) peerUp(l *link) { t.ep.spawn(func() { t.servePeer(l) }) }

func (t *Transport) servePeer(l *link) {
	t.ep.spawn(func() { t.serveUniStreams(l) })
	t.ep.spawn(func() { t.serveBeats(l) })
	t.serveStreams(l)
}

func (t *Transport) serveStreams(l *link) {
	for {
		s, err := l.conn.AcceptStream(t.ep.ctx)
		if err != nil {
			return
		}
		t.ep.spawn(func() { t.ended(l, t.serveStream(l, s)) })
	}
}

func (t *Transport) serveUniStreams(l *link) {
	for {
		s, err := l.conn.AcceptUniStream(t.ep.ctx)
		if err != nil {
			return
		}
		t.ep.spawn(func() { t.ended(l, t.serveUniStream(l, s)) })
	}
}

// ended closes the connection if a stream ended because the other end does not
// keep to the protocol.
func (t *Transport) ended(l *link, err error) {
	if errors.Is(err, ErrFrame) || errors.Is(err, ErrWrongRole) {
		t.ep.log.Warn("closed a connection", "to", l.remote.Name, "at", l.conn.RemoteAddr(), "err", err)
		l.fail(err)
	}
}

// readClass reads the first byte of a stream and checks the role for it.
func (l *link) readClass(r io.Reader) (class, error) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	c := class(b[0])
	if !c.allows(l.role) {
		return 0, fmt.Errorf("%w: %s %q opened a stream of class %d; that takes a node's certificate", ErrWrongRole, l.role, l.remote.Name, c)
	}
	return c, nil
}

func (t *Transport) serveUniStream(l *link, s *quic.ReceiveStream) error {
	c, err := l.readClass(s)
	if err != nil {
		return err
	}
	frames := frameReader{r: s}
	names := &interner{}
	for {
		kind, body, err := frames.next()
		if err != nil {
			return err
		}
		switch {
		case c == classLog && kind == frameLog:
			msgs, err := decodeLog(body, names)
			if err != nil {
				return err
			}
			t.handler.Log(l.remote.Node, msgs)
		case c == classControl && kind == frameControl:
			m, err := DecodeControl(body)
			if err != nil {
				return err
			}
			t.handler.Control(l.remote.Node, m)
		default:
			return fmt.Errorf("%w: a frame of type %d on a stream of class %d", ErrFrame, kind, c)
		}
	}
}

func (t *Transport) serveBeats(l *link) {
	for {
		b, err := l.conn.ReceiveDatagram(t.ep.ctx)
		if err != nil {
			return
		}
		beat, err := DecodeBeat(b)
		if err != nil {
			t.ended(l, err)
			return
		}
		t.handler.Beat(l.remote.Node, beat)
	}
}

func (t *Transport) serveStream(l *link, s *quic.Stream) error {
	c, err := l.readClass(s)
	if err != nil {
		return err
	}
	switch c {
	case classCalls:
		return t.serveCalls(l, s)
	case classAsk:
		return t.serveAsk(l, s)
	case classSnapshot:
		return t.serveSnapshot(l, s)
	case classGossip:
		return t.serveGossip(l, s)
	}
	return fmt.Errorf("%w: a stream of class %d", ErrFrame, c)
}

// serveAsk answers one question.
func (t *Transport) serveAsk(l *link, s *quic.Stream) error {
	body, err := readFrame(s, frameControl, maxFrameBytes)
	if err != nil {
		return err
	}
	c, err := DecodeControl(body)
	if err != nil {
		return err
	}
	if t.answer == nil || l.role != RoleNode && !slices.Contains(t.clientKinds, c.Kind) {
		s.CancelWrite(codeRole)
		return nil
	}
	b, err := endFrame(AppendControl(beginFrame(nil, frameControl), t.answer(l.caller(), c)), 0)
	if err != nil {
		t.ep.log.Warn("an answer that cannot be sent", "kind", c.Kind, "err", err)
		s.CancelWrite(codeAborted)
		return nil
	}
	if _, err := s.Write(b); err != nil {
		return err
	}
	return s.Close()
}
