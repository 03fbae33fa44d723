package mesh

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// structField is one field of a struct's encoding.
type structField struct {
	name   string
	index  []int // the path through embedded structs
	tagged bool  // named by its tag
	codec  *codec
	key    []byte // the encoded name
}

func (f *structField) of(v reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return v.Field(f.index[0])
	}
	return v.FieldByIndex(f.index)
}

func (p *planner) planStruct(c *codec, t reflect.Type) error {
	fields, err := collectFields(t)
	if err != nil {
		return err
	}
	if len(fields) == 0 && t.NumField() > 0 && len(p.building) > 1 {
		return errors.New(": a struct without an exported field holds nothing that can be stored; leave it unexported, or tag it json:\"-\"")
	}
	byName := make(map[string]int, len(fields))
	for i := range fields {
		f := &fields[i]
		if f.codec, err = p.plan(t.FieldByIndex(f.index).Type); err != nil {
			return fmt.Errorf(".%s%w", t.FieldByIndex(f.index).Name, err)
		}
		f.key = appendString(nil, f.name)
		byName[f.name] = i
	}
	c.encode = func(b []byte, v reflect.Value, depth int) ([]byte, error) {
		return encodeStruct(b, v, fields, depth)
	}
	c.decode = func(d *decoder, v reflect.Value, depth int) error {
		return decodeStruct(d, v, fields, byName, depth)
	}
	return nil
}

func encodeStruct(b []byte, v reflect.Value, fields []structField, depth int) ([]byte, error) {
	if depth >= maxCodecDepth {
		return b, errCodecDepth
	}
	n := 0
	for i := range fields {
		if !fields[i].of(v).IsZero() {
			n++
		}
	}
	b = appendMapLen(b, n)
	var err error
	for i := range fields {
		f := &fields[i]
		fv := f.of(v)
		if fv.IsZero() {
			continue
		}
		b = append(b, f.key...)
		if b, err = f.codec.encode(b, fv, depth+1); err != nil {
			return b, err
		}
	}
	return b, nil
}

func decodeStruct(d *decoder, v reflect.Value, fields []structField, byName map[string]int, depth int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	n, err := d.mapLen()
	if err != nil {
		return err
	}
	if err := d.enter(depth, 0); err != nil {
		return err
	}
	for range n {
		name, err := d.str()
		if err != nil {
			return err
		}
		i, known := byName[string(name)]
		if !known {
			err = d.skip(depth + 1)
		} else {
			err = fields[i].codec.decode(d, fields[i].of(v), depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collectFields returns the fields of t that encoding/json sees, in the order of
// declaration: those of embedded structs are t's own, a shallower field hides a
// deeper one of its name, a tagged one hides its untagged equals, and of what is
// then still ambiguous there is none.
func collectFields(t reflect.Type) ([]structField, error) {
	var all []structField
	if err := walkFields(t, nil, &all); err != nil {
		return nil, err
	}
	var fields []structField
	for i := range all {
		if dominant(all, i) {
			fields = append(fields, all[i])
		}
	}
	return fields, nil
}

func walkFields(t reflect.Type, path []int, all *[]structField) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		if tag == "-" || !sf.IsExported() && !sf.Anonymous {
			continue
		}
		index := append(slices.Clone(path), i)
		tagged = tagged && validTag(name)
		if sf.Anonymous && !tagged {
			if sf.Type.Kind() == reflect.Pointer && sf.Type.Elem().Kind() == reflect.Struct {
				return fmt.Errorf(".%s: an embedded pointer cannot be stored; embed the struct, or name the field", sf.Name)
			}
			if sf.Type.Kind() == reflect.Struct && !marshals(sf.Type, textMarshalerType, textUnmarshalerType) {
				if err := walkFields(sf.Type, index, all); err != nil {
					return fmt.Errorf(".%s%w", sf.Name, err)
				}
				continue
			}
		}
		if !sf.IsExported() {
			continue
		}
		if !tagged {
			name = sf.Name
		}
		*all = append(*all, structField{name: name, index: index, tagged: tagged})
	}
	return nil
}

// dominant reports whether all[i] is the one field that its name stands for.
func dominant(all []structField, i int) bool {
	f := &all[i]
	for j := range all {
		g := &all[j]
		if i == j || g.name != f.name {
			continue
		}
		if len(g.index) < len(f.index) || len(g.index) == len(f.index) && (g.tagged || !f.tagged) {
			return false
		}
	}
	return true
}

// validTag reports whether a tag's name counts, as encoding/json has it.
func validTag(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

func (p *planner) planMap(c *codec, t reflect.Type) error {
	key, err := p.plan(t.Key())
	if err != nil {
		return fmt.Errorf("[key]%w", err)
	}
	switch k := t.Key().Kind(); {
	case marshals(t.Key(), textMarshalerType, textUnmarshalerType) && k != reflect.Pointer:
	case k == reflect.String, reflect.Int <= k && k <= reflect.Uintptr:
	default:
		return fmt.Errorf("[key]: a map's key is a string, an integer or an encoding.TextMarshaler, not a %s", t.Key())
	}
	elem, err := p.plan(t.Elem())
	if err != nil {
		return fmt.Errorf("[]%w", err)
	}
	c.encode = func(b []byte, v reflect.Value, depth int) ([]byte, error) {
		return encodeMap(b, v, key, elem, depth)
	}
	c.decode = func(d *decoder, v reflect.Value, depth int) error {
		return decodeMap(d, v, key, elem, depth)
	}
	return nil
}

// mapEntry is an entry's encoding, by its bounds in a buffer.
type mapEntry struct{ key, value, end int }

var entryPool = sync.Pool{New: func() any { return new([]mapEntry) }}

func encodeMap(b []byte, v reflect.Value, key, elem *codec, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, codeNil), nil
	}
	if depth >= maxCodecDepth {
		return b, errCodecDepth
	}
	pooled := entryPool.Get().(*[]mapEntry)
	defer entryPool.Put(pooled)
	entries := (*pooled)[:0]
	b = appendMapLen(b, v.Len())
	start := len(b)
	k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	var err error
	for it := v.MapRange(); it.Next(); {
		k.SetIterKey(it)
		e.SetIterValue(it)
		entry := mapEntry{key: len(b)}
		if b, err = key.encode(b, k, depth+1); err != nil {
			return b, err
		}
		entry.value = len(b)
		if b, err = elem.encode(b, e, depth+1); err != nil {
			return b, err
		}
		entry.end = len(b)
		entries = append(entries, entry)
	}
	*pooled = entries
	order := func(x, y mapEntry) int { return bytes.Compare(b[x.key:x.value], b[y.key:y.value]) }
	if slices.IsSortedFunc(entries, order) {
		return b, uniqueKeys(b, entries)
	}
	slices.SortFunc(entries, order)
	if err := uniqueKeys(b, entries); err != nil {
		return b, err
	}
	unsorted := bytes.Clone(b[start:])
	b = b[:start]
	for _, e := range entries {
		b = append(b, unsorted[e.key-start:e.end-start]...)
	}
	return b, nil
}

// uniqueKeys refuses a map of which two keys, different in Go, have one encoding.
func uniqueKeys(b []byte, sorted []mapEntry) error {
	for i := 1; i < len(sorted); i++ {
		x, y := sorted[i-1], sorted[i]
		if bytes.Equal(b[x.key:x.value], b[y.key:y.value]) {
			return errors.New("two keys of a map have the same encoding")
		}
	}
	return nil
}

func decodeMap(d *decoder, v reflect.Value, key, elem *codec, depth int) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	n, err := d.mapLen()
	if err != nil {
		return err
	}
	t := v.Type()
	if err := d.enter(depth, n*(int(t.Key().Size()+t.Elem().Size())+mapEntryOverheadBytes)); err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(t, n)
	k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for range n {
		k.SetZero()
		if err := key.decode(d, k, depth+1); err != nil {
			return err
		}
		e.SetZero()
		if err := elem.decode(d, e, depth+1); err != nil {
			return err
		}
		m.SetMapIndex(k, e)
	}
	if m.Len() != n {
		return errors.New("msgpack: a map has a key twice")
	}
	v.Set(m)
	return nil
}

const mapEntryOverheadBytes = 16
