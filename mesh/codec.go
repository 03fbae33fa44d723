package mesh

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// State, arguments and results are stored and sent in one canonical form of
// MessagePack: the same value always has the same bytes, whether it came from Go
// or from JSON, so that bytes can be compared and hashed.
//
//   - A struct is a map of its exported fields, under the names and by the rules
//     of encoding/json, in the order of declaration. A field with its zero value
//     is left out, so adding a field to a type changes no stored value.
//   - A map's entries are in the order of their encoded keys. Keys are what JSON
//     allows: strings, integers and encoding.TextMarshaler.
//   - Integers take the shortest form, floats are float 32 or float 64 as their
//     type says, and there is one NaN.
//   - A type with MarshalText and UnmarshalText (time.Time, netip.Addr, big.Int)
//     is its text; otherwise one with MarshalJSON and UnmarshalJSON is its JSON.
//   - An any holds what JSON can say. A number in it is an integer where it is
//     whole, and comes back as float64, as with encoding/json.
//
// Reading is liberal where that is harmless: any width of integer, any order of
// fields, unknown fields skipped (a newer program may have written them).

// Bounds of the codec.
const (
	maxCodecDepth   = 100      // of nesting, so that a cycle in a value ends
	maxDecodedBytes = 64 << 20 // of memory that decoding one value may take
)

var (
	errCodecDepth   = fmt.Errorf("nested more than %d deep", maxCodecDepth)
	errCodecMemory  = fmt.Errorf("needs more than %d bytes of memory", maxDecodedBytes)
	errCodecShort   = errors.New("msgpack: cut short")
	errCodecTrailer = errors.New("msgpack: bytes after the value")
)

// codec is the plan for one type. Plans are made once and shared.
type codec struct {
	encode func(b []byte, v reflect.Value, depth int) ([]byte, error)
	decode func(d *decoder, v reflect.Value, depth int) error
}

// appendValue appends the canonical encoding of v, which is of the codec's type.
func (c *codec) appendValue(b []byte, v reflect.Value) ([]byte, error) { return c.encode(b, v, 0) }

// decodeValue sets v, which is settable and zero, to what all of b encodes.
func (c *codec) decodeValue(b []byte, v reflect.Value) error {
	d := decoder{b: b, memory: maxDecodedBytes}
	if err := c.decode(&d, v, 0); err != nil {
		return err
	}
	if len(d.b) != 0 {
		return errCodecTrailer
	}
	return nil
}

var codecs sync.Map // reflect.Type → *codec

// codecOf returns the plan for a type. The error says which part of the type
// cannot be stored.
func codecOf(t reflect.Type) (*codec, error) {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec), nil
	}
	p := planner{building: map[reflect.Type]*codec{}}
	c, err := p.plan(t)
	if err != nil {
		return nil, fmt.Errorf("%s%w", t, err)
	}
	for t, c := range p.building {
		codecs.LoadOrStore(t, c)
	}
	return c, nil
}

// planner makes the codecs of a type and of all types in it. A type that
// contains itself finds its own unfinished codec in building.
type planner struct {
	building map[reflect.Type]*codec
}

var (
	rawMessageType      = reflect.TypeFor[json.RawMessage]()
	textMarshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonMarshalerType   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

// plan returns the codec of t. An error's text begins with the path from t to
// the part that cannot be stored.
func (p *planner) plan(t reflect.Type) (*codec, error) {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec), nil
	}
	if c := p.building[t]; c != nil {
		return c, nil
	}
	c := &codec{}
	p.building[t] = c
	var err error
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		err = p.planPointer(c, t)
	case t == rawMessageType:
		c.encode, c.decode = encodeBytes, decodeBytes
	case marshals(t, textMarshalerType, textUnmarshalerType):
		c.encode, c.decode = encodeText, decodeText
	case marshals(t, jsonMarshalerType, jsonUnmarshalerType):
		c.encode, c.decode = encodeJSONBytes, decodeJSONBytes
	case k == reflect.Struct:
		err = p.planStruct(c, t)
	case k == reflect.Map:
		err = p.planMap(c, t)
	case k == reflect.Slice || k == reflect.Array:
		err = p.planList(c, t)
	case k == reflect.Interface && t.NumMethod() == 0:
		c.encode, c.decode = encodeAny, decodeAny
	default:
		c.encode, c.decode = scalarCodec(k)
		if c.encode == nil {
			err = fmt.Errorf(": a %s cannot be stored", k)
		}
	}
	return c, err
}

// marshals reports whether values of t can be marshaled and unmarshaled by their
// own methods. Half a pair does not count: what is written must be read again.
func marshals(t, marshaler, unmarshaler reflect.Type) bool {
	ptr := reflect.PointerTo(t)
	return ptr.Implements(marshaler) && ptr.Implements(unmarshaler)
}

func (p *planner) planPointer(c *codec, t reflect.Type) error {
	elem, err := p.plan(t.Elem())
	if err != nil {
		return err
	}
	c.encode = func(b []byte, v reflect.Value, depth int) ([]byte, error) {
		if v.IsNil() {
			return append(b, codeNil), nil
		}
		if depth >= maxCodecDepth {
			return b, errCodecDepth
		}
		return elem.encode(b, v.Elem(), depth+1)
	}
	size := int(t.Elem().Size())
	c.decode = func(d *decoder, v reflect.Value, depth int) error {
		if d.null() {
			v.SetZero()
			return nil
		}
		if err := d.enter(depth, size); err != nil {
			return err
		}
		n := reflect.New(t.Elem())
		v.Set(n)
		return elem.decode(d, n.Elem(), depth+1)
	}
	return nil
}

func (p *planner) planList(c *codec, t reflect.Type) error {
	if e := t.Elem(); e.Kind() == reflect.Uint8 && !marshals(e, textMarshalerType, textUnmarshalerType) &&
		!marshals(e, jsonMarshalerType, jsonUnmarshalerType) {
		c.encode, c.decode = encodeBytes, decodeBytes
		if t.Kind() == reflect.Array {
			c.encode, c.decode = encodeByteArray, decodeByteArray
		}
		return nil
	}
	elem, err := p.plan(t.Elem())
	if err != nil {
		return fmt.Errorf("[]%w", err)
	}
	isSlice := t.Kind() == reflect.Slice
	c.encode = func(b []byte, v reflect.Value, depth int) ([]byte, error) {
		if isSlice && v.IsNil() {
			return append(b, codeNil), nil
		}
		if depth >= maxCodecDepth {
			return b, errCodecDepth
		}
		n := v.Len()
		b = appendArrayLen(b, n)
		for i := range n {
			var err error // of this value alone: a codec is shared by all goroutines
			if b, err = elem.encode(b, v.Index(i), depth+1); err != nil {
				return b, err
			}
		}
		return b, nil
	}
	size := int(t.Elem().Size())
	c.decode = func(d *decoder, v reflect.Value, depth int) error {
		if d.null() {
			v.SetZero()
			return nil
		}
		n, err := d.arrayLen()
		if err != nil {
			return err
		}
		if isSlice {
			if err := d.enter(depth, n*size); err != nil {
				return err
			}
			v.Set(reflect.MakeSlice(t, n, n))
		} else if err := d.enter(depth, 0); err != nil {
			return err
		} else if n != v.Len() {
			return fmt.Errorf("msgpack: %d elements for %s", n, t)
		}
		for i := range n {
			if err := elem.decode(d, v.Index(i), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// argHash returns the hash that tells a request id which is used for two
// different calls. It is the same for a caller in Go and in JSON.
func argHash(method string, canonical []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(method) // a digest does not fail
	_, _ = d.Write([]byte{0})    // no method name has a zero byte
	_, _ = d.Write(canonical)
	return d.Sum64()
}
