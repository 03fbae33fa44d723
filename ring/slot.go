package ring

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// SlotOf returns the slot, of so many, to which an actor belongs: the high bits
// of xxhash64 over its length-prefixed names, scaled to the number of slots, so
// that a slot is one arc of the hash ring. slots is at least 1.
func SlotOf(slots int, namespace, kind, id string) SlotID {
	var d xxhash.Digest
	d.Reset()
	var length [4]byte
	for _, s := range [...]string{namespace, kind, id} {
		binary.LittleEndian.PutUint32(length[:], uint32(len(s)))
		d.Write(length[:])
		d.WriteString(s)
	}
	high, _ := bits.Mul64(d.Sum64(), uint64(slots))
	return SlotID(high)
}

// slotPoint returns where on the hash ring the arc of a slot begins.
func slotPoint(slot, slots int) uint64 {
	quo, rem := bits.Div64(uint64(slot), 0, uint64(slots))
	if rem > 0 {
		quo++
	}
	return quo
}
