package mesh

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// handlers has methods of every form.
type handlers struct{ N int }

func (handlers) ByValue(*Ctx, int) (int, error)              { return 1, nil }
func (*handlers) HTTPGet(*View, None) (None, error)          { return None{}, nil }
func (*handlers) AddItem(*Ctx, []int) (*int, error)          { return nil, nil }
func (*handlers) ID(*View, any) (any, error)                 { return nil, nil }
func (*handlers) String() string                             { return "no handler" }
func (*handlers) Check(a, b int) (int, error)                { return a + b, nil }
func (*handlers) Float(*View, None) (float64, error)         { return math.NaN(), nil }
func (*handlers) Html(*View, None) (string, error)           { return "<&>", nil }
func (*handlers) Panics(*View, jsonPanic) (jsonPanic, error) { return jsonPanic{}, nil }

// jsonPanic is a user's type with mistakes.
type jsonPanic struct{}

func (jsonPanic) MarshalJSON() ([]byte, error) { panic("marshal") }
func (*jsonPanic) UnmarshalJSON([]byte) error  { panic("unmarshal") }

type badArity struct{}

func (*badArity) Add(*Ctx) (int, error) { return 0, nil }

type badOrder struct{}

func (*badOrder) Add(int, *Ctx) (int, error) { return 0, nil }

type badValue struct{}

func (*badValue) Add(Ctx, int) (int, error) { return 0, nil }

type badResult struct{}

func (*badResult) Add(*View, int) error { return nil }

type badError struct{}

func (*badError) Add(*View, int) (int, string) { return 0, "" }

type badVariadic struct{}

func (*badVariadic) Add(*Ctx, ...int) (int, error) { return 0, nil }

type badArg struct{}

func (*badArg) Add(*Ctx, func()) (int, error) { return 0, nil }

type badReply struct{}

func (*badReply) Add(*Ctx, int) (chan int, error) { return nil, nil }

type badState struct{ C chan int }

func (*badState) Add(*Ctx, int) (int, error) { return 0, nil }

type twins struct{}

func (*twins) ID(*Ctx, int) (int, error) { return 0, nil }
func (*twins) Id(*Ctx, int) (int, error) { return 0, nil }

type number int

func TestHostRefuses(t *testing.T) {
	good := Host[handlers]("good")
	for _, test := range []struct {
		host HostOption
		want string
	}{
		{Host[handlers](""), "name matches"},
		{Host[handlers]("Good"), "name matches"},
		{Host[handlers](strings.Repeat("k", 65)), "name matches"},
		{Host[number]("n"), "an actor's type is a struct, not a int"},
		{Host[None]("n"), "no method is a handler"},
		{Host[badArity]("n"), "method Add: a handler is func"},
		{Host[badOrder]("n"), "method Add: a handler is func"},
		{Host[badValue]("n"), "method Add: a handler is func"},
		{Host[badResult]("n"), "method Add: a handler is func"},
		{Host[badError]("n"), "method Add: a handler is func"},
		{Host[badVariadic]("n"), "method Add: a handler is func"},
		{Host[badArg]("n"), "method Add: argument: func(): a func cannot be stored"},
		{Host[badReply]("n"), "method Add: result: chan int: a chan cannot be stored"},
		{Host[badState]("n"), ".C: a chan cannot be stored"},
		{Host[twins]("n"), `two methods are called "id"`},
		{Host[handlers]("n", IdleTimeout(0)), "an idle timeout of 0s"},
		{Host[handlers]("n", MailboxSize(0)), "a mailbox of 0 calls"},
		{Host[handlers]("n", MailboxSize(maxMailbox+1)), "a mailbox of"},
		{Host[handlers]("n", Alias("old", "new")), `"new", which is no method`},
		{Host[handlers]("n", Alias("", "id")), "is no name"},
		{Host[handlers]("n", Alias("httpGet", "id")), `two methods are called "httpGet"`},
		{Host[handlers]("n", OnActivate(func(*cart, *View) error { return nil })), "a hook that is given for mesh.cart"},
		{Host[handlers]("n", OnDeactivate(func(*cart) {})), "a hook that is given for mesh.cart"},
		{HostOption{}, "a HostOption that Host did not make"},
		{Host[handlers]("good"), `two types are kind "good"`},
	} {
		if _, err := newKindSet([]HostOption{good, test.host}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestKindMethods(t *testing.T) {
	k := Host[handlers]("k", Alias("Fetch", "httpGet"), Alias("Read", "HTTPGet")).kind
	var names []string
	for _, m := range k.list() {
		names = append(names, m.name)
	}
	if want := []string{"addItem", "byValue", "float", "html", "httpGet", "id", "panics"}; !slices.Equal(names, want) {
		t.Errorf("methods %q, want %q", names, want)
	}
	for _, name := range []string{"httpGet", "HTTPGet", "fetch", "Fetch", "read"} {
		if m := k.methods[name]; m == nil || m.name != "httpGet" || !m.readOnly || m.hashName != "fetch" {
			t.Errorf("%s is %+v", name, m)
		}
	}
	for name, want := range map[string]string{"Add": "add", "ID": "id", "HTTPGet": "httpGet", "A": "a", "Ärger": "ärger", "GetURL": "getURL", "X2Y": "x2Y", "": ""} {
		if got := wireName(name); got != want {
			t.Errorf("%q is %q on the wire, want %q", name, got, want)
		}
	}
}

func TestKindFor(t *testing.T) {
	s, err := newKindSet([]HostOption{Host[cart]("cart"), Host[handlers]("a"), Host[handlers]("b")})
	if err != nil {
		t.Fatal(err)
	}
	if name, err := s.kindFor(reflect.TypeFor[cart]()); name != "cart" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := s.kindFor(reflect.TypeFor[handlers]()); !errors.Is(err, ErrBadRequest) {
		t.Errorf("a type of two kinds: %v", err)
	}
	if _, err := s.kindFor(reflect.TypeFor[None]()); !errors.Is(err, ErrNoKind) {
		t.Errorf("a type of none: %v", err)
	}
}

// One argument has one hash, whether it came from Go or as JSON, in any spelling.
func TestDecodeArg(t *testing.T) {
	m := Host[cart]("cart").kind.methods["add"]
	args := encodeTest(t, item{"tea", 2})
	_, want, size, err := m.decodeArg(args, false, 1<<20)
	if err != nil || size != len(args) {
		t.Fatal(size, err)
	}
	for _, body := range []string{`{"SKU":"tea","Qty":2}`, ` { "Qty":2, "sku":"t\u0065a" } `} {
		arg, hash, size, err := m.decodeArg([]byte(body), true, 1<<20)
		if err != nil || hash != want || size != len(args) || *arg.(*item) != (item{"tea", 2}) {
			t.Errorf("%s: %+v, hash %x, want %x, %v", body, arg, hash, want, err)
		}
	}
	if _, hash, _, _ := m.decodeArg([]byte(`{"SKU":"tea","Qty":3}`), true, 1<<20); hash == want {
		t.Error("another argument has the same hash")
	}
	for _, test := range []struct {
		body   string
		isJSON bool
		want   error
	}{
		{"", true, nil}, {"\n", true, nil}, {"null", true, nil}, {"{}", true, nil},
		{"{", true, ErrBadRequest}, {"[]", true, ErrBadRequest}, {"{}x", true, ErrBadRequest}, {`{"x":1}`, true, ErrBadRequest},
		{"\x80", false, nil}, {"", false, ErrBadRequest}, {"\x80\x80", false, ErrBadRequest}, {"\x01", false, ErrBadRequest},
		{strings.Repeat(" ", 101), true, ErrTooLarge}, {strings.Repeat(" ", 101), false, ErrTooLarge},
	} {
		if _, _, _, err := m.decodeArg([]byte(test.body), test.isJSON, 100); !errors.Is(err, test.want) {
			t.Errorf("%q: %v, want %v", test.body, err, test.want)
		}
	}
	k := Host[handlers]("k").kind
	floats := "[1.5" + strings.Repeat(",1.5", 30) + "]"
	if _, _, _, err := k.methods["id"].decodeArg([]byte(floats), true, len(floats)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an argument that grows over the limit: %v", err)
	}
	if _, _, _, err := k.methods["panics"].decodeArg([]byte("1"), true, 100); !errors.Is(err, ErrBadRequest) {
		t.Errorf("an argument that panics: %v", err)
	}
}

func TestReplyJSON(t *testing.T) {
	m := newFakeMesh(t, Host[handlers]("k"))
	for method, want := range map[string]string{
		"byValue": "1", "httpGet": "{}", "addItem": "null", "id": "null", "html": `"<&>"`,
		"float": "no result: mesh: result of float: json: unsupported value: NaN",
	} {
		if got := m.JSON("k", "a", method, ""); got != want {
			t.Errorf("%s answers %s, want %s", method, got, want)
		}
	}
	k := m.kinds.byName["k"]
	if _, err := k.methods["panics"].replyJSON([]byte{codeNil}); err == nil {
		t.Error("a result that panics is none")
	}
	if _, err := k.methods["byValue"].replyJSON([]byte{0xc1}); err == nil {
		t.Error("a result that is none")
	}
}

func TestKindNames(t *testing.T) {
	k := &kind{name: "a", methods: map[string]*method{}}
	var want []string
	for i := range 40 {
		name := fmt.Sprintf("methodWithALongName%02d", i)
		k.methods[name] = &method{name: name, readOnly: i%2 == 1}
		want = append(want, fmt.Sprintf("%s %t", name, i%2 == 1))
	}
	other := &kind{name: "a-b", methods: map[string]*method{"get": {name: "get"}}}
	texts := (&kindSet{byName: map[string]*kind{"a": k, "a-b": other}}).kindNames()
	if !slices.IsSorted(texts) {
		t.Errorf("not in the order of a view: %q", texts)
	}
	var got []string
	for _, text := range texts {
		if len(text) > maxKindTextBytes {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		for _, m := range parseKind(text).Methods {
			if parseKind(text).Kind == "a" {
				got = append(got, fmt.Sprintf("%s %t", m.Name, m.Read))
			}
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("read back as %q", got)
	}
}
