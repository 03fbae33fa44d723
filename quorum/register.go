package quorum

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"actormesh/quorum/mutant"
)

// The view register decides the view of epoch e+1 by single-decree Paxos among
// the voters of the view of epoch e (Lamport, "Paxos made simple"; DESIGN §2).
//
//	            Propose            majority           majority
//	  idle ───────────────► prepare ───────► accept ───────────► decided: adopt,
//	   ▲ ▲    Withdraw       │ ▲  │           │                   tell, idle
//	   │ └───────────────────┘ └──┴───────────┘
//	   │ a newer view heard    nack: back off, a higher round
//	   └───────────────────── from anywhere
//
// One durable record holds the view, and what was promised and accepted for the
// one after it; a newer view replaces it whole. Nothing that rests on the record
// leaves before it is on disk.
//
// # Starts
//
// A copied data directory must not vote twice, nor one that was rolled back. So
// a start (node, boot, nonce) is registered before the node takes part: voters
// keep the newest start of each member, and refuse what that rules out. What
// makes this hold:
//
//  1. A start may vote on the view after e once a majority of the voters of e,
//     of which it may be one, has answered Taken, all for the same e. With
//     Taken comes what that voter has promised and accepted, and the new start
//     takes it over: whatever an earlier process of this node helped to decide,
//     it now knows of, also on a disk that was rolled back.
//  2. A promise carries the voter's start table, an accept the join of those of
//     a majority. A promise counts only if its start is the one that the join
//     names. A voter does not accept under a join that lacks what its own table
//     has, and stops if the join has a newer start of itself. So a process that
//     was superseded at a majority counts no more.
//  3. What a decided view carries covers every start that a majority of e
//     registered before accepting: some voter is in both majorities, and it
//     checked (2). A start that comes later than an acceptance is taken as Late,
//     which is enough to vote on e+1, and so to finish it, but not to be
//     Registered. If it is missing from e+1 it registers again there.
//  4. Thus for a start that is Registered, all later views carry it, each voter
//     has it in its table from the moment when it adopts the view, and no other
//     nonce of that boot, nor a lower boot, is taken by any of them.
//
// Of two processes on copies of one disk both need a majority, and the two
// majorities share a voter, which has taken only one of them. The shared voter
// may be the node itself, whose word proves nothing, only if the number of
// voters is odd, both are that voter, and the others are cut exactly in half,
// one half for each. Nothing tells this from a restart during a partition, and
// forbidding it would mean that of three voters none may restart while another
// is dead. So a start goes on to register with all voters, and one refusal, at
// any time, stops the process.

// Never is later than every other instant: the deadline of who waits for nothing.
const Never Instant = math.MaxInt64

// Errors of Propose.
var (
	ErrNotVoter      = errors.New("not a voter of this view")
	ErrNotRegistered = errors.New("this start is not yet registered with a majority of the voters")
	ErrStale         = errors.New("the view that this would change is not the newest one")
	ErrBusy          = errors.New("a proposal for this epoch is being decided")
)

// RefusedError says that this process must stop: a newer start of its node is
// known, or another one with the same boot.
type RefusedError struct {
	Self, Known Start
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("this data directory is a copy or was rolled back; wipe it to join as a new node "+
		"(node %s starts for time %d, but start %d is registered with another mark)", e.Self.Node, e.Self.Boot, e.Known.Boot)
}

const (
	registerResend  = 100 * time.Millisecond // a request without an answer
	registerBackoff = 8 * time.Millisecond   // after the first refusal; doubles
	backoffDoubles  = 5
	driveDelay      = 300 * time.Millisecond // until somebody else finishes an accepted value
	startResend     = time.Second            // to register with the voters beyond a majority
)

// Register is a node's part in the view register. It is a pure state machine:
// not safe for concurrent use, without clock and I/O. After each call the caller
// drains Ready.
type Register struct {
	self  Start
	rng   *rand.Rand
	state RegisterState

	dirty   bool   // state differs from what was handed out last
	issued  uint64 // the newest save that was handed out
	durable uint64 // the newest save that has ended; issued-1 <= durable <= issued
	viewSeq uint64 // the save that makes View durable
	held    []heldSend
	learned *Decree
	refused error

	armed        bool // the first Tick has set the timers
	drive        Instant
	proposal     proposal
	registration registration
	telling      telling
	stats        RegisterStats
}

// heldSend is a message that leaves when the save need has ended.
type heldSend struct {
	need uint64
	RegisterSend
}

// telling is the state of spreading a view until a majority of its voters has
// stored it. Who decided it does so, and who loses its vote by it.
type telling struct {
	stored []NodeID
	resend Instant // Never for who does not spread it
}

// RegisterStats counts rare events, for tests and metrics.
type RegisterStats struct {
	Rounds    uint64 // proposals begun
	Nacks     uint64 // refusals of own proposals
	Withdrawn uint64 // own proposals taken back
	Finished  uint64 // values of others that were proposed again
	Driven    uint64 // proposals begun only to finish an accepted value
	Late      uint64 // starts taken after an acceptance
	Takeover  uint64 // accepted values taken over while registering
}

// RegisterReady is what the caller has to do after a call.
type RegisterReady struct {
	// Save is to be made durable, replacing the last one; then Persisted is to
	// be called with Seq. There is at most one at a time. Nil if nothing changed.
	Save *RegisterState
	Seq  uint64
	// Sends may leave at once: what they rest on is durable.
	Sends []RegisterSend
	// Learned is the newest view if it was adopted since the last Ready.
	Learned *Decree
	// Registered says that this start may promise, seal and grant. Once true it
	// remains true.
	Registered bool
	// Refused, if not nil, is a *RefusedError: the process must stop.
	Refused error
}

// NewRegister returns the register of the start self, whose disk holds saved.
func NewRegister(self Start, saved *RegisterState, seed uint64) *Register {
	r := &Register{
		self:  self,
		rng:   rand.New(rand.NewPCG(seed, uint64(self.Node)^uint64(self.Boot)<<32)),
		state: *saved.clone(),
		drive: Never,
	}
	r.proposal.idle()
	r.telling.resend = Never
	if mutant.On(mutant.PromiseForgotten) {
		r.state.Promised, r.state.Accepted, r.state.Value = Number{}, Number{}, Decree{}
	}
	if own, found := r.state.startOf(self.Node); found && own.rulesOut(self) {
		r.refuse(own.Start)
	}
	return r
}

// View returns the newest view that is known, Epoch 0 if none. Its slices are
// never modified.
func (r *Register) View() *Decree { return &r.state.View }

// Stats returns the counts so far.
func (r *Register) Stats() RegisterStats { return r.stats }

// Proposing reports whether a proposal of this node is in progress.
func (r *Register) Proposing() bool { return r.proposal.active }

// StartOf returns the newest start of a member that this node knows of. Only a
// voter's table is current.
func (r *Register) StartOf(id NodeID) (Start, bool) {
	s, found := r.state.startOf(id)
	return s.Start, found
}

// StoredByMajority reports whether a majority of the view's voters is known to
// have the view on disk. A voter that the view removes must run until then.
func (r *Register) StoredByMajority() bool {
	n := 0
	for _, id := range r.state.View.Voters {
		if slices.Contains(r.telling.stored, id) || id == r.self.Node && r.viewSeq <= r.durable {
			n++
		}
	}
	return n >= Majority(len(r.state.View.Voters))
}

// Step takes a message from a peer.
func (r *Register) Step(now Instant, from NodeID, m RegisterMessage) {
	if r.refused == nil {
		r.step(now, from, &m)
		r.settle(now)
	}
}

// Tick lets time pass; it is to be called at Deadline, and once at the start.
func (r *Register) Tick(now Instant) {
	if r.refused != nil {
		return
	}
	if !r.armed {
		r.armed = true
		r.arm(now)
	}
	r.tickRegistration(now)
	r.tickProposal(now)
	r.tickTelling(now)
	r.settle(now)
}

// Deadline returns when Tick is wanted next.
func (r *Register) Deadline() Instant {
	if r.refused != nil {
		return Never
	}
	if !r.armed {
		return math.MinInt64
	}
	return min(r.drive, r.proposal.resend, r.proposal.retry, r.registration.resend, r.telling.resend)
}

// Persisted says that the save with this number is durable.
func (r *Register) Persisted(now Instant, seq uint64) {
	r.durable = max(r.durable, min(seq, r.issued))
	if r.refused == nil {
		r.settle(now)
	}
}

// Ready returns what is to be done, and forgets it.
func (r *Register) Ready() RegisterReady {
	ready := RegisterReady{Learned: r.learned, Registered: r.registration.done && r.refused == nil, Refused: r.refused}
	r.learned = nil
	if r.dirty && r.issued == r.durable {
		r.dirty = false
		r.issued++
		ready.Save, ready.Seq = r.state.clone(), r.issued
	}
	r.held = slices.DeleteFunc(r.held, func(h heldSend) bool {
		if h.need > r.durable {
			return false
		}
		ready.Sends = append(ready.Sends, h.RegisterSend)
		return true
	})
	return ready
}

// Adopt takes a view that was decided elsewhere: by a founding, or by an
// operator. It does nothing if the view is not newer.
func (r *Register) Adopt(now Instant, view Decree) {
	if r.refused == nil && view.Version.Compare(r.state.View.Version) > 0 {
		r.adopt(now, view)
		r.settle(now)
	}
}

// arm sets the timers for the state that was on disk.
func (r *Register) arm(now Instant) {
	r.registration.resend = now
	if r.state.View.Epoch > 0 && !r.state.View.IsMember(r.self.Node) {
		r.telling.resend = now
	}
	if !r.state.Accepted.IsZero() {
		r.drive = now.Add(r.jitter(driveDelay))
	}
}

func (r *Register) step(now Instant, from NodeID, m *RegisterMessage) {
	newer := m.Version.Compare(r.state.View.Version)
	switch {
	case m.Kind == RegisterRefused:
		if m.Start.Node == r.self.Node && m.Start.rulesOut(r.self) {
			r.refuse(m.Start)
		}
	case m.Kind == RegisterLearn && (newer >= 0 || mutant.On(mutant.OlderView)):
		r.stepLearn(now, from, m)
	case newer > 0:
		r.send(from, RegisterMessage{Kind: RegisterAsk})
	case newer < 0:
		if m.Kind.wantsAnswer() {
			r.sendView(from)
		}
	case r.state.View.Epoch == 0 || !r.state.View.IsVoter(r.self.Node):
		if m.Kind == RegisterStored {
			r.stepStored(from)
		} else if m.Kind == RegisterTaken {
			r.stepTaken(now, from, m)
		}
	default:
		r.stepVoter(now, from, m)
	}
}

// stepVoter takes a message about the view after the one that both know.
func (r *Register) stepVoter(now Instant, from NodeID, m *RegisterMessage) {
	switch m.Kind {
	case RegisterPrepare:
		r.stepPrepare(from, m)
	case RegisterAccept:
		r.stepAccept(now, from, m)
	case RegisterPromise:
		r.stepPromise(now, from, m)
	case RegisterAccepted:
		r.stepAccepted(now, from, m)
	case RegisterNack:
		r.stepNack(now, from, m)
	case RegisterStart:
		r.stepStart(from, m)
	case RegisterTaken:
		r.stepTaken(now, from, m)
	case RegisterStored:
		r.stepStored(from)
		r.resendTo(from)
	}
}

// wantsAnswer reports whether the sender of the kind waits for an answer, and
// so must be told of a newer view.
func (k RegisterKind) wantsAnswer() bool {
	switch k {
	case RegisterPrepare, RegisterAccept, RegisterStart, RegisterAsk, RegisterLearn:
		return true
	}
	return false
}

func (r *Register) stepLearn(now Instant, from NodeID, m *RegisterMessage) {
	if m.View.Version != m.Version || m.View.check() != nil {
		return
	}
	if newer := m.Version.Compare(r.state.View.Version); newer > 0 || newer < 0 && mutant.On(mutant.OlderView) {
		r.adopt(now, m.View)
	}
	r.answer(from, RegisterMessage{Kind: RegisterStored})
}

func (r *Register) stepStored(from NodeID) {
	if r.state.View.IsVoter(from) && !slices.Contains(r.telling.stored, from) {
		r.telling.stored = append(r.telling.stored, from)
	}
}

func (r *Register) adopt(now Instant, view Decree) {
	wasVoter := r.state.View.IsVoter(r.self.Node)
	r.state.handOver(&view)
	r.state.View = view
	r.state.Promised, r.state.Accepted, r.state.Value = Number{}, Number{}, Decree{}
	r.save()
	r.viewSeq = r.nextSeq()
	// What waited for a save was about an older view, and is of no use.
	r.held = slices.DeleteFunc(r.held, func(h heldSend) bool { return h.need > 0 })
	r.learned = &view
	r.drive = Never
	r.proposal.idle()
	r.registration.nextView(now)
	r.telling = telling{resend: Never}
	if !view.IsMember(r.self.Node) || wasVoter && !view.IsVoter(r.self.Node) {
		r.telling.resend = now
	}
	if own, found := r.state.startOf(r.self.Node); found && own.rulesOut(r.self) {
		r.refuse(own.Start)
	}
}

func (r *Register) tickTelling(now Instant) {
	if now < r.telling.resend {
		return
	}
	if r.StoredByMajority() {
		r.telling.resend = Never
		return
	}
	for _, id := range r.state.View.Voters {
		if id != r.self.Node && !slices.Contains(r.telling.stored, id) {
			r.sendView(id)
		}
	}
	r.telling.resend = now.Add(registerResend)
}

func (r *Register) refuse(known Start) {
	r.refused = &RefusedError{Self: r.self, Known: known}
	r.held = nil
}

// save marks the state as changed.
func (r *Register) save() { r.dirty = true }

// nextSeq returns the number of the save that will have all of the state.
func (r *Register) nextSeq() uint64 {
	if r.dirty {
		return r.issued + 1
	}
	return r.issued
}

// answer sends what rests on the state: when that is durable.
func (r *Register) answer(to NodeID, m RegisterMessage) {
	need := r.nextSeq()
	if mutant.On(mutant.PromiseUnsynced) {
		need = 0
	}
	r.hold(need, to, m)
}

// send sends what rests on nothing.
func (r *Register) send(to NodeID, m RegisterMessage) { r.hold(0, to, m) }

func (r *Register) sendView(to NodeID) {
	if r.state.View.Epoch > 0 {
		r.send(to, RegisterMessage{Kind: RegisterLearn, View: r.state.View})
	}
}

// hold queues a message. It replaces one of the same kind to the same peer, as
// only the newest matters: so the queue is bounded by peers and kinds.
func (r *Register) hold(need uint64, to NodeID, m RegisterMessage) {
	m.Version = r.state.View.Version
	r.held = slices.DeleteFunc(r.held, func(h heldSend) bool { return h.To == to && h.Message.Kind == m.Kind })
	r.held = append(r.held, heldSend{need, RegisterSend{to, m}})
}

// settle takes the messages of this node to itself, which need no network.
func (r *Register) settle(now Instant) {
	for r.refused == nil {
		i := slices.IndexFunc(r.held, func(h heldSend) bool { return h.To == r.self.Node && h.need <= r.durable })
		if i < 0 {
			return
		}
		m := r.held[i].Message
		r.held = slices.Delete(r.held, i, i+1)
		r.step(now, r.self.Node, &m)
	}
}

// jitter returns a random duration from half of d to d.
func (r *Register) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(r.rng.Int64N(int64(d/2)+1))
}
