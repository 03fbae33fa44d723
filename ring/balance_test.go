package ring

import (
	"slices"
	"testing"
)

// TestBalanceStopsHalfway: where the two hops of a path change the same slot, so
// that the first becomes impossible, what was passed stays passed and counted.
func TestBalanceStopsHalfway(t *testing.T) {
	// Slot 0 may pass from seat 0 to 1 and from 1 to 2, but only once.
	passed := 0
	b := &balance{slots: 1, load: []int{3, 1, 0}, low: []int{1, 1, 1}, fair: []int{1, 1, 1}, high: []int{2, 2, 2}}
	b.carries = func(int, int) bool { return true }
	b.can = func(_, u, v int) bool { return passed == 0 && v == u+1 }
	b.cost = func(int, int, int) int { return 0 }
	b.pass = func(_, u, v int) { passed++; b.load[u]--; b.load[v]++ }
	if b.relieve(0, func(v int) bool { return v == 2 }, 3) {
		t.Error("a path that broke off counts as done")
	}
	if want := []int{3, 0, 1}; passed != 1 || !slices.Equal(b.load, want) {
		t.Errorf("loads %v, want %v", b.load, want)
	}
}

// TestBalancePath: the only way from who has too much leads over one who has
// enough.
func TestBalancePath(t *testing.T) {
	carrier := []int{0, 0, 0, 1}
	b := &balance{slots: 4, load: []int{3, 1, 0}, low: []int{1, 1, 1}, fair: []int{1, 1, 1}, high: []int{2, 2, 2}}
	b.carries = func(slot, u int) bool { return carrier[slot] == u }
	b.can = func(slot, u, v int) bool { return carrier[slot] == u && v == u+1 }
	b.cost = func(int, int, int) int { return 0 }
	b.pass = func(slot, u, v int) { carrier[slot] = v; b.load[u]--; b.load[v]++ }
	b.even()
	if want := []int{2, 1, 1}; !slices.Equal(b.load, want) {
		t.Errorf("loads %v, want %v", b.load, want)
	}
}
