package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// turnEnv is what a turn needs of its node. Its methods are called from the
// goroutine of the turn, and from those that the handler starts.
type turnEnv interface {
	// clock reads the node's monotonic clock and its wall clock, in ns since 1970.
	clock() (now quorum.Instant, wall int64)

	// getKey returns what the store holds of an actor's ordered key. The value
	// is not kept.
	getKey(slot quorum.SlotID, actor quorum.ActorKey, key []byte) (value []byte, found bool, err error)

	// scanKeys calls fn with what the store holds of an actor's ordered keys,
	// from <= key < to (nil for no end), in order, at most limit of them, until
	// it returns false. Keys and values are not kept.
	scanKeys(slot quorum.SlotID, actor quorum.ActorKey, from, to []byte, limit int, fn func(key, value []byte) bool) error

	// call runs an invocation that the turn makes, when all that the turn has
	// seen is committed. It returns at the end of ctx, which ends with the turn.
	call(ctx context.Context, from *core.TurnStart, inv *invocation) (*result, error)

	// kindFor returns the kind of which t is the type.
	kindFor(t reflect.Type) (string, error)

	// log takes what a handler did that its author should know.
	log() *slog.Logger
}

// turnLimits bounds what a turn leaves behind, as Config has it.
type turnLimits struct {
	valueBytes  int // of a result, the struct, the value of a key, a send's argument
	keyBytes    int
	recordBytes int
	effects     int // sends
}

// instance is an activation's copy of its actor's state. One turn at a time uses
// it.
type instance struct {
	ptr   reflect.Value // *T; the zero Value if there is none
	state []byte        // the encoding of what is committed or on its way; never changed
	views int           // View turns since it was decoded
}

// drop forgets the state: the next turn must load it.
func (i *instance) drop() { *i = instance{} }

// deactivate tells the kind that the instance goes away in good order.
func (i *instance) deactivate(k *kind, log *slog.Logger) {
	defer i.drop()
	if !i.ptr.IsValid() || k.onDeactivate == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			logPanic(log, k.name, "OnDeactivate", p)
		}
	}()
	k.onDeactivate(i.ptr.Interface())
}

// turn is one run of one method on an instance.
//
// run is called once, in a goroutine that the handler may hold for as long as it
// likes; cancel may be called from another one meanwhile. What the handler has
// done is in writes and sends, apart from the instance and the store, until run
// returns it all at once.
type turn struct {
	ctx    Ctx
	view   View
	kind   *kind
	method *method
	inst   *instance
	start  *core.TurnStart
	env    turnEnv
	limits turnLimits
	began  quorum.Instant
	wall   int64 // Now, in ns since 1970: not below start.Wall

	viewing bool // the user's code that runs now has the View

	mu    sync.Mutex    // guards what follows; handlers may start goroutines
	over  error         // why there is no turn any more; nil while it runs
	done  chan struct{} // closed when it is over; nil until somebody asks
	wrong *Error        // why it must be rolled back, whatever the handler returns

	writes      map[string]quorum.KeyWrite
	sends       []quorum.Send
	recordBytes int    // of writes and sends
	outgoing    int    // calls
	effective   uint64 // calls that have an id
}

// newTurn prepares a turn. inst must be what the activation's turn before this
// one left, unless start says to load.
func newTurn(k *kind, m *method, inst *instance, start *core.TurnStart, env turnEnv, limits turnLimits) *turn {
	if !start.Load && !inst.ptr.IsValid() {
		panic("mesh: a turn without a state: its start should have said to load")
	}
	began, wall := env.clock()
	t := &turn{kind: k, method: m, inst: inst, start: start, env: env, limits: limits, began: began, wall: max(wall, start.Wall)}
	t.ctx.t, t.view.t = t, t
	return t
}

// cancel ends the turn early: with errDeadline, or with errStopped where the node
// gives the actor up. The handler may go on; it has nothing to go on with.
func (t *turn) cancel(why *failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(why)
}

// end sets why the turn is over; the first reason stays.
func (t *turn) end(why *failure) {
	if t.over != nil {
		return
	}
	t.over = why
	if t.done != nil {
		close(t.done)
	}
}

// run runs the handler, and returns what the turn did. After an error the
// instance is dropped.
func (t *turn) run() core.TurnResult {
	r := core.TurnResult{Activation: t.start.Activation, Turn: t.start.Fence.Turn, Wall: t.wall}
	t.execute(&r)
	now, _ := t.env.clock()
	r.Elapsed = now.Sub(t.began)

	t.mu.Lock()
	defer t.mu.Unlock()
	if deadline := t.start.Call.Deadline; deadline != 0 && now > deadline {
		t.end(errDeadline)
	}
	switch {
	case t.over != nil:
		f := asFailure(t.over)
		r.Code, r.Detail = f.code, fmt.Sprintf("while %s ran", t.method.name)
	case t.wrong != nil:
		r.Code, r.Detail = asFailure(t.wrong).code, t.wrong.Detail
	}
	t.end(errStopped)
	r.Outgoing = t.outgoing
	if r.Err == nil && r.Code == core.CodeOK {
		t.collect(&r)
	}
	if r.Err != nil || r.Code != core.CodeOK {
		r.State, r.Unchanged, r.Writes, r.Sends, r.Reply = nil, false, nil, nil, nil
		t.inst.drop()
	}
	if r.Code != core.CodeOK {
		r.Err = nil
	}
	return r
}

// execute runs the handler and encodes what it left. A panic, of the handler or
// of a method of the user's types, is an error of the turn.
func (t *turn) execute(r *core.TurnResult) {
	defer func() {
		if p := recover(); p != nil {
			r.Err = &quorum.AppError{Code: appCodePanic, Message: t.logPanic(p)}
		}
	}()
	if t.start.Load {
		if err := t.load(); err != nil {
			r.Code, r.Detail = core.CodeUnavailable, err.Error()
			return
		}
	}
	before := t.inspect()
	reply, err := t.handle() // an error of a call that the turn made may pass on to its own caller
	switch {
	case err != nil && passes(err, t.start.Call.Request):
	case err != nil:
		r.Err = handlerError(err)
	case t.method.readOnly:
		err = t.unchanged(before)
	default:
		err = t.encodeState(r)
	}
	if err == nil {
		r.Reply, err = t.encodeReply(reply)
	}
	if err != nil && r.Err == nil {
		failTurn(r, err)
	}
}

// load decodes the actor's state into a fresh struct.
func (t *turn) load() (err error) {
	t.inst.drop()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("activation of %s: panic: %s", t.start.Call.Actor, t.logPanic(p))
		}
	}()
	ptr := reflect.New(t.kind.typ)
	if len(t.start.State) > 0 {
		if err := t.kind.codec.decodeValue(t.start.State, ptr.Elem()); err != nil {
			return fmt.Errorf("the state of %s is no %s: %w", t.start.Call.Actor, t.kind.typ, err)
		}
	}
	if t.kind.onActivate != nil {
		t.viewing = true
		if err := t.kind.onActivate(ptr.Interface(), &t.view); err != nil {
			return fmt.Errorf("activation of %s: %w", t.start.Call.Actor, err)
		}
	}
	t.inst.ptr, t.inst.state = ptr, t.start.State
	return nil
}

// handle calls the method.
func (t *turn) handle() (reply reflect.Value, err error) {
	t.viewing = t.method.readOnly
	ctx := reflect.ValueOf(&t.ctx)
	if t.method.readOnly {
		ctx = reflect.ValueOf(&t.view)
	}
	out := t.method.fn.Call([]reflect.Value{t.inst.ptr, ctx, reflect.ValueOf(t.start.Call.Arg).Elem()})
	err, _ = out[1].Interface().(error)
	return out[0], err
}
