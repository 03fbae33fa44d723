package quorum

import (
	"strings"
	"testing"
)

// TestChainHash changes one field at a time: each gives another hash.
func TestChainHash(t *testing.T) {
	e := Entry{LSN: 7, Ballot: Ballot{3, 2}, Actor: MakeActorKey("cart", "u42"), Data: []byte("data")}
	seen := map[uint64]string{e.ChainHash(1): "itself"}
	for name, edit := range map[string]func(e *Entry) uint64{
		"the past":  func(*Entry) uint64 { return 2 },
		"the lsn":   func(e *Entry) uint64 { e.LSN++; return 1 },
		"the epoch": func(e *Entry) uint64 { e.Ballot.Epoch++; return 1 },
		"the boot":  func(e *Entry) uint64 { e.Ballot.Boot++; return 1 },
		"the actor": func(e *Entry) uint64 { e.Actor += "1"; return 1 },
		"the data":  func(e *Entry) uint64 { e.Data = []byte("date"); return 1 },
		"no data":   func(e *Entry) uint64 { e.Data = nil; return 1 },
	} {
		other := e
		hash := other.ChainHash(edit(&other))
		if was, ok := seen[hash]; ok {
			t.Errorf("%s: the same hash as %s", name, was)
		}
		seen[hash] = name
	}
	again := e
	again.Prev, again.Hash = Ballot{1, 1}, 5 // in the chain by the entry before
	if again.ChainHash(1) != e.ChainHash(1) {
		t.Error("the hash depends on what it is to be compared with")
	}
}

// TestEntryOnDiskIsForEver pins the hash: it is stored, and sent.
func TestEntryOnDiskIsForEver(t *testing.T) {
	e := Entry{LSN: 7, Ballot: Ballot{3, 2}, Actor: MakeActorKey("cart", "u42"), Data: []byte("data")}
	if got, want := e.ChainHash(1), uint64(0xac8c790a1eba33e6); got != want {
		t.Errorf("hash %#x, want %#x", got, want)
	}
}

func TestActorKey(t *testing.T) {
	k := MakeActorKey("cart", "u/4\x012")
	namespace, kind, id := k.Split()
	if namespace != "" || kind != "cart" || id != "u/4\x012" || k.String() != "cart/u/4\x012" {
		t.Errorf("%q %q %q %q", namespace, kind, id, k)
	}
	if namespace, kind, id := ActorKey("ns\x00k\x00i").Split(); namespace != "ns" || kind != "k" || id != "i" {
		t.Errorf("%q %q %q", namespace, kind, id)
	}
	for _, k := range []ActorKey{"", "x", "\x00", "x\x00y"} {
		if namespace, kind, id := k.Split(); namespace != "" || kind != "" || id != "" {
			t.Errorf("%q: %q %q %q", string(k), namespace, kind, id)
		}
	}
}

func TestEntrySize(t *testing.T) {
	e := Entry{Actor: ActorKey(strings.Repeat("a", 10)), Data: make([]byte, 100)}
	if got := e.Size(); got != entryOverheadBytes+110 {
		t.Errorf("size %d", got)
	}
}

// TestOrders compares ballots and positions as lists of numbers.
func TestOrders(t *testing.T) {
	var all []Position
	for i := range 27 {
		all = append(all, Position{Ballot{Epoch(i / 9), Boot(i / 3 % 3)}, LSN(i % 3)})
	}
	sign := func(n int) int { return max(-1, min(1, n)) }
	for i, p := range all {
		for j, q := range all {
			if got := p.Compare(q); got != sign(i-j) {
				t.Errorf("%v compared with %v is %d", p, q, got)
			}
			if got := p.Ballot.Compare(q.Ballot); got != sign(i/3-j/3) || (got < 0) != p.Ballot.Less(q.Ballot) {
				t.Errorf("%v compared with %v is %d", p.Ballot, q.Ballot, got)
			}
		}
		if p.Ballot.IsZero() != (i < 3) {
			t.Errorf("%v is zero: %t", p.Ballot, p.Ballot.IsZero())
		}
	}
	for n, want := range []int{1, 1, 2, 2, 3, 3, 4} {
		if got := Majority(n); got != want {
			t.Errorf("majority of %d is %d", n, got)
		}
	}
}
