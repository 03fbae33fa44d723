package quorum

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Entry is one entry of a slot's log. A barrier, with which an owner begins its
// rule, is an entry with no actor and no data.
type Entry struct {
	LSN    LSN
	Ballot Ballot
	Prev   Ballot // of the entry at LSN-1; zero for the first
	Hash   uint64 // rolling, over the slot's log up to and with this entry
	Actor  ActorKey
	Data   []byte // an encoded Record; nil for a barrier. Never modified
}

// Position returns the entry's place.
func (e *Entry) Position() Position { return Position{e.Ballot, e.LSN} }

// Size returns about how many bytes the entry takes on disk and on the wire.
func (e *Entry) Size() int { return entryOverheadBytes + len(e.Actor) + len(e.Data) }

const entryOverheadBytes = 64

// ChainHash returns what e.Hash must be after an entry whose hash is prev.
func (e *Entry) ChainHash(prev uint64) uint64 {
	var head [40]byte
	binary.LittleEndian.PutUint64(head[0:], prev)
	binary.LittleEndian.PutUint64(head[8:], uint64(e.LSN))
	binary.LittleEndian.PutUint64(head[16:], uint64(e.Ballot.Epoch))
	binary.LittleEndian.PutUint64(head[24:], uint64(e.Ballot.Boot))
	binary.LittleEndian.PutUint64(head[32:], xxhash.Sum64(e.Data))
	h := xxhash.Sum64(head[:])
	return h*31 + xxhash.Sum64String(string(e.Actor))
}

// ActorKey is an actor's name in one string, "namespace 0x00 kind 0x00 id".
// None of the three contains a zero byte. The empty key is no actor.
type ActorKey string

// MakeActorKey returns the key of an actor in the default namespace.
func MakeActorKey(kind, id string) ActorKey { return ActorKey("\x00" + kind + "\x00" + id) }

// Split returns the parts of the key, all empty for the empty key.
func (k ActorKey) Split() (namespace, kind, id string) {
	s := string(k)
	i := indexZero(s)
	if i < 0 {
		return "", "", ""
	}
	j := indexZero(s[i+1:])
	if j < 0 {
		return "", "", ""
	}
	return s[:i], s[i+1 : i+1+j], s[i+2+j:]
}

// String returns "kind/id", for people.
func (k ActorKey) String() string {
	_, kind, id := k.Split()
	return kind + "/" + id
}

func indexZero(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return i
		}
	}
	return -1
}
