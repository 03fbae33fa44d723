package mesh

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// problemIn decodes an answer that must be a problem.
func problemIn(t *testing.T, w *httptest.ResponseRecorder) *Problem {
	t.Helper()
	p := &Problem{}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d with content type %q, no problem: %s", w.Code, ct, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), p); err != nil {
		t.Fatal(err)
	}
	if p.Status != w.Code {
		t.Errorf("status %d in an answer of %d", p.Status, w.Code)
	}
	return p
}

// TestHTTPProblems renders the problem of every code, with and without a key.
func TestHTTPProblems(t *testing.T) {
	f, h := newFakeHandler(t)
	var all strings.Builder
	for code := core.CodeApp; code <= core.CodeBadRequest+1; code++ {
		f.answer = httpAnswer{Node: "n2", Outcome: core.Outcome{Code: code, Detail: "why <it> ended"}}
		if code == core.CodeApp {
			f.answer.App = &quorum.AppError{Code: "insufficient_funds", Message: "5 is less than 7", Details: []byte(`{"have": 5}`)}
		}
		for _, header := range [][]string{nil, {"Idempotency-Key", "k"}} {
			w := ask(h, "POST", "/v1/actors/account/alice/withdraw", `{"amount":7}`, header...)
			problemIn(t, w)
			fmt.Fprintf(&all, "%d %v Retry-After=%q Mesh-Node=%q %s", w.Code, header, w.Header().Get("Retry-After"), w.Header().Get("Mesh-Node"), w.Body)
		}
	}
	golden(t, "problems.txt", all.String())
}

// TestHTTPAppErrors shows what is left of a handler's error that lacks parts.
func TestHTTPAppErrors(t *testing.T) {
	for _, c := range []struct {
		app  *quorum.AppError
		want string
	}{
		{nil, `app_error: Unprocessable Entity <nil>`},
		{&quorum.AppError{Message: "boom"}, `app_error: boom &{app_error boom }`},
		{&quorum.AppError{Code: "held", Message: "by b", Details: []byte("{")}, `held: by b &{held by b }`},
		{&quorum.AppError{Code: "held", Details: []byte("[1]")}, `held: Unprocessable Entity &{held  [1]}`},
	} {
		p := problemOf(&core.Outcome{Code: core.CodeApp, App: c.app}, false)
		app := "<nil>"
		if p.App != nil {
			app = fmt.Sprintf("&{%s %s %s}", p.App.Code, p.App.Message, p.App.Details)
		}
		if got := p.Error() + " " + app; got != c.want {
			t.Errorf("%+v: %q, want %q", c.app, got, c.want)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	}
}
