package e2e

import (
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// Whatever a handler does, its node lives, its turn leaves no trace, and the
// caller is told what happened.
func TestE2EHandlers(t *testing.T) {
	m := start(t, 3, testnode)
	set := func(id string) {
		t.Helper()
		if got := m.odd(id, "set", 5); got != "5" {
			t.Fatalf("set answers %s", got)
		}
	}
	for _, test := range []struct {
		method  string
		arg     any
		timeout time.Duration
		status  int
		codes   []string
	}{
		{"panic", nil, 0, 422, []string{"panic"}},
		{"fail", "out_of_tea", 0, 422, []string{"out_of_tea"}},
		{"slow", nil, 300 * time.Millisecond, 504, []string{"deadline", "outcome_unknown"}},
		{"deaf", nil, 300 * time.Millisecond, 504, []string{"deadline", "outcome_unknown"}},
	} {
		t.Run(test.method, func(t *testing.T) {
			set(test.method)
			call := cluster.Call{Kind: "odd", ID: test.method, Method: test.method, Arg: test.arg, Key: "once", Timeout: test.timeout}
			for try, n := range m.Nodes {
				answer, err := m.Client.Do(t.Context(), n.HTTP, call)
				p, err := problem(err)
				if err != nil {
					t.Fatal(err)
				}
				if p.Status != test.status || p.Code != test.codes[0] && p.Code != test.codes[len(test.codes)-1] {
					t.Errorf("got %v, want %d %q", p, test.status, test.codes)
				}
				if test.status == 422 && (p.App == nil || p.Outcome != "none" || p.Retryable || answer.Replayed != (try > 0)) {
					t.Errorf("try %d: app %v, outcome %s, retryable %v, replayed %v", try, p.App, p.Outcome, p.Retryable, answer.Replayed)
				}
				if got := m.odd(test.method, "get", nil); got != "5" {
					t.Errorf("the number is %s after it, want 5", got)
				}
			}
			if got := m.odd(test.method, "spoilt", nil); got != "false" {
				t.Errorf("a key of the failed turn is there: %s", got)
			}
		})
	}
	t.Run("a reader that writes", func(t *testing.T) {
		set("peek")
		m.Client.Do(t.Context(), m.Nodes[0].HTTP, cluster.Call{Kind: "odd", ID: "peek", Method: "peek"}) // may fail or not
		m.odd("peek", "set", 6)
		set("peek")
		if got := m.odd("peek", "get", nil); got != "5" {
			t.Errorf("the number is %s after it, want 5", got)
		}
	})
	t.Run("a cycle", func(t *testing.T) {
		set("a")
		_, err := m.Client.Do(t.Context(), m.Nodes[0].HTTP, cluster.Call{Kind: "odd", ID: "a", Method: "ring", Arg: "b"})
		if p, err := problem(err); err != nil || p.Status >= 500 {
			t.Errorf("got %v, %v", p, err)
		}
		if got := m.odd("a", "get", nil); got != "5" {
			t.Errorf("the number is %s after it, want 5", got)
		}
	})
	for _, n := range m.Nodes {
		if !n.Running() {
			t.Errorf("%s has exited", n.Name)
		}
	}
}

// odd calls the misbehaving kind through any node and returns the answer's JSON.
func (m *mesh) odd(id, method string, arg any) string {
	m.t.Helper()
	answer, _, err := m.Client.Persist(m.t.Context(), m.Addrs(), 0, cluster.Call{Kind: "odd", ID: id, Method: method, Arg: arg})
	m.must(err)
	return string(answer.Body)
}
