package transport

import (
	"runtime"
	"sync"
)

// sendQueue is what waits for a stream's writer: frames, encoded one after the
// other into a buffer by those who send them, and taken all at once by the
// writer, while the next ones go into a second buffer. So what is queued
// together is written together, and sending allocates nothing.
type sendQueue struct {
	limit int           // bytes; a frame that finds the queue empty always fits
	ready chan struct{} // has a value when there may be something to take

	mu     sync.Mutex
	buf    []byte
	spare  []byte
	queued uint64 // bytes ever queued
	taken  uint64 // bytes ever taken
	closed bool
}

// maxSpareBytes is how large a buffer may be and be kept for the next frames.
const maxSpareBytes = 1 << 20

func newSendQueue(limit int) *sendQueue {
	return &sendQueue{limit: limit, ready: make(chan struct{}, 1)}
}

// put appends one frame of the given kind, whose body encode appends, about
// size bytes. It returns how many bytes will have been taken when the frame
// has.
func put[T any](q *sendQueue, kind byte, size int, encode func([]byte, T) []byte, v T) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return 0, ErrClosed
	case len(q.buf) > 0 && len(q.buf)+size > q.limit:
		return 0, ErrQueueFull
	}
	start := len(q.buf)
	b, err := endFrame(encode(beginFrame(q.buf, kind), v), start)
	q.buf = b
	if err != nil {
		return 0, err
	}
	q.queued += uint64(len(b) - start)
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return q.queued, nil
}

// batch lets those run who are ready to send, and then takes what they queued:
// under load several times as much goes into one write, and with nobody else
// ready it costs nothing.
func (q *sendQueue) batch() []byte {
	runtime.Gosched()
	return q.take()
}

// take returns all that is queued, nil if nothing is. What it returns must be
// given back with recycle.
func (q *sendQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.buf) == 0 {
		return nil
	}
	b := q.buf
	q.buf, q.spare = q.spare[:0], nil
	q.taken += uint64(len(b))
	return b
}

func (q *sendQueue) recycle(b []byte) {
	if cap(b) > maxSpareBytes {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b[:0]
}

// clear forgets what is queued.
func (q *sendQueue) clear() {
	if b := q.take(); b != nil {
		q.recycle(b)
	}
}

// close refuses further frames, and returns how many bytes were ever taken:
// what was queued after them never leaves.
func (q *sendQueue) close() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.buf, q.spare = nil, nil
	return q.taken
}
