package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMesh starts processes, waits until their slots are whole, calls them and
// reads their counters.
func TestMesh(t *testing.T) {
	m := &Mesh{Binary: os.Args[0], Nodes: 3}
	if v, err := m.Version(t.Context()); err != nil || v != "fake 1, 3 nodes" {
		t.Errorf("version %q, %v", v, err)
	}
	c, err := m.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client, err := c.Dial(t.Context(), ViaHTTP, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 4 {
		if err := client.Do(t.Context(), i, Request{Workload: CounterAdd, Key: i}); err != nil {
			t.Error(err)
		}
	}
	counters, err := c.Counters(t.Context())
	if err != nil || counters.Fsyncs != 3*7 {
		t.Errorf("%+v, %v", counters, err)
	}
	pids := c.PIDs()
	victim, keys, err := c.(Crashable).Victim(t.Context(), 4, 3)
	if err != nil || victim.Name != "n2" || !slices.Equal(keys, []int{1, 4, 7}) || len(pids) != 3 || pids[1] != victim.PID() {
		t.Errorf("%v of %v is to be killed, with keys %v, %v", victim, pids, keys, err)
	}
	if _, _, err := c.(Crashable).Victim(t.Context(), 0, Keys); err == nil {
		t.Error("one node owns all keys")
	}
}

func TestMeshThatIsNotWhole(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// Two nodes have two replicas of a slot; these say that they have three.
	_, err := (&Mesh{Binary: os.Args[0], Nodes: 2}).Start(ctx, t.TempDir())
	if err == nil {
		t.Error("it was taken for whole")
	}
	if _, err := (&Mesh{Binary: "/absent", Nodes: 1}).Start(t.Context(), t.TempDir()); err == nil {
		t.Error("no program was started")
	}
}

func TestRunningMesh(t *testing.T) {
	s := httptest.NewServer(fakeNode("n1"))
	defer s.Close()
	m := &RunningMesh{HTTP: []string{s.Listener.Addr().String()}}
	c, err := m.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if seeds := c.(*meshCluster).config.Seeds; len(seeds) != 1 || seeds[0] != "127.0.0.1:1" {
		t.Errorf("seeds %v", seeds)
	}
	counters, err := c.Counters(t.Context())
	if want := (Counters{CPU: 1500 * time.Millisecond, Fsyncs: 7}); err != nil || counters != want {
		t.Errorf("%+v, %v, want %+v", counters, err, want)
	}
	if _, _, err := c.(Crashable).Victim(t.Context(), 0, 1); err == nil || c.PIDs() != nil {
		t.Errorf("a node of somebody else's may be killed: %v", c.PIDs())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestHTTPRequests reads the requests as a server does.
func TestHTTPRequests(t *testing.T) {
	value := newRequests(KVPut, 1).of(7).Value
	for _, test := range []struct {
		r          Request
		path, body string
	}{
		{Request{Workload: KVPut, Key: 7, Value: value}, "/v1/actors/kv/bench-7/put", `{"key":"v","value":` + value + `}`},
		{Request{Workload: KVGet, Key: 8}, "/v1/actors/kv/bench-8/get", `{"key":"v"}`},
		{Request{Workload: CounterAdd, Key: 999}, "/v1/actors/counter/bench-999/add", `{"n":1}`},
		{Request{Workload: CounterGet}, "/v1/actors/counter/bench-0/get", ``},
		{Request{Workload: Transfer, Key: 3, To: 4}, "/v1/actors/account/bench-3/transfer", `{"to":"bench-4","amount":1}`},
		{Request{Workload: deposit, Key: 3}, "/v1/actors/account/bench-3/deposit", `{"amount":1000000000000}`},
		{Request{Workload: CounterZipf, Key: 999_999}, "/v1/actors/counter/bench-999999/add", `{"n":1}`},
		{Request{Workload: KVLarge, Value: `"x"`}, "/v1/actors/kv/bench-0/put", `{"key":"large","value":"x"}`},
	} {
		wire := string(appendRequest(nil, "h:1", test.r))
		got, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
		if err != nil {
			t.Fatalf("%q: %v", wire, err)
		}
		body := make([]byte, got.ContentLength)
		if _, err := got.Body.Read(body); len(body) > 0 && err != nil && string(body) != test.body {
			t.Errorf("%q: %v", wire, err)
		}
		if got.Method != "POST" || got.Host != "h:1" || got.URL.Path != test.path || string(body) != test.body || !strings.HasSuffix(wire, test.body) {
			t.Errorf("%q is %s %s %q", wire, got.Method, got.URL, body)
		}
		if test.body != "" && !json.Valid(body) {
			t.Errorf("%q is no JSON", body)
		}
	}
}

// TestHTTPCaller keeps its connection from call to call, and takes a new one
// after an error.
func TestHTTPCaller(t *testing.T) {
	var from []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		if len(from) == 3 {
			http.Error(w, "too much", http.StatusTooManyRequests)
		}
	}))
	defer s.Close()
	c := newHTTPCaller([]string{s.Listener.Addr().String()}, nil, 1)
	defer c.Close()
	for i := range 4 {
		err := c.Do(t.Context(), 0, Request{Workload: CounterGet})
		if (err != nil) != (i == 2) || err != nil && !strings.Contains(err.Error(), "429 Too Many Requests: too much") {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if from[0] != from[1] || from[1] != from[2] || from[2] == from[3] {
		t.Errorf("calls came from %v", from)
	}
	s.Close()
	if err := c.Do(t.Context(), 0, Request{Workload: CounterGet}); err == nil {
		t.Error("a server that is gone has answered")
	}
}

// TestHTTPCallerGoesOn asks the next node after a failure, and waits for none longer
// than it is told.
func TestHTTPCallerGoesOn(t *testing.T) {
	hung := make(chan struct{})
	first := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer first.Close()
	defer close(hung)
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer second.Close()
	c := newHTTPCaller([]string{first.Listener.Addr().String(), second.Listener.Addr().String()}, nil, 1)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Do(ctx, 0, Request{Workload: CounterGet}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one that hangs: %v", err)
	}
	if err := c.Do(t.Context(), 0, Request{Workload: CounterGet}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestScrape(t *testing.T) {
	s := httptest.NewServer(fakeNode("n1"))
	defer s.Close()
	client := s.Client()
	if _, err := Scrape(t.Context(), client, s.URL+"/metrics", "mesh_fsync_seconds"); err == nil {
		t.Error("part of a name was found")
	}
	if _, err := Scrape(t.Context(), client, s.URL+"/absent", "x"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("no page: %v", err)
	}
}
