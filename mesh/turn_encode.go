package mesh

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// bufferPool holds the buffers in which states and replies are encoded before it
// is known whether, and how large, they are kept.
var bufferPool = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledBytes keeps one large actor from holding memory for good.
const maxPooledBytes = 64 << 10

// encoded calls use with the encoding of v, which use must not keep.
func encoded(c *codec, v reflect.Value, use func(b []byte) error) error {
	buffer := bufferPool.Get().(*[]byte)
	b, err := c.appendValue((*buffer)[:0], v)
	if err == nil {
		err = use(b)
	}
	if cap(b) <= maxPooledBytes {
		*buffer = b
		bufferPool.Put(buffer)
	}
	return err
}

// encodeState sets the result's State, or Unchanged.
func (t *turn) encodeState(r *core.TurnResult) error {
	return encoded(t.kind.codec, t.inst.ptr.Elem(), func(b []byte) error {
		switch {
		case len(b) > t.limits.valueBytes:
			return fail(errTooLarge, fmt.Sprintf("the state is %d bytes, the limit is %d", len(b), t.limits.valueBytes))
		case bytes.Equal(b, t.inst.state) || t.inst.state == nil && bytes.Equal(b, emptyState):
			r.Unchanged = true
		default:
			r.State = bytes.Clone(b)
			t.inst.state = r.State
		}
		return nil
	})
}

// emptyState is the encoding of a struct that has its zero value, which is what
// an actor without a state has.
var emptyState = appendMapLen(nil, 0)

func (t *turn) encodeReply(v reflect.Value) (reply []byte, err error) {
	err = encoded(t.method.resCodec, v, func(b []byte) error {
		if len(b) > t.limits.valueBytes {
			return fail(errTooLarge, fmt.Sprintf("the result is %d bytes, the limit is %d", len(b), t.limits.valueBytes))
		}
		reply = bytes.Clone(b)
		return nil
	})
	return reply, err
}

// inspectEvery is how often a View turn is checked not to have changed its
// receiver: the first after an instance is decoded and every so many after it.
// With the build tag invariants, all are. A View method that writes is a mistake
// in the method's code, so it is found soon wherever it runs at all, and the
// check costs a turn's time only now and then.
const inspectEvery = 64

// inspect returns the encoding of the state before a View turn that is to be
// checked, and nil before any other.
func (t *turn) inspect() (before []byte) {
	if !t.method.readOnly {
		return nil
	}
	t.inst.views++
	if !invariantsEnabled && t.inst.views%inspectEvery != 1 {
		return nil
	}
	before, err := t.kind.codec.appendValue(nil, t.inst.ptr.Elem())
	if err != nil {
		return nil // the state cannot be encoded: the next turn that writes says so
	}
	return before
}

// unchanged checks a View turn; before is what inspect returned.
func (t *turn) unchanged(before []byte) error {
	if before == nil {
		return nil
	}
	return encoded(t.kind.codec, t.inst.ptr.Elem(), func(b []byte) error {
		if bytes.Equal(b, before) {
			return nil
		}
		t.env.log().Error("a View method changed its receiver", "kind", t.kind.name, "method", t.method.name)
		return fmt.Errorf("the View method %s changed its receiver", t.method.name)
	})
}

// recordOverheadBytes is more than a record takes beside what collect counts.
const recordOverheadBytes = 1024

// collect puts what the turn wrote and sent into the result. The turn is over.
func (t *turn) collect(r *core.TurnResult) {
	if size := recordOverheadBytes + len(r.State) + len(r.Reply) + t.recordBytes; size > t.limits.recordBytes {
		r.Code, r.Detail = core.CodeTooLarge, fmt.Sprintf("the record is %d bytes, the limit is %d", size, t.limits.recordBytes)
		return
	}
	r.Sends = t.sends
	if len(t.writes) > 0 {
		r.Writes = slices.SortedFunc(maps.Values(t.writes), compareWrites)
	}
}

func compareWrites(a, b quorum.KeyWrite) int { return bytes.Compare(a.Key, b.Key) }

// failTurn sets how a turn ended that its handler did not fail.
func failTurn(r *core.TurnResult, err error) {
	if f := asFailure(err); f != nil {
		r.Code = f.code
		r.Detail = truncate(err.Error(), maxAppMessageBytes)
		if e, ok := err.(*Error); ok && e.Op == "" {
			r.Detail = e.Detail
		}
		return
	}
	r.Err = &quorum.AppError{Code: appCodeError, Message: truncate(err.Error(), maxAppMessageBytes)}
}

// logPanic logs a panic of the user's code with its stack, and returns it as text.
func (t *turn) logPanic(p any) string {
	return logPanic(t.env.log(), t.kind.name, t.method.name, p)
}

func logPanic(log *slog.Logger, kind, method string, p any) string {
	text := truncate(fmt.Sprint(p), maxAppMessageBytes)
	stack := truncate(strings.ToValidUTF8(string(debug.Stack()), "?"), maxAppMessageBytes)
	log.Error("handler panicked", "kind", kind, "method", method, "panic", text, "stack", stack)
	return text
}
