package bench

import (
	"context"
	"time"

	"actormesh/chaos/cluster"
)

// System is something to measure.
type System interface {
	// Name is the system's in reports, such as "mesh".
	Name() string

	// Version says which build of it is measured.
	Version(ctx context.Context) (string, error)

	// Vias returns the ways in which its clients may reach it, such as "go" and
	// "http"; each is measured on its own.
	Vias() []string

	// Workloads returns those that it can do; others are left out of its part of
	// a run.
	Workloads() []Workload

	// Start starts it with its data under dir, which is empty, and returns when
	// it is whole: all nodes are members, and all data is on all of them.
	Start(ctx context.Context, dir string) (Cluster, error)
}

// Cluster is a System that runs.
type Cluster interface {
	// Dial returns a client for so many calls at a time.
	Dial(ctx context.Context, via string, clients int) (Client, error)

	// Counters reads the nodes' counters.
	Counters(ctx context.Context) (Counters, error)

	// PIDs returns the processes that keep the data; none if they are not of this
	// machine.
	PIDs() []int

	// Close ends the nodes, if Start started them.
	Close() error
}

// Crashable is a Cluster whose nodes may be killed.
type Crashable interface {
	Cluster

	// Victim returns a node without which so many keys cannot be written, until
	// others have taken over from it, and those keys. Where there are several such
	// nodes, n chooses.
	Victim(ctx context.Context, n, keys int) (*cluster.Node, []int, error)
}

// Client makes calls.
type Client interface {
	// Do makes one call and waits for its answer; client is the number of the
	// caller, from 0, and no two calls of one number run at a time. It ends
	// within a bound of its own, also where ctx does not.
	Do(ctx context.Context, client int, r Request) error

	// Close ends the client. No call runs.
	Close() error
}

// Counters is what the nodes of a system together have used and done since they
// were started.
type Counters struct {
	CPU    time.Duration // user and system; 0 if nobody can tell
	Fsyncs uint64        // of their logs, as the nodes themselves count them
}
