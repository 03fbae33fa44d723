package mesh

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"actormesh/local"
	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// Environment is what a node needs of the machine that it runs on: clocks, tasks
// that run beside each other and wait, chance, a disk and a network. The zero
// Config has the machine's own. A simulator has another one, in which the same
// code runs in virtual time, one task at a time; nothing else in a node's path
// blocks, reads a clock or draws lots.
type Environment interface {
	// Now reads the monotonic clock of the node. It runs on while the machine
	// is suspended, and leases are counted by it.
	Now() quorum.Instant

	// About is Now where a moment does not matter, and cheaper.
	About() quorum.Instant

	// Wall reads the wall clock, in ns since 1970.
	Wall() int64

	// Until is time.Until: by the wall clock, where t does not say more.
	Until(t time.Time) time.Duration

	// Random returns a random number.
	Random() uint64

	// Go runs a task beside the others.
	Go(task func())

	// Loop prepares a task that run begins: it runs step at once, after every
	// wake, which may come before run, and at the time that the last step
	// returned. It ends when stop is closed, and then calls ended.
	Loop(stop <-chan struct{}, step func() (next quorum.Instant), ended func()) (run, wake func())

	// Wait returns when it can receive from one of the channels, of which some
	// may be nil, having done so; or, unless until is zero, when that time has
	// come by About.
	Wait(until quorum.Instant, a, b, c <-chan struct{})

	// WithDeadline is context.WithDeadline by the clock of About.
	WithDeadline(parent context.Context, at quorum.Instant) (context.Context, context.CancelFunc)

	// OpenStore opens a node's store.
	OpenStore(dir string, options local.Options) (*local.Store, error)

	// Commit makes a batch durable, in the order of calls, of which there is one
	// at a time.
	Commit(store *local.Store, batch *local.Batch) error

	// Listen opens the node's port.
	Listen(conf transport.Config) (Network, error)

	// Observer returns who watches the node, nil for nobody.
	Observer() Observer
}

// Network is what connects a node to others, as transport.Transport does.
type Network interface {
	Addr() string // HOST:PORT
	SetCluster(id string)
	SetPeer(id quorum.NodeID, name, addr string)
	RemovePeer(id quorum.NodeID)
	SendLog(to quorum.NodeID, msgs []quorum.Message) error
	SendControl(to quorum.NodeID, c transport.Control) error
	SendBeat(to quorum.NodeID, b transport.Beat) error
	Call(ctx context.Context, to quorum.NodeID, c *transport.Call) (*transport.Reply, error)
	Ask(ctx context.Context, addr string, c transport.Control) (transport.Control, error)
	OpenSnapshot(ctx context.Context, to quorum.NodeID, header []byte) (SnapshotWriter, error)

	// NewGossip returns the port of gossip; nil where there is none.
	NewGossip() (*transport.Gossip, error)

	Close() error
}

// SnapshotWriter sends one snapshot, as transport.SnapshotWriter does.
type SnapshotWriter interface {
	io.Writer
	Close() error
	Abort()
}

// Observer sees what a node's cores decide, before any of it is done. It must not
// change or keep any of it.
type Observer interface {
	// Shard sees what a shard wants done.
	Shard(index int, s *core.Shard, now quorum.Instant, r *core.Ready)

	// View sees a view that the node adopts.
	View(v *ring.View)
}

// machine is the Environment of the machine itself.
type machine struct{}

func (machine) Now() quorum.Instant             { return clockNow() }
func (machine) About() quorum.Instant           { return clockAbout() }
func (machine) Wall() int64                     { return time.Now().UnixNano() }
func (machine) Until(t time.Time) time.Duration { return time.Until(t) }
func (machine) Random() uint64                  { return rand.Uint64() }
func (machine) Go(task func())                  { go task() }
func (machine) Observer() Observer              { return nil }

func (machine) Loop(stop <-chan struct{}, step func() quorum.Instant, ended func()) (run, wake func()) {
	woken := make(chan struct{}, 1)
	turns := func() {
		defer ended()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-stop:
				return
			case <-woken:
			case <-timer.C:
			}
			next := step()
			timer.Reset(next.Sub(clockAbout()))
		}
	}
	return func() { go turns() }, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

func (machine) Wait(until quorum.Instant, a, b, c <-chan struct{}) {
	var due <-chan time.Time
	if until != 0 {
		timer := time.NewTimer(until.Sub(clockAbout()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-a:
	case <-b:
	case <-c:
	case <-due:
	}
}

func (machine) WithDeadline(parent context.Context, at quorum.Instant) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, at.Sub(clockAbout()))
}

func (machine) OpenStore(dir string, options local.Options) (*local.Store, error) {
	return local.Open(dir, options)
}

func (machine) Commit(store *local.Store, batch *local.Batch) error { return store.Commit(batch, true) }

func (machine) Listen(conf transport.Config) (Network, error) {
	t, err := transport.Listen(conf)
	if err != nil {
		return nil, err
	}
	return quicNetwork{t}, nil
}

// quicNetwork is a transport as a Network.
type quicNetwork struct{ *transport.Transport }

func (n quicNetwork) Addr() string { return n.Transport.Addr().String() }

func (n quicNetwork) OpenSnapshot(ctx context.Context, to quorum.NodeID, header []byte) (SnapshotWriter, error) {
	w, err := n.Transport.OpenSnapshot(ctx, to, header)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// draw returns a random duration from 0 to at most d.
func draw(env Environment, d time.Duration) time.Duration {
	return time.Duration(env.Random() % uint64(d+1))
}

// shuffle puts a list into random order.
func shuffle[T any](env Environment, list []T) {
	for i := len(list) - 1; i > 0; i-- {
		j := int(env.Random() % uint64(i+1))
		list[i], list[j] = list[j], list[i]
	}
}
