package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd is one node of etcd, until ctx ends. All that its flags do not say
// is etcd's default, fsync included; its log says errors only.
func startEtcd(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("peers start", flag.ContinueOnError)
	name := flags.String("name", "", "the node's name")
	data := flags.String("data", "", "the node's directory")
	listen := flags.String("listen", "", "HOST:PORT for the other nodes")
	http := flags.String("http", "", "HOST:PORT for clients")
	members := flags.String("members", "", "NAME=URL,... of all nodes")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	conf := embed.NewConfig()
	conf.Name, conf.Dir, conf.InitialCluster = *name, *data, *members
	conf.LogLevel = "error"
	peer, client := []url.URL{{Scheme: "http", Host: *listen}}, []url.URL{{Scheme: "http", Host: *http}}
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = peer, peer
	conf.ListenClientUrls, conf.AdvertiseClientUrls = client, client
	node, err := embed.StartEtcd(conf)
	if err != nil {
		return err
	}
	defer node.Close()
	select {
	case err := <-node.Err():
		return err
	case <-node.Server.StopNotify():
		return fmt.Errorf("%s has stopped", *name)
	case <-ctx.Done():
		return nil
	}
}
