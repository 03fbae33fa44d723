package mesh

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// Problem is an error of the HTTP API, an application/problem+json of RFC 9457.
// On the client's side it is the error.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"` // of HTTP
	// Code is the sentinel's name in snake case; for a handler's own error its
	// own code.
	Code   string `json:"code"`
	Detail string `json:"detail"`
	// Retryable says that the same request may be sent again, and might then
	// succeed.
	Retryable bool `json:"retryable"`
	// Outcome is "none" where the call took no effect, and "unknown" where it
	// may have.
	Outcome string `json:"outcome"`
	// App is the handler's own error, where it is one.
	App *ProblemApp `json:"app,omitempty"`
}

// ProblemApp is a handler's own error.
type ProblemApp struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Details json.RawMessage `json:"details,omitempty"`
}

// The values of Problem.Outcome.
const (
	outcomeNone    = "none"
	outcomeUnknown = "unknown"
)

// Error returns "code: detail".
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// httpCodes says how the codes of a call's end are told over HTTP. CodeOK is no
// error, and CodeApp is 422 with the handler's own code.
var httpCodes = [...]struct {
	status    int
	code      string
	retryable bool
}{
	core.CodeOK:             {http.StatusOK, "ok", false},
	core.CodeApp:            {http.StatusUnprocessableEntity, "app_error", false},
	core.CodeUnavailable:    {http.StatusServiceUnavailable, "unavailable", true},
	core.CodeDeadline:       {http.StatusGatewayTimeout, "deadline", true},
	core.CodeOverloaded:     {http.StatusTooManyRequests, "overloaded", true},
	core.CodeOutcomeUnknown: {http.StatusGatewayTimeout, "outcome_unknown", true},
	core.CodeNoMethod:       {http.StatusNotFound, "no_method", false},
	core.CodeNoKind:         {http.StatusNotFound, "no_kind", false},
	core.CodeTooLarge:       {http.StatusRequestEntityTooLarge, "too_large", false},
	core.CodeCycle:          {http.StatusConflict, "cycle", false},
	core.CodeKeyReused:      {http.StatusConflict, "key_reused", false},
	core.CodeStopped:        {http.StatusServiceUnavailable, "stopped", true},
	core.CodeBadRequest:     {http.StatusBadRequest, "bad_request", false},
}

// problemOf tells how a call ended that did not end well. keyed says that the
// client gave it an Idempotency-Key: without one, repeating a call of unknown
// outcome could make it happen twice, so it is not called retryable.
func problemOf(o *core.Outcome, keyed bool) *Problem {
	code := o.Code
	if int(code) >= len(httpCodes) {
		// A newer peer may end a call in ways that this program has no word
		// for: then it may have taken effect.
		code = core.CodeOutcomeUnknown
	}
	t := httpCodes[code]
	p := &Problem{Status: t.status, Code: t.code, Detail: o.Detail, Retryable: t.retryable, Outcome: outcomeNone}
	switch code {
	case core.CodeOutcomeUnknown:
		p.Outcome = outcomeUnknown
		p.Retryable = keyed
	case core.CodeApp:
		p.setApp(o.App)
	}
	if p.Detail == "" {
		p.Detail = http.StatusText(t.status)
	}
	return p
}

func (p *Problem) setApp(e *quorum.AppError) {
	if e == nil {
		return
	}
	if e.Code != "" {
		p.Code = e.Code
	}
	p.Detail = e.Message
	p.App = &ProblemApp{Code: p.Code, Message: e.Message}
	if json.Valid(e.Details) {
		p.App.Details = e.Details
	}
}

// problemf returns a problem of the request itself, after which nothing
// happened.
func problemf(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Detail: fmt.Sprintf(format, args...), Outcome: outcomeNone}
}

func badRequest(format string, args ...any) *Problem {
	return problemf(http.StatusBadRequest, httpCodes[core.CodeBadRequest].code, format, args...)
}

func notFound(format string, args ...any) *Problem {
	return problemf(http.StatusNotFound, "not_found", format, args...)
}

// retryAfterSeconds is what Retry-After says: most often an overload or a move
// of a slot is over by then.
const retryAfterSeconds = "1"

// write writes the problem as the whole answer.
func (p *Problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("mesh: a problem that is no JSON: %v", err)) // its details were checked
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", retryAfterSeconds)
	}
	w.WriteHeader(p.Status)
	w.Write(body) // an error here is the client's connection, and its loss
}
