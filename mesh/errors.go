package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// The ways in which a call fails, apart from the handler's own error. errors.Is
// finds them in what Call, Send and the methods of Ctx return, also when the
// actor ran on another node.
var (
	// ErrUnavailable means that the actor's slot has no owner or no majority
	// now. Nothing happened; retry.
	ErrUnavailable error = errUnavailable
	// ErrDeadline means that the call did not end in time. It was rolled back:
	// nothing happened. It also matches context.DeadlineExceeded.
	ErrDeadline error = errDeadline
	// ErrOverloaded means that the actor's mailbox or the node is full. Nothing
	// happened; retry later.
	ErrOverloaded error = errOverloaded
	// ErrOutcomeUnknown means that the call may or may not have taken effect.
	// Retrying it with the same request id (see Once) tells.
	ErrOutcomeUnknown error = errOutcomeUnknown
	// ErrNoMethod means that the kind has no such method.
	ErrNoMethod error = errNoMethod
	// ErrNoKind means that no member of the mesh hosts the kind.
	ErrNoKind error = errNoKind
	// ErrTooLarge means that an argument, a result, a state, a key or a whole
	// record is over its limit. It was rolled back.
	ErrTooLarge error = errTooLarge
	// ErrCycle means that a turn called an actor that, directly or through
	// others, waits for that very turn.
	ErrCycle error = errCycle
	// ErrKeyReused means that the request id was seen before with another
	// method or argument.
	ErrKeyReused error = errKeyReused
	// ErrStopped means that the turn is over, or that the node is stopping. It
	// also matches context.Canceled.
	ErrStopped error = errStopped
	// ErrBadRequest means that the call is malformed: an illegal name, or an
	// argument that is not what the method takes.
	ErrBadRequest error = errBadRequest
)

var (
	errUnavailable    = &failure{core.CodeUnavailable, "no owner or no majority", nil}
	errDeadline       = &failure{core.CodeDeadline, "deadline passed, rolled back", context.DeadlineExceeded}
	errOverloaded     = &failure{core.CodeOverloaded, "mailbox or node full", nil}
	errOutcomeUnknown = &failure{core.CodeOutcomeUnknown, "outcome unknown", nil}
	errNoMethod       = &failure{core.CodeNoMethod, "no such method", nil}
	errNoKind         = &failure{core.CodeNoKind, "no member hosts the kind", nil}
	errTooLarge       = &failure{core.CodeTooLarge, "too large", nil}
	errCycle          = &failure{core.CodeCycle, "the call closes a cycle", nil}
	errKeyReused      = &failure{core.CodeKeyReused, "request id reused with another payload", nil}
	errStopped        = &failure{core.CodeStopped, "stopped", context.Canceled}
	errBadRequest     = &failure{core.CodeBadRequest, "bad request", nil}
)

// failures holds the sentinels by code. What they are over HTTP is in httpCodes.
var failures = func() (table [core.CodeBadRequest + 1]*failure) {
	for _, f := range []*failure{
		errUnavailable, errDeadline, errOverloaded, errOutcomeUnknown, errNoMethod, errNoKind,
		errTooLarge, errCycle, errKeyReused, errStopped, errBadRequest,
	} {
		table[f.code] = f
	}
	return table
}()

// failure is a sentinel.
type failure struct {
	code core.Code
	text string
	also error // what errors.Is matches too, or nil
}

func (f *failure) Error() string { return "mesh: " + f.text }

func (f *failure) Is(target error) bool { return f.also != nil && target == f.also }

// failureOf returns the sentinel of a code, which is neither CodeOK nor CodeApp. A
// code that this program does not know tells nothing about effects.
func failureOf(c core.Code) *failure {
	if int(c) < len(failures) && failures[c] != nil {
		return failures[c]
	}
	return errOutcomeUnknown
}

// Error is a failed call: one of the sentinels, with what is known about it.
type Error struct {
	Op     string // "call counter/c1 add", or empty
	Err    error  // the sentinel
	Detail string // for people; may be empty
}

// Error returns the operation, the sentinel's text and the detail.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	if e.Op != "" {
		b.WriteString(": " + e.Op)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }

// AppError is a handler's own error: it rolled the turn back, and it is the
// answer. A handler returns one to give its callers a code to act on; any other
// error arrives with the code "error", and a panic with the code "panic". Only
// where a handler returns the failure of a call of its own that a retry may mend,
// or ErrCycle, does its caller see that failure: see Retryable.
type AppError struct {
	Code    string          // for programs, in snake case: "insufficient_funds"
	Message string          // for people
	Details json.RawMessage // JSON, or nil
}

// Error returns the code and the message.
func (e *AppError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// The codes of errors that handlers did not give a code.
const (
	appCodeError = "error"
	appCodePanic = "panic"
)

// Bounds of a handler's error, in bytes.
const (
	maxAppCodeBytes    = 128
	maxAppMessageBytes = 16 << 10
)

// Retryable reports whether the same call may succeed later, or with a later
// deadline. After ErrOutcomeUnknown it must be retried with the same request id.
func Retryable(err error) bool {
	f := asFailure(err)
	return f != nil && httpCodes[f.code].retryable
}

func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return nil
}

// outcomeError returns the error that a caller sees for the end of a call, nil
// if it went well. op says which call.
func outcomeError(o *core.Outcome, op string) error {
	switch {
	case o.Code == core.CodeOK:
		return nil
	case o.Code == core.CodeApp && o.App != nil:
		return fromQuorum(o.App)
	}
	return &Error{Op: op, Err: failureOf(o.Code), Detail: o.Detail}
}

// errorOutcome returns the end of a call that err says, for an answer to whoever
// asked. An error of no known kind tells nothing about effects.
func errorOutcome(err error) core.Outcome {
	if err == nil {
		return core.Outcome{Code: core.CodeOK}
	}
	if app, ok := errors.AsType[*AppError](err); ok {
		return core.Outcome{Code: core.CodeApp, App: toQuorum(app)}
	}
	if e, ok := errors.AsType[*Error](err); ok && asFailure(e.Err) != nil {
		return core.Outcome{Code: asFailure(e.Err).code, Detail: e.Detail}
	}
	switch f := asFailure(err); {
	case f != nil && err == error(f):
		return core.Outcome{Code: f.code}
	case f != nil:
		return core.Outcome{Code: f.code, Detail: err.Error()}
	}
	return core.Outcome{Code: core.CodeOutcomeUnknown, Detail: err.Error()}
}

// fail returns a failure with a detail.
func fail(f *failure, detail string) error { return &Error{Err: f, Detail: detail} }

func fromQuorum(e *quorum.AppError) *AppError {
	return &AppError{Code: e.Code, Message: e.Message, Details: e.Details}
}

// toQuorum bounds a handler's error and makes it fit to be recorded: Details
// that are no JSON become a JSON string.
func toQuorum(e *AppError) *quorum.AppError {
	out := &quorum.AppError{Code: truncate(e.Code, maxAppCodeBytes), Message: truncate(e.Message, maxAppMessageBytes)}
	if out.Code == "" {
		out.Code = appCodeError
	}
	switch {
	case len(e.Details) == 0:
	case json.Valid(e.Details):
		out.Details = bytes.Clone(e.Details)
	default:
		out.Details, _ = json.Marshal(string(e.Details)) // a string always marshals
	}
	return out
}

// handlerError returns what is recorded for an error that a handler returned.
func handlerError(err error) *quorum.AppError {
	if app, ok := errors.AsType[*AppError](err); ok && app != nil {
		return toQuorum(app)
	}
	return &quorum.AppError{Code: appCodeError, Message: truncate(err.Error(), maxAppMessageBytes)}
}

// passes reports whether an error that a handler returns is a failed call of the
// turn's that fails the turn's own caller in the same way: retrying that caller's
// call may go well, and must not find the failure recorded as its answer; and a
// cycle is told to whoever began it. Any other failure is the handler's own
// error: its caller's method, say, does exist. So is a cycle that a send ran
// into, for sends are retried until they are answered.
func passes(err error, request quorum.RequestID) bool {
	f := asFailure(err)
	if f == nil {
		return false
	}
	if _, ok := errors.AsType[*AppError](err); ok {
		return false
	}
	return f == errCycle && request.Source == "" || f != errStopped && httpCodes[f.code].retryable
}

// truncate cuts s to at most n bytes, between characters.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
