package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"actormesh/chaos/cluster"
)

// node is one process of a peer.
type node struct {
	name    string
	data    string            // its directory
	listen  string            // HOST:PORT for the other nodes
	client  string            // HOST:PORT for clients
	members map[string]string // HOST:PORT for each other, by name, of all nodes
}

// kinds of nodes that this program can be.
var nodeKinds = map[string]func(context.Context, *node) error{
	"etcd":    runEtcd,
	quickEtcd: runQuickEtcd,
	"raft":    runRaft,
	"nats":    runNATS,
	"proto":   runProto,
	"quic":    runEcho,
}

// startNode is one node, until ctx ends.
func startNode(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("peers start", flag.ContinueOnError)
	var n node
	kind := flags.String("kind", "", "what to be")
	flags.StringVar(&n.name, "name", "", "the node's name")
	flags.StringVar(&n.data, "data", "", "the node's directory")
	flags.StringVar(&n.listen, "listen", "", "HOST:PORT for the other nodes")
	flags.StringVar(&n.client, "http", "", "HOST:PORT for clients")
	members := flags.String("members", "", "NAME=HOST:PORT,... of all nodes")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	n.members = map[string]string{}
	for _, member := range strings.Split(*members, ",") {
		name, addr, found := strings.Cut(member, "=")
		if !found {
			return fmt.Errorf("%w: --members: %q", errUsage, member)
		}
		n.members[name] = addr
	}
	run := nodeKinds[*kind]
	if run == nil {
		return fmt.Errorf("%w: there is no node %q", errUsage, *kind)
	}
	return run(ctx, &n)
}

// startTimeout bounds the start of a peer.
const startTimeout = time.Minute

// launch starts so many nodes of a kind, each a process, and waits until ready
// has nothing against them.
func launch(ctx context.Context, binary, dir, kind string, count int, ready func(context.Context, *cluster.Cluster) error) (*cluster.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := cluster.New(cluster.Config{Binary: binary, Dir: dir})
	if err != nil {
		return nil, err
	}
	var members []string
	for range count {
		n, err := c.Add(binary)
		if err != nil {
			c.Close() // err says more
			return nil, err
		}
		members = append(members, n.Name+"="+n.Listen)
	}
	for _, n := range c.Nodes {
		n.Args = []string{"--kind", kind, "--members", strings.Join(members, ",")}
	}
	if err = c.Start(); err == nil {
		err = cluster.Until(ctx, func(ctx context.Context) error {
			for _, n := range c.Nodes {
				if !n.Running() {
					return fmt.Errorf("%w: %s exited with code %d:\n%s", cluster.ErrHopeless, n.Name, n.ExitCode(), n.Tail(15))
				}
			}
			return ready(ctx, c)
		})
	}
	if err != nil {
		c.Close() // err says more
		return nil, err
	}
	return c, nil
}
