package main

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"actormesh/bench"
)

// options are what systems are made of.
type options struct {
	self      string // this program
	meshnode  string
	etcdConns int
	etcdAll   bool
}

// A mesh without leases asks a majority for every read, as the peers do.
const majority = "mesh-no-lease"

// systemNames is all systems, the peers first, the bare limits last.
var systemNames = []string{"mesh", majority, "etcd", "raft", "nats", "proto.actor", "fdatasync", "pebble-x3", "quic-echo"}

// system returns the system of that name.
func (o *options) system(name string) (bench.System, error) {
	switch name {
	case "mesh":
		return &bench.Mesh{Binary: o.meshnode, Nodes: nodes}, nil
	case majority:
		return &bench.Mesh{
			Binary: o.meshnode, Nodes: nodes, Label: majority, Args: []string{"--lease", "0s"},
			Only: []bench.Workload{bench.KVGet, bench.CounterGet},
		}, nil
	case "etcd":
		return &etcd{binary: o.self, conns: o.etcdConns, all: o.etcdAll}, nil
	case "raft":
		return &raftPeer{binary: o.self}, nil
	case "nats":
		return &natsPeer{binary: o.self}, nil
	case "proto.actor":
		return &proto{binary: o.self}, nil
	case "fdatasync":
		return &bare{name: name, version: "one file, appended to; one fdatasync a batch", open: openFile}, nil
	case "pebble-x3":
		version := fmt.Sprintf("%d stores of pebble %s in one process; one fsync a batch in each", nodes, module("github.com/cockroachdb/pebble/v2"))
		return &bare{name: name, version: version, open: openPebbles}, nil
	case "quic-echo":
		return &echo{binary: o.self}, nil
	}
	return nil, fmt.Errorf("%w: --systems: there is no %q: it is one of %s", errUsage, name, strings.Join(systemNames, ", "))
}

// module returns the version of a module that this program is built of.
func module(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == path })
	if i < 0 {
		return "unknown"
	}
	return info.Deps[i].Version
}
