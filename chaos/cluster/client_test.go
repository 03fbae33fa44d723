package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// script serves one answer after the other and keeps what was asked.
type script struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	asked   []string
}

// requests returns what was asked.
func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s %s key=%q timeout=%q %s", r.Method, r.URL.EscapedPath(),
		r.Header.Get("Idempotency-Key"), r.Header.Get("Mesh-Timeout"), body))
	answer := s.answers[0]
	s.answers = s.answers[1:]
	s.mu.Unlock()
	answer(w)
}

func problem(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Mesh-Node", "n2")
	w.Header().Set("Mesh-Fence", "3.1.7")
	w.Header().Set("Mesh-Replayed", "true")
	io.WriteString(w, `{"value":4}`)
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func serveScript(t *testing.T, answers ...func(http.ResponseWriter)) (*script, *Client, string) {
	s := &script{answers: answers}
	server := httptest.NewServer(s)
	c := NewClient(1, nil)
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return s, c, strings.TrimPrefix(server.URL, "http://")
}

// One call is one request, also with a key: where a connection ends before there is
// an answer, the outcome is unknown, whatever becomes of another try.
func TestDoOnce(t *testing.T) {
	s, c, addr := serveScript(t, ok, hangUp, ok)
	call := Call{Kind: "kv", ID: "a", Method: "add", Arg: 1, Key: "k"}
	if _, err := c.Do(t.Context(), addr, call); err != nil {
		t.Fatal(err)
	}
	if answer, err := c.Do(t.Context(), addr, call); err == nil || len(s.requests()) != 2 {
		t.Errorf("got %+v, %v; the node was asked:\n%s", answer, err, strings.Join(s.requests(), "\n"))
	}
}

func TestDo(t *testing.T) {
	s, c, addr := serveScript(t, ok,
		problem(503, `{"code":"unavailable","detail":"no majority","retryable":true,"outcome":"none"}`),
		problem(422, `{"code":"held","outcome":"none","app":{"code":"held","message":"by a"}}`),
		func(w http.ResponseWriter) { w.WriteHeader(500) })
	call := Call{Kind: "kv", ID: "a/../b %", Method: "add", Arg: map[string]int{"n": 1}, Key: "k", Timeout: time.Second}
	answer, err := c.Do(t.Context(), addr, call)
	if err != nil || string(answer.Body) != `{"value":4}` || answer.Node != "n2" || answer.Fence != "3.1.7" || !answer.Replayed {
		t.Errorf("got %+v, %v", answer, err)
	}
	want := `POST /v1/actors/kv/a%2F..%2Fb%20%25/add key="k" timeout="1s" {"n":1}`
	if s.requests()[0] != want {
		t.Errorf("asked %s\nwant  %s", s.requests()[0], want)
	}
	var p *Problem
	if _, err = c.Do(t.Context(), addr, Call{Kind: "kv"}); !errors.As(err, &p) || p.Code != "unavailable" ||
		p.Status != 503 || !p.Retryable || p.RetryAfter != 2*time.Second {
		t.Errorf("got %v", err)
	}
	if _, err = c.Do(t.Context(), addr, Call{Kind: "kv"}); !errors.As(err, &p) || p.App == nil || p.App.Message != "by a" {
		t.Errorf("got %v", err)
	}
	if _, err = c.Do(t.Context(), addr, Call{Kind: "kv"}); err == nil || errors.As(err, new(*Problem)) || Final(err) {
		t.Errorf("a 500 that is no problem document gives %v", err)
	}
}

func TestFinal(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, true},
		{&Problem{Outcome: "none"}, true},
		{fmt.Errorf("wrapped: %w", &Problem{Outcome: "none"}), true},
		{&Problem{Outcome: "none", Retryable: true}, false},
		{&Problem{Outcome: "unknown"}, false},
		{io.ErrUnexpectedEOF, false},
	} {
		if got := Final(test.err); got != test.want {
			t.Errorf("Final(%v) = %v", test.err, got)
		}
	}
}

// Persist repeats with one key, past every failure that is not final.
func TestPersist(t *testing.T) {
	s, c, addr := serveScript(t,
		problem(503, `{"code":"unavailable","retryable":true,"outcome":"none"}`),
		problem(504, `{"code":"outcome_unknown","outcome":"unknown"}`),
		hangUp,
		ok)
	dead := "127.0.0.1:1" // nothing listens there
	answer, tries, err := c.Persist(t.Context(), []string{addr, dead}, 0, Call{Kind: "c", ID: "x", Method: "add", Key: "k"})
	if err != nil || !answer.Replayed {
		t.Fatalf("got %+v, %v", answer, err)
	}
	// net/http repeats by itself what has a key and a connection broke under.
	if tries < 5 || len(s.requests()) != 4 {
		t.Errorf("%d tries, %d of them arrived; want 5 at least, and 4", tries, len(s.requests()))
	}
	for _, a := range s.requests() {
		if a != s.requests()[0] {
			t.Errorf("asked %s, then %s", s.requests()[0], a)
		}
	}
}

func TestPersistEnds(t *testing.T) {
	_, c, addr := serveScript(t, problem(404, `{"code":"no_kind","outcome":"none"}`))
	var p *Problem
	if _, tries, err := c.Persist(t.Context(), []string{addr}, 0, Call{Kind: "c"}); tries != 1 || !errors.As(err, &p) {
		t.Errorf("a final answer: %d tries, %v", tries, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := c.Persist(ctx, []string{"127.0.0.1:1"}, 0, Call{Kind: "c"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an endless failure: %v", err)
	}
}

func TestPauseAfter(t *testing.T) {
	for _, test := range []struct {
		err  error
		want time.Duration
	}{
		{io.EOF, lastPause},
		{&Problem{Status: 503, RetryAfter: time.Second}, lastPause},
		{&Problem{Status: 429, RetryAfter: time.Second}, time.Second},
		{&Problem{Status: 429, RetryAfter: time.Hour}, time.Second},
		{&Problem{Status: 429}, lastPause},
	} {
		if got := pauseAfter(test.err, lastPause); got != test.want {
			t.Errorf("after %v: %v, want %v", test.err, got, test.want)
		}
	}
}
