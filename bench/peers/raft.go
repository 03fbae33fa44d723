package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

// raftPeer is a bench.System: hashicorp/raft and raft-wal, one group of three.
type raftPeer struct{ binary string }

var _ bench.System = (*raftPeer)(nil)

// Name implements bench.System.
func (p *raftPeer) Name() string { return "raft" }

// Version implements bench.System.
func (p *raftPeer) Version(context.Context) (string, error) {
	return fmt.Sprintf("hashicorp/raft %s, raft-wal %s, %d nodes, batches of up to %d; one connection, to the leader",
		module("github.com/hashicorp/raft"), module("github.com/hashicorp/raft-wal"), nodes, raftBatch), nil
}

// Vias implements bench.System.
func (p *raftPeer) Vias() []string { return []string{"tcp"} }

// Workloads implements bench.System.
func (p *raftPeer) Workloads() []bench.Workload { return []bench.Workload{bench.KVPut, bench.KVGet} }

// Start implements bench.System.
func (p *raftPeer) Start(ctx context.Context, dir string) (bench.Cluster, error) {
	c := &raftCluster{}
	var err error
	c.processes, err = launch(ctx, p.binary, dir, "raft", nodes, c.findLeader)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// raftCluster is a raft that runs.
type raftCluster struct {
	processes *cluster.Cluster
	leader    string // its client address
}

func (c *raftCluster) findLeader(ctx context.Context, processes *cluster.Cluster) error {
	var errs []error
	for _, addr := range processes.Addrs() {
		_, err := askNode(ctx, addr, askLeader)
		if err == nil {
			c.leader = addr
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func dialNode(ctx context.Context, addr string) (*rpcClient, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newRPCClient(conn), nil
}

// askNode asks one thing over a connection of its own.
func askNode(ctx context.Context, addr string, what byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := dialNode(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.call(ctx, []byte{what})
}

// Dial implements bench.Cluster.
func (c *raftCluster) Dial(ctx context.Context, _ string, _ int) (bench.Client, error) {
	client, err := dialNode(ctx, c.leader)
	if err != nil {
		return nil, err
	}
	return &raftCaller{client}, nil
}

// Counters implements bench.Cluster.
func (c *raftCluster) Counters(ctx context.Context) (bench.Counters, error) {
	sum := bench.Counters{CPU: bench.ProcessesCPU(c.processes)}
	for _, addr := range c.processes.Addrs() {
		said, err := askNode(ctx, addr, askCounters)
		if err != nil {
			return bench.Counters{}, err
		}
		if len(said) != 8 {
			return bench.Counters{}, fmt.Errorf("%s counts in %d bytes", addr, len(said))
		}
		sum.Fsyncs += binary.LittleEndian.Uint64(said)
	}
	return sum, nil
}

// PIDs implements bench.Cluster.
func (c *raftCluster) PIDs() []int { return bench.ProcessIDs(c.processes) }

// Close implements bench.Cluster.
func (c *raftCluster) Close() error { return c.processes.Close() }

// raftCaller is a bench.Client.
type raftCaller struct{ client *rpcClient }

// Do implements bench.Client.
func (c *raftCaller) Do(ctx context.Context, _ int, r bench.Request) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := fmt.Appendf(nil, "bench-%*d", keyBytes-len("bench-"), r.Key)
	if r.Workload == bench.KVPut {
		_, err := c.client.call(ctx, []byte{askPut}, key, []byte(r.Value))
		return err
	}
	value, err := c.client.call(ctx, []byte{askGet}, key)
	if err == nil && len(value) != bench.ValueBytes {
		err = fmt.Errorf("%s has not the value that was written", key)
	}
	return err
}

// Close implements bench.Client.
func (c *raftCaller) Close() error {
	c.client.Close()
	return nil
}
