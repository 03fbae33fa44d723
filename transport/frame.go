package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is its type, the length of its body in four bytes, big-endian, and
// the body: one msgpack array. Fields are only ever added at an array's end;
// who does not know them skips them.
const (
	frameHello byte = iota + 1
	frameLog
	frameControl
	frameCall
	frameReply
	frameSnapshot // a header, in no encoding; what follows it is no frame
)

const (
	frameHeaderBytes = 5
	maxFrameBytes    = 8 << 20
	// targetFrameBytes is where a batch of log messages is cut into frames: a
	// receiver works on one while the next is on its way.
	targetFrameBytes = 256 << 10

	maxNameBytes       = 255
	maxRequestKeyBytes = 1 << 10
	maxKeyBytes        = 3 << 10 // an actor's key, with its kind and namespace
	maxChain           = 256
	maxTraceBytes      = 1 << 10
)

// ErrTooLarge says that a frame would be larger than 8 MiB. It was not sent.
var ErrTooLarge = errors.New("frame too large")

// beginFrame appends a header without its length.
func beginFrame(b []byte, kind byte) []byte { return append(b, kind, 0, 0, 0, 0) }

// endFrame fills in the length of the frame that begins at start.
func endFrame(b []byte, start int) ([]byte, error) {
	n := len(b) - start - frameHeaderBytes
	if n > maxFrameBytes {
		return b[:start], fmt.Errorf("%w: %d bytes, %d at most", ErrTooLarge, n, maxFrameBytes)
	}
	binary.BigEndian.PutUint32(b[start+1:], uint32(n))
	return b, nil
}

// Chunks are what frames are read into. Decoded messages point into them, so a
// chunk is filled once and then left to the garbage collector.
const (
	firstChunkBytes = 4 << 10
	chunkBytes      = 64 << 10
	minReadBytes    = 1 << 10
)

// frameReader cuts a stream into frames.
type frameReader struct {
	r          io.Reader
	chunk      []byte
	begin, end int // chunk[begin:end] is read and not yet handed out
}

// next returns the next frame. The body is the caller's for good. io.EOF means
// that the stream ended between two frames; an error that wraps ErrFrame that
// the peer does not keep to the protocol.
func (f *frameReader) next() (kind byte, body []byte, err error) {
	if err := f.fill(frameHeaderBytes); err != nil {
		return 0, nil, err
	}
	kind = f.chunk[f.begin]
	n := binary.BigEndian.Uint32(f.chunk[f.begin+1:])
	if n > maxFrameBytes {
		return 0, nil, fmt.Errorf("%w: %d bytes, %d at most", ErrFrame, n, maxFrameBytes)
	}
	size := frameHeaderBytes + int(n)
	if err := f.fill(size); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	body = f.chunk[f.begin+frameHeaderBytes : f.begin+size : f.begin+size]
	f.begin += size
	return kind, body, nil
}

// fill reads until at least n bytes are there.
func (f *frameReader) fill(n int) error {
	if f.end-f.begin >= n {
		return nil
	}
	if len(f.chunk)-f.begin < n || len(f.chunk)-f.end < minReadBytes {
		size := chunkBytes
		if f.chunk == nil {
			size = firstChunkBytes
		}
		fresh := make([]byte, max(size, n))
		f.end = copy(fresh, f.chunk[f.begin:f.end])
		f.chunk, f.begin = fresh, 0
	}
	for f.end-f.begin < n {
		m, err := f.r.Read(f.chunk[f.end:])
		f.end += m
		if err != nil && f.end-f.begin < n {
			if err == io.EOF && f.end > f.begin {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
