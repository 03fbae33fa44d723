package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"actormesh/local"
	"actormesh/mesh/core"
	"actormesh/quorum"
)

// What a shard wants of the store is done here, away from its loop, and told to
// it as an event.

func deactivated(id core.ActivationID) func(*core.Shard, quorum.Instant) {
	return func(s *core.Shard, now quorum.Instant) { s.Deactivated(now, id) }
}

func errDamagedLog(detail string) error {
	return fmt.Errorf("%w: %s", local.ErrDamaged, detail)
}

func (l *shardLoop) load(load core.Load) {
	img, err := l.node.store.LoadActor(load.Slot, load.Actor)
	l.do(func(s *core.Shard, now quorum.Instant) {
		s.Loaded(now, load.Activation, core.ActorImage(img), err)
	})
}

func (l *shardLoop) lookUp(k core.Lookup) {
	answer, found, err := l.node.store.Answer(k.Slot, k.Actor, k.Key)
	if err != nil {
		l.node.fail(err)
		return
	}
	l.do(func(s *core.Shard, now quorum.Instant) { s.LookedUp(now, k, answer, found) })
}

// maxReadBytes bounds what is read at once for a replica that lags.
const maxReadBytes = 1 << 20

func (l *shardLoop) readLog(r core.LogRead) {
	entries, err := l.node.store.ReadEntries(r.Slot, r.Tail, maxReadBytes)
	if err != nil && !errors.Is(err, local.ErrGone) {
		l.node.fail(err)
		return
	}
	l.do(func(s *core.Shard, now quorum.Instant) { s.LogRead(now, r, entries) })
}

func (l *shardLoop) findOutboxes(id quorum.SlotID) {
	pending, err := l.node.store.Pending(id)
	if err != nil {
		l.node.fail(err)
		return
	}
	var actors []quorum.ActorKey
	for _, p := range pending {
		if p.Sends {
			actors = append(actors, p.Actor)
		}
	}
	l.do(func(s *core.Shard, now quorum.Instant) { s.Outbox(now, id, actors) })
}

// deliveryTimeout bounds one attempt to take a send to its target; the shard
// tries again for as long as it takes.
const deliveryTimeout = 10 * time.Second

// deliver takes a send to its target, once. Whatever the target's handler
// answers, an error too, is recorded there with the mark.
func (l *shardLoop) deliver(d core.Delivery) {
	_, kind, id := d.Send.Target.Split()
	req := &request{
		kind: kind, id: id, method: d.Send.Method, args: d.Send.Args, json: d.Send.JSON,
		requestID: quorum.RequestID{Source: d.Source, Number: d.Send.Number},
		deadline:  l.node.env.About().Add(deliveryTimeout),
		internal:  true,
	}
	a := l.node.route(l.node.ctx, req)
	ok := a.Code == core.CodeOK || a.Code == core.CodeApp
	if a.Code == core.CodeApp {
		l.node.logger.Warn("a send's handler failed; the send is dropped",
			"source", d.Source.String(), "target", d.Send.Target.String(), "method", d.Send.Method,
			"code", a.App.Code, "message", a.App.Message)
	}
	l.do(func(s *core.Shard, now quorum.Instant) { s.Delivered(now, d, ok) })
}

// folder folds actors one after the other, in the background.
//
// A fold is of the log that the slot had when it was ordered: if the log is
// discarded or replaced meanwhile it must not be done. The store sees to that
// from the moment when it begins; the counts here, from the order to then.
type folder struct {
	replaced [1 << 16]atomic.Uint32 // by slot: discards and installs handed to the committer

	env   Environment
	store *local.Store
	fail  func(error)
	mu    sync.Mutex
	queue []foldJob
	wake  chan struct{}
	done  chan struct{}
}

type foldJob struct {
	loop *shardLoop
	fold core.Fold
	of   uint32 // replaced, when it was ordered
}

func newFolder(env Environment, store *local.Store, fail func(error)) *folder {
	return &folder{env: env, store: store, fail: fail, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// add queues a fold. A shard has at most one for each actor under way.
func (f *folder) add(l *shardLoop, fold core.Fold) {
	f.mu.Lock()
	f.queue = append(f.queue, foldJob{l, fold, f.replaced[fold.Slot].Load()})
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *folder) run(ctx context.Context) {
	defer close(f.done)
	for ctx.Err() == nil {
		f.env.Wait(0, ctx.Done(), f.wake, nil)
		for ctx.Err() == nil {
			f.mu.Lock()
			if len(f.queue) == 0 {
				f.mu.Unlock()
				break
			}
			job := f.queue[0]
			f.queue = f.queue[1:]
			f.mu.Unlock()
			f.fold(job)
		}
	}
}

func (f *folder) fold(job foldJob) {
	fold := job.fold
	err := local.ErrSuperseded
	if f.replaced[fold.Slot].Load() == job.of {
		_, err = f.store.Fold(fold.Slot, fold.Actor, fold.UpTo, fold.Base, fold.BaseHash)
	}
	if err != nil && !errors.Is(err, local.ErrSuperseded) {
		f.fail(err)
		return
	}
	job.loop.stats.folds.Add(1)
	job.loop.do(func(s *core.Shard, _ quorum.Instant) { s.Folded(fold, err == nil) })
}

// A snapshot's header: slot, ballot. Its body: chunks, each with its length in
// four bytes before it.
const (
	snapshotHeaderBytes = 2 + 16
	snapshotChunkBytes  = 256 << 10
	snapshotTimeout     = 10 * time.Minute
)

// sendSnapshot sends a slot as it is in the store to a node that lacks what is
// folded.
func (l *shardLoop) sendSnapshot(o core.SnapshotOrder) {
	last, err := l.writeSnapshot(o)
	if err != nil {
		l.node.logger.Warn("a snapshot could not be sent", "slot", o.Slot, "to", o.Node.String(), "err", err)
	}
	l.do(func(s *core.Shard, now quorum.Instant) { s.SnapshotSent(now, o, last, err == nil) })
}

func (l *shardLoop) writeSnapshot(o core.SnapshotOrder) (quorum.LSN, error) {
	n := l.node
	if !n.snapshots.take(n.env, n.ctx.Done()) {
		return 0, n.ctx.Err()
	}
	defer n.snapshots.give()
	r, err := n.store.OpenSnapshot(o.Slot)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	ctx, cancel := n.timeout(snapshotTimeout)
	defer cancel()
	header := binary.BigEndian.AppendUint16(nil, uint16(o.Slot))
	header = binary.BigEndian.AppendUint64(header, uint64(o.Ballot.Epoch))
	header = binary.BigEndian.AppendUint64(header, uint64(o.Ballot.Boot))
	w, err := n.net.OpenSnapshot(ctx, o.Node, header)
	if err != nil {
		return 0, err
	}
	for {
		chunk, err := r.Next(snapshotChunkBytes)
		if err == io.EOF {
			return r.Last().LSN, w.Close()
		}
		if err == nil {
			_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(chunk))), chunk...))
		}
		if err != nil {
			w.Abort()
			return 0, err
		}
	}
}

// receiveSnapshot stages a snapshot beside the store and offers it to the shard.
func (n *Node) receiveSnapshot(from quorum.NodeID, header []byte, body io.Reader) error {
	if len(header) != snapshotHeaderBytes {
		return errors.New("a snapshot's header is of another length")
	}
	slot := quorum.SlotID(binary.BigEndian.Uint16(header))
	ballot := quorum.Ballot{
		Epoch: quorum.Epoch(binary.BigEndian.Uint64(header[2:])),
		Boot:  quorum.Boot(binary.BigEndian.Uint64(header[10:])),
	}
	staged, err := n.stage(slot, body)
	if err != nil {
		return err
	}
	taken := false
	l := n.shardOf(slot)
	asked := l.ask(func(s *core.Shard, now quorum.Instant) {
		taken = s.Staged(now, from, ballot, core.StoredSlot(staged.Slot), staged)
	})
	if !asked || !taken {
		return errors.Join(errors.New("the snapshot is not wanted any more"), staged.Drop())
	}
	return nil
}

func (n *Node) stage(slot quorum.SlotID, body io.Reader) (*local.Staged, error) {
	st, err := n.store.StageSnapshot(slot)
	if err != nil {
		return nil, err
	}
	var head [4]byte
	for {
		_, err := io.ReadFull(body, head[:])
		if err == io.EOF {
			return st.Finish()
		}
		size := binary.BigEndian.Uint32(head[:])
		switch {
		case err != nil:
		case size > snapshotChunkBytes:
			err = fmt.Errorf("a snapshot's chunk of %d bytes", size)
		case n.diskFull.Load():
			err = errors.New("the disk is nearly full")
		}
		if err == nil {
			chunk := make([]byte, size)
			if _, err = io.ReadFull(body, chunk); err == nil {
				err = st.Write(chunk)
			}
		}
		if err != nil {
			return nil, errors.Join(err, st.Abort())
		}
	}
}
