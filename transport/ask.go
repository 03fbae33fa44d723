package transport

import (
	"context"

	"github.com/quic-go/quic-go"
)

// Ask puts one question to whichever node of this CA is at the HOST:PORT, over
// a connection of its own. Errors say what to do.
func (t *Transport) Ask(ctx context.Context, addr string, c Control) (Control, error) {
	l, err := t.ep.dial(ctx, addr, "", classHelloOnce)
	if err != nil {
		return Control{}, err
	}
	defer closeConn(l.conn, codeClosed, "done")
	return l.ask(ctx, c)
}

// ask puts one question on a stream of its own.
func (l *link) ask(ctx context.Context, c Control) (Control, error) {
	s, err := l.openStream(ctx, classAsk)
	if err != nil {
		return Control{}, explain(err)
	}
	defer watch(ctx, s)()
	defer s.CancelRead(codeClosed)
	b, err := endFrame(AppendControl(beginFrame(nil, frameControl), c), 0)
	if err != nil {
		s.CancelWrite(codeAborted)
		return Control{}, err
	}
	if _, err := s.Write(b); err != nil {
		return Control{}, explain(err)
	}
	if err := s.Close(); err != nil {
		return Control{}, explain(err)
	}
	body, err := readFrame(s, frameControl, maxFrameBytes)
	if err != nil {
		return Control{}, l.explain(ctx, err)
	}
	return DecodeControl(body)
}

// openStream opens a stream and says what it is for.
func (l *link) openStream(ctx context.Context, c class) (*quic.Stream, error) {
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.Write([]byte{byte(c)})
	return s, err
}

// explain prefers the reason for which the context or the connection ended to
// what a read of one of its streams says.
func (l *link) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.conn.Context().Err() != nil {
		return explain(context.Cause(l.conn.Context()))
	}
	return explain(err)
}
