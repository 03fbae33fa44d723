// Package kinds holds the kinds of actors that every meshnode hosts, so that the
// program is of use before a line of Go is written: counters, key-value stores,
// accounts and locks. They are ordinary kinds, written against package mesh as
// anybody's are.
//
// Their arguments and results have the same names in JSON and in Go. An argument
// that makes no sense is an *mesh.AppError with the code "invalid_argument".
package kinds

import (
	"fmt"

	"actormesh/mesh"
)

// The codes of the errors of these kinds.
const (
	CodeInvalidArgument   = "invalid_argument"
	CodeOverflow          = "overflow"           // a number would leave its range
	CodeNotFound          = "not_found"          // of kv
	CodeVersionMismatch   = "version_mismatch"   // of kv; details: {"version": int}, 0 for absent
	CodeInsufficientFunds = "insufficient_funds" // of account; details: {"balance": int}
	CodeHeld              = "held"               // of lock; details: {"holder": string, "expires": RFC 3339}
	CodeNotHeld           = "not_held"           // of lock
)

// All returns the four kinds, for mesh.Start: counter, kv, account and lock.
func All() []mesh.HostOption {
	return []mesh.HostOption{
		mesh.Host[Counter]("counter"),
		mesh.Host[KV]("kv"),
		mesh.Host[Account]("account"),
		mesh.Host[Lock]("lock"),
	}
}

func appError(code, format string, args ...any) *mesh.AppError {
	return &mesh.AppError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *mesh.AppError {
	return appError(CodeInvalidArgument, format, args...)
}
