package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
)

// decodeArg decodes an argument, of at most maxBytes, that came as canonical
// MessagePack or as JSON. arg is a pointer to it, for core.Call.Arg; hash is the
// same for both forms of one argument, and size counts its canonical bytes. The
// errors are ErrBadRequest and ErrTooLarge.
//
// JSON with a field that the argument's type lacks is refused: it is most often
// a misspelling, and would otherwise be taken for the field's zero value.
func (m *method) decodeArg(b []byte, isJSON bool, maxBytes int) (arg any, hash uint64, size int, err error) {
	defer func() {
		if p := recover(); p != nil { // of an Unmarshal method of a type of the user
			err = fail(errBadRequest, fmt.Sprintf("argument: panic: %v", p))
		}
	}()
	if len(b) > maxBytes {
		return nil, 0, 0, fail(errTooLarge, fmt.Sprintf("the argument is %d bytes, the limit is %d", len(b), maxBytes))
	}
	p := reflect.New(m.arg)
	if !isJSON {
		if err := m.argCodec.decodeValue(b, p.Elem()); err != nil {
			return nil, 0, 0, fail(errBadRequest, "argument: "+err.Error())
		}
		return p.Interface(), argHash(m.hashName, b), len(b), nil
	}
	if err := decodeJSON(b, p.Interface()); err != nil {
		return nil, 0, 0, fail(errBadRequest, "argument: "+err.Error())
	}
	canonical, err := m.argCodec.appendValue(make([]byte, 0, len(b)+16), p.Elem())
	if err != nil {
		return nil, 0, 0, fail(errBadRequest, "argument: "+err.Error())
	}
	if len(canonical) > maxBytes {
		return nil, 0, 0, fail(errTooLarge, fmt.Sprintf("the argument is %d bytes, the limit is %d", len(canonical), maxBytes))
	}
	return p.Interface(), argHash(m.hashName, canonical), len(canonical), nil
}

// decodeJSON sets *p to all of body; an empty body leaves it as it is.
func decodeJSON(body []byte, p any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("json: more follows the value")
	}
	return nil
}

// replyJSON returns a canonical reply of the method as JSON.
func (m *method) replyJSON(reply []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // of a Marshal method of a type of the user
			err = fmt.Errorf("mesh: result of %s: panic: %v", m.name, p)
		}
	}()
	p := reflect.New(m.res)
	if err := m.resCodec.decodeValue(reply, p.Elem()); err != nil {
		return nil, fmt.Errorf("mesh: result of %s: %w", m.name, err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p.Interface()); err != nil {
		return nil, fmt.Errorf("mesh: result of %s: %w", m.name, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
