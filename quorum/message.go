package quorum

import "fmt"

// MsgKind says what a slot message is.
type MsgKind uint8

// The messages of the slot log. Each is about one Slot at one Ballot, which is
// the ballot of the owner that sends it or to which it answers.
const (
	// MsgSeal asks a replica to promise Ballot.  owner → replica
	MsgSeal MsgKind = iota + 1
	// MsgPromise says that Ballot is promised, durably; At is the last
	// position of the replica's log.  replica → owner
	MsgPromise
	// MsgAppend carries Entries that follow the position At, and the owner's
	// Commit.  owner → replica or learner
	MsgAppend
	// MsgAck says that everything up to At.LSN is as the owner has it,
	// durably. Commit is what the sender knows to be committed.
	// replica or learner → owner
	MsgAck
	// MsgRefuse says that Ballot is refused, for Promised is promised.
	// replica → owner
	MsgRefuse
	// MsgMismatch says that the log does not hold the position that the append
	// follows; At is a position from which to try again.  replica → owner
	MsgMismatch
	// MsgFetch asks for the entries that follow At, which the new owner holds.
	// owner → the replica with the highest log
	MsgFetch
	// MsgFetched answers with Entries that follow At. If the asker's At is not
	// in the log, At is a lower position to ask from, and Entries is empty.
	// replica → owner
	MsgFetched
	// MsgSnapshot says that what was asked for is folded away: a snapshot
	// follows on a connection of its own.  replica → owner, owner → replica
	MsgSnapshot
)

// String returns the kind's name.
func (k MsgKind) String() string {
	names := [...]string{"", "seal", "promise", "append", "ack", "refuse", "mismatch", "fetch", "fetched", "snapshot"}
	if int(k) < len(names) && k > 0 {
		return names[k]
	}
	return fmt.Sprintf("msg(%d)", uint8(k))
}

// Message is one message about one slot. Which fields mean something is said
// at the kinds. Unused fields are zero.
type Message struct {
	Kind     MsgKind
	Slot     SlotID
	Ballot   Ballot
	At       Position
	Commit   LSN
	Promised Promise
	Round    uint64 // MsgAppend: the owner's count of rounds; MsgAck: the highest that the replica has heard
	Entries  []Entry
}
