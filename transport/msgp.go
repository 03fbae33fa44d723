package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// ErrFrame is wrapped by every error about bytes that a peer sent and that are
// no frame of this protocol.
var ErrFrame = errors.New("malformed frame")

// The msgpack primitives that frames are made of. They are written by hand: a
// frame is encoded into the writer's buffer and decoded in place, and the
// library's encoder would cost an allocation for each value on that way.
// See github.com/msgpack/msgpack/blob/master/spec.md.

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// appendBin writes nil as nil, so that nil and empty stay apart.
func appendBin(b, v []byte) []byte {
	switch n := len(v); {
	case v == nil:
		return append(b, 0xc0)
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

func appendStr(b []byte, v string) []byte {
	switch n := len(v); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, v...)
}

// decoder reads msgpack in place. After the first error every read returns
// zero, so that callers look at err once, at the end.
type decoder struct {
	b     []byte
	err   error
	names *interner // nil: every string is copied
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

// end returns the first error, one of its own if bytes are left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes after the end", len(d.b))
	}
	return d.err
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("%d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

// code reads the byte that says what follows; 0xc1, which msgpack never uses,
// after an error.
func (d *decoder) code() byte {
	if s := d.take(1); s != nil {
		return s[0]
	}
	return 0xc1
}

// fixed reads a big-endian number of n bytes.
func (d *decoder) fixed(n int) uint64 {
	var v uint64
	for _, c := range d.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (d *decoder) uint() uint64 {
	c := d.code()
	switch {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return d.fixed(1 << (c - 0xcc))
	}
	d.fail("code %#x is no unsigned integer", c)
	return 0
}

// uintMax reads a number that must not be above limit.
func (d *decoder) uintMax(limit uint64) uint64 {
	v := d.uint()
	if v > limit {
		d.fail("%d where %d is the most", v, limit)
		return 0
	}
	return v
}

func (d *decoder) bool() bool {
	c := d.code()
	if c != 0xc2 && c != 0xc3 {
		d.fail("code %#x is no bool", c)
	}
	return c == 0xc3
}

// bin reads bytes, which point into the frame.
func (d *decoder) bin(limit int) []byte {
	c := d.code()
	if c == 0xc0 {
		return nil
	}
	if c < 0xc4 || c > 0xc6 {
		d.fail("code %#x is no byte string", c)
		return nil
	}
	return d.sized(1<<(c-0xc4), limit)
}

// sized reads a length of n bytes and as many bytes as it says.
func (d *decoder) sized(n, limit int) []byte {
	size := d.fixed(n)
	if size > uint64(limit) {
		d.fail("%d bytes where %d is the most", size, limit)
		return nil
	}
	return d.take(int(size))
}

// str reads a string. It is a copy: strings become keys of maps that live for
// long, and must not keep the frame alive.
func (d *decoder) str(limit int) string {
	c := d.code()
	var s []byte
	switch {
	case c&0xe0 == 0xa0:
		s = d.take(int(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		s = d.sized(1<<(c-0xd9), limit)
	default:
		d.fail("code %#x is no string", c)
	}
	if len(s) > limit {
		d.fail("%d bytes where %d is the most", len(s), limit)
		return ""
	}
	if d.names != nil {
		return d.names.intern(s)
	}
	return string(s)
}

// array reads how many values follow. Each takes elementBytes at least, so the
// count is bounded by what is left of the frame.
func (d *decoder) array(elementBytes int) int {
	c := d.code()
	var n uint64
	switch {
	case c&0xf0 == 0x90:
		n = uint64(c & 0x0f)
	case c == 0xdc:
		n = d.fixed(2)
	case c == 0xdd:
		n = d.fixed(4)
	default:
		d.fail("code %#x is no array", c)
	}
	if n > uint64(len(d.b)/elementBytes) {
		d.fail("%d values in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

// fields reads the head of an array with one value for each of n fields, and
// returns how many more there are: those of a newer protocol, for skip.
func (d *decoder) fields(n int) int {
	extra := d.array(1) - n
	if extra < 0 {
		d.fail("%d fields, %d missing", n, -extra)
		return 0
	}
	return extra
}

// skip passes over n values of any type.
func (d *decoder) skip(n int) {
	// A value inside another only adds to the count of those to pass over, so
	// nesting costs no stack, and each turn consumes a byte.
	for ; n > 0 && d.err == nil; n-- {
		switch c := d.code(); {
		case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
		case c < 0x90:
			n += 2 * int(c&0x0f)
		case c < 0xa0:
			n += int(c & 0x0f)
		case c < 0xc0:
			d.take(int(c & 0x1f))
		case c >= 0xc4 && c <= 0xc6:
			d.sized(1<<(c-0xc4), maxFrameBytes)
		case c == 0xca || c == 0xce || c == 0xd2:
			d.take(4)
		case c == 0xcb || c == 0xcf || c == 0xd3:
			d.take(8)
		case c == 0xcc || c == 0xd0:
			d.take(1)
		case c == 0xcd || c == 0xd1:
			d.take(2)
		case c >= 0xd4 && c <= 0xd8:
			d.take(1 + 1<<(c-0xd4))
		case c >= 0xd9 && c <= 0xdb:
			d.sized(1<<(c-0xd9), maxFrameBytes)
		case c == 0xdc || c == 0xdd:
			n += int(min(d.fixed(2<<(c-0xdc)), maxFrameBytes))
		case c == 0xde || c == 0xdf:
			n += 2 * int(min(d.fixed(2<<(c-0xde)), maxFrameBytes))
		default:
			d.fail("code %#x is skipped by nobody", c)
		}
	}
}

// interner returns one string for equal bytes, most of the time: the names of
// kinds, methods and busy actors come again with every call, and need not be
// allocated again. It forgets at random and is bounded.
type interner struct{ slots [512]string }

const maxInternedBytes = 128

func (t *interner) intern(b []byte) string {
	if len(b) > maxInternedBytes {
		return string(b)
	}
	slot := &t.slots[xxhash.Sum64(b)%uint64(len(t.slots))]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
