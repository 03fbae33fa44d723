package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// TestNodeMesh is three nodes that do what nodes do.
func TestNodeMesh(t *testing.T) {
	m := newTestMesh(t)
	n1 := m.start("n1")
	n2, n3 := m.start("n2"), m.start("n3")
	nodes := []*Node{n1, n2, n3}
	m.settled(n1, 3)
	eventually(t, "one view", func() bool { return n1.epoch() == n2.epoch() && n2.epoch() == n3.epoch() })

	t.Run("calls", func(t *testing.T) {
		for i, from := range nodes {
			for _, owner := range nodes {
				id := ownedByNode(n1, owner, 1)[0]
				if got := add(t, from, id, 1); got != i+1 {
					t.Errorf("%s to %s's: %d", from.conf.Name, owner.conf.Name, got)
				}
				if got := read(t, from, id); got != i+1 {
					t.Errorf("%s reads %s's: %d", from.conf.Name, owner.conf.Name, got)
				}
			}
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		var calls sync.WaitGroup
		for i := range 60 {
			calls.Go(func() { add(t, nodes[i%3], fmt.Sprintf("c%d", i%5), 1, Once(fmt.Sprint("c", i/10*10+i%5))) })
		}
		calls.Wait()
		for i := range 5 {
			if got := read(t, n1, fmt.Sprintf("c%d", i)); got != 6 {
				t.Errorf("c%d: %d of 6 requests took effect", i, got)
			}
		}
	})
	t.Run("sends", func(t *testing.T) {
		from, to := ownedByNode(n1, n2, 1)[0], ownedByNode(n1, n3, 1)[0]
		before := read(t, n1, from) + read(t, n1, to)
		for range 10 {
			if _, err := Call(t.Context(), Get[pot](n1, from), (*pot).Give, giving{To: to, N: 5}); err != nil {
				t.Fatal(err)
			}
		}
		var froms []string
		eventually(t, "all sends arrive", func() bool {
			var err error
			if froms, err = Call(t.Context(), Get[pot](n2, to), (*pot).Froms, None{}); err != nil {
				t.Fatal(err)
			}
			return len(froms) >= 10
		})
		if got := read(t, n1, from) + read(t, n1, to); len(froms) != 10 || got != before {
			t.Errorf("%d sends arrived, and the sum is %d, was %d", len(froms), got, before)
		}
	})
	t.Run("turns call", func(t *testing.T) {
		a, b := ownedByNode(n1, n1, 1)[0], ownedByNode(n1, n2, 1)[0]
		want := read(t, n1, b)
		if got, err := Call(t.Context(), Get[pot](n3, a), (*pot).Ask, b); err != nil || got != want {
			t.Errorf("%d, %v, want %d", got, err, want)
		}
		if _, err := Call(t.Context(), Get[pot](n3, a), (*pot).Ask, a); !errors.Is(err, ErrCycle) {
			t.Errorf("an actor that asks itself: %v", err)
		}
	})
	t.Run("ordered keys", func(t *testing.T) {
		ref := Get[pot](n2, ownedByNode(n1, n3, 1)[0])
		if _, err := Call(t.Context(), ref, (*pot).Put, []string{"b2", "a", "b1", "c"}); err != nil {
			t.Fatal(err)
		}
		got, err := Call(t.Context(), ref, (*pot).Keys, "b")
		if err != nil || !slices.Equal(got, []string{"b1=vb1", "b2=vb2"}) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("late", func(t *testing.T) {
		for _, owner := range []*Node{n1, n2} {
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			id := ownedByNode(n1, owner, 1)[0]
			before := read(t, n1, id)
			_, err := Call(ctx, Get[pot](n1, id), (*pot).Hang, None{})
			if cancel(); !errors.Is(err, ErrDeadline) { // the owner's word, from afar too
				t.Errorf("a handler that hangs at %s: %v", owner.conf.Name, err)
			}
			if got := read(t, n1, id); got != before {
				t.Errorf("after a turn that was rolled back: %d, was %d", got, before)
			}
		}
	})
	t.Run("HTTP", func(t *testing.T) { testNodeHTTP(t, nodes) })
	t.Run("client", func(t *testing.T) { testNodeClient(t, m) })
	t.Run("drain", func(t *testing.T) { testNodeDrain(t, m) })
	t.Run("crash", func(t *testing.T) { testNodeCrash(t, m) })
	t.Run("leave", func(t *testing.T) { testNodeLeave(t, m) })
}

func testNodeHTTP(t *testing.T, nodes []*Node) {
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path string, into any) *http.Response {
		t.Helper()
		resp, err := http.Get("http://" + nodes[0].HTTPAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for _, owner := range nodes {
		id := ownedByNode(nodes[0], owner, 1)[0]
		before := read(t, nodes[0], id)
		resp, err := http.Post("http://"+nodes[0].HTTPAddr()+"/v1/actors/pot/"+id+"/add", "application/json", strings.NewReader("2"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := fmt.Sprint(before + 2); err != nil || resp.StatusCode != 200 || string(body) != want || resp.Header.Get("Mesh-Node") != owner.conf.Name {
			t.Errorf("%s of %q: %q, %v, want %s", resp.Status, resp.Header.Get("Mesh-Node"), body, err, want)
		}
		began := time.Now()
		resp, err = http.Post("http://"+nodes[0].HTTPAddr()+"/v1/actors/pot/"+id+"/fraction", "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != 504 || took > 2*time.Second {
			t.Errorf("a result that has no JSON form, at %s: %s after %v", owner.conf.Name, resp.Status, took)
		}
		var where ActorStatus
		if resp := get("/v1/actors/pot/"+id, &where); resp.StatusCode != 200 || where.Owner != owner.conf.Name || !where.Active {
			t.Errorf("%s lives at %+v", id, where)
		}
	}
	var problem Problem
	if resp := get("/v1/actors/nobody/x", &problem); resp.StatusCode != 404 || problem.Code != "no_kind" {
		t.Errorf("where an actor of no kind lives: %s %+v", resp.Status, problem)
	}
	var s Status
	get("/v1/status", &s)
	if len(s.Members) != 3 || !s.Quorum || s.Slots.Total != 12 || s.Slots.Active != 12 {
		t.Errorf("status %+v", s)
	}
	if nodes[0].ownedSlots() == 0 || (operator{nodes[0]}).kinds()[0].Kind != "pot" || (httpCalls{nodes[0]}).ready() != nil {
		t.Error("slots, kinds, or not ready")
	}
}

func (n *Node) ownedSlots() int { return n.stats().SlotsOwned }

func testNodeClient(t *testing.T, m *testMesh) {
	var seeds []string
	for _, n := range m.node {
		seeds = append(seeds, n.Addr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	c, err := Dial(ctx, ClientConfig{Seeds: seeds, Logger: quiet}, Host[pot]("pot"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range m.node {
		id := ownedByNode(n, n, 1)[0]
		if got := read(t, c, id) + 1; add(t, c, id, 1) != got {
			t.Errorf("at %s", n.conf.Name)
		}
	}
	if _, err := Call(t.Context(), GetKind[pot](c, "nobody", "x"), (*pot).Get, None{}); !errors.Is(err, ErrNoKind) {
		t.Errorf("an actor of no kind: %v", err)
	}

	// What only nodes and turns may say is refused, or is not believed.
	n1 := m.node["n1"]
	id := ownedByNode(n1, n1, 1)[0]
	r := &request{kind: "pot", id: id, method: "get", json: true, internal: true, deadline: clockAbout().Add(5 * time.Second),
		chain: []quorum.ActorKey{quorum.MakeActorKey("pot", id)}}
	if a := c.route(ctx, r); a.Code != core.CodeOK {
		t.Errorf("a chain from a client: %d %q", a.Code, a.Detail)
	}
	r.requestID = quorum.RequestID{Source: quorum.MakeActorKey("pot", "x"), Number: 1}
	if a := c.route(ctx, r); a.Code != core.CodeBadRequest {
		t.Errorf("a send from a client: %d %q", a.Code, a.Detail)
	}

	// A member that does not answer keeps nobody from a newer view.
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	gone := hole.LocalAddr().String()
	for range 2 {
		newest, _ := c.currentView()
		old := *newest
		old.Epoch--
		c.mu.Lock()
		c.view = &old
		c.mu.Unlock()
		c.look([]string{gone, n1.Addr()})
		c.mu.Lock()
		if c.view.Epoch != newest.Epoch || !c.asked[gone] || c.asked[n1.Addr()] {
			t.Errorf("the view is of epoch %d, the newest of %d; %v were asked and have not answered", c.view.Epoch, newest.Epoch, c.asked)
		}
		c.mu.Unlock()
	}

	if err := c.Close(); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if _, err := Call(t.Context(), Get[pot](c, id), (*pot).Add, 1); !errors.Is(err, ErrUnavailable) || time.Since(began) > time.Second {
		t.Errorf("a call of a closed client: %v after %v", err, time.Since(began))
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, err := Dial(t.Context(), ClientConfig{Logger: quiet}); !errors.Is(err, ErrUsage) {
		t.Errorf("no seeds: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(short, ClientConfig{Seeds: []string{"127.0.0.1:1"}, Logger: quiet}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
}

// testNodeDrain drains n2 under the calls of a client and of a node, none of which
// fails, and starts it again.
func testNodeDrain(t *testing.T, m *testMesh) {
	n1, n2 := m.node["n1"], m.node["n2"]
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	c, err := Dial(ctx, ClientConfig{Seeds: []string{n1.Addr()}, Logger: n1.conf.Logger}, Host[pot]("pot"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ids := ownedByNode(n1, n2, 4)
	before := 0
	for _, id := range ids {
		before += read(t, n1, id)
	}
	stop := make(chan struct{})
	var calls sync.WaitGroup
	var mu sync.Mutex
	added := 0
	for i, id := range ids {
		from := []Caller{n1, c}[i%2]
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := Call(ctx, Get[pot](from, id), (*pot).Add, 1); err != nil {
					t.Errorf("a call while a node drains: %v", err)
					return
				}
				mu.Lock()
				added++
				mu.Unlock()
			}
		})
	}
	var drains sync.WaitGroup
	for range 2 {
		drains.Go(func() {
			if err := n2.Drain(ctx); err != nil {
				t.Errorf("drain: %v", err)
			}
		})
	}
	drains.Wait()
	if n2.ownedSlots() != 0 || (httpCalls{n2}).ready() == nil {
		t.Errorf("a drained node owns %d slots", n2.ownedSlots())
	}
	if err := n2.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	goal := added + 20
	mu.Unlock()
	eventually(t, "calls go on", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return added >= goal || t.Failed()
	})
	close(stop)
	calls.Wait()
	sum := -before
	for _, id := range ids {
		sum += read(t, n1, id)
	}
	if sum != added {
		t.Errorf("%d calls went well, and the actors count %d", added, sum)
	}
	m.start("n2")
	m.settled(n1, 3)
}

// testNodeCrash closes the node that owns an actor, without a farewell; others
// take over with all that was acknowledged.
func testNodeCrash(t *testing.T, m *testMesh) {
	n1, n3 := m.node["n1"], m.node["n3"]
	id := ownedByNode(n1, n3, 1)[0]
	before := add(t, n1, id, 1, Once("crash"))
	if err := n3.Close(); err != nil {
		t.Error(err)
	}
	if got := add(t, n1, id, 1, Once("crash")); got != before {
		t.Errorf("the same request at the next owner: %d, was %d", got, before)
	}
	if got := add(t, n1, id, 1); got != before+1 {
		t.Errorf("%d after the owner crashed, was %d", got, before)
	}
	m.start("n3")
	m.settled(n1, 3)
	if got := read(t, m.node["n3"], id); got != before+1 {
		t.Errorf("%d when the node is back, was %d", got, before)
	}
}

// testNodeLeave has a node leave for good.
func testNodeLeave(t *testing.T, m *testMesh) {
	n1, n3 := m.node["n1"], m.node["n3"]
	id := ownedByNode(n1, n1, 1)[0]
	before := read(t, n1, id)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := n3.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n3.Leave(ctx); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := n3.Drain(ctx); err != nil {
		t.Errorf("and drain: %v", err)
	}
	if err := n3.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Start(ctx, m.conf["n3"], Host[pot]("pot")); !errors.Is(err, ErrUsage) {
		t.Errorf("the directory of a node that has left: %v", err)
	}
	delete(m.node, "n3")
	m.settled(n1, 2)
	if got := read(t, n1, id); got != before || len(n1.view.Load().Members) != 2 {
		t.Errorf("%d, was %d; %d members", got, before, len(n1.view.Load().Members))
	}
}
