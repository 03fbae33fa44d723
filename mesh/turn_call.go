package mesh

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// A turn is where its own calls come from.
var _ Caller = (*turn)(nil)

func (t *turn) kindFor(typ reflect.Type) (string, error) { return t.env.kindFor(typ) }

// invoke makes a call from the turn.
func (t *turn) invoke(ctx context.Context, inv *invocation) (*result, error) {
	target := quorum.MakeActorKey(inv.kind, inv.id)
	inv.chain = append(slices.Clone(t.start.Call.Chain), t.start.Call.Actor)
	if slices.Contains(inv.chain, target) {
		return nil, &Error{Op: inv.op(), Err: errCycle, Detail: fmt.Sprintf("%s waits for this call", target)}
	}
	if t.viewing && !inv.readOnly {
		return nil, &Error{Op: inv.op(), Err: errBadRequest, Detail: "a View may call View methods only"}
	}
	inv.internal = true
	inv.deadline = t.start.Call.Deadline
	if err := t.number(inv); err != nil {
		return nil, err
	}
	if turnOf(ctx) != t {
		// A context from elsewhere: the call must end with the turn all the same.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(&t.ctx, cancel)()
	}
	return t.env.call(ctx, t.start, inv)
}

// number counts a call, and gives one that may write its id: made from the turn's
// own request and the count, so that a retry of the turn repeats it.
func (t *turn) number(inv *invocation) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		return t.over
	}
	t.outgoing++
	if inv.readOnly || inv.once != "" {
		return nil
	}
	t.effective++
	request := t.start.Call.Request
	if mutant.On(mutant.DerivedAnew) {
		request = quorum.RequestID{} // as one that has no id
	}
	inv.request = quorum.RequestID{Key: derivedKey(t.start.Call.Actor, request, t.ctx.Fence(), t.effective)}
	return nil
}

// derivedKeyHashBytes is how much of the hash is kept: enough that no two turns of
// a mesh ever meet.
const derivedKeyHashBytes = 16

// derivedKey returns the id of the n-th call of the turn that runs a request on an
// actor. A turn whose request has no id is known by its fence: it is not retried.
func derivedKey(actor quorum.ActorKey, request quorum.RequestID, fence Fence, n uint64) string {
	b := make([]byte, 0, 128)
	part := func(s string) {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	part(string(actor))
	switch {
	case request.Session != quorum.SessionID{}:
		b = append(b, 's')
		b = append(b, request.Session[:]...)
		b = binary.AppendUvarint(b, request.Number)
	case request.Key != "":
		b = append(b, 'k')
		part(request.Key)
	case request.Source != "":
		b = append(b, 'a')
		part(string(request.Source))
		b = binary.AppendUvarint(b, request.Number)
	default:
		b = append(b, 'f')
		b = binary.AppendUvarint(b, fence.Epoch)
		b = binary.AppendUvarint(b, fence.Boot)
		b = binary.AppendUvarint(b, fence.Turn)
	}
	b = binary.AppendUvarint(b, n)
	sum := sha256.Sum256(b)
	return string(append([]byte{quorum.KeyDerived}, sum[:derivedKeyHashBytes]...))
}

// sendOverheadBytes is what the encoding of a send takes at most beside its parts.
const sendOverheadBytes = 32

// send adds a message to the turn's record.
func (t *turn) send(inv *invocation) error {
	target := quorum.MakeActorKey(inv.kind, inv.id)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over != nil && !mutant.On(mutant.OverUnchecked):
		return t.over
	case len(inv.args) > t.limits.valueBytes:
		return t.reject(errTooLarge, fmt.Sprintf("an argument of %d bytes, the limit is %d", len(inv.args), t.limits.valueBytes))
	case len(t.sends) >= t.limits.effects:
		return t.reject(errTooLarge, fmt.Sprintf("more than %d sends in one turn", t.limits.effects))
	}
	if err := t.grow(sendOverheadBytes + len(target) + len(inv.method) + len(inv.args)); err != nil {
		return err
	}
	t.sends = append(t.sends, quorum.Send{Target: target, Method: inv.method, Args: inv.args})
	return nil
}
