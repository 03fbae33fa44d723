package workload

import (
	"encoding/json"
	"fmt"
	"time"

	"actormesh/chaos/script"
	"actormesh/mesh"
)

// Hosts returns the kinds, for mesh.Start.
func Hosts() []mesh.HostOption {
	return []mesh.HostOption{
		mesh.Host[Counter](HostName(script.Counter)),
		mesh.Host[Register](HostName(script.Register)),
		mesh.Host[List](HostName(script.List)),
		mesh.Host[Account](HostName(script.Account)),
		mesh.Host[Lock](HostName(script.Lock)),
	}
}

// HostName returns the name by which a mesh knows the kind, which is not that of a
// kind for users.
func HostName(k script.Kind) string { return "chaos." + string(k) }

// FinalMethod is the method of every kind that returns its Journal. It takes
// nothing.
const FinalMethod = "journal"

// Arg is the argument of every method. Each uses some of the fields.
type Arg struct {
	Op    string `json:"op"`              // the operation's id
	N     int64  `json:"n,omitempty"`     // what is added, written, appended or moved
	Old   int64  `json:"old,omitempty"`   // register cas: the value that is expected
	Peer  string `json:"peer,omitempty"`  // the other account; who holds a lock
	Token int64  `json:"token,omitempty"` // lock: of the holder
	TTL   int64  `json:"ttl,omitempty"`   // lock: how long, in ms
}

// State is what an actor is, as far as calls can see.
type State struct {
	Value  int64  `json:"value"`            // a number; of a list its length, of a lock its last token
	Digest uint64 `json:"digest,omitempty"` // of a list: of all that is in it
	Holder string `json:"holder,omitempty"` // of a lock; empty if it is free
	Until  int64  `json:"until,omitempty"`  // of a lock: when its time is over, in ms since 1970
	Seq    uint64 `json:"seq"`              // how many operations were applied
}

// Reply is the result of every method, and what the error of a handler has as its
// details: the actor's state after the turn, and the turn.
type Reply struct {
	State
	Now   int64  `json:"now"`   // the turn's time, in ms since 1970
	Fence string `json:"fence"` // the turn's
}

// Entry is one operation that an actor has applied.
type Entry struct {
	Arg
	Method string `json:"method"`
	Now    int64  `json:"now"`
	Fence  string `json:"fence"`
}

// Journal is an actor's state, and how it came to be.
type Journal struct {
	Reply
	Entries []Entry `json:"entries"`
}

// The codes of the errors of handlers.
const (
	AppMismatch = "mismatch" // register cas: the value is another
	AppFunds    = "no_funds" // account: the balance is too low
	AppHeld     = "held"     // lock acquire: somebody holds it
	AppNotHeld  = "not_held" // lock renew, release: the caller does not hold it
	appBroken   = "broken"   // the journal cannot be read
)

// turn is what a Ctx and a View have in common here.
type turn interface {
	// Fence returns the turn's fence.
	Fence() mesh.Fence
	// Now returns the wall time at which the turn began.
	Now() time.Time
}

func reply(s State, t turn) Reply {
	return Reply{State: s, Now: t.Now().UnixMilli(), Fence: t.Fence().String()}
}

// refuse returns a handler's error with the state for its details.
func refuse(code string, s State, t turn) error {
	details, err := json.Marshal(reply(s, t))
	if err != nil {
		return err
	}
	return &mesh.AppError{Code: code, Details: details}
}

// entry returns what a turn applies.
func entry(method string, in Arg, t turn) Entry {
	return Entry{Arg: in, Method: method, Now: t.Now().UnixMilli(), Fence: t.Fence().String()}
}

// journalKey is the ordered key of the n-th entry, from 1.
func journalKey(n uint64) string { return fmt.Sprintf("e%08d", n) }

// journal adds an entry to a journal that is kept in ordered keys, of which seq is
// the length with it.
func journal(ctx *mesh.Ctx, seq uint64, e Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return ctx.Put(journalKey(seq), value)
}

// readJournal returns the entries that are kept in ordered keys.
func readJournal(v *mesh.View) ([]Entry, error) {
	entries := []Entry{}
	var bad error
	err := v.Scan(mesh.Range{Prefix: "e"}, func(key string, value []byte) bool {
		var e Entry
		if key != journalKey(uint64(len(entries))+1) {
			bad = &mesh.AppError{Code: appBroken, Message: fmt.Sprintf("entry %d is %s", len(entries)+1, key)}
		} else {
			bad = json.Unmarshal(value, &e)
		}
		entries = append(entries, e)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return entries, err
}
