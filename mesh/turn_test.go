package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// cart is an actor for the tests of this package.
type cart struct {
	Items map[string]int
	Paid  bool
	seen  int // not durable
}

type item struct {
	SKU string
	Qty int
}

var errPaid = errors.New("already paid")

func (c *cart) Add(_ *Ctx, in item) (int, error) {
	if c.Items == nil {
		c.Items = map[string]int{}
	}
	c.Items[in.SKU] += in.Qty
	c.seen++
	if c.Paid {
		return 0, errPaid
	}
	return len(c.Items), nil
}

func (c *cart) Pay(*Ctx, None) (None, error) {
	c.Paid = true
	return None{}, nil
}

func (c *cart) Size(*View, None) (int, error) { return len(c.Items), nil }

func (c *cart) Spoil(*View, None) (int, error) {
	c.Paid = !c.Paid
	return 0, nil
}

func (c *cart) Fail(_ *Ctx, code string) (None, error) {
	c.Items = nil
	switch code {
	case "":
		panic("as asked")
	case "nil":
		var p *cart
		p.Paid = true
	case "wrapped":
		return None{}, fmt.Errorf("wrapped: %w", &AppError{Code: "inner", Message: "m", Details: []byte(`{"a":1}`)})
	case "details":
		return None{}, &AppError{Code: "inner", Details: []byte("{no json")}
	}
	return None{}, &AppError{Code: code, Message: "as asked"}
}

// Keys runs a script of words over the actor's keys: "put k v", "del k", "get k",
// "scan prefix from to limit".
func (c *cart) Keys(ctx *Ctx, script string) (string, error) {
	var out []string
	for line := range strings.Lines(script) {
		w := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		var err error
		switch w[0] {
		case "put":
			err = ctx.Put(w[1], []byte(w[2]))
		case "del":
			err = ctx.Delete(w[1])
		case "get":
			var v []byte
			var found bool
			v, found, err = ctx.Get(w[1])
			out = append(out, fmt.Sprintf("%s=%s,%v", w[1], v, found))
		case "scan":
			r := Range{Prefix: w[1], From: w[2], To: w[3]}
			fmt.Sscan(w[4], &r.Limit)
			err = ctx.Scan(r, func(k string, v []byte) bool {
				out = append(out, k+"="+string(v))
				return true
			})
		}
		if err != nil {
			return "", err
		}
	}
	return strings.Join(out, " "), nil
}

// Relay calls Add on the carts named, one after the other.
func (c *cart) Relay(ctx *Ctx, to []string) (int, error) {
	c.Paid = true
	sum := 0
	for _, id := range to {
		n, err := Call(ctx, Get[cart](ctx, id), (*cart).Add, item{ctx.Key(), 1})
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Ring calls the next of a ring of actors.
func (c *cart) Ring(ctx *Ctx, ring []string) (int, error) {
	return Call(ctx, Get[cart](ctx, ring[0]), (*cart).Ring, append(ring[1:], ctx.Key()))
}

func (c *cart) Meddle(ctx *View, id string) (int, error) {
	if _, err := Call(ctx, Get[cart](ctx, id), (*cart).Size, None{}); err != nil {
		return 0, err
	}
	return Call(ctx, Get[cart](ctx, id), (*cart).Add, item{})
}

func (c *cart) Post(ctx *Ctx, n int) (int, error) {
	c.Paid = true
	for i := range n {
		if err := Send(ctx, Get[cart](ctx, "target"), (*cart).Add, item{fmt.Sprint(i), 1}); err != nil {
			return i, nil // a handler that does not care
		}
	}
	return n, nil
}

// Grow makes the state, the result or an ordered key of about so many bytes.
func (c *cart) Grow(ctx *Ctx, in item) (string, error) {
	big := strings.Repeat("x", in.Qty)
	switch in.SKU {
	case "state":
		c.Items = map[string]int{big: 1}
	case "result":
		return big, nil
	case "value":
		ctx.Put("k", []byte(big))
	case "key":
		ctx.Put(big, nil)
	case "record":
		for i := range 5 {
			ctx.Put(fmt.Sprint(i), []byte(big))
		}
	}
	return "", nil
}

var kept *Ctx

func (c *cart) Keep(ctx *Ctx, _ None) (string, error) {
	kept = ctx
	return fmt.Sprint(ctx.Kind(), " ", ctx.Key(), " ", ctx.Fence(), " ", ctx.Now().Unix()), ctx.Err()
}

func (c *cart) Wait(ctx *Ctx, _ None) (None, error) {
	c.Paid = true
	<-ctx.Done()
	return None{}, nil // a handler that does not care
}

func call[C Ctx | View, A, R any](m *fakeMesh, id string, method func(*cart, *C, A) (R, error), arg A, options ...CallOption) (R, error) {
	return Call(context.Background(), Get[cart](m, id), method, arg, options...)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *fakeMesh) cart(id string) *fakeActor { return m.actor(quorum.MakeActorKey("cart", id)) }

// RollbackCorrectness: an error leaves no trace, in the instance, in the keys or
// after a restart.
func TestTurnRollback(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for _, test := range []struct{ arg, want string }{
		{"out_of_tea", "out_of_tea: as asked"},
		{"", "panic: as asked"},
		{"nil", "panic: runtime error: invalid memory address or nil pointer dereference"},
		{"wrapped", "inner: m"},
		{"details", "inner"},
	} {
		if n, err := call(m, "a", (*cart).Add, item{"tea", 1}); n != 1 || err != nil {
			t.Fatalf("add: %d, %v", n, err)
		}
		before := string(m.cart("a").state)
		_, err := call(m, "a", (*cart).Fail, test.arg)
		var app *AppError
		if !errors.As(err, &app) || err.Error() != test.want {
			t.Errorf("Fail(%q) = %v, want %q", test.arg, err, test.want)
		}
		if m.last.State != nil || m.cart("a").inst.ptr.IsValid() || string(m.cart("a").state) != before {
			t.Errorf("Fail(%q) left a trace", test.arg)
		}
		if n, err := call(m, "a", (*cart).Size, None{}); n != 1 || err != nil {
			t.Errorf("after Fail(%q) the cart holds %d, %v", test.arg, n, err)
		}
		m.Restart()
	}
	if !strings.Contains(m.logged.String(), "turn_test.go") {
		t.Errorf("a panic's stack is not in the log: %s", m.logged.String())
	}
	_, err := call(m, "a", (*cart).Fail, "details")
	if app, _ := errors.AsType[*AppError](err); app == nil || string(app.Details) != `"{no json"` {
		t.Errorf("details that are no JSON: %+v", err)
	}
}

func TestTurnErrorOfHandlerIsError(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	ok(t, second(call(m, "a", (*cart).Pay, None{})))
	_, err := call(m, "a", (*cart).Add, item{"tea", 1})
	if app, _ := errors.AsType[*AppError](err); app == nil || app.Code != "error" || app.Message != "already paid" {
		t.Errorf("got %v", err)
	}
}

func second[R any](_ R, err error) error { return err }

func TestTurnUnchanged(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for _, test := range []struct {
		run       func() error
		unchanged bool
	}{
		{func() error { return second(call(m, "a", (*cart).Keys, "put k v")) }, true}, // of no state at all
		{func() error { return second(call(m, "a", (*cart).Pay, None{})) }, false},
		{func() error { return second(call(m, "a", (*cart).Pay, None{})) }, true},
		{func() error { m.Restart(); return second(call(m, "a", (*cart).Pay, None{})) }, true},
		{func() error { return second(call(m, "b", (*cart).Add, item{"tea", 1})) }, false},
	} {
		ok(t, test.run())
		if m.last.Unchanged != test.unchanged || m.last.Unchanged != (m.last.State == nil) {
			t.Errorf("unchanged %v with a state of %d bytes, want %v", m.last.Unchanged, len(m.last.State), test.unchanged)
		}
	}
	if len(m.last.Writes) != 0 {
		t.Errorf("writes: %v", m.last.Writes)
	}
}

func TestTurnFields(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for want := range 3 {
		got, err := call(m, "id/1", (*cart).Keep, None{})
		if want := fmt.Sprintf("cart id/1 1.1.%d 1700000000", want+1); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if m.last.Wall != m.wall.UnixNano() {
		t.Errorf("the result's wall is %d", m.last.Wall)
	}
	if d, ok := kept.Deadline(); !ok || d.Sub(kept.Now()) != 10*time.Second {
		t.Errorf("deadline %v, %v", d, ok)
	}
}

// What a handler keeps of its turn is of no use after it.
func TestTurnOver(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	ok(t, second(call(m, "a", (*cart).Keep, None{})))
	_, _, getErr := kept.Get("k")
	for name, err := range map[string]error{
		"Put":    kept.Put("k", nil),
		"Delete": kept.Delete("k"),
		"Get":    getErr,
		"Scan":   kept.Scan(Range{}, func(string, []byte) bool { return true }),
		"Err":    kept.Err(),
		"Send":   Send(kept, Get[cart](kept, "b"), (*cart).Add, item{}),
		"Call":   second(Call(kept, Get[cart](kept, "b"), (*cart).Add, item{})),
		"From":   second(Call(context.Background(), Get[cart](kept, "b"), (*cart).Add, item{})),
	} {
		if !errors.Is(err, ErrStopped) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the turn: %v", name, err)
		}
	}
	select {
	case <-kept.Done():
	default:
		t.Error("Done is open after the turn")
	}
}

func TestTurnCancel(t *testing.T) {
	for _, why := range []*failure{errDeadline, errStopped} {
		m := newFakeMesh(t, Host[cart]("cart"))
		m.running = func(t *turn) {
			go t.cancel(why)
		}
		_, err := call(m, "a", (*cart).Wait, None{})
		if !errors.Is(err, why) || m.cart("a").state != nil || m.last.Code != why.code {
			t.Errorf("cancelled with %v: %v, state %x", why, err, m.cart("a").state)
		}
	}
	m := newFakeMesh(t, Host[cart]("cart"))
	m.running = func(*turn) { m.mono = m.mono.Add(time.Minute) } // nobody cancels, but it was too slow
	if _, err := call(m, "a", (*cart).Pay, None{}); !errors.Is(err, ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a turn that took too long: %v", err)
	}
}

func TestTurnKeys(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for _, test := range []struct{ script, want string }{
		{"get a", "a=,false"},
		{"put b 1\nput a 2\nput c 3\nput a 4\nget a\nscan    0", "a=4,true a=4 b=1 c=3"},
		{"scan    2", "a=4 b=1"},
		{"del b\nget b\nscan    0\nput bb 5\nscan b   0\nscan  b  0\nscan   b 0", "b=,false a=4 c=3 bb=5 bb=5 c=3 a=4"},
		{"get b\nscan    0", "b=,false a=4 bb=5 c=3"},
		{"scan x y z 0\nscan  c a 0\nscan a b  0", ""},
	} {
		got, err := call(m, "a", (*cart).Keys, test.script)
		if got != test.want || err != nil {
			t.Errorf("%q gives %q, %v, want %q", test.script, got, err, test.want)
		}
		for i, w := range m.last.Writes {
			if i > 0 && compareWrites(m.last.Writes[i-1], w) >= 0 {
				t.Errorf("%q writes %v, not in order", test.script, m.last.Writes)
			}
		}
	}
	if _, err := call(m, "a", (*cart).Keys, "put  v"); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("an empty key: %v", err)
	}
	m.broken = errors.New("bad sector")
	if _, err := call(m, "a", (*cart).Keys, "get zzz"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a store that fails: %v", err)
	}
}

// Scan agrees with a sorted map, over pages, ranges, limits and writes of the turn.
func TestTurnScanAgainstMap(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	rng := rand.New(rand.NewPCG(1, 2))
	k := m.kinds.byName["cart"]
	for range 300 {
		a := m.cart("a")
		clear(a.keys)
		want := map[string][]byte{}
		for range rng.IntN(400) {
			key := fmt.Sprintf("%c%03d", 'a'+rng.IntN(3), rng.IntN(300))
			a.keys[key], want[key] = []byte("stored"), []byte("stored")
		}
		c := &core.Call{Actor: quorum.MakeActorKey("cart", "a")}
		turn := newTurn(k, k.methods["keys"], &instance{}, &core.TurnStart{Call: c, Load: true}, m, testLimits)
		for range rng.IntN(200) {
			key := fmt.Sprintf("%c%03d", 'a'+rng.IntN(3), rng.IntN(300))
			if rng.IntN(2) == 0 {
				turn.delete(key)
				delete(want, key)
			} else {
				turn.put(key, []byte("own"))
				want[key] = []byte("own")
			}
		}
		r := Range{Limit: rng.IntN(3) * rng.IntN(200)}
		if rng.IntN(2) == 0 {
			r.Prefix = string(rune('a' + rng.IntN(4)))
		}
		if rng.IntN(2) == 0 {
			r.From, r.To = fmt.Sprintf("a%03d", rng.IntN(300)), fmt.Sprintf("c%03d", rng.IntN(300))
		}
		var expect, got []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if strings.HasPrefix(key, r.Prefix) && key >= r.From && (r.To == "" || key < r.To) && (r.Limit == 0 || len(expect) < r.Limit) {
				expect = append(expect, key+string(want[key]))
			}
		}
		if err := turn.scan(r, func(k string, v []byte) bool { got = append(got, k+string(v)); return true }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, expect) {
			t.Fatalf("scan %+v:\ngot  %v\nwant %v", r, got, expect)
		}
	}
}

// Of the writes that the store has not yet, the turn's own hide older ones.
func TestMergeWritesAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	draw := func(value string, in func(string) bool, want map[string]string) []quorum.KeyWrite {
		drawn := map[string]quorum.KeyWrite{}
		for range rng.IntN(20) {
			if key := fmt.Sprintf("%02d", rng.IntN(40)); in(key) {
				drawn[key] = quorum.KeyWrite{Key: []byte(key), Value: []byte(value), Delete: rng.IntN(3) == 0}
				want[key] = fmt.Sprint(value, drawn[key].Delete)
			}
		}
		return slices.SortedFunc(maps.Values(drawn), compareWrites)
	}
	for range 2000 {
		from, to := fmt.Sprintf("%02d", rng.IntN(20)), ""
		if rng.IntN(2) == 0 {
			to = fmt.Sprintf("%02d", 20+rng.IntN(20))
		}
		within := func(key string) bool { return key >= from && (to == "" || key < to) }
		want := map[string]string{}
		older := draw("older", func(string) bool { return true }, want)
		maps.DeleteFunc(want, func(key, _ string) bool { return !within(key) })
		own := draw("own", within, want)
		got := mergeWrites(own, from, to, func(from []byte, yield func(quorum.KeyWrite) bool) {
			for _, w := range older {
				if string(w.Key) >= string(from) && !yield(w) {
					return
				}
			}
		})
		if len(got) != len(want) || !slices.IsSortedFunc(got, compareWrites) {
			t.Fatalf("%d writes, want %d in order: %v", len(got), len(want), got)
		}
		for _, w := range got {
			if fmt.Sprint(string(w.Value), w.Delete) != want[string(w.Key)] {
				t.Fatalf("key %s is %+v, want %s", w.Key, w, want[string(w.Key)])
			}
		}
	}
}

func TestTurnTooLarge(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for _, test := range []struct {
		what  string
		bytes int
		ok    bool
	}{
		{"state", 1<<20 - 20, true}, {"state", 1 << 20, false},
		{"result", 1<<20 - 5, true}, {"result", 1<<20 - 4, false},
		{"value", 1 << 20, true}, {"value", 1<<20 + 1, false},
		{"key", 1 << 10, true}, {"key", 1<<10 + 1, false},
		{"record", 1 << 19, true}, {"record", 1 << 20, false},
	} {
		_, err := call(m, test.what, (*cart).Grow, item{test.what, test.bytes})
		if test.ok && err != nil || !test.ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s of %d bytes: %v", test.what, test.bytes, err)
		}
	}
	for n, fits := range map[int]bool{1024: true, 1025: false} {
		if _, err := call(m, "a", (*cart).Post, n); fits != (err == nil) || !fits && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d sends: %v", n, err)
		}
	}
	if _, err := call(m, "a", (*cart).Add, item{strings.Repeat("x", 1<<20), 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an argument over the limit: %v", err)
	}
}

func TestTurnSends(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	if n, err := call(m, "a", (*cart).Post, 3); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if n, _ := call(m, "target", (*cart).Size, None{}); n != 0 {
		t.Error("a send arrived before it was delivered")
	}
	m.Deliver()
	if n, _ := call(m, "target", (*cart).Size, None{}); n != 3 {
		t.Errorf("%d sends arrived, want 3", n)
	}
}

func TestTurnCycle(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	for _, ring := range [][]string{{"a"}, {"b", "c"}} {
		if _, err := call(m, "a", (*cart).Ring, ring); !errors.Is(err, ErrCycle) {
			t.Errorf("ring %v: %v", ring, err)
		}
	}
}

func TestTurnViewCallsViews(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	_, err := call(m, "a", (*cart).Meddle, "b")
	if err == nil || !strings.Contains(err.Error(), "View methods only") {
		t.Errorf("a View that writes elsewhere: %v", err)
	}
}

// A retry of a turn repeats the ids of its calls, and no other turn has them.
func TestTurnDerivedIDs(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	run := func(id, once string) []quorum.RequestID {
		m.requests = nil
		var options []CallOption
		if once != "" {
			options = append(options, Once(once))
		}
		if _, err := call(m, id, (*cart).Relay, []string{"x", "y"}, options...); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return m.requests
	}
	m.refuse = func(inv *invocation) error {
		if inv.id == "y" {
			return fail(errUnavailable, "y is away")
		}
		return nil
	}
	first := run("a", "k1")
	m.refuse = nil
	m.Restart()
	again := run("a", "k1")
	if len(first) != 2 || !slices.Equal(first, again) {
		t.Errorf("a retry has other ids:\n%v\n%v", first, again)
	}
	if n, _ := call(m, "x", (*cart).Size, None{}); n != 1 {
		t.Errorf("the call took effect %d times", n)
	}
	seen := map[quorum.RequestID]bool{}
	for _, ids := range [][]quorum.RequestID{first, run("b", "k1"), run("a", "k2"), run("a", ""), run("a", "")} {
		for _, id := range ids {
			if seen[id] || id.Key == "" || id.Key[0] != quorum.KeyDerived {
				t.Errorf("id %q is no new one", id.Key)
			}
			seen[id] = true
		}
	}
	requests := []quorum.RequestID{
		{Session: quorum.SessionID{1}, Number: 1}, {Session: quorum.SessionID{1}, Number: 2}, {Session: quorum.SessionID{2}, Number: 1},
		{Key: "k1"}, {Key: "t1"}, {Source: "\x00c\x00a", Number: 1}, {Source: "\x00c\x00a", Number: 2}, {Source: "\x00c\x00b", Number: 1}, {},
	}
	keys := map[string]bool{}
	for _, r := range requests {
		for n := range uint64(3) {
			keys[derivedKey("\x00cart\x00a", r, Fence{}, n)] = true
		}
	}
	if len(keys) != 3*len(requests) {
		t.Errorf("%d ids for %d calls", len(keys), 3*len(requests))
	}
	low := quorum.RequestID{Session: quorum.SessionID{1}, Number: 1, Low: 1}
	if derivedKey("a", requests[0], Fence{}, 0) != derivedKey("a", low, Fence{}, 0) {
		t.Error("the low mark of a session changes its ids")
	}
}

// A failure of a nested call that a retry may mend is not the handler's own error,
// which would be recorded as the answer.
func TestTurnPassesFailures(t *testing.T) {
	for _, f := range failures {
		if f == nil {
			continue
		}
		m := newFakeMesh(t, Host[cart]("cart"))
		m.refuse = func(*invocation) error { return fail(f, "") }
		_, err := call(m, "a", (*cart).Relay, []string{"x"})
		_, own := errors.AsType[*AppError](err)
		passes := f == errUnavailable || f == errDeadline || f == errOverloaded || f == errOutcomeUnknown || f == errCycle
		if passes != errors.Is(err, f) || passes == own {
			t.Errorf("%v became %v", f, err)
		}
	}
	if passes(ErrCycle, quorum.RequestID{Source: "\x00c\x00a"}) {
		t.Error("a send that ran into a cycle would be retried for ever")
	}
}

// A View method that changes its receiver is found, and what it did is gone.
func TestTurnViewThatWrites(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	if n, err := call(m, "a", (*cart).Spoil, None{}); err == nil || n != 0 {
		t.Errorf("got %d, %v", n, err)
	}
	ok(t, second(call(m, "a", (*cart).Add, item{"tea", 1}))) // an error if Paid were kept
	found := 0
	ok(t, second(call(m, "b", (*cart).Size, None{})))
	for range 3 * inspectEvery {
		if _, err := call(m, "b", (*cart).Spoil, None{}); err != nil {
			found++
		}
	}
	if found == 0 || invariantsEnabled && found != 3*inspectEvery {
		t.Errorf("found %d times", found)
	}
}

func TestTurnState(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	m.cart("a").state = []byte{0xc1}
	if _, err := call(m, "a", (*cart).Size, None{}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "cart/a") {
		t.Errorf("a state that is none: %v", err)
	}
}

func TestTurnHooks(t *testing.T) {
	var log []string
	var refuse error
	m := newFakeMesh(t, Host[cart]("cart",
		OnActivate(func(c *cart, v *View) error {
			c.seen = 100
			log = append(log, "activate "+v.Key())
			if _, err := Call(v, Get[cart](v, "other"), (*cart).Pay, None{}); err == nil {
				t.Error("a View wrote elsewhere")
			}
			if v.Key() == "panics" {
				panic("as asked")
			}
			return refuse
		}),
		OnDeactivate(func(c *cart) { log = append(log, fmt.Sprint("deactivate ", c.seen)); panic("as asked") }),
		IdleTimeout(time.Minute), MailboxSize(7), Alias("addItem", "add")))
	k := m.kinds.byName["cart"]
	if k.idleTimeout != time.Minute || k.mailboxSize != 7 || k.methods["addItem"] != k.methods["add"] {
		t.Error("options are lost")
	}
	ok(t, second(call(m, "a", (*cart).Add, item{"tea", 1})))
	m.cart("a").inst.deactivate(k, m.logger)
	m.cart("a").inst.deactivate(k, m.logger) // nothing is left
	m.Restart()
	refuse = errors.New("not today")
	if _, err := call(m, "a", (*cart).Size, None{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an activation that fails: %v", err)
	}
	if _, err := call(m, "panics", (*cart).Size, None{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an activation that panics: %v", err)
	}
	want := []string{"activate a", "deactivate 101", "activate a", "activate panics"}
	if !slices.Equal(log, want) {
		t.Errorf("hooks ran %q, want %q", log, want)
	}
}

// A turn that uses a context from elsewhere still ends its calls with itself, and
// one that uses another ref still carries its chain.
func TestTurnContexts(t *testing.T) {
	m := newFakeMesh(t, Host[cart]("cart"))
	k := m.kinds.byName["cart"]
	c := &core.Call{Actor: quorum.MakeActorKey("cart", "a")}
	turn := newTurn(k, k.methods["keep"], &instance{}, &core.TurnStart{Call: c, Load: true}, m, testLimits)
	derived, cancel := context.WithTimeout(&turn.ctx, time.Minute)
	defer cancel()
	if _, err := Call(derived, Get[cart](m, "a"), (*cart).Add, item{}); !errors.Is(err, ErrCycle) {
		t.Errorf("a call by the node's ref lost its chain: %v", err)
	}
	blocked := make(chan struct{})
	m.refuse = func(*invocation) error {
		close(blocked)
		return nil
	}
	env := &waitingEnv{fakeMesh: m, blocked: blocked}
	turn.env = env
	go func() {
		<-blocked
		turn.cancel(errStopped)
	}()
	if _, err := Call(context.Background(), Get[cart](&turn.ctx, "b"), (*cart).Add, item{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call with a context from elsewhere: %v", err)
	}
}

type waitingEnv struct {
	*fakeMesh
	blocked chan struct{}
}

func (e *waitingEnv) call(ctx context.Context, _ *core.TurnStart, _ *invocation) (*result, error) {
	close(e.blocked)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestFence(t *testing.T) {
	order := []Fence{{}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {1, 0, 2}, {1, 2, 1}}
	for i, f := range order {
		for j, g := range order {
			if f.Less(g) != (i < j) || (f.Compare(g) == 0) != (i == j) {
				t.Errorf("%v against %v: %d", f, g, f.Compare(g))
			}
		}
	}
	if s := (Fence{1, 2, 3}).String(); s != "1.2.3" {
		t.Error(s)
	}
}
