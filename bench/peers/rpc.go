package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The calls of peers that have no protocol for clients of their own. Both sides
// of a connection send frames: a length, the number of the call, and what is said.
// Calls do not wait for each other, and what is ready together is written together.
const (
	frameHeader   = 4 + 8
	maxFrameBytes = 1 << 20
	framesQueued  = 1024
	frameBuffer   = 64 << 10
)

var (
	errFrame    = errors.New("not a frame")
	errHungUp   = errors.New("the connection has ended")
	errAnswered = errors.New("the node refuses")
)

// An answer begins with one of these.
const (
	answerOK    = 0 // the result follows
	answerError = 1 // the reason follows
)

// readFrame reads one frame.
func readFrame(r io.Reader) (id uint64, said []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(header[:])
	if n > maxFrameBytes {
		return 0, nil, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	said = make([]byte, n)
	_, err = io.ReadFull(r, said)
	return binary.LittleEndian.Uint64(header[4:]), said, err
}

// outgoing writes frames; run is its goroutine.
type outgoing struct {
	frames chan []byte
	done   chan struct{} // closed when run has ended
}

func newOutgoing() *outgoing {
	return &outgoing{frames: make(chan []byte, framesQueued), done: make(chan struct{})}
}

// send queues a frame. It reports false if nobody writes any more.
func (o *outgoing) send(id uint64, parts ...[]byte) bool {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	frame := make([]byte, frameHeader, frameHeader+n)
	binary.LittleEndian.PutUint32(frame, uint32(n))
	binary.LittleEndian.PutUint64(frame[4:], id)
	for _, part := range parts {
		frame = append(frame, part...)
	}
	select {
	case o.frames <- frame:
		return true
	case <-o.done:
		return false
	}
}

// run writes until w fails or ctx ends.
func (o *outgoing) run(ctx context.Context, w io.Writer) error {
	defer close(o.done)
	b := bufio.NewWriterSize(w, frameBuffer)
	for {
		select {
		case frame := <-o.frames:
			if _, err := b.Write(frame); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(o.frames) > 0 {
			continue
		}
		if err := b.Flush(); err != nil {
			return err
		}
	}
}

// handler answers a call: once, from any goroutine, with answerOK or answerError
// in front. It is called for one call of a connection after the other.
type handler func(asked []byte, answer func(status byte, said []byte))

// serve answers the calls of one connection until it ends.
func serve(ctx context.Context, conn io.ReadWriteCloser, handle handler) error {
	ctx, cancel := context.WithCancel(ctx)
	out := newOutgoing()
	var wg sync.WaitGroup
	wg.Go(func() { out.run(ctx, conn) }) // reading tells what became of the connection
	defer wg.Wait()
	defer conn.Close()
	defer cancel()
	r := bufio.NewReaderSize(conn, frameBuffer)
	for {
		id, asked, err := readFrame(r)
		if err != nil {
			return err
		}
		handle(asked, func(status byte, said []byte) { out.send(id, []byte{status}, said) })
	}
}

// rpcClient is one connection for many calls at a time.
type rpcClient struct {
	conn   io.ReadWriteCloser
	cancel context.CancelFunc
	out    *outgoing
	wg     sync.WaitGroup

	mu      sync.Mutex
	last    uint64                 // call
	waiting map[uint64]chan []byte // each has room for its answer
	ended   error
}

func newRPCClient(conn io.ReadWriteCloser) *rpcClient {
	ctx, cancel := context.WithCancel(context.Background())
	c := &rpcClient{conn: conn, cancel: cancel, out: newOutgoing(), waiting: map[uint64]chan []byte{}}
	c.wg.Go(func() { c.end(c.out.run(ctx, conn)) })
	c.wg.Go(func() { c.end(c.read()) })
	return c
}

func (c *rpcClient) read() error {
	r := bufio.NewReaderSize(c.conn, frameBuffer)
	for {
		id, said, err := readFrame(r)
		if err != nil {
			return err
		}
		c.mu.Lock()
		answer := c.waiting[id] // nil if the caller has left
		delete(c.waiting, id)
		c.mu.Unlock()
		if answer != nil {
			answer <- said
		}
	}
}

// end fails all calls, now and later.
func (c *rpcClient) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = fmt.Errorf("%w: %w", errHungUp, err)
		for _, answer := range c.waiting {
			close(answer)
		}
		clear(c.waiting)
		c.cancel()
		c.conn.Close() // so that the other goroutine ends too
	}
}

// call asks and waits for the answer.
func (c *rpcClient) call(ctx context.Context, parts ...[]byte) ([]byte, error) {
	answer := make(chan []byte, 1)
	c.mu.Lock()
	if c.ended != nil {
		defer c.mu.Unlock()
		return nil, c.ended
	}
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	c.out.send(id, parts...) // if nobody writes, end has closed answer, or will
	select {
	case said, ok := <-answer:
		switch {
		case !ok:
			c.mu.Lock()
			defer c.mu.Unlock()
			return nil, c.ended
		case len(said) == 0 || said[0] != answerOK && said[0] != answerError:
			return nil, fmt.Errorf("%w: an answer of %d bytes", errFrame, len(said))
		case said[0] == answerError:
			return nil, fmt.Errorf("%w: %s", errAnswered, said[1:])
		}
		return said[1:], nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, id)
		return nil, ctx.Err()
	}
}

// Close ends the connection.
func (c *rpcClient) Close() {
	c.end(errors.New("closed"))
	c.wg.Wait()
}
