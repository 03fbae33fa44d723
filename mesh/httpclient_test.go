package mesh

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"actormesh/mesh/core"
)

// closedAddr returns an address at which nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// brokenNode takes requests and closes their connections.
func brokenNode(t *testing.T, taken *atomic.Int64) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		taken.Add(1)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// nodeOf serves a fake node that answers calls with a code.
func nodeOf(t *testing.T, code core.Code) (*fakeBackend, string) {
	t.Helper()
	f, h := newFakeHandler(t)
	if code != core.CodeOK {
		f.answer = httpAnswer{Outcome: core.Outcome{Code: code, Detail: "as told"}}
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return f, s.Listener.Addr().String()
}

func newTestClient(t *testing.T, addrs ...string) *HTTPClient {
	t.Helper()
	c, err := NewHTTPClient(addrs, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestHTTPClientTriesTheNext tries another address only where that is safe.
func TestHTTPClientTriesTheNext(t *testing.T) {
	var taken atomic.Int64
	node := func(code core.Code) func(*testing.T) string {
		return func(t *testing.T) string {
			_, addr := nodeOf(t, code)
			return addr
		}
	}
	broken := func(t *testing.T) string { return brokenNode(t, &taken) }
	for _, c := range []struct {
		name      string
		first     func(*testing.T) string
		key, code string // empty where the second one answers
	}{
		{"nobody listens", closedAddr, "", ""},
		{"unavailable", node(core.CodeUnavailable), "", ""},
		{"overloaded", node(core.CodeOverloaded), "", ""},
		{"stopped", node(core.CodeStopped), "", ""},
		{"unknown, no key", node(core.CodeOutcomeUnknown), "", "outcome_unknown"},
		{"unknown, key", node(core.CodeOutcomeUnknown), "k", ""},
		{"broken, no key", broken, "", "outcome_unknown"},
		{"broken, key", broken, "k", ""},
		{"key reused", node(core.CodeKeyReused), "k", "key_reused"},
		{"no method", node(core.CodeNoMethod), "", "no_method"},
		{"the handler's own", node(core.CodeApp), "k", "app_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			second, addr := nodeOf(t, core.CodeOK)
			reply, err := newTestClient(t, c.first(t), addr).Call(t.Context(), "kv", "a/..", "get", []byte(`{}`), c.key)
			if c.code == "" {
				if err != nil || string(reply) != `{"value":3}` {
					t.Fatalf("%s, %v", reply, err)
				}
				if call := second.lastCall(t); call.ID != "a/.." || call.Key != c.key || string(call.Body) != "{}" {
					t.Errorf("came as %+v", call)
				}
				return
			}
			if p, ok := errors.AsType[*Problem](err); !ok || p.Code != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
			if len(second.calls) != 0 {
				t.Error("the second address was tried")
			}
		})
	}
	if taken.Load() == 0 {
		t.Error("no call reached the broken node")
	}
}

func TestHTTPClientAllDown(t *testing.T) {
	_, err := newTestClient(t, closedAddr(t), closedAddr(t)).Call(t.Context(), "kv", "a", "get", nil, "")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Code != "unavailable" || p.Outcome != "none" || !p.Retryable {
		t.Errorf("%v", err)
	}
}

func TestHTTPClientEndsWithItsContext(t *testing.T) {
	f, addr := nodeOf(t, core.CodeOK)
	f.arrived = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.arrived
		cancel()
	}()
	second, addr2 := nodeOf(t, core.CodeOK)
	_, err := newTestClient(t, addr, addr2).Call(ctx, "kv", "a", "get", nil, "k")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Outcome != "unknown" {
		t.Errorf("%v", err)
	}
	if len(second.calls) != 0 {
		t.Error("it went on after its context had ended")
	}
}

func TestHTTPClientGet(t *testing.T) {
	_, addr := nodeOf(t, core.CodeOK)
	body, err := newTestClient(t, closedAddr(t), addr).Get(t.Context(), "/v1/status")
	if err != nil || !strings.Contains(string(body), `"node":"n1"`) {
		t.Errorf("%s, %v", body, err)
	}
	_, err = newTestClient(t, addr).Get(t.Context(), "/v1/nothing")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 404 {
		t.Errorf("%v", err)
	}
}

// TestHTTPClientPost gives an order to one node only.
func TestHTTPClientPost(t *testing.T) {
	f, addr := nodeOf(t, core.CodeOK)
	if _, err := newTestClient(t, closedAddr(t), addr).Post(t.Context(), "/v1/drain"); err == nil || len(f.retired) != 0 {
		t.Errorf("%v, drained %v", err, f.retired)
	}
	if body, err := newTestClient(t, addr).Post(t.Context(), "/v1/drain"); err != nil || string(body) != "{\"drained\":true}\n" {
		t.Errorf("%s, %v", body, err)
	}
}

// TestHTTPClientOfNoNode shows what something else answers.
func TestHTTPClientOfNoNode(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "go away", http.StatusTeapot)
	}))
	defer s.Close()
	c := newTestClient(t, s.Listener.Addr().String())
	_, err := c.Get(t.Context(), "/v1/status")
	_, ok := errors.AsType[*strangerError](err)
	if !ok || !strings.Contains(err.Error(), "go away") {
		t.Errorf("%v", err)
	}
	if _, err := c.Call(t.Context(), "kv", "a", "get", nil, ""); err == nil || !strings.Contains(err.Error(), "go away") {
		t.Errorf("%v", err)
	}
}

// TestHTTPClientOfProxy does not know what became of a call that a proxy lost.
func TestHTTPClientOfProxy(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "nobody there", http.StatusBadGateway)
	}))
	defer s.Close()
	_, err := newTestClient(t, s.Listener.Addr().String()).Call(t.Context(), "kv", "a", "get", nil, "")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Code != "outcome_unknown" || p.Outcome != "unknown" {
		t.Errorf("%v", err)
	}
}

func TestHTTPClientUsage(t *testing.T) {
	for _, addrs := range [][]string{nil, {""}, {"n1"}, {"n1:"}, {"n1:x"}, {"n1:70000"}, {"http://n1"}, {"ftp://n1:1"}, {"http://n1:1/v1"}} {
		if _, err := NewHTTPClient(addrs, nil, ""); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", addrs, err)
		}
	}
	if _, err := NewHTTPClient([]string{"mesh.example:8001"}, nil, "secret"); !errors.Is(err, ErrUsage) {
		t.Errorf("a token in the clear: %v", err)
	}
}
