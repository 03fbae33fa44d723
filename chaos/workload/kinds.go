package workload

import (
	"actormesh/chaos/script"
	"actormesh/mesh"
)

// keyed is a kind that keeps its journal in ordered keys.
type keyed struct {
	Is State `json:"is"`
}

func (k *keyed) state(kind script.Kind) State {
	if k.Is.Seq == 0 {
		return initial(kind)
	}
	return k.Is
}

// run applies an operation and journals it, or returns the error that refuses it.
func (k *keyed) run(ctx *mesh.Ctx, kind script.Kind, method string, in Arg) (Reply, error) {
	e := entry(method, in, ctx)
	next, code := apply(k.state(kind), e)
	if code != "" {
		return Reply{}, refuse(code, next, ctx)
	}
	k.Is = next
	return reply(next, ctx), journal(ctx, next.Seq, e)
}

func (k *keyed) read(v *mesh.View, kind script.Kind) (Reply, error) {
	return reply(k.state(kind), v), nil
}

func (k *keyed) journal(v *mesh.View, kind script.Kind) (Journal, error) {
	entries, err := readJournal(v)
	return Journal{reply(k.state(kind), v), entries}, err
}

// Counter is a number.
type Counter struct{ keyed }

// Add adds N.
func (c *Counter) Add(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return c.run(ctx, script.Counter, "add", in)
}

// Get reads.
func (c *Counter) Get(v *mesh.View, _ Arg) (Reply, error) { return c.read(v, script.Counter) }

// Journal returns all that was applied.
func (c *Counter) Journal(v *mesh.View, _ mesh.None) (Journal, error) {
	return c.journal(v, script.Counter)
}

// Lock is a lock with a time limit, whose tokens grow from holder to holder.
type Lock struct{ keyed }

// Acquire takes the lock for Peer if it is free or its holder's time is over, or
// fails with AppHeld. The value of the reply is the token.
func (l *Lock) Acquire(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return l.run(ctx, script.Lock, "acquire", in)
}

// Renew gives a holder more time, or fails with AppNotHeld.
func (l *Lock) Renew(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return l.run(ctx, script.Lock, "renew", in)
}

// Release gives the lock up, or fails with AppNotHeld.
func (l *Lock) Release(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return l.run(ctx, script.Lock, "release", in)
}

// Holder reads.
func (l *Lock) Holder(v *mesh.View, _ Arg) (Reply, error) { return l.read(v, script.Lock) }

// Journal returns all that was applied.
func (l *Lock) Journal(v *mesh.View, _ mesh.None) (Journal, error) { return l.journal(v, script.Lock) }

// Account holds money, of which each has some before its first call.
type Account struct{ keyed }

// Transfer takes money and sends it to another account, with this turn's record;
// or it fails with AppFunds.
func (a *Account) Transfer(ctx *mesh.Ctx, in Arg) (Reply, error) {
	r, err := a.run(ctx, script.Account, "transfer", in)
	if err != nil {
		return r, err
	}
	to := mesh.GetKind[Account](ctx, ctx.Kind(), in.Peer)
	return r, mesh.Send(ctx, to, (*Account).Credit, Arg{Op: in.Op, N: in.N, Peer: ctx.Key()})
}

// Pay calls another account to receive money, and then takes it from this one; or
// it fails with AppFunds. The call stands even where this turn is lost after it,
// until a repetition of the turn repeats it.
func (a *Account) Pay(ctx *mesh.Ctx, in Arg) (Reply, error) {
	e := entry("pay", in, ctx)
	if same, code := apply(a.state(script.Account), e); code != "" {
		return Reply{}, refuse(code, same, ctx)
	}
	to := mesh.GetKind[Account](ctx, ctx.Kind(), in.Peer)
	if _, err := mesh.Call(ctx, to, (*Account).Receive, Arg{Op: in.Op, N: in.N, Peer: ctx.Key()}); err != nil {
		return Reply{}, err
	}
	return a.run(ctx, script.Account, "pay", in)
}

// Credit takes in the money of a Transfer.
func (a *Account) Credit(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return a.run(ctx, script.Account, "credit", in)
}

// Receive takes in the money of a Pay.
func (a *Account) Receive(ctx *mesh.Ctx, in Arg) (Reply, error) {
	return a.run(ctx, script.Account, "receive", in)
}

// Balance reads.
func (a *Account) Balance(v *mesh.View, _ Arg) (Reply, error) { return a.read(v, script.Account) }

// Journal returns all that was applied.
func (a *Account) Journal(v *mesh.View, _ mesh.None) (Journal, error) {
	return a.journal(v, script.Account)
}

// whole is a kind that keeps its journal in its struct, and so writes all of it
// with every record.
type whole struct {
	Is      State   `json:"is"`
	Entries []Entry `json:"entries"`
}

func (w *whole) run(ctx *mesh.Ctx, method string, in Arg) (Reply, error) {
	e := entry(method, in, ctx)
	next, code := apply(w.Is, e)
	if code != "" {
		return Reply{}, refuse(code, next, ctx)
	}
	w.Is, w.Entries = next, append(w.Entries, e)
	return reply(next, ctx), nil
}

// Register is a value that can be set, also on the condition that it is a certain
// one.
type Register struct{ whole }

// Write sets the value to N.
func (r *Register) Write(ctx *mesh.Ctx, in Arg) (Reply, error) { return r.run(ctx, "write", in) }

// Cas sets the value to N if it is Old, or fails with AppMismatch.
func (r *Register) Cas(ctx *mesh.Ctx, in Arg) (Reply, error) { return r.run(ctx, "cas", in) }

// Read reads.
func (r *Register) Read(v *mesh.View, _ Arg) (Reply, error) { return reply(r.Is, v), nil }

// Journal returns all that was applied.
func (r *Register) Journal(v *mesh.View, _ mesh.None) (Journal, error) {
	return Journal{reply(r.Is, v), r.Entries}, nil
}

// List is a list to which numbers are appended.
type List struct{ whole }

// Append appends N.
func (l *List) Append(ctx *mesh.Ctx, in Arg) (Reply, error) { return l.run(ctx, "append", in) }

// Read returns the list's length and digest, which tells it from every other list.
func (l *List) Read(v *mesh.View, _ Arg) (Reply, error) { return reply(l.Is, v), nil }

// Journal returns all that was applied.
func (l *List) Journal(v *mesh.View, _ mesh.None) (Journal, error) {
	return Journal{reply(l.Is, v), l.Entries}, nil
}
