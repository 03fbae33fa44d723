package mesh

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// box is a generic kind.
type box[T any] struct{ V T }

func (b *box[T]) Swap(_ *Ctx, v T) (T, error) {
	old := b.V
	b.V = v
	return old, nil
}

// base has a method that outer gets by embedding it.
type base struct{ N int }

func (b *base) Inc(_ *Ctx, n int) (int, error) {
	b.N += n
	return b.N, nil
}

type outer struct{ base }

func (o outer) Peek(*View, None) (int, error) { return o.N, nil }

func plainFunc(*cart, *Ctx, item) (int, error) { return 0, nil }

func TestCallByMethodExpression(t *testing.T) {
	m := newFakeMesh(t, Host[box[int]]("ints"), Host[box[string]]("strings"), Host[outer]("outer"), Host[cart]("cart"))
	ctx := context.Background()
	for want := range 3 {
		if n, err := Call(ctx, Get[box[int]](m, "a"), (*box[int]).Swap, want+1); n != want || err != nil {
			t.Errorf("%d, %v, want %d", n, err, want)
		}
	}
	if s, err := Call(ctx, Get[box[string]](m, "a"), (*box[string]).Swap, "x"); s != "" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n, err := Call(ctx, Get[outer](m, "a"), (*outer).Inc, 5); n != 5 || err != nil {
		t.Errorf("a promoted method: %d, %v", n, err)
	}
	if n, err := Call(ctx, Get[outer](m, "a"), (*outer).Peek, None{}); n != 5 || err != nil {
		t.Errorf("a method of the value: %d, %v", n, err)
	}
	if n, err := Call(ctx, GetKind[outer](m, "outer", "b"), (*outer).Inc, 1); n != 1 || err != nil {
		t.Errorf("by the kind's name: %d, %v", n, err)
	}
	if s := GetKind[outer](m, "outer", "b/c").String(); s != "outer/b/c" {
		t.Error(s)
	}
}

func TestCallRefuses(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	ctx := context.Background()
	good := Get[cart](m, "a")
	var c cart
	for name, test := range map[string]struct {
		err  error
		want error
		text string
	}{
		"closure":      {second(Call(ctx, good, func(*cart, *Ctx, item) (int, error) { return 0, nil }, item{})), ErrBadRequest, "func1 is no method of *mesh.cart"},
		"function":     {second(Call(ctx, good, plainFunc, item{})), ErrBadRequest, "plainFunc is no method of *mesh.cart"},
		"nil":          {second(Call(ctx, good, (func(*cart, *Ctx, item) (int, error))(nil), item{})), ErrBadRequest, "the method is nil"},
		"zero ref":     {second(Call(ctx, Ref[cart]{}, (*cart).Add, item{})), ErrBadRequest, "Get did not make"},
		"no kind":      {second(Call(ctx, Get[outer](m, "a"), (*outer).Inc, 1)), ErrNoKind, "mesh.outer is no kind here"},
		"not hosted":   {second(Call(ctx, GetKind[outer](m, "outer", "a"), (*outer).Inc, 1)), ErrNoKind, ""},
		"no method":    {second(Call(ctx, GetKind[outer](m, "cart", "a"), (*outer).Inc, 1)), ErrNoMethod, ""},
		"kind's name":  {second(Call(ctx, GetKind[cart](m, "Cart", "a"), (*cart).Add, item{})), ErrBadRequest, `kind "Cart"`},
		"empty id":     {second(Call(ctx, Get[cart](m, ""), (*cart).Add, item{})), ErrBadRequest, "an id is"},
		"long id":      {second(Call(ctx, Get[cart](m, strings.Repeat("i", 256)), (*cart).Add, item{})), ErrBadRequest, "an id is"},
		"control id":   {second(Call(ctx, Get[cart](m, "a\x00b"), (*cart).Add, item{})), ErrBadRequest, "an id is"},
		"UTF-8 id":     {second(Call(ctx, Get[cart](m, "\xff"), (*cart).Add, item{})), ErrBadRequest, "an id is"},
		"empty key":    {second(Call(ctx, good, (*cart).Add, item{}, Once(""))), ErrBadRequest, "request id"},
		"long key":     {second(Call(ctx, good, (*cart).Add, item{}, Once(strings.Repeat("k", 129)))), ErrBadRequest, "request id"},
		"type of arg":  {second(Call(ctx, GetKind[badArg](m, "cart", "a"), (*badArg).Add, nil)), ErrBadRequest, "argument: func()"},
		"type of res":  {second(Call(ctx, GetKind[badReply](m, "cart", "a"), (*badReply).Add, 1)), ErrBadRequest, "result: chan int"},
		"value of arg": {second(Call(ctx, GetKind[handlers](m, "cart", "a"), (*handlers).ID, any(c.Fail))), ErrBadRequest, "argument: "},
	} {
		if !errors.Is(test.err, test.want) || !strings.Contains(test.err.Error(), test.text) {
			t.Errorf("%s: %v, want %v with %q", name, test.err, test.want, test.text)
		}
	}
	if n, err := call(m, strings.Repeat("i", 255), (*cart).Add, item{}, Once(strings.Repeat("k", 128))); n != 1 || err != nil {
		t.Errorf("the longest names: %d, %v", n, err)
	}
}

func TestCallOnce(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for range 3 {
		if n, err := call(m, "a", (*cart).Add, item{"tea", 1}, Once("k")); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if _, err := call(m, "a", (*cart).Add, item{"tea", 2}, Once("k")); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another argument: %v", err)
	}
	if m.cart("a").turns != 1 {
		t.Errorf("%d turns", m.cart("a").turns)
	}
}

// The answer of a method that this program takes for another one is not read as
// if nothing had happened.
func TestCallResultOfAnotherType(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	if _, err := Call(context.Background(), GetKind[strange](m, "cart", "a"), (*strange).Size, None{}); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
}

type strange struct{}

func (*strange) Size(*View, None) ([]string, error) { return nil, nil }
