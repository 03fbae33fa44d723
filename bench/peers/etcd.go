package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

// viaGRPC is the one way to call etcd: its own client.
const viaGRPC = "grpc"

// defaultConns is how many connections etcd's clients share.
const defaultConns = 1

const (
	callTimeout = 10 * time.Second
	askTimeout  = 2 * time.Second
)

// etcd is a bench.System.
type etcd struct {
	binary string // this program
	conns  int    // connections of the clients together
	all    bool   // they go to all nodes in turn, not to the leader alone
	roving bool   // each goes to all nodes, as its own client does: whichever answers
	quick  bool   // it is sooner to think that its leader is gone
}

var (
	_ bench.System    = (*etcd)(nil)
	_ bench.Crashable = (*etcdCluster)(nil)
)

// Name implements bench.System.
func (e *etcd) Name() string {
	if e.quick {
		return quickEtcd
	}
	return "etcd"
}

// Version implements bench.System.
func (e *etcd) Version(context.Context) (string, error) {
	to, timing := "to the leader", ""
	if e.all || e.roving {
		to = "to all nodes"
	}
	if e.quick {
		timing = fmt.Sprintf(" heartbeat %v, election %v,", quickHeartbeat, quickElection)
	}
	return fmt.Sprintf("%s, %d nodes;%s connections of the clients: %d, %s", version.Version, nodes, timing, e.conns, to), nil
}

// Vias implements bench.System.
func (e *etcd) Vias() []string { return []string{viaGRPC} }

// Workloads implements bench.System.
func (e *etcd) Workloads() []bench.Workload { return []bench.Workload{bench.KVPut, bench.KVGet} }

// Start implements bench.System.
func (e *etcd) Start(ctx context.Context, dir string) (bench.Cluster, error) {
	c := &etcdCluster{etcd: e}
	var err error
	c.processes, err = launch(ctx, e.binary, dir, e.Name(), nodes, c.findLeader)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// etcdCluster is an etcd that runs.
type etcdCluster struct {
	*etcd
	processes *cluster.Cluster
	leader    string // its client address
	pages     http.Client
}

// findLeader finds the one leader that all nodes follow.
func (c *etcdCluster) findLeader(ctx context.Context, processes *cluster.Cluster) error {
	client, err := newClient(processes.Addrs()...)
	if err != nil {
		return err
	}
	defer client.Close()
	leaders := map[uint64]int{}
	for _, addr := range processes.Addrs() {
		s, err := client.Status(ctx, "http://"+addr)
		if err != nil {
			return err
		}
		leaders[s.Leader]++
		if s.Leader == s.Header.MemberId {
			c.leader = addr
		}
	}
	if len(leaders) != 1 || leaders[0] > 0 || c.leader == "" {
		return fmt.Errorf("no common leader: %v", leaders)
	}
	return nil
}

func newClient(addrs ...string) (*clientv3.Client, error) {
	endpoints := make([]string, len(addrs))
	for i, addr := range addrs {
		endpoints[i] = "http://" + addr
	}
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: askTimeout, Logger: zap.NewNop()})
}

// Dial implements bench.Cluster.
func (c *etcdCluster) Dial(context.Context, string, int) (bench.Client, error) {
	caller := &etcdCaller{}
	for i := range c.conns {
		addrs := []string{c.leader}
		switch {
		case c.roving:
			addrs = c.processes.Addrs()
		case c.all:
			addrs = []string{c.processes.Nodes[i%nodes].HTTP}
		}
		client, err := newClient(addrs...)
		if err != nil {
			return nil, errors.Join(err, caller.Close())
		}
		caller.conns = append(caller.conns, client)
	}
	return caller, nil
}

// Counters implements bench.Cluster. Counted are syncs of the log, and commits
// of the tree behind it, each of which syncs as well.
func (c *etcdCluster) Counters(ctx context.Context) (bench.Counters, error) {
	sum := bench.Counters{CPU: bench.ProcessesCPU(c.processes)}
	for _, n := range c.processes.Nodes {
		values, err := bench.Scrape(ctx, &c.pages, "http://"+n.HTTP+"/metrics",
			"etcd_disk_wal_fsync_duration_seconds_count", "etcd_disk_backend_commit_duration_seconds_count")
		if err != nil {
			return bench.Counters{}, err
		}
		sum.Fsyncs += uint64(values[0] + values[1])
	}
	return sum, nil
}

// Victim implements bench.Crashable: it is the leader, which serves all keys.
func (c *etcdCluster) Victim(_ context.Context, _, keys int) (*cluster.Node, []int, error) {
	all := make([]int, keys)
	for i := range all {
		all[i] = i
	}
	i := slices.IndexFunc(c.processes.Nodes, func(n *cluster.Node) bool { return n.HTTP == c.leader })
	return c.processes.Nodes[i], all, nil
}

// PIDs implements bench.Cluster.
func (c *etcdCluster) PIDs() []int { return bench.ProcessIDs(c.processes) }

// Close implements bench.Cluster.
func (c *etcdCluster) Close() error {
	c.pages.CloseIdleConnections()
	return c.processes.Close()
}

// etcdCaller is a bench.Client over a few connections.
type etcdCaller struct{ conns []*clientv3.Client }

// Do implements bench.Client.
func (c *etcdCaller) Do(ctx context.Context, client int, r bench.Request) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn := c.conns[client%len(c.conns)]
	key := "bench-" + strconv.Itoa(r.Key)
	if r.Workload == bench.KVPut {
		_, err := conn.Put(ctx, key, r.Value)
		return err
	}
	got, err := conn.Get(ctx, key) // linearizable: etcd's default
	if err == nil && (len(got.Kvs) != 1 || len(got.Kvs[0].Value) != bench.ValueBytes) {
		err = fmt.Errorf("%s has not the value that was written", key)
	}
	return err
}

// Close implements bench.Client.
func (c *etcdCaller) Close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
