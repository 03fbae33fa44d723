package mesh

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The first bytes of MessagePack's values. The fixed forms carry a number or a
// length in their low bits.
const (
	codeFixedMap   = 0x80
	codeFixedArray = 0x90
	codeFixedStr   = 0xa0
	codeNil        = 0xc0
	codeFalse      = 0xc2
	codeTrue       = 0xc3
	codeBin8       = 0xc4
	codeBin16      = 0xc5
	codeBin32      = 0xc6
	codeExt8       = 0xc7
	codeExt32      = 0xc9
	codeFloat32    = 0xca
	codeFloat64    = 0xcb
	codeUint8      = 0xcc
	codeUint16     = 0xcd
	codeUint32     = 0xce
	codeUint64     = 0xcf
	codeInt8       = 0xd0
	codeInt16      = 0xd1
	codeInt32      = 0xd2
	codeInt64      = 0xd3
	codeFixExt1    = 0xd4
	codeFixExt16   = 0xd8
	codeStr8       = 0xd9
	codeStr16      = 0xda
	codeStr32      = 0xdb
	codeArray16    = 0xdc
	codeArray32    = 0xdd
	codeMap16      = 0xde
	codeMap32      = 0xdf
	codeNegative   = 0xe0 // and above: -32 to -1
)

func isFixedInt(c byte) bool { return c < codeFixedMap || c >= codeNegative }
func isFixedStr(c byte) bool { return c >= codeFixedStr && c < codeNil }
func isArray(c byte) bool {
	return c >= codeFixedArray && c < codeFixedStr || c == codeArray16 || c == codeArray32
}
func isMap(c byte) bool {
	return c >= codeFixedMap && c < codeFixedArray || c == codeMap16 || c == codeMap32
}
func isExt(c byte) bool {
	return c >= codeExt8 && c <= codeExt32 || c >= codeFixExt1 && c <= codeFixExt16
}

func appendInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(b, uint64(n))
	case n >= -32:
		return append(b, byte(n))
	case n >= math.MinInt8:
		return append(b, codeInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, codeInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, codeInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, codeInt64), uint64(n))
}

func appendUint(b []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeUint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, codeUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, codeUint64), n)
}

// canonicalNaN is the one NaN that is ever written.
const canonicalNaN = 0x7ff8000000000000

func appendFloat64(b []byte, f float64) []byte {
	bits := math.Float64bits(f)
	if f != f {
		bits = canonicalNaN
	}
	return binary.BigEndian.AppendUint64(append(b, codeFloat64), bits)
}

func appendFloat32(b []byte, f float32) []byte {
	bits := math.Float32bits(f)
	if f != f {
		bits = canonicalNaN >> 32
	}
	return binary.BigEndian.AppendUint32(append(b, codeFloat32), bits)
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, codeFixedStr|byte(n))
	case n <= math.MaxUint8:
		b = append(b, codeStr8, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, codeStr16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, codeStr32), uint32(n))
	}
	return append(b, s...)
}

func appendBytes(b, s []byte) []byte {
	switch n := len(s); {
	case n <= math.MaxUint8:
		b = append(b, codeBin8, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, codeBin16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, codeBin32), uint32(n))
	}
	return append(b, s...)
}

func appendArrayLen(b []byte, n int) []byte {
	return appendLen(b, n, codeFixedArray, codeArray16, codeArray32)
}

func appendMapLen(b []byte, n int) []byte {
	return appendLen(b, n, codeFixedMap, codeMap16, codeMap32)
}

func appendLen(b []byte, n int, fixed, code16, code32 byte) []byte {
	switch {
	case n < 16:
		return append(b, fixed|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, code32), uint32(n))
}

// decoder reads MessagePack that anybody may have written. It checks every
// length against what is left, and what decoding allocates against memory.
type decoder struct {
	b      []byte
	memory int // bytes that may still be allocated
}

func (d *decoder) byte() (byte, error) {
	if len(d.b) == 0 {
		return 0, errCodecShort
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c, nil
}

func (d *decoder) take(n uint64) ([]byte, error) {
	if n > uint64(len(d.b)) {
		return nil, errCodecShort
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s, nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (d *decoder) uint(bytes int) (uint64, error) {
	s, err := d.take(uint64(bytes))
	var n uint64
	for _, c := range s {
		n = n<<8 | uint64(c)
	}
	return n, err
}

// enter begins a value with parts: depth nested ones are around it, and it takes
// so many bytes of memory.
func (d *decoder) enter(depth, bytes int) error {
	if depth >= maxCodecDepth {
		return errCodecDepth
	}
	if d.memory -= bytes; d.memory < 0 {
		return errCodecMemory
	}
	return nil
}

// null reports whether a nil comes next, and takes it.
func (d *decoder) null() bool {
	if len(d.b) > 0 && d.b[0] == codeNil {
		d.b = d.b[1:]
		return true
	}
	return false
}

func errCode(c byte, want string) error {
	return fmt.Errorf("msgpack: %s expected, code %#02x found", want, c)
}

// integer reads an integer of any width: its value as a uint64, and whether it
// is a negative one, in two's complement.
func (d *decoder) integer() (n uint64, negative bool, err error) {
	c, err := d.byte()
	if err != nil {
		return 0, false, err
	}
	return d.integerOf(c)
}

func (d *decoder) integerOf(c byte) (n uint64, negative bool, err error) {
	if isFixedInt(c) {
		n = uint64(int8(c))
		return n, int8(c) < 0, nil
	}
	switch c {
	case codeUint8, codeUint16, codeUint32, codeUint64:
		n, err = d.uint(1 << (c - codeUint8))
		return n, false, err
	case codeInt8, codeInt16, codeInt32, codeInt64:
		width := 1 << (c - codeInt8)
		n, err = d.uint(width)
		shift := 64 - 8*width
		signed := int64(n<<shift) >> shift
		return uint64(signed), signed < 0, err
	}
	return 0, false, errCode(c, "an integer")
}

func (d *decoder) float() (float64, error) {
	c, err := d.byte()
	if err != nil {
		return 0, err
	}
	switch c {
	case codeFloat32:
		n, err := d.uint(4)
		return float64(math.Float32frombits(uint32(n))), err
	case codeFloat64:
		n, err := d.uint(8)
		return math.Float64frombits(n), err
	}
	n, negative, err := d.integerOf(c)
	if err != nil {
		return 0, errCode(c, "a number")
	}
	if negative {
		return float64(int64(n)), nil
	}
	return float64(n), nil
}

// str reads a string or bytes. The result points into the input.
func (d *decoder) str() ([]byte, error) {
	c, err := d.byte()
	if err != nil {
		return nil, err
	}
	return d.strOf(c)
}

func (d *decoder) strOf(c byte) ([]byte, error) {
	if isFixedStr(c) {
		return d.take(uint64(c & 0x1f))
	}
	var width int
	switch c {
	case codeStr8, codeBin8:
		width = 1
	case codeStr16, codeBin16:
		width = 2
	case codeStr32, codeBin32:
		width = 4
	default:
		return nil, errCode(c, "a string")
	}
	n, err := d.uint(width)
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

func (d *decoder) arrayLen() (int, error) {
	c, err := d.byte()
	if err != nil {
		return 0, err
	}
	return d.arrayLenOf(c)
}

func (d *decoder) arrayLenOf(c byte) (int, error) {
	switch {
	case !isArray(c):
		return 0, errCode(c, "an array")
	case c < codeFixedStr:
		return d.elements(uint64(c&0x0f), 1)
	}
	n, err := d.uint(2 << (c - codeArray16))
	if err != nil {
		return 0, err
	}
	return d.elements(n, 1)
}

func (d *decoder) mapLen() (int, error) {
	c, err := d.byte()
	if err != nil {
		return 0, err
	}
	return d.mapLenOf(c)
}

func (d *decoder) mapLenOf(c byte) (int, error) {
	switch {
	case !isMap(c):
		return 0, errCode(c, "a map")
	case c < codeFixedArray:
		return d.elements(uint64(c&0x0f), 2)
	}
	n, err := d.uint(2 << (c - codeMap16))
	if err != nil {
		return 0, err
	}
	return d.elements(n, 2)
}

// elements checks that n elements of at least so many bytes can follow.
func (d *decoder) elements(n uint64, bytes int) (int, error) {
	if n > uint64(len(d.b)/bytes) {
		return 0, errCodecShort
	}
	return int(n), nil
}

// skip reads past one value.
func (d *decoder) skip(depth int) error {
	if err := d.enter(depth, 0); err != nil {
		return err
	}
	c, err := d.byte()
	if err != nil {
		return err
	}
	switch {
	case c == codeNil || c == codeFalse || c == codeTrue || isFixedInt(c):
		return nil
	case c == codeFloat32:
		_, err = d.take(4)
		return err
	case c == codeFloat64:
		_, err = d.take(8)
		return err
	case isArray(c):
		n, err := d.arrayLenOf(c)
		return d.skipAll(n, depth, err)
	case isMap(c):
		n, err := d.mapLenOf(c)
		return d.skipAll(2*n, depth, err)
	case isExt(c):
		return d.skipExt(c)
	case c >= codeUint8 && c <= codeInt64:
		_, _, err = d.integerOf(c)
		return err
	}
	_, err = d.strOf(c)
	return err
}

func (d *decoder) skipAll(n, depth int, err error) error {
	for i := 0; i < n && err == nil; i++ {
		err = d.skip(depth + 1)
	}
	return err
}

// skipExt reads past an extension: a length, a type of one byte, and the data.
func (d *decoder) skipExt(c byte) error {
	n := uint64(1) << (c - codeFixExt1)
	if c < codeFixExt1 {
		var err error
		if n, err = d.uint(1 << (c - codeExt8)); err != nil {
			return err
		}
	}
	_, err := d.take(n + 1)
	return err
}
