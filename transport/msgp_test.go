package transport

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// TestPrimitivesAgainstLibrary reads with the library what the primitives
// write, and with the primitives what the library writes.
func TestPrimitivesAgainstLibrary(t *testing.T) {
	for _, v := range []uint64{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		var lib uint64
		if err := msgpack.Unmarshal(appendUint(nil, v), &lib); err != nil || lib != v {
			t.Errorf("library reads %d as %d, %v", v, lib, err)
		}
		var enc bytes.Buffer
		if err := msgpack.NewEncoder(&enc).EncodeUint(v); err != nil {
			t.Fatal(err)
		}
		d := decoder{b: enc.Bytes()}
		if got := d.uint(); got != v || d.end() != nil {
			t.Errorf("the library's %d is read as %d, %v", v, got, d.err)
		}
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000} {
		s := strings.Repeat("x", n)
		var str string
		var bin []byte
		if err := msgpack.Unmarshal(appendStr(nil, s), &str); err != nil || str != s {
			t.Errorf("library reads a string of %d bytes as one of %d, %v", n, len(str), err)
		}
		if err := msgpack.Unmarshal(appendBin(nil, []byte(s)), &bin); err != nil || string(bin) != s {
			t.Errorf("library reads %d bytes as %d, %v", n, len(bin), err)
		}
		lib, err := msgpack.Marshal([]any{s, []byte(s), true, false, nil})
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{b: lib}
		if d.fields(5) != 0 || d.str(n) != s || string(d.bin(n)) != s || !d.bool() || d.bool() || d.bin(0) != nil || d.end() != nil {
			t.Errorf("the library's values of %d bytes are misread: %v", n, d.err)
		}
		var list []any
		if err := msgpack.Unmarshal(append(appendArray(nil, n), bytes.Repeat([]byte{7}, n)...), &list); err != nil || len(list) != n {
			t.Errorf("library reads an array of %d as one of %d, %v", n, len(list), err)
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	tests := map[string]struct {
		b    []byte
		read func(*decoder)
	}{
		"string above its limit":     {appendStr(nil, "four"), func(d *decoder) { d.str(3) }},
		"bytes above their limit":    {appendBin(nil, []byte("four")), func(d *decoder) { d.bin(3) }},
		"number above its limit":     {appendUint(nil, 300), func(d *decoder) { d.uintMax(255) }},
		"array longer than its data": {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, func(d *decoder) { d.array(1) }},
		"bytes longer than the data": {[]byte{0xc6, 0, 0x10, 0, 0, 1}, func(d *decoder) { d.bin(maxFrameBytes) }},
		"string for a number":        {appendStr(nil, "1"), func(d *decoder) { d.uint() }},
		"number for a string":        {appendUint(nil, 1), func(d *decoder) { d.str(9) }},
		"number for a bool":          {appendUint(nil, 1), func(d *decoder) { d.bool() }},
		"number for bytes":           {appendUint(nil, 1), func(d *decoder) { d.bin(9) }},
		"number for an array":        {appendUint(nil, 1), func(d *decoder) { d.array(1) }},
		"fewer fields than known":    {appendArray(nil, 0), func(d *decoder) { d.fields(1) }},
		"bytes left over":            {[]byte{1, 2}, func(d *decoder) { d.uint() }},
		"skip past the end":          {[]byte{0x92, 1}, func(d *decoder) { d.skip(1) }},
		"skip of the unused code":    {[]byte{0xc1}, func(d *decoder) { d.skip(1) }},
	}
	for name, tt := range tests {
		d := decoder{b: tt.b}
		tt.read(&d)
		if err := d.end(); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSkip passes over one value of each type and reads what follows.
func TestSkip(t *testing.T) {
	values := []any{
		0, -1, 127, -128, 1 << 20, -(1 << 20), uint64(1 << 40), int64(-1 << 40), uint16(300), int16(-300),
		float32(1), 1.5, nil, true, "short", strings.Repeat("s", 300), strings.Repeat("l", 1<<17),
		[]byte("b"), make([]byte, 1<<9), []any{1, []any{2, []any{}}}, map[string]any{"k": []int{1, 2}},
		make([]int, 20), make([]int, 1<<16), map[int]int{1: 1, 2: 2}, map[int]string{1: "a", 2: "b", 3: "c"},
	}
	many := map[int]int{}
	for i := range 1 << 5 {
		many[i] = i
	}
	values = append(values, many)
	for _, v := range values {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{b: appendUint(b, 42)}
		d.skip(1)
		if got := d.uint(); got != 42 || d.end() != nil {
			t.Errorf("after %T: %d, %v", v, got, d.err)
		}
	}
	for _, ext := range [][]byte{{0xd4, 1, 0}, {0xd5, 1, 0, 0}, {0xd8, 1, 15: 0, 17: 0}} {
		d := decoder{b: appendUint(ext, 42)}
		d.skip(1)
		if got := d.uint(); got != 42 || d.end() != nil {
			t.Errorf("after extension %#x: %d, %v", ext[0], got, d.err)
		}
	}
}

func TestInternerKeepsStringsApart(t *testing.T) {
	var names interner
	for i := range 2000 {
		b := appendUint([]byte("name"), uint64(i))
		if got := names.intern(b); got != string(b) {
			t.Fatalf("%q interned as %q", b, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { names.intern([]byte("add")) }); n != 0 {
		t.Errorf("%v allocations for a name that comes again", n)
	}
}

func FuzzSkip(f *testing.F) {
	f.Add([]byte{0x92, 0x81, 1, 0xc0, 0xdd, 0, 0, 0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b}
		d.skip(1)
		if d.err != nil {
			return
		}
		// Cut short anywhere, it is no whole value.
		if whole := b[:len(b)-len(d.b)]; len(whole) > 0 {
			d = decoder{b: whole[:len(whole)-1]}
			if d.skip(1); d.err == nil {
				t.Fatalf("%x is skipped without its last byte", whole)
			}
		}
	})
}
