package core

import (
	"time"

	"actormesh/quorum"
)

// Call is one invocation that has come to the node that owns its actor. The
// shell has decoded the argument and looked up the method.
type Call struct {
	Slot      quorum.SlotID
	Actor     quorum.ActorKey
	Method    string
	ReadOnly  bool // a View method: no record is written
	Arg       any  // decoded; only the shell looks inside
	ArgHash   uint64
	ArgBytes  int
	Request   quorum.RequestID
	Deadline  quorum.Instant
	Chain     []quorum.ActorKey // the actors whose turns wait for this call, outermost first
	Internal  bool              // from a turn, a send or a timer: draws on the reserve
	Principal string
	Trace     []byte
	Idle      time.Duration // the kind's idle timeout
	Mailbox   int           // the kind's mailbox size, in calls
	Waiter    any           // handed back with the Outcome; only the shell looks inside
}

// Code says how a call ended, in the words of the errors that users see.
type Code uint8

// The codes. All but CodeOK, CodeApp and CodeOutcomeUnknown promise that the
// call took no effect.
const (
	CodeOK             Code = iota
	CodeApp                 // the handler's own error, in Outcome.App
	CodeUnavailable         // no owner or no majority; retry
	CodeDeadline            // rolled back
	CodeOverloaded          // mailbox or node full; retry later
	CodeOutcomeUnknown      // retry with the same request id
	CodeNoMethod
	CodeNoKind
	CodeTooLarge
	CodeCycle
	CodeKeyReused
	CodeStopped
	CodeBadRequest
)

// Outcome is the end of a call.
type Outcome struct {
	Code   Code
	Detail string
	App    *quorum.AppError
	Reply  []byte          // encoded result
	Fence  quorum.Position // of the record; for a read, the owner's ballot and the last lsn that it saw
	// Until, if not 0, is when the answer ceases to be true: it must leave
	// before, by a clock read as it leaves, or not at all.
	Until    quorum.Instant
	LSN      quorum.LSN // of the actor's last record
	Replayed bool       // the first answer to this request id, again
}

// ActivationID names one activation of one actor in one shard's life.
type ActivationID uint64

// TurnStart asks the shell to run one turn. At most one turn of an activation
// runs at a time.
type TurnStart struct {
	Activation ActivationID
	Slot       quorum.SlotID
	Call       *Call
	Fence      Fence
	Seen       quorum.LSN // of the actor's last record; what leaves the turn waits for its commit
	Wall       int64      // the turn's Now is not below it, in ns since 1970
	// Load asks the shell to drop the instance that it may have and to decode
	// State afresh. State is nil for an actor that has none yet.
	Load  bool
	State []byte
	Keys  *Overlay // writes to ordered keys that are not in the store's folded part; nil for none
}

// Fence protects resources outside the mesh: it grows from turn to turn of an
// actor, also across crashes and moves.
type Fence struct {
	Ballot quorum.Ballot
	Turn   uint64
}

// TurnResult is what a turn did. With Err or Code set the writes are ignored and
// the instance is dropped.
type TurnResult struct {
	Activation ActivationID
	Turn       uint64 // of TurnStart.Fence, so that an abandoned turn is not taken for the next one
	State      []byte // encoded state after the turn; nil and Unchanged if it is what it was
	Unchanged  bool
	Writes     []quorum.KeyWrite
	Sends      []quorum.Send // Number is filled in by the core
	Timers     []quorum.TimerChange
	Reply      []byte
	Wall       int64 // what the turn's Now was, in ns since 1970
	Err        *quorum.AppError
	Code       Code // CodeTooLarge, CodeDeadline, CodeStopped ...: rolled back for this reason
	Detail     string
	Outgoing   int           // calls to other actors that this turn made
	Elapsed    time.Duration // of the handler
}
