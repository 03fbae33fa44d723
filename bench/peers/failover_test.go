package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

func TestParseFailover(t *testing.T) {
	s, err := parseFailover([]string{"--systems", "etcd-50-500,mesh,etcd", "--reps", "7", "--attempt", "50ms", "--doc", "page"})
	if err != nil {
		t.Fatal(err)
	}
	var names, vias []string
	for _, system := range s.systems {
		names, vias = append(names, system.Name()), append(vias, system.Vias()...)
	}
	if strings.Join(names, " ") != "etcd-50-500 mesh etcd" || strings.Join(vias, " ") != "grpc go http grpc" {
		t.Errorf("%v by %v", names, vias)
	}
	if s.plan.Reps != 7 || s.plan.Attempt != 50*time.Millisecond || s.out.Doc != "page" {
		t.Errorf("%+v, %+v", s.plan, s.out)
	}
	for i, says := range []string{"heartbeat 50ms, election 500ms, connections of the clients: 1, to all nodes", "", "3 nodes; connections"} {
		if v, err := s.systems[i].Version(t.Context()); says != "" && (err != nil || !strings.Contains(v, says)) {
			t.Errorf("%s is %q, %v", names[i], v, err)
		}
	}
	for _, args := range []string{"--systems raft", "--reps x", "--what"} {
		if _, err := parseFailover(strings.Fields(args)); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if err := failover(t.Context(), []string{"--clients", "0"}); !errors.Is(err, bench.ErrPlan) {
		t.Errorf("no clients: %v", err)
	}
}

// TestEtcdVictim kills whoever leads.
func TestEtcdVictim(t *testing.T) {
	c := &etcdCluster{leader: "b", processes: &cluster.Cluster{Nodes: []*cluster.Node{{HTTP: "a"}, {HTTP: "b"}, {HTTP: "c"}}}}
	victim, keys, err := c.Victim(context.Background(), 2, 3)
	if err != nil || victim.HTTP != "b" || !slices.Equal(keys, []int{0, 1, 2}) {
		t.Errorf("%+v, %v, %v", victim, keys, err)
	}
}
