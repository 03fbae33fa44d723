package explore

import (
	"actormesh/quorum"
)

// maxNodes bounds the nodes of a model.
const maxNodes = 5

// machine is one node: the state machines of package quorum, with the disk and
// the clock that they have in production.
type machine interface {
	// do runs one event, until nothing is left to be done but writes.
	do(e event, m *message, out *effects)
	// appendState appends the canonical encoding of all that the node's future
	// depends on, its disk and writes under way included.
	appendState(b []byte) []byte
	// look returns what actions and checks depend on. It is never modified.
	look() any
}

// event is one thing that happens to a node.
type event struct {
	kind eventKind
	arg  uint32
	msg  uint32 // the number of the message of a delivery
}

type eventKind uint8

const (
	evDeliver  eventKind = iota
	evTick               // time passes, so that every timer is due
	evClock              // time passes: the node's clock goes on by arg units
	evPersist            // the oldest batch of writes is durable
	evCrash              // and restart; arg writes of those under way are left
	evAdopt              // the view arg becomes known
	evWrite              // a client's record arg
	evPropose            // a change of the view, to the choice arg
	evWithdraw           // of the change that was proposed
	evBeat               // a heartbeat to the node arg leaves
	evHear               // a heartbeat comes, arg says which
	evRead               // a step of a read, which no machine sees
	evAnswer             // the node arg answers a heartbeat with a lease
	evApply              // arg says what
	evGrant              // the answer of the node arg comes
)

// effects are what an event has brought about.
type effects struct {
	sends  []message
	facts  []fact
	agreed bool   // to what it was asked
	broken string // the invariant that does not hold, or empty
}

func (o *effects) violate(what string) {
	if o.broken == "" {
		o.broken = what
	}
}

// message is one in the network. Two with one key are the same message.
type message struct {
	from, to quorum.NodeID
	key      string
	text     func() string // what a trace shows
	body     any           // never modified
}

// fact is what was said once and for all. Two with one key are the same fact.
type fact struct {
	key  string
	text string // what a trace shows
	body any
}

// globals is what a world has beside nodes, network and facts: what is left of
// the bounds, and which views were decided. Each model says what is where.
type globals [8]uint8

// view is a world as a model sees it.
type view struct {
	globals globals
	looks   [maxNodes]any
	facts   []any // their bodies, in the order of their keys
}

// action is a step of a world: an event of a node, of all nodes, or of none, if
// only the globals change.
type action struct {
	node    int // or one of nobody and everybody
	event   event
	answer  answer
	globals globals // afterwards
	net     netUse
	broken  string // the invariant that the step itself breaks, or empty
}

// Places of an action other than a node. Of an event of everybody each node has
// its own byte of arg, the first the lowest.
const (
	nobody    = -1
	everybody = -2
)

// answer is an event of another node that follows at once if the first node
// agrees. There is none if the event is zero.
type answer struct {
	node  int
	event event
}

// netUse says what becomes of the message in a bounded network.
type netUse uint8

const (
	netKeep netUse = iota // it stays, and may come again
	netTake
	netDrop // it is taken and nobody gets it
)

// model is what is explored: nodes, what may happen to them, and what must hold.
type model interface {
	nodes() int
	start(node int) machine
	// first returns the globals of the first world, its network and its facts.
	first() (globals, effects)
	// actions calls emit for each action that may happen, apart from messages.
	// The order is the same for the same view.
	actions(v *view, emit func(action))
	// spent reports whether the message makes no difference to its receiver in
	// this state, nor in any state that follows. It is believed only of a
	// message that makes none now, and verified when the search has ended.
	spent(look any, m *message) bool
	// final reports whether the search has no interest in what else the node
	// does in this state: it is given no more messages.
	final(look any) bool
	// describe returns the text of an action in a trace, which tells it from
	// all others of one world.
	describe(a *action, v *view) string
	// check returns the invariant that does not hold, or "".
	check(v *view) string
}
