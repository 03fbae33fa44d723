package quorum

import "fmt"

// RegisterKind says what a register message is.
type RegisterKind uint8

// The messages of the view register. Each names the sender's view by its
// Version; a node whose view is newer answers with that view instead.
const (
	// RegisterPrepare asks a voter to promise Number. Start is the sender's.
	RegisterPrepare RegisterKind = iota + 1
	// RegisterPromise says that Number is promised, durably. Start is the
	// voter's, Starts its table; Accepted and View are what it had accepted.
	RegisterPromise
	// RegisterAccept asks a voter to accept View under Number. Start is the
	// sender's, Starts what the promises knew of starts.
	RegisterAccept
	// RegisterAccepted says that Number is accepted, durably.
	RegisterAccepted
	// RegisterNack refuses Number: Promised is promised, or Starts, the voter's
	// table, has what the proposal missed.
	RegisterNack
	// RegisterLearn tells a view that is decided, View.
	RegisterLearn
	// RegisterStored says that the view of this version is on the sender's disk.
	RegisterStored
	// RegisterAsk asks for the view, if it is newer than the sender's.
	RegisterAsk
	// RegisterStart asks a voter to register the sender's Start.
	RegisterStart
	// RegisterTaken says that Start, the receiver's, is registered, durably.
	// Promised, Accepted and View are the voter's. With Late the next view may
	// not carry the start.
	RegisterTaken
	// RegisterRefused says that the receiver must not run: Start is a start of
	// its node that rules it out.
	RegisterRefused
)

var registerKindNames = [...]string{"", "prepare", "promise", "accept", "accepted", "nack", "learn", "stored",
	"ask", "start", "taken", "refused"}

// String returns the kind's name.
func (k RegisterKind) String() string {
	if k > 0 && int(k) < len(registerKindNames) {
		return registerKindNames[k]
	}
	return fmt.Sprintf("register(%d)", uint8(k))
}

// RegisterMessage is a message of the view register. Which fields mean something
// is said at the kinds. Unused fields are zero.
type RegisterMessage struct {
	Kind     RegisterKind
	Version  Version
	Number   Number
	Promised Number
	Accepted Number
	Start    Start
	Starts   []Start
	View     Decree
	Late     bool
}

// RegisterSend is a message and whom it is for.
type RegisterSend struct {
	To      NodeID
	Message RegisterMessage
}

const registerMessageVersion = 1

// AppendTo appends the message's canonical encoding to b.
func (m *RegisterMessage) AppendTo(b []byte) []byte {
	b = append(b, registerMessageVersion, byte(m.Kind))
	b = appendUint(b, uint64(m.Version.Incarnation))
	b = appendUint(b, uint64(m.Version.Epoch))
	b = m.Number.appendTo(b)
	b = m.Promised.appendTo(b)
	b = m.Accepted.appendTo(b)
	b = m.Start.appendTo(b)
	b = appendStarts(b, m.Starts)
	b = m.View.AppendTo(b)
	return appendBool(b, m.Late)
}

// DecodeRegisterMessage decodes what AppendTo wrote, all of it. Byte slices
// point into b. The error wraps ErrCorrupt.
func DecodeRegisterMessage(b []byte) (RegisterMessage, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != registerMessageVersion {
		d.fail("register message version %d, this program reads %d", v, registerMessageVersion)
	}
	m := RegisterMessage{Kind: RegisterKind(d.byte())}
	if m.Kind == 0 || int(m.Kind) >= len(registerKindNames) {
		d.fail("register message kind %d", uint8(m.Kind))
	}
	incarnation := d.uint()
	m.Version = Version{uint32(incarnation), Epoch(d.uint())}
	if uint64(m.Version.Incarnation) != incarnation {
		d.fail("incarnation %d", incarnation)
	}
	m.Number.decode(&d)
	m.Promised.decode(&d)
	m.Accepted.decode(&d)
	m.Start.decode(&d)
	m.Starts = decodeStarts(&d)
	m.View.decode(&d)
	m.Late = d.bool()
	return m, d.end()
}
