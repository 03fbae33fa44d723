package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"actormesh/mesh"
	"actormesh/quorum"
	"actormesh/transport"
)

// stream is a snapshot on its way, over a connection of its own: parts that arrive
// in their order, each late, or again and again not at all, until one of the sides
// gives up.
//
//	Write ──► parts under way ──► buffer ──► Read
//	  ▲      at most streamWindow  │
//	  └────────── room ◄───────────┘
type stream struct {
	from, to *port
	ctx      context.Context // the writer's
	slow     time.Duration   // that a part may take longer, at most
	cutAfter int             // parts, after which the connection breaks; 0 for never

	sent    int // parts
	arrived map[int][]byte
	next    int    // part, to go to the buffer
	buffer  []byte // that Read has not returned yet
	parts   int    // in the buffer
	last    int    // the number of the end, which is a part; -1 while it is not known
	room    int    // parts that may be sent, as the writer knows

	taken          bool // all of it, as the reader has answered
	writer, reader side
	aborted        bool
}

// side is one end of a stream.
type side struct {
	woken chan struct{} // one value: something has come from the other side
	err   error         // why it is over; nil while it is not
}

func (s *side) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// fail ends a side, unless it has ended.
func (s *side) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

const (
	streamWindow = 8
	partBytes    = 256 // on average: snapshots here are small
	partsMost    = 40  // of one write
)

var (
	errSnapshot = errors.New("sim: the snapshot was not taken")
	errAborted  = errors.New("sim: the snapshot was aborted")
	errTaken    = errors.New("sim: the snapshot is over")
)

// OpenSnapshot implements mesh.Network.
func (t *port) OpenSnapshot(ctx context.Context, to quorum.NodeID, header []byte) (mesh.SnapshotWriter, error) {
	p, ok := t.peers[to]
	if !ok {
		return nil, transport.ErrNoPeer
	}
	w := t.p.w
	at := w.net.at(p.addr)
	if at == nil || w.net.isCut(t.route(at)) || w.net.isCut(at.route(t)) || at.conf.Self != to {
		t.await(ctx, dialTimeout, nil)
		return nil, transport.ErrUnreachable
	}
	w.count("snapshot sent")
	s := &stream{
		from: t, to: at, ctx: ctx, arrived: map[int][]byte{}, last: -1, room: streamWindow,
		writer: side{woken: make(chan struct{}, 1)}, reader: side{woken: make(chan struct{}, 1)},
	}
	if w.chance(2) { // as a large one would be
		s.slow = w.between(0, 500*time.Millisecond)
	}
	if w.since() < w.limit && w.chance(4) {
		s.cutAfter = 1 + w.rng.IntN(2*streamWindow)
	}
	s.carry(t, at, len(header), func() {
		if !at.hears(t) {
			s.tell(func() { s.writer.fail(transport.ErrUnreachable) })
			return
		}
		at.serve(func() { s.serve(header) })
	})
	return s, nil
}

// carry takes something to one side of the stream, which may take some time.
func (s *stream) carry(from, to *port, size int, arrive func()) {
	w := from.p.w
	from.p.crash(crashAtSend)
	delay, _ := w.fate(from.route(to), size, true)
	if s.slow > 0 {
		delay += w.between(0, s.slow)
	}
	w.after(delay, evWorld, nil, func() { s.arrive(from, to, size, arrive) })
}

// arrive ends a journey, or has it made again if nothing gets through.
func (s *stream) arrive(from, to *port, size int, arrive func()) {
	w := from.p.w
	switch {
	case s.writer.err != nil && s.reader.err != nil || to.p.gone || to.closed || from.p.gone:
		w.count("part of a snapshot lost")
	case w.net.isCut(from.route(to)):
		w.count("part of a snapshot sent again")
		w.after(resendTime, evWorld, nil, func() { s.arrive(from, to, size, arrive) })
	default:
		w.note(uint64(size))
		w.happensOn(to.p, action(func() {
			if !to.closed {
				arrive()
			}
		}))
	}
}

// wait has one side wait for something from the other, and ends it when it hears
// nothing for too long. A connection that is there keeps itself alive.
func (s *stream) wait(own *side, at, other *port, done <-chan struct{}) {
	n := &at.p.w.net
	due := at.p.About().Add(idleTimeout)
	at.p.Wait(due, own.woken, done, at.down)
	switch {
	case at.closed:
		own.fail(transport.ErrLost)
	case isClosed(done):
		own.fail(s.ctx.Err())
	case at.p.About() >= due && (other.p.gone || other.closed || n.isCut(at.route(other)) || n.isCut(other.route(at))):
		at.p.w.count("snapshot timed out")
		own.fail(transport.ErrLost)
	}
}

// Write implements mesh.SnapshotWriter.
func (s *stream) Write(b []byte) (int, error) {
	w := s.from.p.w
	size := max(partBytes/2+w.rng.IntN(partBytes), len(b)/partsMost)
	for part := range slices.Chunk(slices.Clone(b), size) {
		for s.room == 0 && s.writer.err == nil {
			s.wait(&s.writer, s.from, s.to, s.ctx.Done())
		}
		if s.writer.err != nil {
			return 0, s.writer.err
		}
		s.room--
		s.put(part)
	}
	return len(b), nil
}

// put sends a part, the end of the stream if it is nil.
func (s *stream) put(part []byte) {
	number := s.sent
	s.sent++
	s.carry(s.from, s.to, len(part), func() {
		if part == nil {
			s.last = number
		}
		s.arrived[number] = part
		for {
			part, ok := s.arrived[s.next]
			if !ok {
				break
			}
			delete(s.arrived, s.next)
			s.buffer = append(s.buffer, part...)
			s.parts++
			s.next++
		}
		if s.cutAfter > 0 && s.next >= s.cutAfter {
			s.cutAfter = 0
			s.from.p.w.count("snapshot cut short")
			s.reader.fail(transport.ErrLost)
			s.tell(func() { s.writer.fail(transport.ErrLost) })
		}
		s.reader.wake()
	})
}

// tell brings word to the writer.
func (s *stream) tell(word func()) {
	s.carry(s.to, s.from, 1, func() {
		word()
		s.writer.wake()
	})
}

// Read implements io.Reader, for who takes the snapshot.
func (s *stream) Read(b []byte) (int, error) {
	for len(s.buffer) == 0 && s.reader.err == nil && (s.last < 0 || s.next <= s.last) {
		s.wait(&s.reader, s.to, s.from, nil)
	}
	if s.reader.err != nil {
		return 0, s.reader.err
	}
	if s.parts > 0 {
		parts := s.parts
		s.parts = 0
		s.tell(func() { s.room += parts })
	}
	if len(s.buffer) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.buffer)
	s.buffer = s.buffer[n:]
	return n, nil
}

// serve has the receiver take the snapshot, and says whether it did.
func (s *stream) serve(header []byte) {
	err := s.to.conf.Handler.Snapshot(s.from.conf.Self, header, s)
	if err != nil {
		s.to.p.w.tracef("%s: a snapshot was not taken: %v", s.to.p.m.name, err)
	}
	s.reader.fail(errTaken)
	s.tell(func() {
		s.taken = err == nil
		s.writer.fail(errSnapshot)
	})
}

// Close implements mesh.SnapshotWriter.
func (s *stream) Close() error {
	s.put(nil)
	for s.writer.err == nil {
		s.wait(&s.writer, s.from, s.to, s.ctx.Done())
	}
	if !s.taken {
		return s.writer.err
	}
	s.from.p.w.count("snapshot taken")
	return nil
}

// Abort implements mesh.SnapshotWriter.
func (s *stream) Abort() {
	if s.aborted {
		panic(fmt.Sprintf("sim: a snapshot of %s is aborted twice", s.from.p.m.name))
	}
	s.aborted = true
	s.from.p.w.count("snapshot aborted")
	s.writer.fail(errAborted)
	s.carry(s.from, s.to, 1, func() { s.reader.fail(errAborted) })
}
