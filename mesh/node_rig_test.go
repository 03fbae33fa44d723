package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"actormesh/ring"
)

// pot is a kind that does a little of everything.
type pot struct {
	N    int
	From []string
}

func (a *pot) Add(ctx *Ctx, n int) (int, error) {
	if n < 0 {
		return 0, &AppError{Code: "negative"}
	}
	a.N += n
	return a.N, nil
}

func (a *pot) Get(*View, None) (int, error) { return a.N, nil }

func (a *pot) Put(ctx *Ctx, keys []string) (None, error) {
	for _, k := range keys {
		if err := ctx.Put(k, []byte("v"+k)); err != nil {
			return None{}, err
		}
	}
	return None{}, nil
}

func (a *pot) Keys(ctx *View, prefix string) ([]string, error) {
	var list []string
	err := ctx.Scan(Range{Prefix: prefix}, func(key string, value []byte) bool {
		list = append(list, key+"="+string(value))
		return true
	})
	return list, err
}

// Give takes n from this actor and sends it to another.
func (a *pot) Give(ctx *Ctx, in giving) (int, error) {
	a.N -= in.N
	return a.N, Send(ctx, Get[pot](ctx, in.To), (*pot).Take, giving{To: ctx.Key(), N: in.N})
}

type giving struct {
	To string
	N  int
}

func (a *pot) Take(_ *Ctx, in giving) (None, error) {
	a.N += in.N
	a.From = append(a.From, in.To)
	return None{}, nil
}

func (a *pot) Froms(*View, None) ([]string, error) { return a.From, nil }

// Ask calls another actor.
func (a *pot) Ask(ctx *Ctx, id string) (int, error) {
	return Call(ctx, Get[pot](ctx, id), (*pot).Get, None{})
}

// Hang runs until its turn is over.
func (a *pot) Hang(ctx *Ctx, _ None) (None, error) {
	a.N = 1000
	<-ctx.Done()
	return None{}, ctx.Err()
}

// Fraction returns what JSON cannot say.
func (a *pot) Fraction(*View, None) (odd, error) { return odd{}, nil }

type odd struct{}

func (odd) MarshalJSON() ([]byte, error) { return nil, errors.New("no form") }

// testLog collects the logs of nodes, to be shown where a test fails.
type testLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// testMesh is some nodes in this process.
type testMesh struct {
	t    testing.TB
	dir  string
	log  *testLog
	conf map[string]Config
	node map[string]*Node
}

func newTestMesh(t testing.TB) *testMesh {
	m := &testMesh{t: t, dir: t.TempDir(), log: &testLog{}, conf: map[string]Config{}, node: map[string]*Node{}}
	t.Cleanup(func() {
		for _, n := range m.node {
			n.Close()
		}
		if t.Failed() {
			t.Logf("log:\n%s", m.log.b.String())
		}
	})
	return m
}

// start starts a node, the first one alone, and others so that they join it.
func (m *testMesh) start(name string, change ...func(*Config)) *Node {
	m.t.Helper()
	c, again := m.conf[name]
	if !again {
		c = Config{
			Name: name, DataDir: filepath.Join(m.dir, name), Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", Slots: 12,
			ProbeInterval: 50 * time.Millisecond, DeadGrace: 30 * time.Second, Logger: slog.New(slog.NewTextHandler(m.log, nil)),
		}
		if len(m.node) == 0 {
			c.Expect = 1
		}
		for _, n := range m.node {
			c.Join = append(c.Join, n.Addr())
		}
	}
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 15*time.Second)
	defer cancel()
	n, err := Start(ctx, c, Host[pot]("pot"))
	if err != nil {
		m.t.Fatalf("start %s: %v\n%s", name, err, m.log.b.String())
	}
	c.Listen = n.Addr() // where it will be found again
	m.conf[name], m.node[name] = c, n
	return n
}

// eventually waits until a condition holds, and fails the test if it does not.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks, not to wait for the event
	}
}

// settled waits until the node sees all slots served, each by so many replicas.
func (m *testMesh) settled(n *Node, replicas int) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("all slots served by %d replicas", replicas), func() bool {
		slots := operator{n}.slots()
		return len(slots) > 0 && !slices.ContainsFunc(slots, func(s SlotStatus) bool {
			return !s.Active || len(s.Replicas) != replicas || len(s.From)+len(s.Learners) > 0
		})
	})
}

// ownedByNode returns the ids of actors that a node owns.
func ownedByNode(n *Node, owner *Node, count int) []string {
	v := n.view.Load()
	var ids []string
	for i := 0; len(ids) < count; i++ {
		id := fmt.Sprintf("of-%s-%d", owner.conf.Name, i)
		if v.Slots[ring.SlotOf(len(v.Slots), "", "pot", id)].Owner() == ring.NodeID(owner.id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func add(t *testing.T, from Caller, id string, n int, options ...CallOption) int {
	t.Helper()
	sum, err := Call(t.Context(), Get[pot](from, id), (*pot).Add, n, options...)
	if err != nil {
		t.Fatalf("add to %s: %v", id, err)
	}
	return sum
}

func read(t *testing.T, from Caller, id string) int {
	t.Helper()
	n, err := Call(t.Context(), Get[pot](from, id), (*pot).Get, None{})
	if err != nil {
		t.Fatalf("read %s: %v", id, err)
	}
	return n
}
