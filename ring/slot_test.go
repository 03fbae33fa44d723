package ring

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// dumbSlotOf is SlotOf by its words: hash the prefixed names, scale by P/2^64.
func dumbSlotOf(slots int, names ...string) SlotID {
	var b []byte
	for _, s := range names {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	x := new(big.Int).SetUint64(xxhash.Sum64(b))
	x.Mul(x, big.NewInt(int64(slots)))
	return SlotID(x.Rsh(x, 64).Uint64())
}

func TestSlotOf(t *testing.T) {
	for _, slots := range []int{1, 3, 256, 1000, MaxSlots} {
		count := make([]int, slots)
		for i := range 2000 {
			id := fmt.Sprint("u", i)
			s := SlotOf(slots, "", "cart", id)
			if want := dumbSlotOf(slots, "", "cart", id); s != want {
				t.Fatalf("slot %d of %d, want %d", s, slots, want)
			}
			count[s]++
		}
		if slots == 3 && (count[0] < 500 || count[1] < 500 || count[2] < 500) {
			t.Errorf("spread %v", count)
		}
	}
	if SlotOf(MaxSlots, "", "ab", "c") == SlotOf(MaxSlots, "", "a", "bc") {
		t.Error("the names run into each other")
	}
	// Slots of actors are part of what is on disk: they never change.
	if got := SlotOf(256, "", "counter", "c1"); got != pinnedSlot {
		t.Errorf("counter/c1 is in slot %d, was in %d", got, pinnedSlot)
	}
	if n := testing.AllocsPerRun(100, func() { SlotOf(256, "", "cart", "u42") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const pinnedSlot = 91

func TestSlotPoint(t *testing.T) {
	for _, slots := range []int{1, 3, 256, 1000, MaxSlots} {
		for s := range slots {
			// The first hash that scales to s: ceil(s * 2^64 / slots).
			x := new(big.Int).Lsh(big.NewInt(int64(s)), 64)
			x.Add(x, big.NewInt(int64(slots-1)))
			x.Div(x, big.NewInt(int64(slots)))
			if got := slotPoint(s, slots); got != x.Uint64() {
				t.Fatalf("slot %d of %d begins at %x, want %x", s, slots, got, x)
			}
		}
	}
}

func BenchmarkSlotOf(b *testing.B) {
	for b.Loop() {
		SlotOf(256, "", "cart", "u42")
	}
}
