package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// Every code has a sentinel, and comes through an Outcome as itself.
func TestErrorsThroughOutcome(t *testing.T) {
	sentinels := map[core.Code]error{
		core.CodeUnavailable: ErrUnavailable, core.CodeDeadline: ErrDeadline, core.CodeOverloaded: ErrOverloaded,
		core.CodeOutcomeUnknown: ErrOutcomeUnknown, core.CodeNoMethod: ErrNoMethod, core.CodeNoKind: ErrNoKind,
		core.CodeTooLarge: ErrTooLarge, core.CodeCycle: ErrCycle, core.CodeKeyReused: ErrKeyReused,
		core.CodeStopped: ErrStopped, core.CodeBadRequest: ErrBadRequest,
	}
	if len(sentinels) != len(failures)-2 || len(failures) != len(httpCodes) {
		t.Errorf("%d sentinels, %d codes, %d of them in HTTP", len(sentinels), len(failures), len(httpCodes))
	}
	for code, sentinel := range sentinels {
		err := outcomeError(&core.Outcome{Code: code, Detail: "why"}, "call a/b c")
		for other, s := range sentinels {
			if errors.Is(err, s) != (other == code) {
				t.Errorf("%v is %v: %v", err, s, other != code)
			}
		}
		if want := sentinel.Error() + ": call a/b c: why"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		if o := errorOutcome(err); o.Code != code || o.Detail != "why" {
			t.Errorf("%v became %+v", err, o)
		}
		if o := errorOutcome(fmt.Errorf("outer: %w", sentinel)); o.Code != code || !strings.HasPrefix(o.Detail, "outer") {
			t.Errorf("%v became %+v", sentinel, o)
		}
		if Retryable(err) != httpCodes[code].retryable {
			t.Errorf("%v is retryable: %v", err, Retryable(err))
		}
	}
	if o := errorOutcome(ErrStopped); o.Code != core.CodeStopped || o.Detail != "" {
		t.Errorf("%+v", o)
	}
	if outcomeError(&core.Outcome{}, "") != nil || errorOutcome(nil).Code != core.CodeOK {
		t.Error("no error became one")
	}
	// What this program has no word for tells nothing about effects.
	if err := outcomeError(&core.Outcome{Code: 200}, ""); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a newer code: %v", err)
	}
	if o := errorOutcome(errors.New("odd")); o.Code != core.CodeOutcomeUnknown || Retryable(errors.New("odd")) {
		t.Errorf("%+v", o)
	}
	if !errors.Is(ErrDeadline, context.DeadlineExceeded) || !errors.Is(ErrStopped, context.Canceled) || errors.Is(ErrDeadline, context.Canceled) {
		t.Error("a context's errors")
	}
}

func TestAppErrorThroughOutcome(t *testing.T) {
	in := &AppError{Code: "c", Message: "m", Details: []byte(`[1]`)}
	o := errorOutcome(fmt.Errorf("outer: %w", in))
	out, ok := errors.AsType[*AppError](outcomeError(&o, "call"))
	if !ok || out.Code != "c" || out.Message != "m" || string(out.Details) != "[1]" || Retryable(out) {
		t.Errorf("%+v", out)
	}
	if got := handlerError(errors.New("plain")); got.Code != "error" || got.Message != "plain" {
		t.Errorf("%+v", got)
	}
	if got := toQuorum(&AppError{}); got.Code != "error" || got.Details != nil {
		t.Errorf("%+v", got)
	}
	long := toQuorum(&AppError{Code: strings.Repeat("c", 1000), Message: strings.Repeat("ä", 1<<20)})
	if len(long.Code) != maxAppCodeBytes || len(long.Message) > maxAppMessageBytes || !utf8.ValidString(long.Message) {
		t.Errorf("%d and %d bytes", len(long.Code), len(long.Message))
	}
	if err := outcomeError(&core.Outcome{Code: core.CodeApp, App: &quorum.AppError{Code: "c"}}, ""); err.Error() != "c" {
		t.Error(err)
	}
}
