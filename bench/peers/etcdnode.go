package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// The name and the timing of an etcd that is sooner to elect another leader. Its
// defaults are a heartbeat each 100 ms, and an election after 1 s.
const (
	quickEtcd      = "etcd-50-500"
	quickHeartbeat = 50 * time.Millisecond
	quickElection  = 500 * time.Millisecond
)

// runEtcd is one node of etcd, with its defaults.
func runEtcd(ctx context.Context, n *node) error { return serveEtcd(ctx, n, embed.NewConfig()) }

// runQuickEtcd is one node of etcd that is sooner to think that its leader is gone.
func runQuickEtcd(ctx context.Context, n *node) error {
	conf := embed.NewConfig()
	conf.TickMs, conf.ElectionMs = uint(quickHeartbeat.Milliseconds()), uint(quickElection.Milliseconds())
	return serveEtcd(ctx, n, conf)
}

// serveEtcd is one node. All that is not said here or in conf is etcd's default,
// fsync included; its log says errors only.
func serveEtcd(ctx context.Context, n *node, conf *embed.Config) error {
	var members []string
	for name, addr := range n.members {
		members = append(members, name+"=http://"+addr)
	}
	slices.Sort(members)
	conf.Name, conf.Dir, conf.InitialCluster = n.name, n.data, strings.Join(members, ",")
	conf.LogLevel = "error"
	peer, client := []url.URL{{Scheme: "http", Host: n.listen}}, []url.URL{{Scheme: "http", Host: n.client}}
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = peer, peer
	conf.ListenClientUrls, conf.AdvertiseClientUrls = client, client
	etcd, err := embed.StartEtcd(conf)
	if err != nil {
		return err
	}
	defer etcd.Close()
	select {
	case err := <-etcd.Err():
		return err
	case <-etcd.Server.StopNotify():
		return fmt.Errorf("%s has stopped", n.name)
	case <-ctx.Done():
		return nil
	}
}
