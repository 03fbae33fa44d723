package main

import (
	"context"
	"fmt"
	"slices"

	"actormesh/chaos/workload"
	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// startNode starts a node that hosts the kinds of the program.
func startNode(ctx context.Context, c mesh.Config) (node, error) {
	return hosting(ctx, c, kinds.All())
}

// startChaosNode starts a node that also hosts the kinds of chaos runs. Without
// certificates it listens on loopback only.
func startChaosNode(ctx context.Context, c mesh.Config) (node, error) {
	if c.CertsDir != "" {
		return nil, fmt.Errorf("%w: --chaos is for tests on loopback, and goes without --certs", mesh.ErrUsage)
	}
	return hosting(ctx, c, slices.Concat(kinds.All(), workload.Hosts()))
}

func hosting(ctx context.Context, c mesh.Config, hosts []mesh.HostOption) (node, error) {
	n, err := mesh.Start(ctx, c, hosts...)
	if err != nil {
		return nil, err // a nil *mesh.Node in a node would not be nil
	}
	return n, nil
}
