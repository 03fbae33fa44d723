// Package cluster runs a mesh as its users do: real processes with real data
// directories on loopback, spoken to over HTTP. The demo, the end-to-end tests
// and the benchmarks are written with it.
//
//	Cluster ── Node ── process          start, kill -9, stop, continue
//	   │
//	   └────── Client ── HTTP           calls, problems, retries by the rules
package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cluster is a few nodes with names n1, n2, ... in one directory.
type Cluster struct {
	Nodes  []*Node
	Client *Client

	dir   string
	ports *Ports
}

// Config says what a cluster is made of.
type Config struct {
	Binary   string      // the program of every node
	Dir      string      // where data directories and logs go; exists
	Nodes    int         // how many
	Together bool        // all found the cluster; otherwise n1 does, and the others join it
	Args     []string    // further flags of start, for every node
	TLS      *tls.Config // of the client; nil for nodes without certificates
}

// New lays out a cluster and starts nothing. Close must be called.
func New(config Config) (*Cluster, error) {
	ports, err := ReservePorts()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: config.Dir, ports: ports, Client: NewClient(64, config.TLS)}
	for range config.Nodes {
		if _, err := c.Add(config.Binary, config.Args...); err != nil {
			c.Close()
			return nil, err
		}
	}
	for i, n := range c.Nodes {
		switch {
		case config.Together:
			n.Args = append(n.Args, "--expect", strconv.Itoa(config.Nodes), "--join", c.seeds(n))
		case i == 0:
			n.Args = append(n.Args, "--expect", "1")
		default:
			n.Args = append(n.Args, "--join", c.Nodes[0].Listen)
		}
	}
	return c, nil
}

// seeds returns the addresses of all nodes but one.
func (c *Cluster) seeds(of *Node) string {
	var others []string
	for _, n := range c.Nodes {
		if n != of {
			others = append(others, n.Listen)
		}
	}
	return strings.Join(others, ",")
}

// Add lays out one more node, with exactly these further flags.
func (c *Cluster) Add(binary string, args ...string) (*Node, error) {
	listen, err := c.ports.Take()
	if err != nil {
		return nil, err
	}
	http, err := c.ports.Take()
	if err != nil {
		return nil, err
	}
	name := "n" + strconv.Itoa(len(c.Nodes)+1)
	n := &Node{
		Name: name, Listen: listen, HTTP: http, Binary: binary,
		Data: filepath.Join(c.dir, name),
		Log:  filepath.Join(c.dir, name+".log"),
		Args: slices.Clone(args),
	}
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

// Addrs returns the HTTP addresses of all nodes, running or not.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.HTTP
	}
	return addrs
}

// Node returns the node with this name, or nil.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Start starts all nodes at the same moment.
func (c *Cluster) Start() error {
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends all processes with SIGKILL: all are sent it before any is waited for.
func (c *Cluster) Kill() error {
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.Signal(syscall.SIGKILL))
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.Kill())
	}
	return errors.Join(errs...)
}

// Close kills what runs and gives the ports back. Data and logs stay.
func (c *Cluster) Close() error {
	err := c.Kill()
	c.Client.Close()
	return errors.Join(err, c.ports.Close())
}

// Status is what /v1/status answers.
type Status struct {
	Cluster     string
	Node        string
	Epoch       uint64
	Coordinator string
	Quorum      bool
	Slots       struct{ Total, Active, Owned int }
	Members     []struct {
		Name  string
		Disk  string
		State string
		Voter bool
		Owned int
	}
}

// Status asks a node what it knows.
func (c *Cluster) Status(ctx context.Context, n *Node) (Status, error) {
	var s Status
	err := c.Client.Get(ctx, n.HTTP, "/v1/status", &s)
	return s, err
}

// Owner returns the node that owns an actor, as any of the running nodes says.
func (c *Cluster) Owner(ctx context.Context, kind, id string) (*Node, error) {
	var errs []error
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		var where struct{ Owner string }
		path := "/v1/actors/" + url.PathEscape(kind) + "/" + url.PathEscape(id)
		if err := c.Client.Get(ctx, n.HTTP, path, &where); err != nil {
			errs = append(errs, err)
			continue
		}
		if owner := c.Node(where.Owner); owner != nil {
			return owner, nil
		}
		errs = append(errs, fmt.Errorf("%s says that %s/%s is at %q", n.Name, kind, id, where.Owner))
	}
	return nil, fmt.Errorf("no node tells the owner of %s/%s: %w", kind, id, errors.Join(errs...))
}

// WaitReady waits until each of the nodes serves. A node that exits meanwhile
// is an error, with its last words.
func (c *Cluster) WaitReady(ctx context.Context, nodes ...*Node) error {
	for _, n := range nodes {
		err := Until(ctx, func(ctx context.Context) error {
			if !n.Running() {
				return fmt.Errorf("%w: %s exited with code %d:\n%s", ErrHopeless, n.Name, n.ExitCode(), n.Tail(15))
			}
			return c.Client.Get(ctx, n.HTTP, "/readyz", nil)
		})
		if err != nil {
			return fmt.Errorf("%s is not ready: %w", n.Name, err)
		}
	}
	return nil
}

// Slot is one slot of what /v1/slots answers.
type Slot struct {
	Slot     int
	Replicas []string // the owner first
	Learners []string
	From     [][]string
	Active   bool
}

// Slots asks a node for the slot table.
func (c *Cluster) Slots(ctx context.Context, n *Node) ([]Slot, error) {
	var slots []Slot
	err := c.Client.Get(ctx, n.HTTP, "/v1/slots", &slots)
	return slots, err
}

// replication is how many replicas a slot has where there are nodes enough.
const replication = 3

// WaitShared waits until the slots have come to rest: every node is a member
// and owns its share, every slot is served and has all its replicas, and none
// is on its way to another set.
func (c *Cluster) WaitShared(ctx context.Context) error {
	for _, n := range c.Nodes {
		err := Until(ctx, func(ctx context.Context) error {
			slots, err := c.Slots(ctx, n)
			if err != nil {
				return err
			}
			return shared(slots, len(c.Nodes))
		})
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func shared(slots []Slot, nodes int) error {
	owned := map[string]int{}
	for _, s := range slots {
		if len(s.Replicas) != min(nodes, replication) || len(s.Learners) > 0 || len(s.From) > 0 || !s.Active {
			return fmt.Errorf("slot %d has replicas %q, learners %q, from %q, active: %v", s.Slot, s.Replicas, s.Learners, s.From, s.Active)
		}
		owned[s.Replicas[0]]++
	}
	if len(owned) != nodes {
		return fmt.Errorf("%d nodes own slots, %d run", len(owned), nodes)
	}
	for name, n := range owned {
		if most := (len(slots)*110 + 100*nodes - 1) / (100 * nodes); n > most {
			return fmt.Errorf("%s owns %d slots, and its share is at most %d", name, n, most)
		}
	}
	return nil
}

// ErrHopeless ends Until at once.
var ErrHopeless = errors.New("no use waiting")

const pollInterval = 20 * time.Millisecond

// Until asks again and again until the condition holds (nil), it is hopeless
// (ErrHopeless), or ctx ends: then the condition's last error is part of what
// is returned. Each question may take a second.
func Until(ctx context.Context, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := condition(once)
		cancel()
		if err == nil || errors.Is(err, ErrHopeless) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
