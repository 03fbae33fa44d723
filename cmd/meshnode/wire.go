package main

import (
	"context"

	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// startNode starts a node that hosts the kinds of the program.
func startNode(ctx context.Context, c mesh.Config) (node, error) {
	n, err := mesh.Start(ctx, c, kinds.All()...)
	if err != nil {
		return nil, err // a nil *mesh.Node in a node would not be nil
	}
	return n, nil
}
