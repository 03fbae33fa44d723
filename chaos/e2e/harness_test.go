package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// How long things may take before a test gives up on them. They are generous:
// the machine may be slow, and a test that passes does not use them up.
const (
	readyTimeout = 30 * time.Second
	callTimeout  = 30 * time.Second
)

// mesh is a cluster in a test.
type mesh struct {
	*cluster.Cluster
	t *testing.T
}

// layOut makes a cluster that is not started yet. If the test fails, the end of
// every node's log is part of its output.
func layOut(t *testing.T, config cluster.Config) *mesh {
	t.Helper()
	if config.Binary == "" {
		config.Binary = meshnode
	}
	config.Dir = t.TempDir()
	c, err := cluster.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("%s, exit code %d, said last:\n%s", n.Name, n.ExitCode(), n.Tail(25))
			}
		}
	})
	return &mesh{c, t}
}

// start makes a cluster of nodes that serve and share the slots: n1 founds it,
// and the others join.
func start(t *testing.T, nodes int, binary string) *mesh {
	t.Helper()
	m := layOut(t, cluster.Config{Nodes: nodes, Binary: binary})
	m.must(m.Start())
	m.ready(m.Nodes...)
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	m.must(m.WaitShared(ctx))
	return m
}

// must ends the test on an error.
func (m *mesh) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) ready(nodes ...*cluster.Node) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), readyTimeout)
	defer cancel()
	m.must(m.WaitReady(ctx, nodes...))
}

// exits waits until the process has ended by itself and returns its exit code.
func (m *mesh) exits(n *cluster.Node) int {
	m.t.Helper()
	select {
	case <-n.Exited():
		return n.ExitCode()
	case <-time.After(readyTimeout):
		m.t.Fatalf("%s still runs, and said\n%s", n.Name, n.Tail(25))
		return 0
	}
}

// until polls a condition.
func (m *mesh) until(timeout time.Duration, condition func(context.Context) error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), timeout)
	defer cancel()
	m.must(cluster.Until(ctx, condition))
}

// value is the answer of the counter's methods.
type value struct{ Value int64 }

type addArg struct {
	N int64 `json:"n"`
}

// add adds to a counter through these nodes, until it is sure.
func (m *mesh) add(id, key string, n int64, through ...*cluster.Node) int64 {
	m.t.Helper()
	return m.persist(cluster.Call{Kind: "counter", ID: id, Method: "add", Arg: addArg{n}, Key: key}, through)
}

// get reads a counter through these nodes.
func (m *mesh) get(id string, through ...*cluster.Node) int64 {
	m.t.Helper()
	return m.persist(cluster.Call{Kind: "counter", ID: id, Method: "get"}, through)
}

func (m *mesh) persist(call cluster.Call, through []*cluster.Node) int64 {
	m.t.Helper()
	if len(through) == 0 {
		through = m.Nodes
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), callTimeout)
	defer cancel()
	answer, _, err := m.Client.Persist(ctx, addrs(through), 0, call)
	m.must(err)
	v, err := decodeValue(answer)
	m.must(err)
	return v
}

func decodeValue(a cluster.Answer) (int64, error) {
	var v value
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return 0, fmt.Errorf("the answer %q: %w", a.Body, err)
	}
	return v.Value, nil
}

func addrs(nodes []*cluster.Node) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.HTTP)
	}
	return list
}

// ownedBy returns the id of a counter that the node owns.
func (m *mesh) ownedBy(n *cluster.Node) string {
	m.t.Helper()
	for i := range 500 {
		id := fmt.Sprintf("of-%s-%d", n.Name, i)
		if owner := m.owner("counter", id); owner == n {
			return id
		}
	}
	m.t.Fatalf("%s owns none of 500 counters", n.Name)
	return ""
}

func (m *mesh) owner(kind, id string) *cluster.Node {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), callTimeout)
	defer cancel()
	owner, err := m.Owner(ctx, kind, id)
	m.must(err)
	return owner
}

// others returns all nodes but these.
func (m *mesh) others(not ...*cluster.Node) []*cluster.Node {
	return slices.DeleteFunc(slices.Clone(m.Nodes), func(n *cluster.Node) bool { return slices.Contains(not, n) })
}

func (m *mesh) status(n *cluster.Node) cluster.Status {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), callTimeout)
	defer cancel()
	s, err := m.Status(ctx, n)
	m.must(err)
	return s
}

// problem asks for an error that the mesh itself answered with.
func problem(err error) (*cluster.Problem, error) {
	var p *cluster.Problem
	if !errors.As(err, &p) {
		return nil, fmt.Errorf("got %v, want a problem document", err)
	}
	return p, nil
}

// says asks that a node's log tells something, in one of several words.
func says(n *cluster.Node, words ...string) error {
	said := n.Said()
	for _, w := range words {
		if strings.Contains(said, w) {
			return nil
		}
	}
	return fmt.Errorf("%s does not say any of %q, but\n%s", n.Name, words, n.Tail(25))
}

// replaceData puts a copy of a data directory in the place of another.
func replaceData(n *cluster.Node, from string) error {
	if err := os.RemoveAll(n.Data); err != nil {
		return err
	}
	return os.Rename(from, n.Data)
}
