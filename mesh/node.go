package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"actormesh/local"
	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// Node is one member of a mesh.
type Node struct {
	conf   Config
	env    Environment
	id     quorum.NodeID
	boot   quorum.Boot
	kinds  *kindSet
	limits turnLimits
	logger *slog.Logger

	store   *local.Store
	net     Network
	metrics *metrics
	commit  *committer
	folds   *folder
	shards  []*shardLoop
	control *controlLoop
	gossip  *gossip
	http    *httpServer
	router  router
	session *session

	view        atomic.Pointer[ring.View]
	cluster     atomic.Pointer[string] // the view's, as text; nil until there is one
	viewMu      sync.Mutex
	viewChanged chan struct{} // closed and replaced when view changes
	orphans     atomic.Int64
	diskFull    atomic.Bool   // nearly: calls are refused
	snapshots   semaphore     // of those that are being sent
	locating    chan struct{} // one value for each actor that is being looked up for people

	reading     sync.RWMutex // read-locked while a turn, for which nobody waits, reads the store
	storeClosed bool         // guarded by reading

	ctx    context.Context // ends when the node stops
	cancel context.CancelFunc
	tasks  taskGroup
	done   chan struct{}
	errMu  sync.Mutex
	err    error
}

// snapshotsSent bounds the snapshots that a node sends at a time.
const snapshotsSent = 2

// Start starts a node that hosts the given kinds, and returns when it serves: it
// is a member of a mesh, whose view lists these kinds, and a majority of voters
// knows of its start. When ctx
// ends before, the node is stopped. An error that wraps ErrUsage says what to
// change about conf; others say what the node found.
func Start(ctx context.Context, conf Config, hosts ...HostOption) (*Node, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	kinds, err := newKindSet(hosts)
	if err != nil {
		return nil, err
	}
	n := &Node{
		conf: conf, env: conf.Environment, kinds: kinds, logger: conf.Logger.With("node", conf.Name),
		limits: turnLimits{
			valueBytes: conf.MaxValueBytes, keyBytes: conf.MaxKeyBytes,
			recordBytes: conf.MaxRecordBytes, effects: conf.MaxEffects,
		},
		session: newSession(conf.Environment), viewChanged: make(chan struct{}),
		snapshots: newSemaphore(snapshotsSent), locating: make(chan struct{}, locatingMost),
		done: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(); err != nil {
		n.stop(err)
		return nil, err
	}
	n.startLoops()
	n.env.Wait(0, n.control.serving, n.ctx.Done(), ctx.Done())
	if isClosed(n.control.serving) {
		return n, nil
	}
	if ctx.Err() != nil {
		n.fail(ctx.Err())
	}
	n.env.Wait(0, n.done, nil, nil)
	return nil, n.Err()
}

// timeout returns a context that ends with the node, and after d.
func (n *Node) timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return n.env.WithDeadline(n.ctx, n.env.About().Add(d))
}

// open opens the store, the ports and what they are needed for, in that order:
// a damaged or foreign directory is found before anybody hears of this start.
func (n *Node) open() error {
	identity, err := n.identity()
	if err != nil {
		return err
	}
	options := n.conf.store
	options.Name, options.Retention, options.Logger = n.conf.Name, n.conf.Retention, n.logger
	n.store, err = n.env.OpenStore(n.conf.DataDir, options)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", n.conf.DataDir, err)
	}
	disk := n.store.Identity()
	n.id, n.boot = disk.Disk, disk.Boot
	if disk.Left {
		return usagef("the node in %s has left its mesh for good; to join again as a new node, start with an empty directory", n.conf.DataDir)
	}
	if n.store.Empty() && n.conf.Expect == 0 && len(n.conf.Join) == 0 {
		return usagef("the directory %s is empty: say --expect N to found a mesh of N nodes, or --join HOST:PORT to join one", n.conf.DataDir)
	}
	n.metrics = newMetrics(n.stats)
	n.commit = newCommitter(n.env, n.store, n.metrics, n.fail)
	n.folds = newFolder(n.env, n.store, n.fail)
	n.router = router{env: n.env, self: ring.NodeID(n.id), done: n.ctx.Done(), view: n.currentView, handOver: n.handOver}
	if err := n.openShards(); err != nil {
		return err
	}
	resetKey := n.store.ResetKey()
	cluster := ""
	if disk.Cluster != ([16]byte{}) {
		cluster = ring.ClusterID(disk.Cluster).String()
	}
	n.control = newControlLoop(n)
	n.router.behind = n.control.behind
	n.net, err = n.env.Listen(transport.Config{
		Listen: n.conf.Listen, Identity: identity, Self: n.id, Boot: n.boot, Cluster: cluster,
		Handler: peers{n}, Answer: n.control.answer, ClientKinds: []uint8{askView},
		StatelessResetKey: &resetKey, Logger: n.logger,
	})
	if err != nil {
		return err
	}
	if n.gossip, err = newGossip(n, identity); err != nil {
		return err
	}
	if err := n.openHTTP(identity); err != nil {
		return err
	}
	return n.control.open()
}

func (n *Node) identity() (*transport.Identity, error) {
	if n.conf.CertsDir == "" {
		return transport.LoopbackIdentity(n.conf.Name, transport.RoleNode)
	}
	return transport.LoadIdentity(n.conf.CertsDir, n.conf.Name)
}

// openShards makes the shards from what the store has recovered.
func (n *Node) openShards() error {
	count := n.conf.Shards
	stored := make([][]core.StoredSlot, count)
	err := n.store.Recover(func(s local.StoredSlot) error {
		i := int(s.Slot) % count
		stored[i] = append(stored[i], core.StoredSlot(s))
		return nil
	})
	if err != nil {
		return err
	}
	conf := core.ShardConfig{
		Self: n.id, Boot: n.boot, Lease: max(n.conf.Lease, 0), Drift: n.conf.Drift,
		FoldRecords: n.conf.FoldRecords, FoldBytes: n.conf.FoldBytes,
		Retention: n.conf.Retention, RecordBytes: n.conf.MaxRecordBytes,
	}
	now := n.env.Now()
	for i := range count {
		n.shards = append(n.shards, newShardLoop(n, i, core.NewShard(now, conf, stored[i])))
	}
	return nil
}

// openHTTP opens the HTTP port, if there is to be one.
func (n *Node) openHTTP(identity *transport.Identity) error {
	if n.conf.HTTP == "" {
		return nil
	}
	listener, err := net.Listen("tcp", n.conf.HTTP)
	if err != nil {
		return err
	}
	auth, tls := httpSecurity(identity, n.conf.Token)
	handler := newHTTPHandler(httpConfig{
		caller: httpCalls{n}, operator: operator{n}, metrics: n.metrics, auth: auth,
		callTimeout: n.conf.CallTimeout, maxArgBytes: n.conf.MaxValueBytes,
	})
	n.http = startHTTP(listener, tls, handler, n.conf.MaxHTTPConns, n.logger)
	return nil
}

func (n *Node) startLoops() {
	n.env.Go(n.commit.run)
	n.env.Go(func() { n.folds.run(n.ctx) })
	for _, l := range n.shards {
		l.run()
	}
	n.control.run()
	if n.gossip != nil {
		n.spawn(n.gossip.run)
	}
	n.spawn(n.watchDisk)
	n.env.Go(n.watchStore)
	n.env.Go(func() {
		n.env.Wait(0, n.ctx.Done(), nil, nil)
		n.stop(nil)
	})
}

// watchStore stops the node when the store fails.
func (n *Node) watchStore() {
	n.env.Wait(0, n.store.Failed(), n.done, nil)
	if err := n.store.Err(); err != nil {
		n.fail(err)
	}
}

// spawn runs f in a goroutine that stop waits for. Only the loops, and what was
// spawned itself, may call it: stop waits for these first.
func (n *Node) spawn(f func()) {
	n.tasks.begin()
	n.env.Go(func() {
		defer n.tasks.end()
		f()
	})
}

// fail stops the node for a reason. The first one stays.
func (n *Node) fail(err error) {
	n.errMu.Lock()
	if n.err == nil && n.ctx.Err() == nil {
		n.err = err
		if !errors.Is(err, context.Canceled) { // else it was told to
			n.logger.Error("the node stops", "err", err)
		}
	}
	n.errMu.Unlock()
	n.cancel()
}

// stopTimeout bounds what a stopping node waits for.
const stopTimeout = 5 * time.Second

// stop ends all that open and startLoops began, in the reverse order. It is
// called once.
func (n *Node) stop(err error) {
	if err != nil {
		n.errMu.Lock()
		n.err = err
		n.errMu.Unlock()
		n.cancel()
	}
	started := err == nil
	if n.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		n.http.shutdown(ctx)
		cancel()
	}
	if n.gossip != nil {
		n.gossip.close()
	}
	if started {
		n.await(n.control.done)
		for _, l := range n.shards {
			close(l.stop)
			n.env.Wait(0, l.done, nil, nil)
		}
		n.await(n.folds.done)
	}
	if n.net != nil {
		if err := n.net.Close(); err != nil {
			n.logger.Warn("closing the UDP port", "err", err)
		}
	}
	if n.store != nil {
		n.stopStore(started)
	}
	close(n.done)
}

// await waits for the end of what uses the store. Once the store has failed that
// may never come, and it is not waited for.
func (n *Node) await(done <-chan struct{}) {
	n.env.Wait(0, done, n.store.Failed(), nil)
}

// stopStore ends what uses the store, and closes it; unless it failed: then a
// write, a read or a close may never return, and the process is about to end.
func (n *Node) stopStore(started bool) {
	if started {
		unused := make(chan struct{})
		n.env.Go(func() {
			defer close(unused)
			n.env.Wait(0, n.tasks.wait(), nil, nil)
			n.commit.close()
		})
		n.await(unused)
	}
	if err := n.store.Err(); err != nil {
		n.endsBadly(err)
		return
	}
	n.reading.Lock() // handlers may run on; what they read was told them by now
	n.storeClosed = true
	n.reading.Unlock()
	if err := n.store.Close(); err != nil {
		n.logger.Error("closing the store", "err", err)
		n.endsBadly(fmt.Errorf("closing the store: %w", err))
	}
}

// endsBadly notes that the store did not end as it should, be it that the node was told
// to stop, or stops for another reason.
func (n *Node) endsBadly(err error) {
	n.errMu.Lock()
	defer n.errMu.Unlock()
	switch {
	case n.err == nil || errors.Is(n.err, context.Canceled):
		n.err = err
	case !errors.Is(n.err, err):
		n.err = errors.Join(n.err, err)
	}
}

// Close stops the node at once, without letting others take over: to them it
// looks like a crash. What was acknowledged is durable. The error is that of Err.
func (n *Node) Close() error {
	n.cancel()
	n.env.Wait(0, n.done, nil, nil)
	return n.Err()
}

// Done returns a channel that is closed when the node has stopped.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node has stopped: nil if it was told to, and its store was
// closed. A store that fails while the node stops stays open, as one that fails before.
func (n *Node) Err() error {
	n.errMu.Lock()
	defer n.errMu.Unlock()
	return n.err
}

// Addr returns the HOST:PORT at which other nodes reach this one.
func (n *Node) Addr() string { return n.conf.advertised(n.conf.Listen, n.net.Addr()) }

// HTTPAddr returns the HOST:PORT of the HTTP API, empty if there is none.
func (n *Node) HTTPAddr() string {
	if n.http == nil {
		return ""
	}
	return n.conf.advertised(n.conf.HTTP, n.http.addr().String())
}

// currentView returns the newest view, nil if there is none, and a channel that
// is closed when there is a newer one.
func (n *Node) currentView() (*ring.View, <-chan struct{}) {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	return n.view.Load(), n.viewChanged
}

// setView publishes a view, which the control loop has adopted.
func (n *Node) setView(v *ring.View) {
	if n.cluster.Load() == nil {
		cluster := v.Cluster.String()
		n.cluster.Store(&cluster)
	}
	n.viewMu.Lock()
	n.view.Store(v)
	close(n.viewChanged)
	n.viewChanged = make(chan struct{})
	n.viewMu.Unlock()
	n.router.moved(v)
}

func (n *Node) epoch() quorum.Epoch {
	if v := n.view.Load(); v != nil {
		return quorum.Epoch(v.Epoch)
	}
	return 0
}

func (n *Node) shardOf(slot quorum.SlotID) *shardLoop { return n.shards[int(slot)%len(n.shards)] }
