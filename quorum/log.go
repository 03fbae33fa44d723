package quorum

import "slices"

// Log is what a replica keeps in memory of a slot's log: the places of all
// entries above a base, and the entries themselves as long as somebody may soon
// ask for them.
//
//	1 ......... base | base+1 ............. last
//	  folded, or      on disk, one by one,
//	  on disk with    and here by place
//	  their actors
//
// Whoever lacks an entry at or below the base needs a snapshot.
type Log struct {
	base     Position
	baseHash uint64
	tail     []Entry // tail[i].LSN == base.LSN+1+i; Data is nil where evicted
	cached   LSN     // entries at or above it have their Data
	bytes    int     // of the tail's entries, with their data
	sizes    []int32 // of each entry in the tail
}

// TailEntry is the place of one entry, for rebuilding a Log after a start.
type TailEntry struct {
	LSN    LSN
	Ballot Ballot
	Prev   Ballot
	Hash   uint64
	Actor  ActorKey
	Bytes  int // Entry.Size
}

// NewLog returns a log that holds base and the tail that follows it.
func NewLog(base Position, baseHash uint64, tail []TailEntry) *Log {
	l := &Log{base: base, baseHash: baseHash, cached: base.LSN + 1}
	for _, t := range tail {
		if t.LSN != l.Last().LSN+1 {
			panic("quorum: the tail of a log has a gap")
		}
		l.tail = append(l.tail, Entry{LSN: t.LSN, Ballot: t.Ballot, Prev: t.Prev, Hash: t.Hash, Actor: t.Actor})
		l.sizes = append(l.sizes, int32(t.Bytes))
		l.bytes += t.Bytes
		l.cached = t.LSN + 1
	}
	return l
}

// Base returns the position up to which entries may be gone.
func (l *Log) Base() Position { return l.base }

// Last returns the position of the last entry, or the zero Position.
func (l *Log) Last() Position {
	if n := len(l.tail); n > 0 {
		return l.tail[n-1].Position()
	}
	return l.base
}

// Bytes returns the size of all entries above the base.
func (l *Log) Bytes() int { return l.bytes }

// at returns the entry at lsn, which must be above the base and not above the
// last one.
func (l *Log) at(lsn LSN) *Entry { return &l.tail[lsn-l.base.LSN-1] }

// position returns the position at lsn, or false if lsn is below the base or
// above the last entry.
func (l *Log) position(lsn LSN) (Position, bool) {
	switch {
	case lsn == l.base.LSN:
		return l.base, true
	case lsn < l.base.LSN || lsn > l.Last().LSN:
		return Position{}, false
	}
	return l.at(lsn).Position(), true
}

// holds reports whether the log has the entry at p. Every log has the zero
// Position. Below the base it cannot tell, and reports false.
func (l *Log) holds(p Position) bool {
	q, ok := l.position(p.LSN)
	return ok && p == q
}

// hash returns the rolling hash at lsn, which must be the base's or above.
func (l *Log) hash(lsn LSN) uint64 {
	if lsn == l.base.LSN {
		return l.baseHash
	}
	return l.at(lsn).Hash
}

// append adds an entry that follows the last one.
func (l *Log) append(e Entry) {
	if e.LSN != l.Last().LSN+1 {
		panic("quorum: an entry does not follow the last one")
	}
	l.tail = append(l.tail, e)
	l.sizes = append(l.sizes, int32(e.Size()))
	l.bytes += e.Size()
}

// truncate cuts off every entry above lsn and returns their places.
func (l *Log) truncate(lsn LSN) []TailEntry {
	n := int(lsn - l.base.LSN)
	var cut []TailEntry
	for i := n; i < len(l.tail); i++ {
		e := &l.tail[i]
		cut = append(cut, TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: int(l.sizes[i])})
		l.bytes -= int(l.sizes[i])
	}
	clear(l.tail[n:])
	l.tail, l.sizes = l.tail[:n], l.sizes[:n]
	l.cached = min(l.cached, lsn+1)
	return cut
}

// advance moves the base up to lsn, so that entries up to it are found only in
// the store.
func (l *Log) advance(lsn LSN) {
	if lsn <= l.base.LSN {
		return
	}
	n := int(lsn - l.base.LSN)
	l.baseHash = l.hash(lsn)
	l.base, _ = l.position(lsn)
	for _, size := range l.sizes[:n] {
		l.bytes -= int(size)
	}
	// Moving the rest down keeps the slice's memory in use; it costs little,
	// for what is kept above the base is short.
	l.tail = l.tail[:copy(l.tail, l.tail[n:])]
	l.sizes = l.sizes[:copy(l.sizes, l.sizes[n:])]
	clear(l.tail[len(l.tail):min(cap(l.tail), len(l.tail)+n)])
	l.cached = max(l.cached, lsn+1)
}

// evict forgets the data of entries up to lsn; they can still be read from the
// store.
func (l *Log) evict(lsn LSN) {
	for ; l.cached <= min(lsn, l.Last().LSN); l.cached++ {
		l.at(l.cached).Data = nil
	}
}

// match returns the highest position of this log that can also be in a log that
// has p, or in which p is the highest position not above what was asked: at or
// below p.LSN, and of a ballot not above p's. Asked in turns, two logs come down
// to their last common position. It returns false if that is below the base.
func (l *Log) match(p Position) (Position, bool) {
	lsn := min(p.LSN, l.Last().LSN)
	for lsn > l.base.LSN && p.Ballot.Less(l.at(lsn).Ballot) {
		lsn--
	}
	if lsn < l.base.LSN {
		return Position{}, false
	}
	q, _ := l.position(lsn)
	if lsn == l.base.LSN && p.Ballot.Less(q.Ballot) {
		return Position{}, false
	}
	return q, true
}

// entries returns the entries that follow after, up to about maxBytes but at
// least one. If some of them are evicted it returns the places of those to be
// read instead.
func (l *Log) entries(after LSN, maxBytes int) (list []Entry, evicted []TailEntry) {
	first := after + 1
	bytes := 0
	for lsn := first; lsn <= l.Last().LSN; lsn++ {
		size := int(l.sizes[lsn-l.base.LSN-1])
		if bytes > 0 && bytes+size > maxBytes {
			break
		}
		if e := l.at(lsn); first < l.cached {
			if lsn >= l.cached {
				break
			}
			evicted = append(evicted, TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: size})
		}
		bytes += size
	}
	if evicted != nil || bytes == 0 {
		return nil, evicted
	}
	from := first - l.base.LSN - 1
	n := from
	for bytes > 0 {
		bytes -= int(l.sizes[n])
		n++
	}
	return slices.Clone(l.tail[from:n]), nil
}

// BaseHash returns the base and the rolling hash there.
func (l *Log) BaseHash() (Position, uint64) { return l.base, l.baseHash }
