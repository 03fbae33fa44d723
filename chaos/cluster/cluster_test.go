package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newCluster(t *testing.T, nodes int, together bool) *Cluster {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Binary: self, Dir: t.TempDir(), Nodes: nodes, Together: together})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestLayout(t *testing.T) {
	joined := newCluster(t, 3, false)
	if got := joined.Nodes[0].Args; !slices.Equal(got, []string{"--expect", "1"}) {
		t.Errorf("n1 has %q", got)
	}
	if got := joined.Nodes[2].Args; !slices.Equal(got, []string{"--join", joined.Nodes[0].Listen}) {
		t.Errorf("n3 has %q", got)
	}
	together := newCluster(t, 3, true)
	want := []string{"--expect", "3", "--join", together.Nodes[0].Listen + "," + together.Nodes[2].Listen}
	if got := together.Nodes[1].Args; !slices.Equal(got, want) {
		t.Errorf("n2 has %q, want %q", got, want)
	}
	if together.Node("n2") != together.Nodes[1] || together.Node("n4") != nil {
		t.Error("names do not lead to nodes")
	}
}

// Two clusters never share a port, and a block is free again after Close.
func TestPorts(t *testing.T) {
	a, err := ReservePorts()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := ReservePorts()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	taken := map[string]bool{}
	for _, p := range []*Ports{a, b} {
		for range blockPorts - 1 {
			addr, err := p.Take()
			if err != nil || taken[addr] {
				t.Fatalf("%s, %v: taken before: %v", addr, err, taken[addr])
			}
			taken[addr] = true
		}
		if addr, err := p.Take(); err == nil {
			t.Errorf("the block gave one more: %s", addr)
		}
	}
	if allFree(a.next-blockPorts, a.next) {
		t.Error("the lock of a block leaves it free")
	}
}

func TestProcess(t *testing.T) {
	c, ctx := newCluster(t, 2, false), deadline(t)
	n := c.Nodes[0]
	if n.Running() {
		t.Fatal("runs before it was started")
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); !errors.Is(err, ErrRunning) {
		t.Errorf("a second start gives %v", err)
	}
	if err := c.WaitReady(ctx, c.Nodes...); err != nil {
		t.Fatal(err)
	}
	if err := n.CopyData(filepath.Join(c.dir, "copy")); !errors.Is(err, ErrRunning) {
		t.Errorf("a copy of live data gives %v", err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	frozen, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := c.Client.Get(frozen, n.HTTP, "/readyz", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stopped node answers %v", err)
	}
	if err := n.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx, n); err != nil {
		t.Errorf("after SIGCONT: %v", err)
	}
	if err := errors.Join(n.Stop(), n.Kill()); err != nil || n.Running() || n.ExitCode() != -1 {
		t.Errorf("kill: %v, running %v, code %d", err, n.Running(), n.ExitCode())
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx, n); err != nil {
		t.Fatal(err)
	}
	if said := n.Said(); strings.Count(said, "hello from n1\n") != 2 {
		t.Errorf("two starts said %q", said)
	}
	if tail := n.Tail(1); tail != "hello from n1" {
		t.Errorf("the last line is %q", tail)
	}
	if err := c.Kill(); err != nil || c.Nodes[1].Running() {
		t.Errorf("kill of all: %v", err)
	}
	if err := n.CopyData(filepath.Join(c.dir, "copy")); err != nil {
		t.Errorf("copy: %v", err)
	}
}

// A node that gives up is reported with its code and its last words, at once.
func TestWaitReadyTellsOfAnExit(t *testing.T) {
	c := newCluster(t, 1, false)
	c.Nodes[0].Args = []string{"--expect", "13"}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	err := c.WaitReady(deadline(t), c.Nodes...)
	if !errors.Is(err, ErrHopeless) || !strings.Contains(err.Error(), "code 3") || !strings.Contains(err.Error(), "13 is refused") {
		t.Errorf("got %v", err)
	}
}

func TestShared(t *testing.T) {
	slot := func(replicas ...string) Slot { return Slot{Replicas: replicas, Active: true} }
	for _, test := range []struct {
		name  string
		slots []Slot
		nodes int
		want  string
	}{
		{"one node", []Slot{slot("a"), slot("a")}, 1, ""},
		{"one of two", []Slot{slot("a", "b"), slot("a", "b")}, 2, "1 nodes own slots"},
		{"both of two", []Slot{slot("a", "b"), slot("b", "a")}, 2, ""},
		{"too few replicas", []Slot{slot("a", "b"), slot("b")}, 2, "slot 0 has"},
		{"learner", []Slot{{Replicas: []string{"a"}, Learners: []string{"b"}, Active: true}}, 1, "learners"},
		{"from", []Slot{{Replicas: []string{"a"}, From: [][]string{{"b"}}, Active: true}}, 1, "from"},
		{"not served", []Slot{{Replicas: []string{"a"}}}, 1, "active: false"},
		{"too many of one", []Slot{slot("a", "b"), slot("a", "b"), slot("a", "b"), slot("a", "b"), slot("b", "a")}, 2, "a owns 4 slots"},
		{"no view yet", nil, 1, "0 nodes own slots"},
	} {
		err := shared(test.slots, test.nodes)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
