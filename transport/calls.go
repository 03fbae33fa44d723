package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/quic-go/quic-go"

	"actormesh/quorum"
)

// Call sends a call to a peer and awaits the reply, which may say that the
// call failed. An error that wraps ErrNotSent says that nothing happened; one
// that wraps ErrLost, that nobody here knows. The reply's Result is the
// caller's for good.
func (t *Transport) Call(ctx context.Context, to quorum.NodeID, c *Call) (*Reply, error) {
	p, err := t.peer(to)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return p.call(ctx, c)
}

func (r *route) call(ctx context.Context, c *Call) (*Reply, error) {
	l, err := r.await(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	m, err := l.callStream()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, l.explain(ctx, err))
	}
	return m.call(ctx, c)
}

// callStream returns the link's stream for calls, which it opens once. There is
// one for each connection and direction, for what is queued together can then
// be written together.
func (l *link) callStream() (*callMux, error) {
	l.callsOnce.Do(func() {
		s, err := l.openStream(l.conn.Context(), classCalls)
		if err != nil {
			l.callsErr = err
			// No other call can be made here, so that the next one dials.
			closeConn(l.conn, codeClosed, "no stream for calls")
			return
		}
		s.SetPriority(urgencyCalls, true)
		m := &callMux{
			stream: s, queue: newSendQueue(l.ep.limits.CallQueueBytes),
			limit: l.ep.limits.CallsInFlight, pending: map[uint64]*pendingCall{},
		}
		reading := l.ep.spawn(func() {
			err := m.read()
			reason := l.explain(l.ep.ctx, err)
			l.fail(err) // first, so that who calls again gets a new connection
			m.fail(reason)
		})
		writing := l.ep.spawn(func() { pump(s, m.queue) })
		if !reading || !writing {
			l.callsErr = ErrClosed
			return
		}
		l.calls = m
	})
	return l.calls, l.callsErr
}

// callMux carries many calls at once on one stream.
type callMux struct {
	stream *quic.Stream
	queue  *sendQueue
	limit  int

	mu      sync.Mutex
	last    uint64 // ID of the last call
	pending map[uint64]*pendingCall
	err     error // set once the stream is gone
}

// pendingCall is a call without a reply.
type pendingCall struct {
	// end is how many bytes of the queue will have been taken when the call
	// has; zero before it is queued.
	end  uint64
	done chan callResult // takes one value
}

type callResult struct {
	reply *Reply
	err   error
}

var pendingCalls = sync.Pool{New: func() any { return &pendingCall{done: make(chan callResult, 1)} }}

func (m *callMux) call(ctx context.Context, c *Call) (*Reply, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	p := pendingCalls.Get().(*pendingCall)
	p.end = 0
	numbered := *c
	if err := m.register(p, &numbered); err != nil {
		pendingCalls.Put(p)
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	end, err := put(m.queue, frameCall, len(c.Args)+maxNameBytes, AppendCall, &numbered)
	if err != nil {
		m.forget(numbered.ID) // p is left to the collector: fail may hold it
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	m.mu.Lock()
	p.end = end
	m.mu.Unlock()
	select {
	case r := <-p.done:
		pendingCalls.Put(p)
		return r.reply, r.err
	case <-ctx.Done():
	}
	if !m.forget(numbered.ID) {
		r := <-p.done // the answer came at the same time
		pendingCalls.Put(p)
		return r.reply, r.err
	}
	pendingCalls.Put(p)
	return nil, fmt.Errorf("%w: %w", ErrLost, context.Cause(ctx))
}

func (m *callMux) register(p *pendingCall, c *Call) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return m.err
	case len(m.pending) >= m.limit:
		return fmt.Errorf("%w: %d calls in flight", ErrQueueFull, m.limit)
	}
	m.last++
	c.ID = m.last
	m.pending[c.ID] = p
	return nil
}

// forget reports whether the call was still pending; otherwise its result is on
// its way.
func (m *callMux) forget(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := m.pending[id]
	delete(m.pending, id)
	return found
}

// read hands out replies until the stream ends.
func (m *callMux) read() error {
	frames := frameReader{r: m.stream}
	names := &interner{}
	for {
		kind, body, err := frames.next()
		if err != nil {
			return err
		}
		if kind != frameReply {
			return fmt.Errorf("%w: a frame of type %d among replies", ErrFrame, kind)
		}
		r, err := decodeReply(body, names)
		if err != nil {
			return err
		}
		m.mu.Lock()
		p := m.pending[r.ID]
		delete(m.pending, r.ID)
		m.mu.Unlock()
		if p != nil { // else its caller no longer waits
			p.done <- callResult{reply: r}
		}
	}
}

// fail ends all pending calls. Those that the writer never took were certainly
// not sent.
func (m *callMux) fail(err error) {
	if errors.Is(err, io.EOF) {
		err = ErrClosed
	}
	m.stream.CancelRead(codeClosed)
	m.stream.CancelWrite(codeClosed)
	taken := m.queue.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	for id, p := range m.pending {
		delete(m.pending, id)
		outcome := ErrLost
		if p.end > taken {
			outcome = ErrNotSent
		}
		p.done <- callResult{err: fmt.Errorf("%w: %w", outcome, err)}
	}
}

// pump writes what is queued until the stream's writing side ends.
func pump(s *quic.Stream, q *sendQueue) {
	for {
		select {
		case <-q.ready:
		case <-s.Context().Done():
			return
		}
		b := q.batch()
		if b == nil {
			continue
		}
		if _, err := s.Write(b); err != nil {
			s.CancelRead(codeClosed) // so that the reader ends, and fails what waits
			return
		}
		q.recycle(b)
	}
}

// serveCalls hands calls to the handler and writes its replies.
func (t *Transport) serveCalls(l *link, s *quic.Stream) error {
	s.SetPriority(urgencyCalls, true)
	replies := newSendQueue(t.ep.limits.CallQueueBytes)
	t.ep.spawn(func() { pump(s, replies) })
	defer s.CancelWrite(codeClosed)
	defer replies.close()
	caller := l.caller()
	frames := frameReader{r: s}
	names := &interner{}
	for {
		kind, body, err := frames.next()
		if err != nil {
			return err
		}
		if kind != frameCall {
			return fmt.Errorf("%w: a frame of type %d among calls", ErrFrame, kind)
		}
		c, err := decodeCall(body, names)
		if err != nil {
			return err
		}
		id := c.ID
		t.handler.Call(caller, c, func(r *Reply) { l.reply(replies, id, r) })
	}
}

// reply queues a reply. If that fails, the connection is closed, so that its
// caller learns at once that no reply will come.
func (l *link) reply(q *sendQueue, id uint64, r *Reply) {
	numbered := *r
	numbered.ID = id
	_, err := put(q, frameReply, len(r.Result)+len(r.Detail)+maxNameBytes, AppendReply, &numbered)
	if err == nil || errors.Is(err, ErrClosed) {
		return
	}
	l.ep.log.Warn("a reply that cannot be sent", "to", l.remote.Name, "err", err)
	// Closing waits for the connection's loop, for which no handler should.
	l.ep.spawn(func() { l.fail(err) })
}
