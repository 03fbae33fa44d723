package mesh

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

type (
	encodeFunc = func(b []byte, v reflect.Value, depth int) ([]byte, error)
	decodeFunc = func(d *decoder, v reflect.Value, depth int) error
)

// scalarCodec returns how values of a basic kind are stored, nil if they are not.
func scalarCodec(k reflect.Kind) (encodeFunc, decodeFunc) {
	switch {
	case k == reflect.Bool:
		return encodeBool, decodeBool
	case reflect.Int <= k && k <= reflect.Int64:
		return encodeInt, decodeInt
	case reflect.Uint <= k && k <= reflect.Uintptr:
		return encodeUint, decodeUint
	case k == reflect.Float32:
		return encodeFloat32, decodeFloat
	case k == reflect.Float64:
		return encodeFloat64, decodeFloat
	case k == reflect.String:
		return encodeString, decodeString
	}
	return nil, nil
}

func encodeBool(b []byte, v reflect.Value, _ int) ([]byte, error) {
	if v.Bool() {
		return append(b, codeTrue), nil
	}
	return append(b, codeFalse), nil
}

func decodeBool(d *decoder, v reflect.Value, _ int) error {
	c, err := d.byte()
	switch {
	case err != nil:
		return err
	case c == codeTrue || c == codeFalse || c == codeNil:
		v.SetBool(c == codeTrue)
		return nil
	}
	return errCode(c, "a boolean")
}

func encodeInt(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendInt(b, v.Int()), nil
}

func decodeInt(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetInt(0)
		return nil
	}
	n, negative, err := d.integer()
	if err != nil {
		return err
	}
	if !negative && n > math.MaxInt64 || v.OverflowInt(int64(n)) {
		return fmt.Errorf("msgpack: %d does not fit into %s", n, v.Type())
	}
	v.SetInt(int64(n))
	return nil
}

func encodeUint(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendUint(b, v.Uint()), nil
}

func decodeUint(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetUint(0)
		return nil
	}
	n, negative, err := d.integer()
	if err != nil {
		return err
	}
	if negative || v.OverflowUint(n) {
		return fmt.Errorf("msgpack: %d does not fit into %s", int64(n), v.Type())
	}
	v.SetUint(n)
	return nil
}

func encodeFloat32(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendFloat32(b, float32(v.Float())), nil
}

func encodeFloat64(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendFloat64(b, v.Float()), nil
}

func decodeFloat(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetFloat(0)
		return nil
	}
	f, err := d.float()
	if err != nil {
		return err
	}
	if v.OverflowFloat(f) {
		return fmt.Errorf("msgpack: %g does not fit into %s", f, v.Type())
	}
	v.SetFloat(f)
	return nil
}

func encodeString(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendString(b, v.String()), nil
}

func decodeString(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetString("")
		return nil
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	v.SetString(string(s))
	return nil
}

func encodeBytes(b []byte, v reflect.Value, _ int) ([]byte, error) {
	if v.IsNil() {
		return append(b, codeNil), nil
	}
	return appendBytes(b, v.Bytes()), nil
}

func decodeBytes(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	v.SetBytes(append(make([]byte, 0, len(s)), s...)) // not nil, also where empty
	return nil
}

func encodeByteArray(b []byte, v reflect.Value, _ int) ([]byte, error) {
	return appendBytes(b, addressable(v).Bytes()), nil
}

func decodeByteArray(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	if len(s) != v.Len() {
		return fmt.Errorf("msgpack: %d bytes for %s", len(s), v.Type())
	}
	copy(v.Bytes(), s)
	return nil
}

// addressable returns v, or a copy of it of which the address can be taken.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}

func encodeText(b []byte, v reflect.Value, _ int) ([]byte, error) {
	if v.Kind() == reflect.Interface && v.IsNil() {
		return append(b, codeNil), nil
	}
	text, err := addressable(v).Addr().Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return b, err
	}
	return appendString(b, string(text)), nil
}

func decodeText(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s)
}

func encodeJSONBytes(b []byte, v reflect.Value, _ int) ([]byte, error) {
	text, err := json.Marshal(addressable(v).Addr().Interface())
	if err != nil {
		return b, err
	}
	return appendBytes(b, text), nil
}

func decodeJSONBytes(d *decoder, v reflect.Value, _ int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	return json.Unmarshal(s, v.Addr().Interface())
}

// maxExactFloat is the highest whole number up to which float64 has them all.
const maxExactFloat = 1 << 53

func encodeAny(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, codeNil), nil
	}
	if depth >= maxCodecDepth {
		return b, errCodecDepth
	}
	e := v.Elem()
	if e.CanFloat() {
		f := e.Float()
		if f == math.Trunc(f) && math.Abs(f) <= maxExactFloat && !(f == 0 && math.Signbit(f)) {
			return appendInt(b, int64(f)), nil
		}
		return appendFloat64(b, f), nil
	}
	c, err := codecOf(e.Type())
	if err != nil {
		return b, err
	}
	return c.encode(b, e, depth+1)
}

func decodeAny(d *decoder, v reflect.Value, depth int) error {
	x, err := d.any(depth)
	if err != nil {
		return err
	}
	if x == nil {
		v.SetZero()
		return nil
	}
	v.Set(reflect.ValueOf(x))
	return nil
}

// anyBytes is about what a value in an any takes beside its contents.
const anyBytes = 32

// any reads a value as encoding/json would give it: nil, bool, float64, string,
// []any or map[string]any. What JSON has not is []byte, and int64 or uint64 for
// a whole number that no float64 is equal to.
func (d *decoder) any(depth int) (any, error) {
	if err := d.enter(depth, anyBytes); err != nil {
		return nil, err
	}
	if len(d.b) == 0 {
		return nil, errCodecShort
	}
	switch c := d.b[0]; {
	case c == codeNil, c == codeFalse, c == codeTrue:
		d.b = d.b[1:]
		if c == codeNil {
			return nil, nil
		}
		return c == codeTrue, nil
	case isFixedInt(c), c >= codeUint8 && c <= codeInt64:
		return d.anyInteger()
	case c == codeFloat32, c == codeFloat64:
		return d.float()
	case c == codeBin8, c == codeBin16, c == codeBin32:
		s, err := d.str()
		return append(make([]byte, 0, len(s)), s...), err
	case isArray(c):
		return d.anyArray(depth)
	case isMap(c):
		return d.anyMap(depth)
	}
	s, err := d.str()
	return string(s), err
}

func (d *decoder) anyInteger() (any, error) {
	n, negative, err := d.integer()
	switch {
	case err != nil:
		return nil, err
	case negative && int64(n) >= -maxExactFloat:
		return float64(int64(n)), nil
	case negative:
		return int64(n), nil
	case n <= maxExactFloat:
		return float64(n), nil
	}
	return n, nil
}

func (d *decoder) anyArray(depth int) (any, error) {
	n, err := d.arrayLen()
	if err != nil {
		return nil, err
	}
	if err := d.enter(depth, n*16); err != nil { // an interface is two words
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = d.any(depth + 1); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *decoder) anyMap(depth int) (any, error) {
	n, err := d.mapLen()
	if err != nil {
		return nil, err
	}
	if err := d.enter(depth, n*(32+mapEntryOverheadBytes)); err != nil {
		return nil, err
	}
	m := make(map[string]any, n)
	for range n {
		key, err := d.anyKey()
		if err != nil {
			return nil, err
		}
		if m[key], err = d.any(depth + 1); err != nil {
			return nil, err
		}
	}
	if len(m) != n {
		return nil, errors.New("msgpack: a map has a key twice")
	}
	return m, nil
}

// anyKey reads a map's key: an integer becomes its digits, as in JSON.
func (d *decoder) anyKey() (string, error) {
	if len(d.b) > 0 && (isFixedInt(d.b[0]) || d.b[0] >= codeUint8 && d.b[0] <= codeInt64) {
		n, negative, err := d.integer()
		if negative {
			return strconv.FormatInt(int64(n), 10), err
		}
		return strconv.FormatUint(n, 10), err
	}
	s, err := d.str()
	return string(s), err
}
