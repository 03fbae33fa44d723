package local

import (
	"encoding/binary"

	"actormesh/quorum"
)

// The first byte of a key. The package's documentation has the whole table.
const (
	keyFormat   = 0x00
	keyIdentity = 0x01
	keyCommits  = 0x02
	keyPromise  = 0x10
	keySlot     = 0x20
)

// The byte after the slot.
const (
	regionMeta    = 0x01
	regionRecord  = 0x02
	regionActor   = 0x03
	regionPending = 0x04
)

// The byte after the actor.
const (
	partBase     = 'b'
	partCursor   = 'c'
	partAnswer   = 'd'
	partKey      = 'k'
	partReceived = 'm'
	partSent     = 'n'
	partExpiry   = 'x'
)

const (
	slotPrefixBytes = 3 // keySlot and the slot
	lsnBytes        = 8
	wallBytes       = 8
	actorLenBytes   = 2
	maxActorBytes   = 1<<16 - 1
)

func promiseKey(slot quorum.SlotID) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyPromise}, uint16(slot))
}

// slotRange returns the bounds of all that a slot has but its promise.
func slotRange(slot quorum.SlotID) (start, end []byte) {
	start = appendSlot(nil, slot)
	return start, prefixEnd(start)
}

// regionRange returns the bounds of one region of a slot.
func regionRange(slot quorum.SlotID, region byte) (start, end []byte) {
	start = append(appendSlot(nil, slot), region)
	return start, prefixEnd(start)
}

func appendSlot(b []byte, slot quorum.SlotID) []byte {
	return binary.BigEndian.AppendUint16(append(b, keySlot), uint16(slot))
}

func appendActor(b []byte, actor quorum.ActorKey) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(actor)))
	return append(b, actor...)
}

func metaKey(slot quorum.SlotID) []byte { return append(appendSlot(nil, slot), regionMeta) }

func pendingKey(slot quorum.SlotID, actor quorum.ActorKey) []byte {
	return appendActor(append(appendSlot(nil, slot), regionPending), actor)
}

func recordKeyBytes(actor quorum.ActorKey) int {
	return slotPrefixBytes + 1 + actorLenBytes + len(actor) + lsnBytes
}

func appendRecordKey(b []byte, slot quorum.SlotID, actor quorum.ActorKey, lsn quorum.LSN) []byte {
	b = appendActor(append(appendSlot(b, slot), regionRecord), actor)
	return binary.BigEndian.AppendUint64(b, uint64(lsn))
}

// appendPart appends the start of the keys of one part of a folded actor.
func appendPart(b []byte, slot quorum.SlotID, actor quorum.ActorKey, part byte) []byte {
	return append(appendActor(append(appendSlot(b, slot), regionActor), actor), part)
}

// appendExpiry appends the key under which an own key expires. Wall times before
// 1970 do not occur, so that the order of the bytes is the order of the times.
func appendExpiry(b []byte, slot quorum.SlotID, actor quorum.ActorKey, wall int64, key string) []byte {
	b = binary.BigEndian.AppendUint64(appendPart(b, slot, actor, partExpiry), uint64(wall))
	return append(b, key...)
}

// splitActor cuts the actor off what follows the region byte.
func splitActor(b []byte) (actor, rest []byte, ok bool) {
	if len(b) < actorLenBytes {
		return nil, nil, false
	}
	n := actorLenBytes + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[actorLenBytes:n], b[n:], true
}

// prefixEnd returns the first key after all keys with the prefix, which has a
// byte that is not 0xff.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}
