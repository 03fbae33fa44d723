package mesh

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"actormesh/quorum"
)

// Caller is where calls come from: a *Node, a *Client, or the *Ctx or *View of a
// turn. Its methods are the package's own.
type Caller interface {
	// invoke runs one invocation, wherever its actor lives, and waits for its
	// end. The error is an *Error or an *AppError.
	invoke(ctx context.Context, inv *invocation) (*result, error)

	// kindFor returns the kind of which t is the type.
	kindFor(t reflect.Type) (string, error)
}

// invocation is one call of a method, on its way.
type invocation struct {
	kind, id, method string
	args             []byte // canonical MessagePack
	once             string // the caller's own request id; empty for none
	readOnly         bool   // by a View method; the owner has the last word

	// What follows is set for a call from a turn.

	request  quorum.RequestID  // derived from the turn's own; zero if once is set
	chain    []quorum.ActorKey // the actors that wait for this call, outermost first
	deadline quorum.Instant    // of the turn
	internal bool
}

func (inv *invocation) op() string { return "call " + inv.kind + "/" + inv.id + " " + inv.method }

// result is how an invocation ended that ended well.
type result struct {
	reply    []byte          // canonical MessagePack
	fence    quorum.Position // of the record; for a read, what the owner saw
	lsn      quorum.LSN      // of the actor's last record
	node     string          // the owner
	replayed bool            // the first answer to this request id, again
}

// Ref names an actor of type T, and where calls to it come from. It costs nothing
// to make, and the actor need not exist: every actor does, with the zero value
// for its state, from its first call on.
type Ref[T any] struct {
	from     Caller
	kind, id string
	err      error
}

// Get returns the actor of that id of the one kind of which T is the type, for
// calls that come from the given node, client or turn. An id is 1 to 255 bytes
// of UTF-8 without control characters. What is wrong is an error of the call.
func Get[T any](from Caller, id string) Ref[T] {
	kind, err := from.kindFor(reflect.TypeFor[T]())
	if err != nil {
		return Ref[T]{err: err}
	}
	return GetKind[T](from, kind, id)
}

// GetKind is Get for a kind by its name: where T is the type of several kinds,
// or of one that this program does not host.
func GetKind[T any](from Caller, kind, id string) Ref[T] {
	switch {
	case !isKind(kind):
		return Ref[T]{err: fail(errBadRequest, fmt.Sprintf("kind %q", clip(kind)))}
	case !isName(id, maxIDBytes):
		return Ref[T]{err: fail(errBadRequest, fmt.Sprintf("id %q: an id is 1 to %d bytes of UTF-8 without control characters", clip(id), maxIDBytes))}
	}
	return Ref[T]{from: from, kind: kind, id: id}
}

// String returns "kind/id".
func (r Ref[T]) String() string { return r.kind + "/" + r.id }

// CallOption sets something of one call.
type CallOption func(*invocation) error

// Once gives the call a request id of the caller's own, 1 to 128 bytes of UTF-8
// without control characters. Calls to one actor with one id take effect once,
// within the mesh's retention (1 h by default): later ones get the first answer,
// a handler's error included. View methods ignore it.
func Once(key string) CallOption {
	return func(inv *invocation) error {
		if !isName(key, maxKeyOwnBytes) {
			return fail(errBadRequest, fmt.Sprintf("request id %q: it is 1 to %d bytes of UTF-8 without control characters", clip(key), maxKeyOwnBytes))
		}
		inv.once = key
		return nil
	}
}

// Call calls a method of an actor and waits for its result:
//
//	n, err := mesh.Call(ctx, mesh.Get[Cart](node, "u42"), (*Cart).Add, Item{"tea", 2})
//
// method is a method expression of *T. The call ends with ctx, or after
// Config.CallTimeout. From within a turn, ctx is the turn's Ctx or derived from
// it, and the call takes effect whether or not the turn itself commits; a View
// can call View methods only.
func Call[T any, C Ctx | View, A, R any](ctx context.Context, ref Ref[T], method func(*T, *C, A) (R, error), arg A, options ...CallOption) (R, error) {
	var reply R
	s, inv, err := invocationOf(ref, method, &arg)
	if err != nil {
		return reply, err
	}
	_, inv.readOnly = any((*C)(nil)).(*View)
	for _, option := range options {
		if err := option(inv); err != nil {
			return reply, err
		}
	}
	from := ref.from
	if t := turnOf(ctx); t != nil {
		from = t // also where ref is from the node: the chain of calls must travel
	}
	res, err := from.invoke(ctx, inv)
	if err != nil {
		return reply, err
	}
	if err := s.res.decodeValue(res.reply, reflect.ValueOf(&reply).Elem()); err != nil {
		// It took effect; only what it said cannot be read by this program.
		return reply, &Error{Op: inv.op(), Err: errOutcomeUnknown, Detail: "result: " + err.Error()}
	}
	return reply, nil
}

// Send sends a one-way message with the turn's record: if the turn commits, the
// method is run once, later, on an actor that may live anywhere, and if not, it
// never is. Sends between two actors arrive in order. The method's result is
// dropped, and so is its error.
func Send[T, A, R any](ctx *Ctx, ref Ref[T], method func(*T, *Ctx, A) (R, error), arg A) error {
	_, inv, err := invocationOf(ref, method, &arg)
	if err != nil {
		return err
	}
	return ctx.t.send(inv)
}

func invocationOf[T any, C Ctx | View, A, R any](ref Ref[T], method func(*T, *C, A) (R, error), arg *A) (*site, *invocation, error) {
	if ref.err != nil {
		return nil, nil, ref.err
	}
	if ref.from == nil {
		return nil, nil, fail(errBadRequest, "a Ref that Get did not make")
	}
	s, err := siteOf(reflect.ValueOf(method))
	if err != nil {
		return nil, nil, err
	}
	args, err := s.arg.appendValue(nil, reflect.ValueOf(arg).Elem())
	if err != nil {
		return nil, nil, fail(errBadRequest, "argument: "+err.Error())
	}
	return s, &invocation{kind: ref.kind, id: ref.id, method: s.method, args: args}, nil
}

// site is what a method expression says: which method, and of which types.
type site struct {
	method   string // on the wire
	arg, res *codec
}

// sites maps method expressions to what they say, by code address and type. It
// is copied to be changed: a program has few, and reads them at every call.
var sites struct {
	mu    sync.Mutex
	known atomic.Pointer[map[siteKey]*site]
}

type siteKey struct {
	pc  uintptr
	typ reflect.Type
}

func siteOf(method reflect.Value) (*site, error) {
	key := siteKey{method.Pointer(), method.Type()}
	if known := sites.known.Load(); known != nil {
		if s := (*known)[key]; s != nil {
			return s, nil
		}
	}
	s, err := newSite(method)
	if err != nil {
		return nil, err
	}
	sites.mu.Lock()
	defer sites.mu.Unlock()
	next := map[siteKey]*site{}
	if known := sites.known.Load(); known != nil {
		for k, s := range *known {
			next[k] = s
		}
	}
	next[key] = s
	sites.known.Store(&next)
	return s, nil
}

func newSite(method reflect.Value) (*site, error) {
	t := method.Type() // func(*T, *C, A) (R, error)
	name, err := expressionName(method)
	if err != nil {
		return nil, err
	}
	s := &site{method: wireName(name)}
	if s.arg, err = codecOf(t.In(2)); err != nil {
		return nil, fail(errBadRequest, "argument: "+err.Error())
	}
	if s.res, err = codecOf(t.Out(0)); err != nil {
		return nil, fail(errBadRequest, "result: "+err.Error())
	}
	return s, nil
}

// expressionName returns the name of the method of which fn is the expression.
// The linker calls that function "path/pkg.(*T).Name", also in a stripped binary;
// T's type arguments are in brackets.
func expressionName(fn reflect.Value) (string, error) {
	receiver := fn.Type().In(0).Elem()
	if fn.IsNil() {
		return "", fail(errBadRequest, fmt.Sprintf("the method is nil; a call names one by its expression, (*%s).Name", receiver.Name()))
	}
	full := runtime.FuncForPC(fn.Pointer()).Name()
	name := full[strings.LastIndexByte(full, '.')+1:]
	typ, _, _ := strings.Cut(receiver.Name(), "[")
	before, found := strings.CutSuffix(full, "."+name)
	before, _ = strings.CutSuffix(before, "[...])")
	if found && strings.HasSuffix(strings.TrimSuffix(before, ")"), ".(*"+typ) {
		if m, ok := reflect.PointerTo(receiver).MethodByName(name); ok && m.Type == fn.Type() {
			return name, nil
		}
	}
	return "", fail(errBadRequest, fmt.Sprintf("%s is no method of *%s; a call names one by its expression, (*%s).Name", full, receiver, receiver.Name()))
}
