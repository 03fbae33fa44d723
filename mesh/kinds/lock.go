package kinds

import (
	"encoding/json"
	"time"

	"actormesh/mesh"
)

// Lock is a lock with a time limit. Who acquires it gets a token, which only grows
// from holder to holder: a resource that remembers the highest token it has seen
// and refuses lower ones is safe from a holder that does not know yet that its
// time is over.
type Lock struct {
	Holder  string `json:"holder"`  // empty if nobody holds it
	Token   uint64 `json:"token"`   // the last that was given
	Expires int64  `json:"expires"` // ns since 1970
}

const (
	maxHolderBytes = 255
	maxTTL         = 24 * time.Hour
)

// Duration is a time.Duration that is text in JSON: "10s".
type Duration time.Duration

// MarshalText returns the duration in Go's form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// AcquireArg is the argument of Lock.Acquire.
type AcquireArg struct {
	Holder string   `json:"holder"` // who; 1 to 255 bytes
	TTL    Duration `json:"ttl"`    // above 0, up to 24h
}

// RenewArg is the argument of Lock.Renew.
type RenewArg struct {
	Holder string   `json:"holder"`
	Token  uint64   `json:"token"`
	TTL    Duration `json:"ttl"` // from now on
}

// ReleaseArg is the argument of Lock.Release.
type ReleaseArg struct {
	Holder string `json:"holder"`
	Token  uint64 `json:"token"`
}

// Token is the result of Lock.Acquire and Lock.Renew.
type Token struct {
	Token uint64 `json:"token"`
}

// Released is the result of Lock.Release.
type Released struct {
	Released bool `json:"released"`
}

// Acquire takes the lock if nobody holds it, not even the same holder: one that
// wants more time renews. Otherwise the error is CodeHeld.
func (l *Lock) Acquire(ctx *mesh.Ctx, in AcquireArg) (Token, error) {
	if in.Holder == "" || len(in.Holder) > maxHolderBytes {
		return Token{}, invalid("a holder is 1 to %d bytes", maxHolderBytes)
	}
	if err := checkTTL(in.TTL); err != nil {
		return Token{}, err
	}
	if l.held(ctx.Now()) {
		return Token{}, l.errHeld()
	}
	l.Holder = in.Holder
	l.Token++
	l.Expires = ctx.Now().Add(time.Duration(in.TTL)).UnixNano()
	return Token{l.Token}, nil
}

// Renew gives the holder more time, from now on. If it holds the lock no more, the
// error is CodeNotHeld.
func (l *Lock) Renew(ctx *mesh.Ctx, in RenewArg) (Token, error) {
	if err := checkTTL(in.TTL); err != nil {
		return Token{}, err
	}
	if !l.heldBy(ctx.Now(), in.Holder, in.Token) {
		return Token{}, appError(CodeNotHeld, "%q does not hold the lock with token %d", in.Holder, in.Token)
	}
	l.Expires = ctx.Now().Add(time.Duration(in.TTL)).UnixNano()
	return Token{l.Token}, nil
}

// Release gives the lock up. It returns false if the caller did not hold it.
func (l *Lock) Release(ctx *mesh.Ctx, in ReleaseArg) (Released, error) {
	if !l.heldBy(ctx.Now(), in.Holder, in.Token) {
		return Released{}, nil
	}
	l.Holder, l.Expires = "", 0
	return Released{true}, nil
}

func (l *Lock) held(now time.Time) bool { return l.Holder != "" && now.UnixNano() < l.Expires }

func (l *Lock) heldBy(now time.Time, holder string, token uint64) bool {
	return l.held(now) && l.Holder == holder && l.Token == token
}

func (l *Lock) errHeld() error {
	expires := time.Unix(0, l.Expires).UTC()
	e := appError(CodeHeld, "%q holds the lock until %s", l.Holder, expires.Format(time.RFC3339Nano))
	e.Details, _ = json.Marshal(map[string]any{"holder": l.Holder, "expires": expires}) // strings always marshal
	return e
}

func checkTTL(ttl Duration) error {
	if ttl <= 0 || time.Duration(ttl) > maxTTL {
		return invalid("the ttl is %v, it must be above 0 and up to %v", time.Duration(ttl), maxTTL)
	}
	return nil
}
