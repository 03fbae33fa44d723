package disk

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"slices"

	"github.com/google/btree"
)

// pair is a key, its value, and what their checksum should be. It is never
// modified, for trees share it.
type pair struct {
	key, value []byte
	sum        uint32
}

// pairBytes is what a pair takes beside its key and value.
const pairBytes = 16

func (p *pair) bytes() uint64 { return uint64(len(p.key) + len(p.value) + pairBytes) }

func (p *pair) sound() bool { return p.sum == pairSum(p.key, p.value) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func pairSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
}

// change is one pair that was replaced; old or next is nil where there was or is
// none.
type change struct{ old, next *pair }

func (c change) key() []byte {
	if c.old != nil {
		return c.old.key
	}
	return c.next.key
}

// applied is a batch in the order of history.
type applied struct {
	changes []change
	synced  bool // or so the disk has said
}

// contents are the map, and how a crash would change it.
//
//	history   [ the last synced batch | unsynced, unsynced, … ]
//	          0 ≤          durable    ≤ len(history)
//
// A crash undoes a suffix of history after durable. The batch before is there
// because its end may be torn. Where the disk has lied, synced batches are after
// durable too.
type contents struct {
	tree    *btree.BTreeG[*pair]
	bytes   uint64 // of all pairs
	history []applied
	durable int
}

const treeDegree = 16

func newContents() contents {
	return contents{tree: btree.NewG(treeDegree, func(a, b *pair) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

func (c *contents) len() int { return c.tree.Len() }

func (c *contents) clone() contents {
	next := *c
	if c.tree != nil {
		next.tree = c.tree.Clone()
	}
	next.history = slices.Clone(c.history)
	return next
}

func (c *contents) set(p *pair) change {
	old, found := c.tree.ReplaceOrInsert(p)
	c.bytes += p.bytes()
	if found {
		c.bytes -= old.bytes()
	}
	return change{old, p}
}

// remove deletes the pair with p's key, if there is one.
func (c *contents) remove(p *pair) (change, bool) {
	old, found := c.tree.Delete(p)
	if found {
		c.bytes -= old.bytes()
	}
	return change{old: old}, found
}

// removeRange deletes the pairs in [start, end), and adds what it did to changes.
func (c *contents) removeRange(start, end []byte, changes []change) []change {
	var gone []*pair
	c.tree.AscendRange(&pair{key: start}, &pair{key: end}, func(p *pair) bool {
		gone = append(gone, p)
		return true
	})
	for _, p := range gone {
		removed, _ := c.remove(p)
		changes = append(changes, removed)
	}
	return changes
}

// applied adds a batch to the history.
func (c *contents) applied(changes []change) {
	c.history = append(c.history, applied{changes: changes})
}

// synced makes all durable, or only says so.
func (c *contents) synced(lie bool) {
	for i := range c.history {
		c.history[i].synced = true
	}
	if lie {
		return
	}
	if n := len(c.history); n > 1 {
		c.history = append(c.history[:0], c.history[n-1])
	}
	c.durable = len(c.history)
}

// excised takes what happened in [start, end) out of the history: it is durably
// something else.
func (c *contents) excised(start, end []byte) {
	for i := range c.history {
		var rest []change
		for _, ch := range c.history[i].changes {
			if k := ch.key(); bytes.Compare(k, start) < 0 || bytes.Compare(k, end) >= 0 {
				rest = append(rest, ch)
			}
		}
		c.history[i].changes = rest
	}
}

// lastSynced returns the place of the last synced batch in the history, -1 if it
// is not there.
func (c *contents) lastSynced() int {
	for i := len(c.history) - 1; i >= 0; i-- {
		if c.history[i].synced {
			return i
		}
	}
	return -1
}

// cut undoes the history from n on, makes the rest durable, and returns how many
// unsynced and synced batches are gone.
func (c *contents) cut(n int) (unsynced, synced uint64) {
	for i := len(c.history) - 1; i >= n; i-- {
		for _, ch := range slices.Backward(c.history[i].changes) {
			if ch.old != nil {
				c.set(ch.old)
			} else {
				c.remove(ch.next)
			}
		}
		if c.history[i].synced {
			synced++
		} else {
			unsynced++
		}
	}
	c.history = c.history[:n]
	c.durable = n
	return unsynced, synced
}

func (c *contents) nth(n int) (p *pair) {
	c.tree.Ascend(func(at *pair) bool {
		p = at
		n--
		return n >= 0
	})
	return p
}

// flip turns a bit of the n-th pair's value, or of its checksum where the value is
// empty.
func (c *contents) flip(n int, rng *rand.Rand) {
	bad := *c.nth(n)
	if len(bad.value) == 0 {
		bad.sum ^= 1 << rng.IntN(32)
	} else {
		bad.value = bytes.Clone(bad.value)
		bad.value[rng.IntN(len(bad.value))] ^= 1 << rng.IntN(8)
	}
	c.set(&bad)
}

// damaged reports whether a pair does not verify.
func (c *contents) damaged() bool {
	sound := true
	if c.tree != nil {
		c.tree.Ascend(func(p *pair) bool {
			sound = p.sound()
			return sound
		})
	}
	return !sound
}

// misdirect writes the value of one pair in another's place.
func (c *contents) misdirect(from, to int) {
	source, target := c.nth(from), c.nth(to)
	c.set(&pair{key: target.key, value: source.value, sum: source.sum})
	c.set(&pair{key: source.key, value: source.value, sum: ^source.sum})
}
