package local

import (
	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// Ground is what the processes of a run stand on: the network between them, and the
// disks below them. Its methods may be called from several goroutines.
type Ground interface {
	// Place readies a place for a node's processes, before the first of them starts,
	// and returns the address at which the other nodes reach it. It may change the
	// node's addresses and its directory. Two places may have one name.
	Place(n *cluster.Node) (address string, err error)

	// Start starts the node's process.
	Start(n *cluster.Node) error

	// Between does what a fault does to packets, in these directions, until it is
	// undone. For a link without sides it does so in all.
	Between(f *script.Fault, pairs []script.Pair) (undo func() error, err error)

	// Below does what a fault does to what is below a node's process, until it is
	// undone; the undo of what is done at once is nil. A node that loses power has
	// been killed.
	Below(f *script.Fault, n *cluster.Node) (undo func() error, err error)

	// Saw returns what has been counted.
	Saw() map[string]int

	// Close ends it, when all processes have ended.
	Close() error
}
