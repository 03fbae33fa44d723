package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
	pcluster "github.com/asynkron/protoactor-go/cluster"
	"github.com/asynkron/protoactor-go/cluster/identitylookup/disthash"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

// proto is a bench.System: grains of Proto.Actor's cluster, which are in memory
// only. It is a peer for calls that change nothing: it keeps nothing, and does not
// see to it that there is one activation only.
type proto struct{ binary string }

var _ bench.System = (*proto)(nil)

// grainKind is the kind of all grains.
const grainKind = "value"

// Name implements bench.System.
func (p *proto) Name() string { return "proto.actor" }

// Version implements bench.System.
func (p *proto) Version(context.Context) (string, error) {
	return fmt.Sprintf("protoactor-go %s, %d nodes, grains in memory only; disthash, members told beforehand",
		module("github.com/asynkron/protoactor-go"), nodes), nil
}

// Vias implements bench.System.
func (p *proto) Vias() []string { return []string{"grpc"} }

// Workloads implements bench.System.
func (p *proto) Workloads() []bench.Workload { return []bench.Workload{bench.KVGet} }

// Start implements bench.System.
func (p *proto) Start(ctx context.Context, dir string) (bench.Cluster, error) {
	c := &protoCluster{}
	var err error
	c.processes, err = launch(ctx, p.binary, dir, "proto", nodes, func(ctx context.Context, processes *cluster.Cluster) error {
		if c.client == nil {
			c.client = dialProto(processes)
		}
		return c.Do(ctx, 0, bench.Request{Workload: bench.KVPut})
	})
	if err != nil {
		c.hangUp()
		return nil, err
	}
	return c, nil
}

// protoCluster is a cluster that runs, and its one client.
type protoCluster struct {
	processes *cluster.Cluster
	client    *pcluster.Cluster
}

func dialProto(processes *cluster.Cluster) *pcluster.Cluster {
	members := map[string]string{}
	for _, n := range processes.Nodes {
		members[n.Name] = n.Listen
	}
	c := newProto("client", "127.0.0.1", 0, members)
	c.StartClient()
	return c
}

// newProto lays out a member or a client.
func newProto(name, host string, port int, members map[string]string, kinds ...*pcluster.Kind) *pcluster.Cluster {
	quiet := func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
	system.ID = name
	return pcluster.New(system, pcluster.Configure("bench", fixedMembers(members), disthash.New(),
		remote.Configure(host, port), pcluster.WithKinds(kinds...)))
}

// fixedMembers is a pcluster.ClusterProvider: who is a member is known beforehand.
type fixedMembers map[string]string

// StartMember implements pcluster.ClusterProvider.
func (m fixedMembers) StartMember(c *pcluster.Cluster) error {
	var members pcluster.Members
	for _, name := range slices.Sorted(maps.Keys(m)) {
		host, port, err := hostPort(m[name])
		if err != nil {
			return err
		}
		members = append(members, &pcluster.Member{Id: name, Host: host, Port: int32(port), Kinds: []string{grainKind}})
	}
	c.MemberList.UpdateClusterTopology(members)
	return nil
}

// StartClient implements pcluster.ClusterProvider.
func (m fixedMembers) StartClient(c *pcluster.Cluster) error { return m.StartMember(c) }

// Shutdown implements pcluster.ClusterProvider.
func (m fixedMembers) Shutdown(bool) error { return nil }

// Dial implements bench.Cluster.
func (c *protoCluster) Dial(context.Context, string, int) (bench.Client, error) {
	return protoCaller{c}, nil
}

// Counters implements bench.Cluster.
func (c *protoCluster) Counters(context.Context) (bench.Counters, error) {
	return bench.Counters{CPU: bench.ProcessesCPU(c.processes)}, nil
}

// PIDs implements bench.Cluster.
func (c *protoCluster) PIDs() []int { return bench.ProcessIDs(c.processes) }

// Close implements bench.Cluster.
func (c *protoCluster) Close() error {
	c.hangUp()
	return c.processes.Close()
}

// hangUp ends the client, if there is one. Its own Shutdown is for members: it
// gossips, which clients do not.
func (c *protoCluster) hangUp() {
	if c.client != nil {
		c.client.ActorSystem.Shutdown()
		c.client.Remote.Shutdown(false)
	}
}

// Do makes one call.
func (c *protoCluster) Do(_ context.Context, _ int, r bench.Request) error {
	id := "bench-" + strconv.Itoa(r.Key)
	var message any = &emptypb.Empty{}
	if r.Workload == bench.KVPut {
		message = wrapperspb.String(r.Value)
	}
	said, err := c.client.Request(id, grainKind, message, pcluster.WithTimeout(callTimeout))
	if err != nil {
		return err
	}
	value, ok := said.(*wrapperspb.StringValue)
	switch {
	case !ok:
		return fmt.Errorf("%s answers %v", id, said)
	case r.Workload == bench.KVGet && len(value.Value) != bench.ValueBytes:
		return fmt.Errorf("%s has not the value that was written", id)
	}
	return nil
}

// protoCaller is a bench.Client. The connections are the cluster's.
type protoCaller struct{ *protoCluster }

// Close implements bench.Client.
func (c protoCaller) Close() error { return nil }

// grain holds one value.
type grain struct{ value string }

// Receive implements actor.Actor.
func (g *grain) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *wrapperspb.StringValue:
		g.value = m.Value
		ctx.Respond(m)
	case *emptypb.Empty:
		ctx.Respond(wrapperspb.String(g.value))
	}
}

// runProto is one member.
func runProto(ctx context.Context, n *node) error {
	host, port, err := hostPort(n.listen)
	if err != nil {
		return err
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &grain{} })
	c := newProto(n.name, host, port, n.members, pcluster.NewKind(grainKind, props))
	c.StartMember()
	<-ctx.Done()
	c.Shutdown(false)
	return nil
}
