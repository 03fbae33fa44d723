package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

// natsPeer is a bench.System: JetStream's key-value store, three replicas in
// files, each write synced. It has no linearizable read: a get asks one server,
// which may have been replaced.
type natsPeer struct{ binary string }

var _ bench.System = (*natsPeer)(nil)

// bucket is the key-value store's name.
const bucket = "bench"

// Name implements bench.System.
func (p *natsPeer) Name() string { return "nats" }

// Version implements bench.System.
func (p *natsPeer) Version(context.Context) (string, error) {
	return fmt.Sprintf("nats-server %s, JetStream with sync_interval always, %d replicas in files; one connection, to the leader; does not count its fsyncs",
		server.VERSION, nodes), nil
}

// Vias implements bench.System.
func (p *natsPeer) Vias() []string { return []string{"jetstream"} }

// Workloads implements bench.System.
func (p *natsPeer) Workloads() []bench.Workload { return []bench.Workload{bench.KVPut} }

// Start implements bench.System.
func (p *natsPeer) Start(ctx context.Context, dir string) (bench.Cluster, error) {
	c := &natsCluster{}
	var err error
	c.processes, err = launch(ctx, p.binary, dir, "nats", nodes, c.makeBucket)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// natsCluster is a NATS cluster that runs.
type natsCluster struct {
	processes *cluster.Cluster
	leader    string // client address of the one that leads the bucket's group
}

func dialNATS(addr string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect("nats://"+addr, nats.Timeout(askTimeout), nats.MaxReconnects(0), nats.IgnoreDiscoveredServers())
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
	}
	return conn, js, err
}

// makeBucket makes the store, and finds who leads it when all replicas follow.
func (c *natsCluster) makeBucket(ctx context.Context, processes *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, js, err := dialNATS(processes.Nodes[0].HTTP)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, Replicas: nodes, Storage: jetstream.FileStorage}); err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	if info.Cluster == nil || len(info.Cluster.Replicas) != nodes-1 || processes.Node(info.Cluster.Leader) == nil {
		return fmt.Errorf("not all replicas are there: %+v", info.Cluster)
	}
	for _, follower := range info.Cluster.Replicas {
		if follower.Offline || !follower.Current {
			return fmt.Errorf("%s does not follow yet", follower.Name)
		}
	}
	c.leader = processes.Node(info.Cluster.Leader).HTTP
	return nil
}

// Dial implements bench.Cluster.
func (c *natsCluster) Dial(ctx context.Context, _ string, _ int) (bench.Client, error) {
	conn, js, err := dialNATS(c.leader)
	if err != nil {
		return nil, err
	}
	store, err := js.KeyValue(ctx, bucket)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &natsCaller{conn, store}, nil
}

// Counters implements bench.Cluster.
func (c *natsCluster) Counters(context.Context) (bench.Counters, error) {
	return bench.Counters{CPU: bench.ProcessesCPU(c.processes)}, nil
}

// PIDs implements bench.Cluster.
func (c *natsCluster) PIDs() []int { return bench.ProcessIDs(c.processes) }

// Close implements bench.Cluster.
func (c *natsCluster) Close() error { return c.processes.Close() }

// natsCaller is a bench.Client: a put is a publish, and waits for its own ack.
type natsCaller struct {
	conn  *nats.Conn
	store jetstream.KeyValue
}

// Do implements bench.Client.
func (c *natsCaller) Do(ctx context.Context, _ int, r bench.Request) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.store.PutString(ctx, "bench-"+strconv.Itoa(r.Key), r.Value)
	return err
}

// Close implements bench.Client.
func (c *natsCaller) Close() error {
	c.conn.Close()
	return nil
}

// runNATS is one server.
func runNATS(ctx context.Context, n *node) error {
	options := &server.Options{
		ServerName: n.name, NoSigs: true, JetStream: true, StoreDir: n.data, SyncAlways: true,
	}
	var err error
	if options.Host, options.Port, err = hostPort(n.client); err != nil {
		return err
	}
	options.Cluster.Name = "bench"
	if options.Cluster.Host, options.Cluster.Port, err = hostPort(n.listen); err != nil {
		return err
	}
	for name, addr := range n.members {
		if name != n.name {
			options.Routes = append(options.Routes, server.RoutesFromStr("nats://"+addr)...)
		}
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	defer s.Shutdown()
	<-ctx.Done()
	return nil
}

func hostPort(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}
