package core

import (
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// ShardConfig is what a shard must know. Zero values mean what DESIGN.md §8 says.
type ShardConfig struct {
	Self  quorum.NodeID
	Boot  quorum.Boot
	Lease time.Duration // term of leases; 0 turns them off
	Drift float64       // bound on the drift of a clock, default quorum.MaxDrift

	FoldRecords  int           // fold an actor after that many records, default 64
	FoldBytes    int           // or that many bytes of them, default 256 KiB
	MaxUnfolded  int           // actors of a slot that wait for that, default 1,024
	KeepEntries  int           // entries of a slot that are kept for short outages, default 512
	LaggardBytes int           // of a slot's log that are kept for a replica that lags, default 64 MiB
	Retention    time.Duration // of answers to own keys and of silent sessions, default 1 h
	RecordBytes  int           // largest record, default 4 MiB

	MaxCalls    int // calls from outside in flight, default 16,384
	MaxInternal int // calls from turns and sends in flight, default 16,384
	MaxActive   int // activations in memory, default 1,000,000
}

func (c ShardConfig) withDefaults() ShardConfig {
	setDefault(&c.Drift, quorum.MaxDrift)
	setDefault(&c.FoldRecords, 64)
	setDefault(&c.FoldBytes, 256<<10)
	setDefault(&c.MaxUnfolded, 1024)
	setDefault(&c.KeepEntries, 512)
	setDefault(&c.LaggardBytes, 64<<20)
	setDefault(&c.Retention, time.Hour)
	setDefault(&c.RecordBytes, 4<<20)
	setDefault(&c.MaxCalls, 16<<10)
	setDefault(&c.MaxInternal, 16<<10)
	setDefault(&c.MaxActive, 1_000_000)
	return c
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Shard is some of a node's slots: their logs, and the actors that live in them.
// One goroutine owns it and gives it events by its methods; after each batch of
// them it takes what is to be done by Ready. A Shard never blocks and reads no
// clock and no storage.
//
//	messages, ends of writes ─► quorum.Slot ─► active, committed, lost ─┐
//	calls, results of turns, loads ──────────► actor ◄──────────────────┘
//	                                             │
//	writes, messages, turns, loads, folds, outcomes: Ready
type Shard struct {
	cfg   ShardConfig
	env   quorum.Env
	slots map[quorum.SlotID]*slot

	actors   map[ActivationID]*actor
	pending  map[pendingKey]*pending
	lastID   ActivationID
	idle     []*idleList // by timeout
	working  actorList   // that are in no idle list
	timed    []*actor    // with sends to repeat, or to note as done
	external int         // calls in flight
	internal int
	nextDue  quorum.Instant // no call's deadline is before it
	tickedAt quorum.Instant

	busy   []*slot // to be ticked often
	lapsed []*slot // whose turns wait for a lease

	seq     uint64
	written []writtenBatch
	out     Ready
	// Of the last Ready that was returned.
	usedSends    []quorum.Envelope
	usedOutcomes []Finished
}

type writtenBatch struct {
	seq   uint64
	slots []*quorum.Slot
}

// Ready is what a shard wants done, in this order: its writes handed to the
// store, then everything else, none of which waits for them. What must wait for
// a write is only said once Persisted has told its end.
type Ready struct {
	Writes []quorum.Write // one batch, to be made durable together
	Seq    uint64         // of the batch, for Persisted

	Sends      []quorum.Envelope
	Outcomes   []Finished
	Abandon    []TurnRef // before Turns, which may begin the next on the same activation
	Turns      []TurnStart
	Deactivate []ActivationID
	Loads      []Load
	Lookups    []Lookup
	Deliveries []Delivery
	Folds      []Fold
	Reads      []LogRead
	Snapshots  []SnapshotOrder
	Outboxes   []quorum.SlotID // slots whose folded actors with pending sends are to be found
	Verdicts   []BeatVerdict
	Reports    []SlotReport
	Handovers  []time.Duration // from the view that appoints this node until it serves a slot
	Lapsed     int             // slots that have lost their majority of leases
	Adopted    quorum.Epoch    // the view that this shard has adopted, if it is a new one
	Damaged    string          // if not empty, why the node must stop
}

// Finished is a call's end.
type Finished struct {
	Call    *Call
	Outcome Outcome
}

// TurnRef names one turn.
type TurnRef struct {
	Activation ActivationID
	Turn       uint64
}

// Load asks for an actor's image from the store.
type Load struct {
	Activation ActivationID
	Slot       quorum.SlotID
	Actor      quorum.ActorKey
}

// Lookup asks for the answer to a client's own key that is folded.
type Lookup struct {
	Activation ActivationID
	Slot       quorum.SlotID
	Actor      quorum.ActorKey
	Key        string
}

// Delivery asks to take a committed send to its target, once.
type Delivery struct {
	Activation ActivationID
	Source     quorum.ActorKey
	Send       quorum.Send
}

// Fold asks to fold an actor's records up to an LSN, in the background. Base is
// where the slot's log begins for other replicas from then on.
type Fold struct {
	Slot     quorum.SlotID
	Actor    quorum.ActorKey
	UpTo     quorum.LSN
	Base     quorum.Position
	BaseHash uint64

	logs int // of the slot before this one
}

// LogRead asks for entries that are not in memory any more.
type LogRead struct {
	Slot   quorum.SlotID
	Node   quorum.NodeID
	Ballot quorum.Ballot
	Tail   []quorum.TailEntry
}

// SnapshotOrder asks to send a snapshot of a slot to a node.
type SnapshotOrder struct {
	Slot   quorum.SlotID
	Node   quorum.NodeID
	Ballot quorum.Ballot
}

// BeatVerdict is this shard's half of the answer to a heartbeat.
type BeatVerdict struct {
	From    quorum.NodeID
	Seq     uint64
	Granted bool
}

// SlotReportKind says what a SlotReport is about.
type SlotReportKind uint8

// The reports.
const (
	ReportActive   SlotReportKind = iota + 1 // this node serves the slot at Ballot
	ReportLost                               // it serves it no longer
	ReportCaughtUp                           // the learner Node has all that is committed
	ReportQuiesced                           // no turn runs and none will begin, for a while
	ReportBehind                             // there is a view of Epoch or newer
)

// SlotReport tells the control core something about a slot.
type SlotReport struct {
	Kind   SlotReportKind
	Slot   quorum.SlotID
	Ballot quorum.Ballot
	Node   quorum.NodeID
	Epoch  quorum.Epoch
}

// StoredSlot is a slot as the store recovered it.
type StoredSlot struct {
	Slot     quorum.SlotID
	State    quorum.SlotState
	Unfolded []quorum.TailEntry // records at or below the base
}

// NewShard returns a shard with what the store holds of its slots.
func NewShard(now quorum.Instant, cfg ShardConfig, stored []StoredSlot) *Shard {
	cfg = cfg.withDefaults()
	s := &Shard{
		cfg:     cfg,
		slots:   map[quorum.SlotID]*slot{},
		actors:  map[ActivationID]*actor{},
		pending: map[pendingKey]*pending{},
	}
	s.env = quorum.Env{Self: cfg.Self, Boot: cfg.Boot, Leases: quorum.NewLeases(now, cfg.Lease, cfg.Drift)}
	for _, st := range stored {
		sl := s.newSlot(st.Slot, st.State)
		for _, t := range st.Unfolded {
			sl.passed(t.Actor, t.LSN, t.Bytes)
		}
	}
	return s
}

// Register opens the gate: a majority of voters has registered this start, so
// the shard may promise, seal and grant.
func (s *Shard) Register(now quorum.Instant) {
	s.env.Enabled = true
	s.Tick(now)
}

// Adopt takes the rows of this shard's slots in the view of an epoch. Slots that
// rows does not name are as they were.
func (s *Shard) Adopt(now quorum.Instant, epoch quorum.Epoch, rows []SlotRow) {
	for _, r := range rows {
		sl := s.slots[r.Slot]
		if sl == nil {
			sl = s.newSlot(r.Slot, quorum.SlotState{})
		}
		if r.Row.Owner() == s.cfg.Self && r.Row.Epoch != sl.q.Row().Epoch {
			sl.appointed = now
		}
		had := sl.q.Log().Last().LSN
		sl.q.SetRow(now, epoch, r.Row)
		if had > 0 && sl.q.Log().Last().LSN == 0 {
			s.replaced(sl)
		}
		s.stepped(now, sl)
	}
	s.out.Adopted = epoch
}

// SlotRow is one slot's row.
type SlotRow struct {
	Slot quorum.SlotID
	Row  quorum.Row
}

// Step takes messages of the slot log from a peer.
func (s *Shard) Step(now quorum.Instant, from quorum.NodeID, msgs []quorum.Message) {
	for i := range msgs {
		m := &msgs[i]
		sl := s.slots[m.Slot]
		if sl == nil {
			sl = s.newSlot(m.Slot, quorum.SlotState{})
		}
		sl.q.Step(now, from, m)
		s.stepped(now, sl)
	}
}

// Persisted says that all batches up to seq are durable.
func (s *Shard) Persisted(now quorum.Instant, seq uint64) {
	n := 0
	for ; n < len(s.written) && s.written[n].seq <= seq; n++ {
		for _, q := range s.written[n].slots {
			q.Persisted(now, seq)
		}
	}
	s.written = slices.Delete(s.written, 0, n)
	s.events(now)
}

// Beat takes a heartbeat: its sender knows the view of epoch.
func (s *Shard) Beat(now quorum.Instant, from quorum.NodeID, boot quorum.Boot, epoch quorum.Epoch, seq uint64) {
	enabled := s.env.Enabled || mutant.On(mutant.UnregisteredGrants)
	granted := enabled && s.env.Leases.Hear(now, from, boot, epoch)
	s.out.Verdicts = append(s.out.Verdicts, BeatVerdict{from, seq, granted})
	s.tickBusy(now) // a seal may have waited for this
}

// Lease says that a peer answered the heartbeat that this node sent at sent with
// a lease.
func (s *Shard) Lease(now quorum.Instant, peer quorum.NodeID, sent quorum.Instant) {
	if mutant.On(mutant.LeaseFromReceipt) {
		sent = now
	}
	s.env.Leases.Grant(peer, sent)
	lapsed := s.lapsed
	s.lapsed = nil
	for _, sl := range lapsed {
		if sl.serving && now >= sl.q.LeaseUntil() {
			s.lapsed = append(s.lapsed, sl)
			continue
		}
		sl.lapsed = false
		s.pumpSlot(now, sl)
	}
}

// Reconnected says that a peer can be reached again.
func (s *Shard) Reconnected(now quorum.Instant, peer quorum.NodeID) {
	for _, id := range s.sortedSlots() {
		sl := s.slots[id]
		sl.q.Reconnected(now, peer)
		s.stepped(now, sl)
	}
}

// LogRead takes entries that were asked for.
func (s *Shard) LogRead(now quorum.Instant, r LogRead, entries []quorum.Entry) {
	if sl := s.slots[r.Slot]; sl != nil {
		sl.q.ReadDone(now, r.Node, r.Ballot, entries)
		s.stepped(now, sl)
	}
}

// SnapshotSent says how an ordered snapshot ended, and the last LSN in it.
func (s *Shard) SnapshotSent(now quorum.Instant, o SnapshotOrder, last quorum.LSN, ok bool) {
	if sl := s.slots[o.Slot]; sl != nil {
		sl.q.SnapshotSent(now, o.Node, last, ok)
		s.stepped(now, sl)
	}
}

// Staged offers a snapshot that was received and staged. It reports whether it
// will be put in place; if not, the shell drops it.
func (s *Shard) Staged(now quorum.Instant, from quorum.NodeID, ballot quorum.Ballot, st StoredSlot, handle any) bool {
	sl := s.slots[st.Slot]
	if sl == nil {
		sl = s.newSlot(st.Slot, quorum.SlotState{})
	}
	ok := sl.q.Staged(now, from, ballot, st.State, handle)
	if ok {
		s.replaced(sl)
		for _, t := range st.Unfolded {
			sl.passed(t.Actor, t.LSN, t.Bytes)
		}
	}
	s.stepped(now, sl)
	return ok
}

// Tick lets time pass.
func (s *Shard) Tick(now quorum.Instant) {
	s.tickedAt = now
	s.tickBusy(now)
	s.tickActors(now)
	if now >= s.nextDue {
		s.expire(now)
	}
}

func (s *Shard) tickBusy(now quorum.Instant) {
	busy := s.busy
	s.busy = nil
	for _, sl := range busy {
		sl.busy = false
		sl.q.Tick(now)
		s.stepped(now, sl)
	}
	for _, sl := range busy {
		if !sl.quiesce.until.IsZero() {
			s.tickQuiesce(now, sl)
		}
	}
}

// Deadline returns when the shard must be ticked next. It counts from the last
// tick, for a shard that is given something all the time needs ticks as well.
func (s *Shard) Deadline(now quorum.Instant) quorum.Instant {
	const short = 10 * time.Millisecond
	at := s.tickedAt.Add(250 * time.Millisecond)
	switch {
	case len(s.busy) > 0:
		at = s.tickedAt.Add(short)
	case s.external+s.internal > 0:
		// Whoever called waits not much longer for the answer that it is late.
		at = min(s.tickedAt.Add(5*short), max(s.tickedAt.Add(short), s.nextDue))
	case len(s.timed) > 0:
		at = s.tickedAt.Add(5 * short)
	}
	return max(now, at)
}

// Ready returns what is to be done since the last Ready, and gives the batch of
// writes its number. Sends and Outcomes are used again for the next Ready; the
// other slices may be kept.
func (s *Shard) Ready(now quorum.Instant) Ready {
	for {
		s.settle(now)
		marked := s.env.Flush(now, s.seq+1)
		if len(marked) > 0 {
			s.seq++
			s.written = append(s.written, writtenBatch{s.seq, marked})
		}
		local := s.takeSends()
		if local == nil && len(s.env.Events) == 0 {
			break
		}
		for i := range local {
			s.Step(now, s.cfg.Self, []quorum.Message{local[i].Message})
		}
	}
	s.out.Writes, s.env.Writes = s.env.Writes, nil
	s.out.Seq = s.seq
	out := s.out
	clear(s.usedSends)
	clear(s.usedOutcomes)
	s.out = Ready{Sends: s.usedSends[:0], Outcomes: s.usedOutcomes[:0]}
	s.usedSends, s.usedOutcomes = out.Sends, out.Outcomes
	return out
}

// settle handles events until there are none.
func (s *Shard) settle(now quorum.Instant) {
	for len(s.env.Events) > 0 {
		s.events(now)
	}
}

// takeSends moves messages to peers to the output and returns those to itself.
func (s *Shard) takeSends() []quorum.Envelope {
	var local []quorum.Envelope
	for i := range s.env.Sends {
		if s.env.Sends[i].To == s.cfg.Self {
			local = append(local, s.env.Sends[i])
		} else {
			s.out.Sends = append(s.out.Sends, s.env.Sends[i])
		}
	}
	s.env.Sends = s.env.Sends[:0]
	return local
}

// stepped is called after a slot was stepped.
func (s *Shard) stepped(now quorum.Instant, sl *slot) {
	s.events(now)
	s.watch(sl)
	if len(sl.queue) > 0 && !s.owns(sl) { // it never was active, and so was not lost
		s.endQueue(sl)
	}
}

// watch has the slot ticked while it waits for something that time brings about.
func (s *Shard) watch(sl *slot) {
	if !sl.busy && (sl.q.Busy() || !sl.quiesce.until.IsZero()) {
		sl.busy = true
		s.busy = append(s.busy, sl)
	}
}

func (s *Shard) sortedSlots() []quorum.SlotID {
	ids := make([]quorum.SlotID, 0, len(s.slots))
	for id := range s.slots {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
