package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// controlLoop is the goroutine that owns the control core: views, heartbeats,
// and, while this node coordinates, what the mesh does next.
type controlLoop struct {
	node *Node
	core *core.Control

	mu    sync.Mutex
	queue []func(c *core.Control, now quorum.Instant)
	taken []func(c *core.Control, now quorum.Instant) // by the turn that runs
	run   func()
	wake  func()

	serving chan struct{} // closed when the node is a member, as it is now, and registered
	drained chan struct{} // closed when what Drain asked for is done, or more
	left    chan struct{} // closed when what Leave asked for is done
	done    chan struct{}

	answers map[uint64]func(core.ControlAnswer) // of questions under way; only the loop looks at it
	token   atomic.Uint64
	cluster ring.ClusterID // that the disk remembers
	kinds   []string       // that this program hosts, as the view lists them
	member  bool           // of the newest view, which knows what kinds it hosts
	enabled bool           // registered: the shards know
	leaving bool           // Leave was asked

	publishAt  quorum.Instant // not before, the next time
	complained string         // last said of why the node does not serve yet
	complainAt quorum.Instant

	factsMu sync.Mutex
	known   controlFacts
}

// controlFacts is what others in this process may know of the control core.
type controlFacts struct {
	quorum       bool // it hears a majority of the voters
	registered   bool
	retiring     bool
	unheard      []quorum.NodeID // ascending
	viewsAdopted uint64
	active       []quorum.SlotID // slots that it knows to be served, ascending
	yielding     string          // why it gives up ownership for a while, or empty
	text         string          // why it does not serve yet, for people
}

// askView is the one question that clients may ask: for a newer view.
const askView = 1

func newControlLoop(n *Node) *controlLoop {
	l := &controlLoop{
		node: n, serving: make(chan struct{}), drained: make(chan struct{}),
		left: make(chan struct{}), done: make(chan struct{}), answers: map[uint64]func(core.ControlAnswer){},
	}
	l.run, l.wake = n.env.Loop(n.ctx.Done(), l.turn, func() { close(l.done) })
	return l
}

// open makes the core, when the node knows its addresses.
func (l *controlLoop) open() error {
	n := l.node
	disk := n.store.Identity()
	l.cluster = ring.ClusterID(disk.Cluster)
	l.kinds = n.kinds.kindNames()
	if len(l.kinds) > maxKindTexts {
		return fmt.Errorf("mesh: the methods of %d kinds are more than a view takes", len(n.kinds.byName))
	}
	var err error
	l.core, err = core.NewControl(n.env.Now(), core.ControlConfig{
		Start: quorum.Start{Node: disk.Disk, Boot: disk.Boot, Nonce: disk.Nonce},
		Member: ring.Member{
			Name: n.conf.Name, Addr: n.Addr(), HTTP: n.HTTPAddr(), Zone: n.conf.Zone, Kinds: l.kinds,
		},
		Shards: len(n.shards), Cluster: l.cluster,
		Expect: n.conf.Expect, Seeds: n.seeds(), Slots: n.conf.Slots, Replication: n.conf.Replication, Voters: n.conf.Voters,
		Beat: n.conf.Heartbeat, Grace: n.conf.DeadGrace, Seed: uint64(disk.Nonce),
	}, n.store.Register())
	if err != nil {
		return fmt.Errorf("data directory %s: %w", n.conf.DataDir, err)
	}
	return nil
}

// seeds returns where members may be: as configured, and as last seen.
func (n *Node) seeds() []string {
	list := append([]string(nil), n.conf.Join...)
	return append(list, n.store.Peers()...)
}

// do gives the loop an event.
func (l *controlLoop) do(event func(c *core.Control, now quorum.Instant)) {
	l.mu.Lock()
	l.queue = append(l.queue, event)
	l.mu.Unlock()
	l.wake()
}

// turn takes what has come, and returns when the core wants to be ticked.
func (l *controlLoop) turn() quorum.Instant {
	l.mu.Lock()
	l.taken, l.queue = l.queue, l.taken[:0]
	l.mu.Unlock()
	now := l.node.env.Now()
	for _, event := range l.taken {
		event(l.core, now)
		l.dispatch()
	}
	clear(l.taken)
	if now >= l.core.Deadline() {
		l.core.Tick(now)
		l.dispatch()
	}
	if now < l.publishAt { // what has happened is published then
		return min(l.core.Deadline(), l.publishAt)
	}
	l.publishAt = now.Add(publishPeriod)
	l.publish()
	return l.core.Deadline()
}

// dispatch does what the core wants done.
func (l *controlLoop) dispatch() {
	n := l.node
	r := l.core.Ready()
	if r.Save != nil {
		n.commit.submit(submission{register: r.Save, seq: r.Seq, durable: func(seq uint64) {
			l.do(func(c *core.Control, now quorum.Instant) { c.Persisted(now, seq) })
		}})
	}
	for _, p := range r.Peers {
		if p.Addr == "" {
			n.net.RemovePeer(p.ID)
			continue
		}
		n.net.SetPeer(p.ID, p.Name, p.Addr)
	}
	if r.View != nil {
		l.adopt(r.View)
	}
	if r.Registered && !l.enabled {
		l.enabled = true
		l.shards(func(s *core.Shard, now quorum.Instant) { s.Register(now) })
	}
	if l.enabled && l.member {
		l.serve()
	}
	l.send(&r)
	for _, h := range r.Hears {
		l.shards(func(s *core.Shard, now quorum.Instant) { s.Beat(now, h.From, h.Boot, h.Epoch, h.Seq) })
	}
	for _, a := range r.Leases {
		l.shards(func(s *core.Shard, now quorum.Instant) { s.Lease(now, a.Peer, a.Sent) })
	}
	for _, owner := range r.Positions {
		l.askPositions(owner)
	}
	for _, slot := range r.Quiesce {
		n.shardOf(slot).do(func(s *core.Shard, now quorum.Instant) { s.Quiesce(now, slot) })
	}
	if r.Retired {
		l.retiredAs()
	}
	if r.Stop != nil {
		l.end(r.Stop)
	}
}

// send lets messages out. What cannot be sent is lost, as on any network; the
// core repeats it.
func (l *controlLoop) send(r *core.ControlReady) {
	n := l.node
	for _, m := range r.Sends {
		_ = n.net.SendControl(m.To, transport.Control{Kind: uint8(m.Kind), Body: m.Body})
	}
	for _, b := range r.Beats {
		beat := transport.Beat{
			Kind: transport.BeatAsk, Boot: b.Boot, AnsweredBoot: b.AnsweredBoot, Epoch: b.Epoch, Sent: b.Sent,
			Granted: b.Granted, Wall: n.env.Wall(),
		}
		if b.Answer {
			beat.Kind = transport.BeatAnswer
		}
		_ = n.net.SendBeat(b.Peer, beat)
	}
	for _, a := range r.Answers {
		if tell := l.answers[a.Token]; tell != nil {
			delete(l.answers, a.Token)
			tell(a)
		}
	}
	for _, q := range r.Asks {
		n.spawn(func() { l.ask(q) })
	}
}

// askTimeout bounds one question to an address.
const askTimeout = 2 * time.Second

func (l *controlLoop) ask(q core.ControlAsk) {
	ctx, cancel := l.node.timeout(askTimeout)
	defer cancel()
	reply, err := l.node.net.Ask(ctx, q.Addr, transport.Control{Kind: uint8(q.Kind), Body: q.Body})
	if errors.Is(err, transport.ErrOtherCluster) {
		err = l.foreign(q.Addr, err)
	}
	l.do(func(c *core.Control, now quorum.Instant) {
		c.Answered(now, q.Addr, core.ControlKind(reply.Kind), reply.Body, err)
	})
}

// adopt publishes a view and gives the shards their rows.
func (l *controlLoop) adopt(v *ring.View) {
	n := l.node
	if l.cluster != v.Cluster {
		// The register refuses views of other clusters; a directory without
		// one belongs to this one from now on.
		if err := n.store.SetCluster(v.Cluster); err != nil {
			n.fail(err)
			return
		}
		l.cluster = v.Cluster
		n.net.SetCluster(v.Cluster.String())
	}
	own, found := v.Member(ring.NodeID(n.id))
	l.member = found && slices.Equal(own.Kinds, l.kinds) // else its first calls would find that nobody hosts them
	rows := make([][]core.SlotRow, len(n.shards))
	for i := range v.Slots {
		r := core.SlotRow{Slot: quorum.SlotID(i), Row: core.QuorumRow(&v.Slots[i])}
		j := i % len(rows)
		rows[j] = append(rows[j], r)
	}
	for i, shard := range n.shards {
		shard.do(func(s *core.Shard, now quorum.Instant) { s.Adopt(now, quorum.Epoch(v.Epoch), rows[i]) })
	}
	l.factsMu.Lock()
	l.known.viewsAdopted++
	l.factsMu.Unlock()
	old := n.view.Load()
	n.setView(v)
	if o := n.env.Observer(); o != nil {
		o.View(v)
	}
	n.logger.Log(n.ctx, viewLevel(old, v), "view", "epoch", v.Epoch, "coordinator", memberName(v, v.Coordinator),
		"members", memberStates(v))
}

// viewLevel is how much people should know of a view: of those that only move
// slots there are many.
func viewLevel(old, v *ring.View) slog.Level {
	if old == nil || old.Coordinator != v.Coordinator || memberStates(old) != memberStates(v) {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// memberStates lists the members by name, with the state of those that are not
// up.
func memberStates(v *ring.View) string {
	list := make([]string, len(v.Members))
	for i, m := range v.Members {
		list[i] = m.Name
		if m.State != ring.Up {
			list[i] += "(" + m.State.String() + ")"
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func memberName(v *ring.View, id ring.NodeID) string {
	m, _ := v.Member(id)
	return m.Name
}

func (l *controlLoop) serve() {
	if !isClosed(l.serving) {
		close(l.serving)
		l.node.spawn(l.checkSeeds)
	}
}

// checkSeeds warns of seeds in other clusters. The node serves its own all the
// same; but whoever named them may have meant to join theirs.
func (l *controlLoop) checkSeeds() {
	for _, addr := range l.node.conf.Join {
		ctx, cancel := l.node.timeout(askTimeout)
		_, err := l.node.net.Ask(ctx, addr, viewQuestion(l.node.view.Load()))
		cancel()
		if errors.Is(err, transport.ErrOtherCluster) {
			l.node.logger.Warn("a seed is in another cluster", "seed", addr, "err", l.foreign(addr, err))
		}
	}
}

// foreign says what to do about a node of another cluster.
func (l *controlLoop) foreign(addr string, err error) error {
	return fmt.Errorf("%w: the directory %s belongs to another cluster than the node at %s: give --join of its own, or an "+
		"empty directory to join this one as a new node", err, l.node.conf.DataDir, addr)
}

// retiredAs says that what was asked for is done. That the node has left is
// written down first: its directory must not serve again.
func (l *controlLoop) retiredAs() {
	if l.leaving && !isClosed(l.left) {
		if err := l.node.store.SetLeft(); err != nil {
			l.node.fail(err)
			return
		}
		close(l.left)
	}
	if !isClosed(l.drained) {
		close(l.drained)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// end stops the node for a reason that the core has found.
func (l *controlLoop) end(why error) {
	if errors.Is(why, core.ErrLeft) {
		if err := l.node.store.SetLeft(); err != nil {
			why = errors.Join(why, err)
		}
	}
	l.node.fail(why)
}

// shards gives every shard an event.
func (l *controlLoop) shards(event func(s *core.Shard, now quorum.Instant)) {
	for _, s := range l.node.shards {
		s.do(event)
	}
}

// askPositions asks the shards how far their logs of an owner's slots go.
func (l *controlLoop) askPositions(owner quorum.NodeID) {
	l.shards(func(s *core.Shard, _ quorum.Instant) {
		list := s.Positions(owner)
		l.do(func(c *core.Control, now quorum.Instant) { c.Positions(now, owner, list) })
	})
}

// fromShard takes what a shard has for the control core.
func (l *controlLoop) fromShard(index int, r *core.Ready) {
	if len(r.Verdicts)+len(r.Reports) == 0 && r.Adopted == 0 {
		return
	}
	verdicts, reports, adopted := r.Verdicts, r.Reports, r.Adopted
	l.do(func(c *core.Control, now quorum.Instant) {
		if adopted > 0 {
			c.Adopted(now, index, adopted)
		}
		for _, v := range verdicts {
			c.Verdict(v)
		}
		for _, report := range reports {
			c.Report(now, report)
		}
	})
}

// message takes a control message from a peer.
func (l *controlLoop) message(from quorum.NodeID, m transport.Control) {
	l.do(func(c *core.Control, now quorum.Instant) {
		if err := c.Step(now, from, core.ControlKind(m.Kind), m.Body); err != nil {
			l.node.logger.Warn("a control message that was not understood", "err", err)
		}
	})
}

// beat takes a heartbeat or an answer.
func (l *controlLoop) beat(from quorum.NodeID, b transport.Beat) {
	skew := time.Duration(b.Wall - l.node.env.Wall())
	l.do(func(c *core.Control, now quorum.Instant) {
		c.Beat(now, core.Heartbeat{
			Peer: from, Answer: b.Kind == transport.BeatAnswer, Boot: b.Boot, AnsweredBoot: b.AnsweredBoot,
			Epoch: b.Epoch, Sent: b.Sent, Granted: b.Granted, Skew: skew,
		})
	})
}

// behind says that somebody has the view of epoch or a newer one.
func (l *controlLoop) behind(epoch quorum.Epoch) {
	l.do(func(c *core.Control, now quorum.Instant) { c.Behind(now, 0, epoch) })
}

// answer answers a question of a node or a client, within its time.
func (l *controlLoop) answer(from transport.Caller, q transport.Control) transport.Control {
	if q.Kind == askView {
		return viewAnswer(q, l.node.view.Load())
	}
	if from.Role != transport.RoleNode {
		return transport.Control{}
	}
	var reply core.ControlAnswer
	told := make(chan struct{})
	token := l.token.Add(1)
	l.do(func(c *core.Control, now quorum.Instant) {
		l.answers[token] = func(a core.ControlAnswer) {
			reply = a
			close(told)
		}
		c.Asked(now, token, core.ControlKind(q.Kind), q.Body)
	})
	env := l.node.env
	env.Wait(env.About().Add(askTimeout), told, l.done, nil)
	if isClosed(told) {
		return transport.Control{Kind: uint8(reply.Kind), Body: reply.Body}
	}
	l.do(func(*core.Control, quorum.Instant) { delete(l.answers, token) })
	return transport.Control{Kind: uint8(core.ControlNothing)}
}

// gossiped takes a hint of gossip: a node is there, and has a view.
func (l *controlLoop) gossiped(p gossipPeer) {
	l.do(func(c *core.Control, now quorum.Instant) { c.Hint(now, p.id, p.addr, p.epoch) })
}

// facts returns what is known of the control core.
func (l *controlLoop) facts() controlFacts {
	l.factsMu.Lock()
	defer l.factsMu.Unlock()
	return l.known
}

// publishPeriod is how old facts may be.
const publishPeriod = 50 * time.Millisecond

// publish refreshes facts.
func (l *controlLoop) publish() {
	s := l.core.Status()
	l.complain(s.Waiting)
	l.factsMu.Lock()
	defer l.factsMu.Unlock()
	switch {
	case s.Yielding != "" && l.known.yielding == "":
		l.node.logger.Error("the node gives up ownership for a while", "why", s.Yielding)
	case s.Yielding == "" && l.known.yielding != "":
		l.node.logger.Info("the node takes part again", "was", l.known.yielding)
	}
	l.known.yielding = s.Yielding
	l.known.quorum, l.known.registered, l.known.unheard = s.Quorum, l.enabled, s.Unheard
	l.known.active, l.known.text = s.Active, s.Waiting
}

// complainPeriod is how often a node that does not serve yet says why.
const complainPeriod = 5 * time.Second

// complain says why the node does not serve yet, if it has waited for a while:
// at its first start that is mostly about addresses and certificates.
func (l *controlLoop) complain(why string) {
	now := l.node.env.Now()
	if l.complainAt == 0 { // give what is just starting a moment
		l.complainAt = now.Add(complainPeriod / 5)
	}
	if l.enabled && l.member || why == "" || why == l.complained || now < l.complainAt {
		return
	}
	l.complained, l.complainAt = why, now.Add(complainPeriod)
	l.node.logger.Warn("not serving yet", "why", why)
}

// Drain makes the node give up ownership and coordination, so that others take
// over without waiting for its leases. It keeps its replicas, and its vote unless
// only two nodes have one, for it is expected back. It returns nil when it owns nothing more; when ctx ends it
// returns an error that says what is left.
func (n *Node) Drain(ctx context.Context) error {
	return n.control.retire(ctx, n.control.drained, (*core.Control).Drain)
}

// Leave makes the node give up ownership, replicas and vote, for good. It
// returns nil when no slot names it any more and a majority of the others knows;
// its directory is then of no use. The only member cannot leave: that is an
// ErrUsage.
func (n *Node) Leave(ctx context.Context) error {
	if v := n.view.Load(); v != nil && len(v.Members) == 1 {
		return usagef("%s is the only member, with nobody to leave the data to: stop it, and delete its directory %s if that is meant",
			n.conf.Name, n.conf.DataDir)
	}
	return n.control.retire(ctx, n.control.left, func(c *core.Control, now quorum.Instant) {
		n.control.leaving = true
		c.Leave(now)
	})
}

func (l *controlLoop) retire(ctx context.Context, done <-chan struct{}, how func(*core.Control, quorum.Instant)) error {
	l.factsMu.Lock()
	l.known.retiring = true
	l.factsMu.Unlock()
	l.do(how)
	l.node.env.Wait(0, done, l.done, ctx.Done())
	switch {
	case isClosed(done):
		return nil
	case isClosed(l.done):
		return errors.New("the node has stopped")
	}
	why := l.facts().text
	if v := l.node.view.Load(); why == "" && v != nil {
		m, _ := v.Member(v.Coordinator)
		why = fmt.Sprintf("the status of %s, which coordinates, may say why", m.Name)
	}
	return fmt.Errorf("others have not taken over yet (%s): %w", why, ctx.Err())
}
