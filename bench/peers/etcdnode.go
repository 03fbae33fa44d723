package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
)

// runEtcd is one node of etcd. All that is not said here is etcd's default, fsync
// included; its log says errors only.
func runEtcd(ctx context.Context, n *node) error {
	var members []string
	for name, addr := range n.members {
		members = append(members, name+"=http://"+addr)
	}
	slices.Sort(members)
	conf := embed.NewConfig()
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
