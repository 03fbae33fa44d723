package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// ControlConfig is what a control core must know. Durations that are zero have
// the stated default.
type ControlConfig struct {
	Start   quorum.Start   // this start of this disk
	Member  ring.Member    // what the view is to say of this node; State and ID are filled in
	Shards  int            // of this node, at least 1
	Cluster ring.ClusterID // the one that the disk remembers, or zero

	Expect      int      // found a mesh of so many, 0 never
	Seeds       []string // HOST:PORT where members may be
	Slots       int      // of a mesh that is founded
	Replication int
	Voters      int // odd; 0 for what ring.VotersWanted says

	Beat    time.Duration // between heartbeats: 100 ms
	Unheard time.Duration // a peer from which nothing came for so long: 4 beats
	Grace   time.Duration // a dead member keeps its replicas and its vote: 60 s
	Steady  time.Duration // a flapping member must be steady to be given slots: 60 s
	Stuck   time.Duration // a slot whose owner does not become active moves, the first time: 5 s
	Seed    uint64        // of the randomness in backoffs
}

func (c ControlConfig) withDefaults() ControlConfig {
	setDefault(&c.Beat, 100*time.Millisecond)
	setDefault(&c.Unheard, 4*c.Beat)
	setDefault(&c.Grace, time.Minute)
	setDefault(&c.Steady, time.Minute)
	setDefault(&c.Stuck, 5*time.Second)
	setDefault(&c.Shards, 1)
	c.Member.ID = ring.NodeID(c.Start.Node)
	c.Member.State = ring.Up
	c.Member.Weight = max(c.Member.Weight, 1)
	c.Member.Kinds = slices.Compact(slices.Sorted(slices.Values(c.Member.Kinds)))
	return c
}

// Why a node stops, beside what quorum.Register and quorum.Founding say. The
// text says what to do.
var (
	ErrLeft      = errors.New("this node has left its mesh for good; start with an empty directory to join again as a new node")
	ErrNameTaken = errors.New("another node has this name")
)

// Control is a node's control core: its part in the view register, the view that
// it has, whom it hears, and, while the view names it, the coordinator's work.
// One goroutine owns it and gives it events by its methods; after each it takes
// what is to be done by Ready. It never blocks and reads no clock.
//
//	             beats, facts of all nodes         the difference, a step at a time
//	hearing ───────► who is dead? ──► ring.Plan ──► Register.Propose ──► view ──► shards
//	                                     ▲                                         │
//	joins, drains ───────────────────────┴────── active, caught up, quiesced ◄─────┘
//
// The first view comes from a founding, or from a member that is asked.
type Control struct {
	cfg      ControlConfig
	self     quorum.NodeID
	register *quorum.Register
	founding *quorum.Founding // nil when it is over or was never begun
	saving   saving
	view     *ring.View // nil while there is none
	seen     *ring.View // of a mesh in which this node is no member yet
	peers    map[quorum.NodeID]*peer
	order    []*peer                          // all of them, ascending; nil when somebody has come or gone
	routes   map[quorum.NodeID]string         // addresses that were handed out
	strays   map[quorum.NodeID]quorum.Instant // of these, nodes that are no members, since when
	shards   shards
	beats    beats
	report   reporting
	plan     planning
	joining  joining
	retire   retiring
	stopped  error
	ticked   quorum.Instant
	out      ControlReady
}

// saving is what is on its way to the disk.
type saving struct {
	seq      uint64
	register []byte // encoded state, as last handed out
	found    []byte
	pending  []pendingSave
}

type pendingSave struct {
	seq, register, found uint64
}

// ControlReady is what a control core wants done, in this order.
type ControlReady struct {
	// Save, if not nil, is to be made durable in the place of the last one,
	// then Persisted called with Seq. Saves are made in their order.
	Save []byte
	Seq  uint64

	Peers []ControlPeer // where nodes are to which something may be sent
	// View is a newer view: routes follow it, and the shards adopt its rows.
	View       *ring.View
	Registered bool // shards may promise, seal and grant: once true it stays so

	Sends     []ControlSend
	Asks      []ControlAsk
	Answers   []ControlAnswer
	Beats     []Heartbeat
	Hears     []BeatHeard     // for all shards, which answer by a BeatVerdict each
	Leases    []LeaseAnswer   // for all shards
	Positions []quorum.NodeID // of all shards: Shard.Positions for these owners
	Quiesce   []quorum.SlotID // for the shards that have them

	// Retired says that what Drain or Leave asked for is done.
	Retired bool
	// Stop is why the process must end, or nil.
	Stop error
}

// ControlPeer is where a node is. With an empty Addr nothing is sent to it any
// more.
type ControlPeer struct {
	ID         quorum.NodeID
	Name, Addr string
}

// ControlSend is a message for a node.
type ControlSend struct {
	To   quorum.NodeID
	Kind ControlKind
	Body []byte
}

// ControlAsk is a question to whoever is at an address. Its end is to be told by
// Answered.
type ControlAsk struct {
	Addr string
	Kind ControlKind
	Body []byte
}

// ControlAnswer answers a question that came by Asked.
type ControlAnswer struct {
	Token uint64
	Kind  ControlKind
	Body  []byte
}

// NewControl returns the control core of a node whose disk holds saved, which is
// what Save last was, or nil. The error wraps ErrControl or quorum.ErrCorrupt.
func NewControl(now quorum.Instant, cfg ControlConfig, saved []byte) (*Control, error) {
	cfg = cfg.withDefaults()
	c := &Control{
		cfg: cfg, self: cfg.Start.Node,
		peers:  map[quorum.NodeID]*peer{},
		routes: map[quorum.NodeID]string{},
		strays: map[quorum.NodeID]quorum.Instant{},
		shards: newShards(cfg.Shards),
		ticked: now,
	}
	state, found, err := c.saving.load(saved)
	if err != nil {
		return nil, err
	}
	c.register = quorum.NewRegister(cfg.Start, state, cfg.Seed)
	c.plan.at, c.report.at = quorum.Never, quorum.Never
	c.retire.state = ring.Up
	if state.View.Epoch > 0 {
		view, err := c.checkView(&state.View)
		if err != nil {
			return nil, err
		}
		c.install(now, view)
	} else if cfg.Expect > 0 {
		if c.founding, err = c.newFounding(now, found); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *saving) load(b []byte) (*quorum.RegisterState, *quorum.FoundState, error) {
	state, found := &quorum.RegisterState{}, &quorum.FoundState{}
	if b == nil {
		return state, found, nil
	}
	r := newReader(b)
	s.register, s.found = r.bytes(), r.bytes()
	err := r.end()
	if err == nil && len(s.register) > 0 {
		state, err = quorum.DecodeRegisterState(s.register)
	}
	if err == nil && len(s.found) > 0 {
		found, err = quorum.DecodeFoundState(s.found)
	}
	return state, found, err
}

// Step takes a message from a peer. The error says that it was not understood,
// and is for a log.
func (c *Control) Step(now quorum.Instant, from quorum.NodeID, kind ControlKind, body []byte) error {
	if c.stopped != nil {
		return nil
	}
	err := c.step(now, from, kind, body)
	c.settle(now)
	if err != nil {
		return fmt.Errorf("%s from %s: %w", kind, from, err)
	}
	return nil
}

func (c *Control) step(now quorum.Instant, from quorum.NodeID, kind ControlKind, body []byte) error {
	switch kind {
	case ControlRegister:
		return c.stepRegister(now, from, body)
	case ControlFound:
		m, err := quorum.DecodeFoundMessage(body)
		if err != nil {
			return err
		}
		c.stepFound(now, from, m)
	case ControlView:
		m, err := decodeView(body)
		if err != nil {
			return err
		}
		return c.stepView(now, &m)
	case ControlJoin:
		m, err := decodeJoin(body)
		if err != nil {
			return err
		}
		switch refusal := c.join(now, &m); {
		case refusal != nil && !m.Forwarded:
			c.send(from, ControlRefusal, refusal.encode())
		case c.hasLeft(&m):
			c.sendView(quorum.NodeID(m.Member.ID))
		}
	case ControlRefusal:
		m, err := decodeRefusal(body)
		if err != nil {
			return err
		}
		c.refused(now, &m)
	case ControlFacts:
		f, err := decodeFacts(body)
		if err != nil {
			return err
		}
		c.stepFacts(now, from, &f)
	case ControlQuiesce:
		m, err := decodeQuiesce(body)
		if err != nil {
			return err
		}
		c.stepQuiesce(from, &m)
	default:
		return fmt.Errorf("%w: kind %d", ErrControl, uint8(kind))
	}
	return nil
}

func (c *Control) stepRegister(now quorum.Instant, from quorum.NodeID, body []byte) error {
	m, err := quorum.DecodeRegisterMessage(body)
	if err != nil {
		return err
	}
	if m.View.Epoch == 0 {
		c.register.Step(now, from, m)
		return nil
	}
	view, err := c.checkView(&m.View)
	if err != nil {
		return err
	}
	if m.Kind == quorum.RegisterLearn && c.view == nil && !isMember(view, c.self) {
		c.see(now, view) // not this node's mesh yet
		return nil
	}
	c.register.Step(now, from, m)
	return nil
}

// checkView decodes a decree's body and checks that it says what the decree
// says.
func (c *Control) checkView(d *quorum.Decree) (*ring.View, error) {
	view, err := ring.Decode(d.Body)
	if err != nil {
		return nil, err
	}
	cluster := c.cfg.Cluster
	if c.view != nil {
		cluster = c.view.Cluster
	}
	members := func(m ring.Member, s quorum.Start) bool { return quorum.NodeID(m.ID) == s.Node }
	switch {
	case uint32(view.Incarnation) != d.Incarnation || quorum.Epoch(view.Epoch) != d.Epoch:
		return nil, fmt.Errorf("%w: the view of %d in the decree of %d", ErrControl, view.Epoch, d.Epoch)
	case !slices.Equal(toQuorum(view.Voters), d.Voters) || !slices.EqualFunc(view.Members, d.Starts, members):
		return nil, fmt.Errorf("%w: a decree with other voters or members than its view", ErrControl)
	case cluster != ring.ClusterID{} && cluster != view.Cluster:
		return nil, fmt.Errorf("%w: this data directory belongs to the mesh %s, and not to %s", ErrControl, cluster, view.Cluster)
	}
	return view, nil
}

// Persisted says that the save with this number is durable, and those before it.
func (c *Control) Persisted(now quorum.Instant, seq uint64) {
	s := &c.saving
	for len(s.pending) > 0 && s.pending[0].seq <= seq {
		p := s.pending[0]
		s.pending = s.pending[1:]
		c.register.Persisted(now, p.register)
		if c.founding != nil {
			c.founding.Persisted(now, p.found)
		}
	}
	c.settle(now)
}

// Tick lets time pass; it is to be called at Deadline.
func (c *Control) Tick(now quorum.Instant) {
	if c.stopped != nil {
		return
	}
	c.register.Tick(now)
	if c.founding != nil {
		c.founding.Tick(now)
	}
	c.tickBeats(now)
	c.tickJoining(now)
	c.tickRetire(now)
	c.settle(now)
}

// Deadline returns when Tick is wanted next.
func (c *Control) Deadline() quorum.Instant {
	if c.stopped != nil {
		return quorum.Never
	}
	at := min(c.register.Deadline(), c.beats.next, c.plan.at, c.report.at, c.joining.at, c.retire.at)
	if c.founding != nil {
		at = min(at, c.founding.Deadline())
	}
	return at
}

// Ready returns what is to be done, and forgets it. The lists of heartbeats, their
// hearing and leases are used again after the next call of another method.
func (c *Control) Ready() ControlReady {
	out := c.out
	out.Stop = c.stopped
	c.out = ControlReady{
		Registered: out.Registered, Retired: out.Retired,
		Beats: out.Beats[:0], Hears: out.Hears[:0], Leases: out.Leases[:0],
	}
	return out
}

// settle takes what the register and the founding want done until they want
// nothing more, and then plans and reports where that is due.
func (c *Control) settle(now quorum.Instant) {
	for c.stopped == nil {
		changed := c.takeRegister(now)
		changed = c.takeFounding(now) || changed
		if now >= c.plan.at {
			c.runPlan(now)
			changed = true
		}
		if !changed {
			break
		}
	}
	if c.stopped == nil && now >= c.report.at {
		c.sendFacts(now)
	}
}

func (c *Control) takeRegister(now quorum.Instant) bool {
	r := c.register.Ready()
	if r.Save != nil {
		c.saving.register = r.Save.AppendTo(nil)
		c.save(r.Seq, 0)
	}
	if r.Learned != nil {
		c.adopt(now, r.Learned)
	}
	for i := range r.Sends {
		c.send(r.Sends[i].To, ControlRegister, r.Sends[i].Message.AppendTo(nil))
	}
	if r.Registered && !c.out.Registered {
		c.out.Registered = true
		c.wantPlan(now, 0)
	}
	if r.Refused != nil {
		c.stop(r.Refused)
	}
	return r.Learned != nil
}

func (c *Control) save(register, found uint64) {
	s := &c.saving
	s.seq++
	last := pendingSave{}
	if n := len(s.pending); n > 0 {
		last = s.pending[n-1]
	}
	s.pending = append(s.pending, pendingSave{s.seq, max(register, last.register), max(found, last.found)})
	w := newWriter()
	w.bytes(s.register)
	w.bytes(s.found)
	c.out.Save, c.out.Seq = w, s.seq
}

func (c *Control) stop(err error) {
	if c.stopped == nil {
		c.stopped = err
	}
}

// route says where a node is, or, with an empty address, that nothing is sent to
// it any more.
func (c *Control) route(id quorum.NodeID, name, addr string) {
	if known, ok := c.routes[id]; ok && known == addr {
		return
	}
	c.routes[id] = addr
	if addr == "" {
		delete(c.routes, id)
		delete(c.strays, id)
	}
	c.out.Peers = append(c.out.Peers, ControlPeer{id, name, addr})
}

func (c *Control) send(to quorum.NodeID, kind ControlKind, body []byte) {
	if to != c.self {
		c.out.Sends = append(c.out.Sends, ControlSend{to, kind, body})
	}
}

// View returns the newest view, nil if there is none. It is never modified.
func (c *Control) View() *ring.View { return c.view }

// ControlStatus describes a control core for people and for metrics.
type ControlStatus struct {
	View       *ring.View
	Registered bool
	Quorum     bool            // a majority of the voters is heard, this node among them
	Unheard    []quorum.NodeID // members that this node should hear and does not, ascending
	Active     []quorum.SlotID // slots of which this node knows that they are served, ascending
	Retiring   bool            // Drain or Leave was asked
	Yielding   string          // why the node gives up ownership for a while, or empty
	Waiting    string          // what keeps the node, or the coordinator's plan, from going on
	Register   quorum.RegisterStats
}

// Status describes the core.
func (c *Control) Status() ControlStatus {
	s := ControlStatus{
		View: c.view, Registered: c.out.Registered, Retiring: c.retire.state != ring.Up, Register: c.register.Stats(),
		Yielding: c.retire.yield.why(),
	}
	s.Waiting = c.waiting()
	if c.view == nil {
		return s
	}
	s.Quorum = c.hearsQuorum()
	s.Unheard = c.unheard()
	s.Active = make([]quorum.SlotID, 0, len(c.view.Slots))
	for i := range c.view.Slots {
		if c.isActive(quorum.SlotID(i)) {
			s.Active = append(s.Active, quorum.SlotID(i))
		}
	}
	return s
}

func (c *Control) waiting() string {
	var parts []string
	if c.founding != nil {
		parts = append(parts, c.founding.Waiting())
	}
	for _, text := range [...]string{c.joining.refusal, c.joining.trouble, c.plan.waiting} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	switch {
	case c.retire.removed && !c.register.StoredByMajority():
		parts = append(parts, "this node has left, and a majority of the voters must store that")
	case c.view != nil && !c.out.Registered:
		parts = append(parts, "a majority of the voters must register this start")
	}
	return strings.Join(parts, "; ")
}

// toQuorum and toRing convert lists of nodes. The two packages know nothing of
// each other.
func toQuorum(ids []ring.NodeID) []quorum.NodeID {
	list := make([]quorum.NodeID, len(ids))
	for i, id := range ids {
		list[i] = quorum.NodeID(id)
	}
	return list
}

func isMember(v *ring.View, id quorum.NodeID) bool {
	_, ok := v.Member(ring.NodeID(id))
	return ok
}
