package core

import (
	"fmt"

	"actormesh/quorum"
	"actormesh/ring"
)

// ControlKind says what a message between control cores is. Kinds below 16 are
// free for the shell's own questions.
type ControlKind uint8

// The kinds. What is in the body only a Control knows.
const (
	ControlRegister ControlKind = iota + 16 // a quorum.RegisterMessage
	ControlFound                            // a quorum.FoundMessage
	ControlView                             // who answers, and the view that it has
	ControlJoin                             // a member's own description of itself, for the coordinator
	ControlRefusal                          // why a node may not join, for people
	ControlFacts                            // what a node knows, for the coordinator
	ControlQuiesce                          // slots to be quiesced, from the coordinator to their owner
	ControlNothing                          // the answer of who knows no mesh
)

var controlKindNames = [...]string{"register", "found", "view", "join", "refusal", "facts", "quiesce", "nothing"}

// String returns the kind's name.
func (k ControlKind) String() string {
	if i := int(k) - int(ControlRegister); i >= 0 && i < len(controlKindNames) {
		return controlKindNames[i]
	}
	return fmt.Sprintf("control(%d)", uint8(k))
}

// joinMessage asks for a member to be in the view as it says here.
type joinMessage struct {
	Member ring.Member
	Start  quorum.Start
	// Knows is the newest view that the node has, zero for none. A disk that has
	// one was a member: if it is none in a view as new, it has left for good.
	Knows     quorum.Version
	Forwarded bool // by another member
}

func (m *joinMessage) encode() []byte {
	w := newWriter()
	w.member(&m.Member)
	w.start(m.Start)
	w.uint(uint64(m.Knows.Incarnation))
	w.uint(uint64(m.Knows.Epoch))
	w.bool(m.Forwarded)
	return w
}

func decodeJoin(b []byte) (m joinMessage, err error) {
	r := newReader(b)
	m.Member = r.member()
	m.Start = r.start()
	m.Knows = quorum.Version{Incarnation: uint32(r.uint(1<<32 - 1)), Epoch: quorum.Epoch(r.uint64())}
	m.Forwarded = r.bool()
	if quorum.NodeID(m.Member.ID) != m.Start.Node {
		r.fail("a member %s with the start of %s", m.Member.ID, m.Start.Node)
	}
	return m, r.end()
}

// viewMessage answers a question.
type viewMessage struct {
	From ring.Member // who answers
	View quorum.Decree
}

func (m *viewMessage) encode() []byte {
	w := newWriter()
	w.member(&m.From)
	w.bytes(m.View.AppendTo(nil))
	return w
}

func decodeView(b []byte) (m viewMessage, err error) {
	r := newReader(b)
	m.From = r.member()
	encoded := r.bytes()
	if err := r.end(); err != nil {
		return m, err
	}
	view, err := quorum.DecodeDecree(encoded)
	if err == nil {
		m.View = *view
	}
	return m, err
}

// refusalMessage refuses a join.
type refusalMessage struct {
	Text string
}

func (m *refusalMessage) encode() []byte {
	w := newWriter()
	w.string(m.Text)
	return w
}

func decodeRefusal(b []byte) (m refusalMessage, err error) {
	r := newReader(b)
	m.Text = r.string(maxTextBytes)
	return m, r.end()
}

// slotBallot says something of a slot at a ballot.
type slotBallot struct {
	Slot   quorum.SlotID
	Ballot quorum.Ballot
}

// slotLearner says that a learner has what its owner, at a slot epoch, has.
type slotLearner struct {
	Slot  quorum.SlotID
	Epoch quorum.Epoch
	Node  quorum.NodeID
}

// facts are all that a node tells the coordinator, whole each time: the newest
// ones count.
type facts struct {
	Boot      quorum.Boot
	Seq       uint64          // grows within the boot
	Unheard   []quorum.NodeID // members that it should hear and does not
	Unsure    []quorum.NodeID // ... and does not miss yet, as it has just begun to listen
	Active    []slotBallot    // slots that it serves
	Quiesced  []slotBallot    // ... of which turns have stopped
	CaughtUp  []slotLearner
	Positions []SlotPosition // of its logs of slots whose owners it does not hear
}

func (f *facts) encode() []byte {
	w := newWriter()
	w.uint(uint64(f.Boot))
	w.uint(f.Seq)
	for _, list := range [...][]quorum.NodeID{f.Unheard, f.Unsure} {
		w.uint(uint64(len(list)))
		for _, id := range list {
			w.uint(uint64(id))
		}
	}
	for _, list := range [...][]slotBallot{f.Active, f.Quiesced} {
		w.uint(uint64(len(list)))
		for _, s := range list {
			w.uint(uint64(s.Slot))
			w.ballot(s.Ballot)
		}
	}
	w.uint(uint64(len(f.CaughtUp)))
	for _, s := range f.CaughtUp {
		w.uint(uint64(s.Slot))
		w.uint(uint64(s.Epoch))
		w.uint(uint64(s.Node))
	}
	w.uint(uint64(len(f.Positions)))
	for _, p := range f.Positions {
		w.uint(uint64(p.Slot))
		w.position(p.Last)
	}
	return w
}

func decodeFacts(b []byte) (f facts, err error) {
	r := newReader(b)
	f.Boot = quorum.Boot(r.uint64())
	f.Seq = r.uint64()
	node := func() quorum.NodeID { return quorum.NodeID(r.uint64()) }
	f.Unheard = list(r, 1, node)
	f.Unsure = list(r, 1, node)
	ballot := func() slotBallot { return slotBallot{r.slot(), r.ballot()} }
	f.Active = list(r, 3, ballot)
	f.Quiesced = list(r, 3, ballot)
	f.CaughtUp = list(r, 3, func() slotLearner {
		return slotLearner{r.slot(), quorum.Epoch(r.uint64()), quorum.NodeID(r.uint64())}
	})
	f.Positions = list(r, 4, func() SlotPosition { return SlotPosition{r.slot(), r.position()} })
	return f, r.end()
}

// quiesceMessage asks an owner to stop turns.
type quiesceMessage struct {
	Slots []slotEpoch
}

// slotEpoch names a slot at a slot epoch.
type slotEpoch struct {
	Slot  quorum.SlotID
	Epoch quorum.Epoch
}

func (m *quiesceMessage) encode() []byte {
	w := newWriter()
	w.uint(uint64(len(m.Slots)))
	for _, s := range m.Slots {
		w.uint(uint64(s.Slot))
		w.uint(uint64(s.Epoch))
	}
	return w
}

func decodeQuiesce(b []byte) (m quiesceMessage, err error) {
	r := newReader(b)
	m.Slots = list(r, 2, func() slotEpoch { return slotEpoch{r.slot(), quorum.Epoch(r.uint64())} })
	return m, r.end()
}
