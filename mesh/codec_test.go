//lint:file-ignore SA5008 odd tags are what is tested

package mesh

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type embedded struct {
	Deep string `json:"deep"`
	Name string // hidden by sample.Name
}

type byText struct{ N int }

func (b byText) MarshalText() ([]byte, error)     { return strconv.AppendInt(nil, int64(b.N), 10), nil }
func (b *byText) UnmarshalText(text []byte) error { return json.Unmarshal(text, &b.N) }

type byJSON struct{ n int }

func (b *byJSON) MarshalJSON() ([]byte, error)    { return json.Marshal([]int{b.n}) }
func (b *byJSON) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &[]*int{&b.n}) }

type bytesLike []byte

// sample has one field of every sort that can be stored.
type sample struct {
	embedded
	Bool    bool
	Int     int
	I8      int8
	I64     int64 `json:"i64,omitempty"`
	U8      uint8
	U64     uint64 `json:",string"`
	F32     float32
	F64     float64
	Name    string
	Bytes   []byte
	Like    bytesLike
	Hash    [4]byte
	Pair    [2]int
	List    []string
	Nested  []sample
	Ptr     *int
	Self    *sample
	Map     map[string]int
	IntMap  map[int16]string
	TextMap map[byText][]bool
	Any     any
	Raw     json.RawMessage
	Time    time.Time
	Every   time.Duration
	Addr    netip.Addr
	Big     *big.Int
	ByText  byText
	ByJSON  byJSON
	Skipped chan int `json:"-"`
	hidden  int
}

func encodeTest(t testing.TB, v any) []byte {
	t.Helper()
	c, err := codecOf(reflect.TypeOf(v))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.appendValue(nil, reflect.ValueOf(v))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeTest[T any](b []byte) (v T, err error) {
	c, err := codecOf(reflect.TypeFor[T]())
	if err != nil {
		return v, err
	}
	return v, c.decodeValue(b, reflect.ValueOf(&v).Elem())
}

func fullSample() sample {
	n := -7
	return sample{
		embedded: embedded{Deep: "d"}, Bool: true, Int: -33, I8: -128, I64: math.MinInt64, U8: 255, U64: math.MaxUint64,
		F32: 1.5, F64: math.Pi, Name: strings.Repeat("n", 300), Bytes: []byte{0, 1}, Like: bytesLike{}, Hash: [4]byte{1},
		Pair: [2]int{0, 9}, List: []string{"", "x"}, Nested: []sample{{}, {Int: 1}}, Ptr: &n, Self: &sample{Int: 2},
		Map: map[string]int{"b": 1, "a": 2, "": 0}, IntMap: map[int16]string{-1: "m", 300: "p", 2: ""},
		TextMap: map[byText][]bool{{2}: {true}, {10}: nil}, Any: []any{nil, 1.0, -2.5, "s", map[string]any{"k": []any{}}, false},
		Raw: json.RawMessage(`{"a":[1]}`), Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Every: time.Minute,
		Addr: netip.MustParseAddr("::1"), Big: new(big.Int).Lsh(big.NewInt(1), 200), ByText: byText{5}, ByJSON: byJSON{6},
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for name, v := range map[string]sample{
		"zero": {},
		"full": fullSample(),
		"empty": {Bytes: []byte{}, List: []string{}, Nested: []sample{}, Map: map[string]int{}, Any: map[string]any{},
			Ptr: new(int), Self: &sample{}, Raw: json.RawMessage{}},
	} {
		b := encodeTest(t, v)
		got, err := decodeTest[sample](b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, v)
		}
		if again := encodeTest(t, got); !bytes.Equal(again, b) {
			t.Errorf("%s: %x, and again %x", name, b, again)
		}
		if _, err := decodeTest[any](b); err != nil {
			t.Errorf("%s read without its type: %v", name, err)
		}
	}
	if b := encodeTest(t, sample{hidden: 1, embedded: embedded{Name: "hidden"}}); !bytes.Equal(b, emptyState) {
		t.Errorf("what is not durable was stored: %x", b)
	}
}

// What the codec writes, others read, under the names of JSON; what others write,
// the codec reads.
func TestCodecAgainstMsgpack(t *testing.T) {
	v := fullSample()
	d := msgpack.NewDecoder(bytes.NewReader(encodeTest(t, v)))
	d.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
	theirView, err := d.DecodeInterface()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for name, v := range theirView.(map[any]any) {
		got[name.(string)] = v
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var names map[string]any
	if err := json.Unmarshal(text, &names); err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if _, ok := names[name]; !ok {
			t.Errorf("%q is no field in JSON", name)
		}
	}
	for name := range names {
		if _, ok := got[name]; !ok {
			t.Errorf("the field %q is not written", name)
		}
	}
	type plain struct {
		A int64
		B []float32
		C map[string]uint16
		D *string
		E []byte
		F [3]int8
	}
	s := "d"
	p := plain{-5, []float32{1, 2.5}, map[string]uint16{"x": 1, "y": 65535}, &s, []byte("e"), [3]int8{1, -1, 0}}
	theirs, err := msgpack.Marshal(p) // full widths, maps in any order
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeTest[plain](theirs)
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("got %+v, %v, want %+v", back, err, p)
	}
}

func TestCodecCanonical(t *testing.T) {
	nan := math.Float64frombits(0x7ff8000000000001)
	for _, test := range []struct {
		name string
		a, b any
		same bool
	}{
		{"NaN", math.NaN(), nan, true},
		{"NaN 32", float32(math.NaN()), float32(nan), true},
		{"-0", 0.0, math.Copysign(0, -1), false},
		{"any whole", []any{1}, []any{1.0}, true},
		{"any uint8", []any{uint8(200)}, []any{200.0}, true},
		{"any -0", []any{0.0}, []any{math.Copysign(0, -1)}, false},
		{"any map", []any{map[string]int{"a": 1}}, []any{map[string]any{"a": 1.0}}, true},
		{"nil and empty", map[string]int(nil), map[string]int{}, false},
	} {
		if x, y := encodeTest(t, test.a), encodeTest(t, test.b); bytes.Equal(x, y) != test.same {
			t.Errorf("%s: %x and %x", test.name, x, y)
		}
	}
	for n, want := range map[int64]int{0: 1, 127: 1, 128: 2, 255: 2, 256: 3, 65536: 5, 1 << 32: 9, -1: 1, -32: 1, -33: 2, -129: 3, -32769: 5, math.MinInt64: 9} {
		b := encodeTest(t, n)
		if got, err := decodeTest[int64](b); len(b) != want || got != n || err != nil {
			t.Errorf("%d takes %d bytes, want %d, and comes back as %d, %v", n, len(b), want, got, err)
		}
	}
	m := map[int]map[string]bool{}
	for i := range 500 {
		m[i*7919-1000] = map[string]bool{strconv.Itoa(i): true, "": false}
	}
	first := encodeTest(t, m)
	for range 20 {
		if !bytes.Equal(first, encodeTest(t, m)) {
			t.Fatal("a map has two encodings")
		}
	}
}

func TestCodecRefusesTypes(t *testing.T) {
	type inner struct{ C chan int }
	type locked struct{ Mu struct{ state int } }
	type embedsPtr struct{ *embedded }
	for _, test := range []struct {
		v    any
		want string
	}{
		{struct{ A []map[string]inner }{}, ".A[][].C: a chan cannot be stored"},
		{struct{ F func() }{}, ".F: a func cannot be stored"},
		{struct{ C complex64 }{}, ".C: a complex64 cannot be stored"},
		{struct{ E error }{}, ".E: a interface cannot be stored"},
		{struct{ M map[float64]int }{}, ".M[key]: a map's key is"},
		{struct{ M map[[2]int]int }{}, ".M[key]: a map's key is"},
		{locked{}, ".Mu: a struct without an exported field"},
		{embedsPtr{}, ".embedded: an embedded pointer cannot be stored"},
	} {
		for range 2 { // an error is not forgotten
			_, err := codecOf(reflect.TypeOf(test.v))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%T: %v, want %q", test.v, err, test.want)
			}
		}
	}
}

func TestCodecRefusesValues(t *testing.T) {
	loop := &sample{}
	loop.Self = loop
	for name, v := range map[string]any{
		"cycle":    loop,
		"same key": map[pair]int{{1, 2}: 1, {2, 1}: 2},
		"any":      []any{make(chan int)},
	} {
		c, err := codecOf(reflect.TypeOf(v))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := c.appendValue(nil, reflect.ValueOf(v)); err == nil {
			t.Errorf("%s: no error, %d bytes", name, len(b))
		}
	}
	for name, decode := range map[string]func() error{
		"cut short":      func() error { return second(decodeTest[string]([]byte{0xa5, 'a'})) },
		"trailer":        func() error { return second(decodeTest[int]([]byte{1, 1})) },
		"nothing":        func() error { return second(decodeTest[int](nil)) },
		"int8":           func() error { return second(decodeTest[int8]([]byte{0xcd, 1, 0})) },
		"uint from -1":   func() error { return second(decodeTest[uint]([]byte{0xff})) },
		"int64 overflow": func() error { return second(decodeTest[int64](appendUint(nil, math.MaxUint64))) },
		"float32":        func() error { return second(decodeTest[float32](appendFloat64(nil, 1e300))) },
		"array length":   func() error { return second(decodeTest[[3]int]([]byte{0x92, 1, 1})) },
		"huge array":     func() error { return second(decodeTest[[]int]([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})) },
		"huge map":       func() error { return second(decodeTest[map[int]int]([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})) },
		"huge bytes":     func() error { return second(decodeTest[[]byte]([]byte{0xc6, 0xff, 0xff, 0xff, 0xff})) },
		"key twice":      func() error { return second(decodeTest[map[int]int]([]byte{0x82, 1, 1, 1, 1})) },
		"any key twice":  func() error { return second(decodeTest[any]([]byte{0x82, 1, 1, 1, 1})) },
		"deep": func() error {
			return second(decodeTest[any](append(bytes.Repeat([]byte{0x91}, maxCodecDepth+1), 1)))
		},
		"deep, skipped": func() error {
			b := append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, maxCodecDepth+1)...)
			return second(decodeTest[embedded](append(b, 1)))
		},
		"much memory from little": func() error {
			b := appendArrayLen(nil, 1<<20)
			return second(decodeTest[[][64]int](append(b, bytes.Repeat([]byte{codeNil}, 1<<20)...)))
		},
		"bool": func() error { return second(decodeTest[bool]([]byte{1})) },
		"text": func() error { return second(decodeTest[time.Time](appendString(nil, "noon"))) },
		"0xc1": func() error { return second(decodeTest[any]([]byte{0xc1})) },
	} {
		if decode() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// pair is a key of which two values have one text.
type pair [2]int

func (p pair) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(p[0] + p[1])), nil }
func (p *pair) UnmarshalText([]byte) error  { return nil }

// A program with a newer type reads what an older one wrote, and the other way round.
func TestCodecEvolution(t *testing.T) {
	type old struct{ A, B int }
	type new struct {
		B int
		C []string
		X map[string]any
	}
	got, err := decodeTest[new](encodeTest(t, old{1, 2}))
	if err != nil || got.B != 2 || got.C != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	back, err := decodeTest[old](encodeTest(t, new{3, []string{"c"}, map[string]any{"y": 1.5, "z": []byte{1}}}))
	if err != nil || back != (old{0, 3}) {
		t.Errorf("got %+v, %v", back, err)
	}
	if !bytes.Equal(encodeTest(t, old{B: 2}), encodeTest(t, new{B: 2})) {
		t.Error("a new field with its zero value changes the bytes")
	}
}

// Fields are those of encoding/json, whatever is embedded, tagged or hidden.
func TestCodecFieldsAsJSON(t *testing.T) {
	type One struct{ A, B, X int }
	type Two struct {
		A int
		B int `json:"B"`
		Y int `json:"y,omitempty"`
	}
	type Int int
	type tagged struct {
		One `json:"one"`
		Two
	}
	for _, v := range []any{
		struct {
			One
			Two
			Z int `json:"a\"b"`
		}{One{1, 2, 3}, Two{4, 5, 6}, 7},
		tagged{One{1, 2, 3}, Two{4, 5, 6}},
		struct {
			Int
			A int `json:"-,"`
			B int `json:"-"`
			C int `json:"C,string"`
			D int `json:"ä ö"`
		}{1, 2, 3, 4, 5},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		x, err := decodeTest[any](encodeTest(t, v))
		if err != nil {
			t.Fatal(err)
		}
		got = x.(map[string]any)
		if len(got) != len(want) {
			t.Errorf("%T: fields %v, in JSON %v", v, got, want)
		}
		for name := range want {
			if got[name] == nil {
				t.Errorf("%T: no field %q in %v", v, name, got)
			}
		}
	}
}

func FuzzCodecDecode(f *testing.F) {
	f.Add([]byte{0x80})
	f.Add(encodeTest(f, fullSample()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decodeTest[sample](b); err == nil {
			roundTrip(t, v)
		}
		if v, err := decodeTest[any](b); err == nil && v != nil {
			roundTrip(t, []any{v})
		}
	})
}

// roundTrip checks that what was decoded has one encoding, which it survives. The
// one exception is what marshals itself to text that it does not take back.
func roundTrip[T any](t *testing.T, v T) {
	t.Helper()
	c, err := codecOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.appendValue(nil, reflect.ValueOf(&v).Elem())
	if err != nil {
		return // nested too deep, or a time that has no text
	}
	again, err := decodeTest[T](first)
	if err != nil {
		t.Fatalf("%x is not read back: %v", first, err)
	}
	if second := encodeTest(t, again); !bytes.Equal(first, second) {
		t.Fatalf("%x is read back as %x", first, second)
	}
}

func FuzzCodecJSON(f *testing.F) {
	text, err := json.Marshal(fullSample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"Map":{"b":1,"a":2},"Any":{"x":[1,2.5,1e300,-0]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var v, w sample
		if decodeJSON(body, &v) != nil {
			return
		}
		roundTrip(t, v)
		b, err := json.Marshal(v)
		if err != nil || decodeJSON(b, &w) != nil {
			return // JSON that does not survive JSON
		}
		if x, y := encodeTest(t, v), encodeTest(t, v); !bytes.Equal(x, y) {
			t.Fatalf("%x and %x", x, y)
		}
	})
}

func TestArgHash(t *testing.T) {
	seen := map[uint64]bool{}
	for _, name := range []string{"a", "b", "aa", ""} {
		for _, arg := range []string{"", "a", "\x00"} {
			seen[argHash(name, []byte(arg))] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d hashes of 12 calls", len(seen))
	}
}

// TestCodecConcurrent encodes lists that can be stored, and others that cannot, by
// one codec at the same time: each gets its own error.
func TestCodecConcurrent(t *testing.T) {
	c, err := codecOf(reflect.TypeFor[[]any]())
	if err != nil {
		t.Fatal(err)
	}
	good, bad := []any{1, "x", 2.5}, []any{1, make(chan int), 2}
	var wait sync.WaitGroup
	for i := range 4 {
		list := [][]any{good, bad}[i%2]
		wait.Go(func() {
			for range 2000 {
				if _, err := c.appendValue(nil, reflect.ValueOf(list)); (err != nil) != (i%2 == 1) {
					t.Errorf("%v: %v", list, err)
					return
				}
			}
		})
	}
	wait.Wait()
}
