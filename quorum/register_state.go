package quorum

import (
	"cmp"
	"fmt"
	"slices"

	"actormesh/quorum/mutant"
)

// Version orders views: by incarnation, which only an operator's recovery from
// the loss of a majority raises, then by epoch.
type Version struct {
	Incarnation uint32
	Epoch       Epoch
}

// Compare orders versions: -1, 0 or +1.
func (v Version) Compare(w Version) int {
	if c := cmp.Compare(v.Incarnation, w.Incarnation); c != 0 {
		return c
	}
	return cmp.Compare(v.Epoch, w.Epoch)
}

// String returns "incarnation.epoch".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Incarnation, v.Epoch) }

// Decree is a view as the register decides it: who votes on the next one, and
// a body in which the register does not look. Body and Voters are decided.
// Starts is what those who decided knew: of two copies of one decree, each has
// at least every start that was registered when it was decided.
type Decree struct {
	Version
	Voters []NodeID // each once, in the order of their rank
	Starts []Start  // one for each member, sorted by node
	Body   []byte   // never modified
}

// Bounds of a decree.
const (
	MaxVoters      = 15
	MaxMembers     = 1024
	MaxDecreeBytes = 3 << 20 // of the body
)

// IsVoter reports whether the node votes on the view after d.
func (d *Decree) IsVoter(id NodeID) bool { return slices.Contains(d.Voters, id) }

// IsMember reports whether the node is one of the view's members.
func (d *Decree) IsMember(id NodeID) bool {
	_, found := findStart(d.Starts, id)
	return found
}

// check returns what is wrong with the decree's shape, or nil.
func (d *Decree) check() error {
	switch {
	case len(d.Voters) == 0 || len(d.Voters) > MaxVoters:
		return fmt.Errorf("%d voters, not 1 to %d", len(d.Voters), MaxVoters)
	case len(d.Starts) > MaxMembers:
		return fmt.Errorf("%d members, more than %d", len(d.Starts), MaxMembers)
	case len(d.Body) > MaxDecreeBytes:
		return fmt.Errorf("a body of %d bytes, more than %d", len(d.Body), MaxDecreeBytes)
	}
	for i, id := range d.Voters {
		if id == 0 || slices.Contains(d.Voters[:i], id) {
			return fmt.Errorf("voter %s is none, or twice there", id)
		}
	}
	return checkStarts(d.Starts)
}

func checkStarts(list []Start) error {
	for i, s := range list {
		if s.Node == 0 || i > 0 && list[i-1].Node >= s.Node {
			return fmt.Errorf("starts are not in the order of their nodes")
		}
	}
	return nil
}

// Number is a proposal's number. It is used once, for one value: a node counts
// its rounds up, and a restarted node has another boot.
type Number struct {
	Round uint64
	Boot  Boot
	Node  NodeID
}

// Compare orders numbers: -1, 0 or +1.
func (n Number) Compare(m Number) int {
	if mutant.On(mutant.EqualBallot) {
		return cmp.Compare(n.Round, m.Round)
	}
	return cmp.Or(cmp.Compare(n.Round, m.Round), cmp.Compare(n.Boot, m.Boot), cmp.Compare(n.Node, m.Node))
}

// IsZero reports whether n is no number.
func (n Number) IsZero() bool { return n == Number{} }

// String returns "round.boot.node".
func (n Number) String() string { return fmt.Sprintf("%d.%d.%s", n.Round, n.Boot, n.Node) }

// RegisterState is all that a node's register keeps on disk: one record, always
// written whole. The zero state is that of a node which knows no view.
type RegisterState struct {
	View     Decree // the newest known view; Epoch 0 for none
	Promised Number // for the epoch after View's; 0 <= Accepted <= Promised
	Accepted Number
	Value    Decree // accepted under Accepted
	Starts   []RegisteredStart
}

func (t *RegisterState) clone() *RegisterState {
	c := *t
	c.Starts = slices.Clone(t.Starts)
	return &c
}

const registerStateVersion = 1

// AppendTo appends the state's canonical encoding to b.
func (t *RegisterState) AppendTo(b []byte) []byte {
	b = append(b, registerStateVersion)
	b = t.View.AppendTo(b)
	b = t.Promised.appendTo(b)
	b = t.Accepted.appendTo(b)
	b = t.Value.AppendTo(b)
	b = appendUint(b, uint64(len(t.Starts)))
	for _, e := range t.Starts {
		b = appendBool(e.Start.appendTo(b), e.Late)
	}
	return b
}

// DecodeRegisterState decodes what AppendTo wrote, all of it. Byte slices point
// into b. The error wraps ErrCorrupt.
func DecodeRegisterState(b []byte) (*RegisterState, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != registerStateVersion {
		d.fail("register state version %d, this program reads %d", v, registerStateVersion)
	}
	s := &RegisterState{}
	s.View.decode(&d)
	s.Promised.decode(&d)
	s.Accepted.decode(&d)
	s.Value.decode(&d)
	s.Starts = decodeList(&d, 4, func(e *RegisteredStart) {
		e.Start.decode(&d)
		e.Late = d.bool()
	})
	if err := checkStarts(s.table()); err != nil {
		d.fail("%v", err)
	}
	return s, d.end()
}

// AppendTo appends the decree's canonical encoding to b: the empty decree is one
// zero byte.
func (d *Decree) AppendTo(b []byte) []byte {
	b = appendUint(b, uint64(d.Epoch))
	if d.Epoch == 0 {
		return b
	}
	b = appendUint(b, uint64(d.Incarnation))
	b = appendUint(b, uint64(len(d.Voters)))
	for _, id := range d.Voters {
		b = appendUint(b, uint64(id))
	}
	b = appendStarts(b, d.Starts)
	return appendBytes(b, d.Body)
}

func (d *Decree) decode(in *decoder) {
	if d.Epoch = Epoch(in.uint()); d.Epoch == 0 {
		return
	}
	incarnation := in.uint()
	if d.Incarnation = uint32(incarnation); uint64(d.Incarnation) != incarnation {
		in.fail("incarnation %d", incarnation)
	}
	d.Voters = decodeList(in, 1, func(id *NodeID) { *id = NodeID(in.uint()) })
	d.Starts = decodeStarts(in)
	d.Body = in.bytes()
	if in.err != nil {
		return
	}
	if err := d.check(); err != nil {
		in.fail("%v", err)
	}
}

// DecodeDecree decodes what Decree.AppendTo wrote, all of it. The body points
// into b. The error wraps ErrCorrupt.
func DecodeDecree(b []byte) (*Decree, error) {
	in := decoder{b: b}
	d := &Decree{}
	d.decode(&in)
	return d, in.end()
}

func (n Number) appendTo(b []byte) []byte {
	return appendUint(appendUint(appendUint(b, n.Round), uint64(n.Boot)), uint64(n.Node))
}

func (n *Number) decode(d *decoder) {
	n.Round, n.Boot, n.Node = d.uint(), Boot(d.uint()), NodeID(d.uint())
}

func (s Start) appendTo(b []byte) []byte {
	return appendUint(appendUint(appendUint(b, uint64(s.Node)), uint64(s.Boot)), uint64(s.Nonce))
}

func (s *Start) decode(d *decoder) {
	s.Node, s.Boot, s.Nonce = NodeID(d.uint()), Boot(d.uint()), Nonce(d.uint())
}

func appendStarts(b []byte, list []Start) []byte {
	b = appendUint(b, uint64(len(list)))
	for _, s := range list {
		b = s.appendTo(b)
	}
	return b
}

func decodeStarts(d *decoder) []Start {
	list := decodeList(d, 3, func(s *Start) { s.decode(d) })
	if err := checkStarts(list); err != nil {
		d.fail("%v", err)
	}
	return list
}
