package mesh

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

var rewriteGolden = flag.Bool("rewrite-golden", false, "write the golden files anew")

// fakeBackend is a node with answers to give, and a memory of what it was asked.
type fakeBackend struct {
	mu       sync.Mutex
	calls    []httpCall
	answer   httpAnswer
	arrived  chan struct{} // if not nil: callHTTP says so here, and waits for the end of its context
	cluster  string
	notReady error
	located  core.Outcome
	retired  []bool // forGood of each
	refuse   error  // of retire
}

func (f *fakeBackend) callHTTP(ctx context.Context, call *httpCall) httpAnswer {
	f.mu.Lock()
	f.calls = append(f.calls, *call)
	answer := f.answer
	f.mu.Unlock()
	if f.arrived != nil {
		f.arrived <- struct{}{}
		<-ctx.Done()
	}
	return answer
}

func (f *fakeBackend) lastCall(t *testing.T) httpCall {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		t.Fatal("no call came to the node")
	}
	return f.calls[len(f.calls)-1]
}

func (f *fakeBackend) clusterID() string { return f.cluster }
func (f *fakeBackend) ready() error      { return f.notReady }

func (f *fakeBackend) status() Status {
	return Status{
		Cluster: f.cluster, Node: "n1", Epoch: 12, Coordinator: "n2", Quorum: true, Replication: 3,
		Slots: SlotCounts{Total: 256, Active: 250, Owned: 128},
		Members: []MemberStatus{
			{Name: "n1", Disk: "00000000000000aa", Addr: "127.0.0.1:7001", HTTP: "127.0.0.1:8001", State: "alive", Zone: "a", Voter: true, Owned: 128},
			{Name: "n2", Disk: "00000000000000bb", Addr: "127.0.0.1:7002", HTTP: "127.0.0.1:8002", State: "suspect", Zone: "b", Owned: 128},
		},
	}
}

func (f *fakeBackend) slots() []SlotStatus {
	return []SlotStatus{
		{Slot: 0, Epoch: 7, Replicas: []string{"n1", "n2"}, Active: true, Last: 40, Commit: 39},
		{Slot: 1, Epoch: 9, Replicas: []string{"n2", "n1"}, Learners: []string{"n3"}, From: [][]string{{"n1"}}},
	}
}

func (f *fakeBackend) kinds() []KindStatus {
	return []KindStatus{{Kind: "counter", Methods: []MethodStatus{{Name: "add"}, {Name: "get", Read: true}}}}
}

func (f *fakeBackend) locate(_ context.Context, kind, id string) (ActorStatus, core.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, httpCall{Kind: kind, ID: id})
	return ActorStatus{Slot: 17, Owner: "n2", Epoch: 7, Active: true, LSN: 41}, f.located
}

func (f *fakeBackend) retire(_ context.Context, forGood bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = append(f.retired, forGood)
	return f.refuse
}

func okAnswer() httpAnswer {
	return httpAnswer{Node: "n2", Outcome: core.Outcome{
		Reply: []byte(`{"value":3}`),
		Fence: quorum.Position{Ballot: quorum.Ballot{Epoch: 7, Boot: 2}, LSN: 41},
		LSN:   40,
	}}
}

func newFakeHandler(t *testing.T) (*fakeBackend, *httpHandler) {
	f := &fakeBackend{cluster: "c0ffee", answer: okAnswer()}
	return f, newHTTPHandler(httpConfig{
		caller: f, operator: f,
		metrics:     newMetrics(func() nodeStats { return nodeStats{Epoch: 12} }),
		auth:        httpAuth{open: true},
		callTimeout: 10 * time.Second,
		maxArgBytes: 1 << 20,
	})
}

// ask sends one request to a handler. The target goes in as it would come over
// the wire.
func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, "http://127.0.0.1:8001"+target, r)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// golden compares a text with testdata/http/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "http", name)
	if *rewriteGolden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func TestHTTPCall(t *testing.T) {
	f, h := newFakeHandler(t)
	w := ask(h, "POST", "/v1/actors/counter/visits/add", `{"n":3}`,
		"Idempotency-Key", "k-1", "Mesh-Timeout", "2500ms", "traceparent", "00-aa-bb-01")
	call := f.lastCall(t)
	want := httpCall{Kind: "counter", ID: "visits", Method: "add", Key: "k-1", Timeout: 2500 * time.Millisecond,
		Trace: "00-aa-bb-01", RequestID: w.Header().Get("Mesh-Request-Id")}
	if string(call.Body) != `{"n":3}` {
		t.Errorf("the body came as %q", call.Body)
	}
	call.Body = nil
	if fmt.Sprint(call) != fmt.Sprint(want) {
		t.Errorf("call %+v, want %+v", call, want)
	}
	if w.Code != 200 || w.Body.String() != `{"value":3}` {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Mesh-Node": "n2", "Mesh-Fence": "7.2.41", "ETag": `"40"`,
		"Mesh-Cluster": "c0ffee", "Mesh-Replayed": "",
	} {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func TestHTTPCallDefaults(t *testing.T) {
	f, h := newFakeHandler(t)
	f.answer = httpAnswer{Outcome: core.Outcome{Replayed: true}}
	w := ask(h, "POST", "/v1/actors/counter/visits/get", "")
	call := f.lastCall(t)
	if len(call.Body) != 0 || call.Key != "" || call.Timeout != 10*time.Second {
		t.Errorf("call %+v", call)
	}
	if w.Body.String() != "null" || w.Header().Get("Mesh-Replayed") != "true" {
		t.Errorf("answered %q, %v", w.Body, w.Header())
	}
	for _, absent := range []string{"Mesh-Node", "Mesh-Fence", "ETag"} {
		if v := w.Header().Get(absent); v != "" {
			t.Errorf("%s: %q where no record is told of", absent, v)
		}
	}
}

func TestHTTPRequestIDsDiffer(t *testing.T) {
	_, h := newFakeHandler(t)
	seen := map[string]bool{}
	for _, path := range []string{"/healthz", "/readyz", "/v1/status", "/nowhere", "/v1/actors/x/y/z", "/v1/actors/X/y/z", "/metrics"} {
		id := ask(h, "POST", path, "").Header().Get("Mesh-Request-Id")
		if id == "" || seen[id] {
			t.Errorf("%s: request id %q", path, id)
		}
		seen[id] = true
	}
}

// TestHTTPOddIDs calls with ids that a router would change.
func TestHTTPOddIDs(t *testing.T) {
	f, h := newFakeHandler(t)
	for escaped, id := range map[string]string{
		"a%2Fb":                         "a/b",
		"..":                            "..",
		".":                             ".",
		"%2e%2E":                        "..",
		"a%2F..%2Fb":                    "a/../b",
		"%2F":                           "/",
		"a%20b":                         "a b",
		"a+b":                           "a+b",
		"%25":                           "%",
		"%25%32%46":                     "%2F",
		"a;b=c":                         "a;b=c",
		"a:b@c,d":                       "a:b@c,d",
		"%3F%23":                        "?#",
		"%E6%97%A5%E6%9C%AC":            "日本",
		strings.Repeat("x", 255):        strings.Repeat("x", 255),
		strings.Repeat("%E2%82%AC", 85): strings.Repeat("€", 85),
	} {
		if w := ask(h, "POST", "/v1/actors/kv/"+escaped+"/get", ""); w.Code != 200 {
			t.Errorf("id %q: %d %s", escaped, w.Code, w.Body)
		} else if got := f.lastCall(t); got.ID != id || got.Kind != "kv" || got.Method != "get" {
			t.Errorf("id %q came as %+v, want %q", escaped, got, id)
		}
		if w := ask(h, "GET", "/v1/actors/kv/"+escaped, ""); w.Code != 200 || f.lastCall(t).ID != id {
			t.Errorf("where %q is: %d, asked for %q", escaped, w.Code, f.lastCall(t).ID)
		}
	}
}

// TestHTTPBadRequests sends what is refused before any call is made.
func TestHTTPBadRequests(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		method, target string
		header         []string
		status         int
		code           string
	}{
		{"POST", "/v1/actors/kv//get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/" + long(256) + "/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a%00b/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a%0Ab/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a%7Fb/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a%C2%85b/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/%FF/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/%01", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/" + long(129), nil, 400, "bad_request"},
		{"POST", "/v1/actors/Kv/a/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/9kv/a/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors//a/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/k%2Fv/a/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/" + long(65) + "/a/get", nil, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/b/get", nil, 404, "not_found"},
		{"POST", "/v1/actors/kv", nil, 404, "not_found"},
		{"POST", "/v1/actors/", nil, 404, "not_found"},
		{"POST", "/v1/actors", nil, 404, "not_found"},
		{"GET", "/", nil, 404, "not_found"},
		{"GET", "/v1/", nil, 404, "not_found"},
		{"GET", "/v1/status/", nil, 404, "not_found"},
		{"GET", "/v1//status", nil, 404, "not_found"},
		{"GET", "/v1/slots/2", nil, 404, "not_found"},
		{"GET", "/v1/slots/x", nil, 400, "bad_request"},
		{"GET", "/v1/slots/-1", nil, 400, "bad_request"},
		{"GET", "/v1/slots/99999999999999999999", nil, 400, "bad_request"},
		{"GET", "/v1/actors/kv/a/get", nil, 405, "method_not_allowed"},
		{"POST", "/v1/actors/kv/a", nil, 405, "method_not_allowed"},
		{"PUT", "/v1/actors/kv/a/put", nil, 405, "method_not_allowed"},
		{"POST", "/v1/status", nil, 405, "method_not_allowed"},
		{"DELETE", "/v1/slots/0", nil, 405, "method_not_allowed"},
		{"GET", "/v1/drain", nil, 405, "method_not_allowed"},
		{"GET", "/v1/leave", nil, 405, "method_not_allowed"},
		{"POST", "/healthz", nil, 405, "method_not_allowed"},
		{"POST", "/metrics", nil, 405, "method_not_allowed"},
		{"POST", "/v1/actors/kv/a/get", []string{"Mesh-Timeout", "5"}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Mesh-Timeout", "0s"}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Mesh-Timeout", "-1s"}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Mesh-Timeout", "11m"}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Mesh-Timeout", "soon"}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Idempotency-Key", long(129)}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Idempotency-Key", ""}, 400, "bad_request"},
		{"POST", "/v1/actors/kv/a/get", []string{"Idempotency-Key", "\xff"}, 400, "bad_request"},
	} {
		f, h := newFakeHandler(t)
		w := ask(h, c.method, c.target, "", c.header...)
		p := problemIn(t, w)
		if w.Code != c.status || p.Code != c.code || p.Retryable || p.Outcome != "none" || p.Detail == "" {
			t.Errorf("%s %s %v: %d %+v, want %d %s", c.method, c.target, c.header, w.Code, p, c.status, c.code)
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.target)
		}
		if len(f.calls) != 0 || len(f.retired) != 0 {
			t.Errorf("%s %s came to the node all the same", c.method, c.target)
		}
	}
}

// TestHTTPDoubledHeaders refuses two keys and two timeouts: which would count?
func TestHTTPDoubledHeaders(t *testing.T) {
	f, h := newFakeHandler(t)
	for _, name := range []string{"Idempotency-Key", "Mesh-Timeout"} {
		req := httptest.NewRequest("POST", "http://127.0.0.1/v1/actors/kv/a/get", nil)
		req.Header[name] = []string{"1s", "2s"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 400 || len(f.calls) != 0 {
			t.Errorf("two of %s: %d", name, w.Code)
		}
	}
}

func TestHTTPKeyOf128Bytes(t *testing.T) {
	f, h := newFakeHandler(t)
	key := strings.Repeat("k", 128)
	if w := ask(h, "POST", "/v1/actors/kv/a/get", "", "Idempotency-Key", key); w.Code != 200 || f.lastCall(t).Key != key {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// TestHTTPDocuments renders every document of GET.
func TestHTTPDocuments(t *testing.T) {
	f, h := newFakeHandler(t)
	var all strings.Builder
	for _, path := range []string{"/v1/kinds", "/v1/status", "/v1/slots", "/v1/slots/1", "/v1/actors/counter/visits", "/healthz", "/readyz"} {
		w := ask(h, "GET", path, "")
		if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: %v", path, w.Header())
		}
		fmt.Fprintf(&all, "GET %s\n%d %s", path, w.Code, w.Body)
		if w := ask(h, "HEAD", path, ""); w.Code != 200 {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
	f.notReady = errors.New("no majority of the voters answers")
	f.located = core.Outcome{Code: core.CodeNoKind, Detail: "no member hosts carts"}
	for _, path := range []string{"/healthz", "/readyz", "/v1/actors/cart/u42"} {
		w := ask(h, "GET", path, "")
		fmt.Fprintf(&all, "GET %s\n%d %s", path, w.Code, w.Body)
	}
	golden(t, "documents.txt", all.String())
}

func TestHTTPRetire(t *testing.T) {
	f, h := newFakeHandler(t)
	if w := ask(h, "POST", "/v1/drain", ""); w.Code != 200 || w.Body.String() != "{\"drained\":true}\n" {
		t.Errorf("drain: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "/v1/leave", ""); w.Code != 200 || w.Body.String() != "{\"left\":true}\n" {
		t.Errorf("leave: %d %s", w.Code, w.Body)
	}
	if fmt.Sprint(f.retired) != "[false true]" {
		t.Errorf("retired %v", f.retired)
	}
	f.refuse = errors.New("no majority")
	if w := ask(h, "POST", "/v1/leave", ""); w.Code != 503 || problemIn(t, w).Detail != "no majority" {
		t.Errorf("a leave that fails: %d %s", w.Code, w.Body)
	}
	f.refuse = usagef("the only member")
	if w := ask(h, "POST", "/v1/leave", ""); w.Code != 400 || problemIn(t, w).Detail != "the only member" {
		t.Errorf("a leave that cannot be: %d %s", w.Code, w.Body)
	}
}

func TestHTTPMetrics(t *testing.T) {
	f, h := newFakeHandler(t)
	ask(h, "POST", "/v1/actors/kv/a/get", "")
	f.answer = httpAnswer{Outcome: core.Outcome{Code: core.CodeOverloaded}}
	ask(h, "POST", "/v1/actors/kv/a/get", "")
	h.metrics.observeCommit(3, time.Millisecond)
	h.metrics.observeHandover(time.Second)
	f.answer = httpAnswer{Outcome: core.Outcome{Code: 250}}
	ask(h, "POST", "/v1/actors/kv/a/get", "")
	page := ask(h, "GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`mesh_calls_total{code="ok"} 1`,
		`mesh_calls_total{code="overloaded"} 1`,
		`mesh_calls_total{code="outcome_unknown"} 1`,
		`mesh_call_seconds_count 3`,
		`mesh_commit_batch_entries_sum 3`,
		`mesh_fsync_seconds_count 1`,
		`mesh_handover_seconds_sum 1`,
		`mesh_epoch 12`,
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("no line %q in the metrics", line)
		}
	}
}
