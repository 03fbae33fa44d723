package quorum

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// logModel is a Log as a list: the dumb second version.
type logModel struct {
	all  []Entry // from LSN 1 on, also below the base
	base LSN
	gone map[LSN]bool // evicted since it was appended
}

func (m *logModel) position(lsn LSN) Position {
	if lsn == 0 {
		return Position{}
	}
	return m.all[lsn-1].Position()
}

// TestLogAgainstModel does at random what a slot does with its log.
func TestLogAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		log, m := NewLog(Position{}, 0, nil), &logModel{gone: map[LSN]bool{}}
		ballot := Ballot{1, 1}
		for range 80 {
			last := LSN(len(m.all))
			switch rng.IntN(8) {
			case 0, 1, 2, 3:
				if rng.IntN(4) == 0 {
					ballot.Epoch++
				}
				e := Entry{LSN: last + 1, Ballot: ballot, Prev: m.position(last).Ballot, Data: make([]byte, 1+rng.IntN(100))}
				e.Hash = e.ChainHash(log.hash(last))
				log.append(e)
				m.all = append(m.all, e)
				delete(m.gone, e.LSN)
			case 4:
				lsn := m.base + LSN(rng.IntN(int(last-m.base)+1))
				cut := log.truncate(lsn)
				if len(cut) != int(last-lsn) || len(cut) > 0 && cut[0].LSN != lsn+1 {
					t.Fatalf("seed %d: cut %v above %d of %d", seed, cut, lsn, last)
				}
				m.all = m.all[:lsn]
			case 5:
				lsn := LSN(rng.IntN(int(last) + 1))
				log.advance(lsn)
				m.base = max(m.base, lsn)
			case 6:
				lsn := LSN(rng.IntN(int(last) + 3))
				log.evict(lsn)
				for k := LSN(1); k <= min(lsn, last); k++ {
					m.gone[k] = true
				}
			case 7: // a restart forgets all data
				var tail []TailEntry
				for _, e := range m.all[m.base:] {
					tail = append(tail, TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Actor: e.Actor, Bytes: e.Size()})
					m.gone[e.LSN] = true
				}
				log = NewLog(log.Base(), log.hash(m.base), tail)
			}
			m.compare(t, seed, rng, log)
		}
	}
}

func (m *logModel) compare(t *testing.T, seed uint64, rng *rand.Rand, log *Log) {
	t.Helper()
	last, bytes := LSN(len(m.all)), 0
	for lsn := LSN(0); lsn <= last+1; lsn++ {
		p, ok := log.position(lsn)
		if want := lsn >= m.base && lsn <= last; ok != want || ok && p != m.position(lsn) {
			t.Fatalf("seed %d: position(%d) = %v, %t", seed, lsn, p, ok)
		}
		if ok && !log.holds(p) || log.holds(Position{Ballot{99, 1}, lsn}) {
			t.Fatalf("seed %d: holds is wrong at %d", seed, lsn)
		}
		if ok && lsn > 0 && log.hash(lsn) != m.all[lsn-1].Hash {
			t.Fatalf("seed %d: hash(%d)", seed, lsn)
		}
		if lsn > m.base && lsn <= last {
			bytes += m.all[lsn-1].Size()
		}
	}
	if log.Last() != m.position(last) || log.Base() != m.position(m.base) || log.Bytes() != bytes {
		t.Fatalf("seed %d: %v..%v with %d bytes, want %d..%d with %d", seed, log.Base(), log.Last(), log.Bytes(), m.base, last, bytes)
	}
	after := m.base + LSN(rng.IntN(int(last-m.base)+1))
	m.compareEntries(t, seed, log, after, 1+rng.IntN(500))
}

// compareEntries asks for entries: a run from after on, as many as fit and one
// at least, with their data, or else the places of those to read.
func (m *logModel) compareEntries(t *testing.T, seed uint64, log *Log, after LSN, maxBytes int) {
	t.Helper()
	list, evicted := log.entries(after, maxBytes)
	if after == LSN(len(m.all)) {
		if list != nil || evicted != nil {
			t.Fatalf("seed %d: entries after the last: %v, %v", seed, list, evicted)
		}
		return
	}
	reading, bytes, n := m.gone[after+1], 0, len(list)+len(evicted)
	for i := range n {
		want := &m.all[int(after)+i]
		if m.gone[want.LSN] != reading {
			t.Fatalf("seed %d: entries after %d: %d is among what is read: %t", seed, after, want.LSN, reading)
		}
		if reading && (evicted[i].LSN != want.LSN || evicted[i].Hash != want.Hash || evicted[i].Bytes != want.Size()) ||
			!reading && (list[i].Hash != want.Hash || !slices.Equal(list[i].Data, want.Data)) {
			t.Fatalf("seed %d: entries after %d: wrong at %d", seed, after, want.LSN)
		}
		bytes += want.Size()
	}
	if n == 0 || n > 1 && bytes > maxBytes || (len(list) > 0) == reading {
		t.Fatalf("seed %d: %d entries of %d bytes after %d, at most %d", seed, n, bytes, after, maxBytes)
	}
	if next := int(after) + n; next < len(m.all) && m.gone[LSN(next+1)] == reading && bytes+m.all[next].Size() <= maxBytes {
		t.Fatalf("seed %d: %d entries of %d bytes after %d, and one more fits", seed, n, bytes, after)
	}
}

// TestLogMatchMeets lets an owner and a replica ask each other where their logs
// part: they come down to the last position that both have.
func TestLogMatchMeets(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		common := rng.IntN(6)
		grow := func(boot Boot) *Log {
			log := NewLog(Position{}, 0, nil)
			shared := rand.New(rand.NewPCG(seed, 3))
			b := Ballot{1, 1}
			for i := range common + rng.IntN(8) {
				if i < common {
					b.Epoch += Epoch(shared.IntN(2))
				} else {
					b = Ballot{b.Epoch + Epoch(rng.IntN(2)), boot}
				}
				log.append(Entry{LSN: LSN(i + 1), Ballot: b, Prev: log.Last().Ballot})
			}
			return log
		}
		owner, replica := grow(2), grow(3)
		p, asked := owner.Last(), 0
		for ; !replica.holds(p); asked++ {
			at, ok := replica.match(p)
			if !ok || asked > 20 {
				t.Fatalf("seed %d: no match of %v after %d", seed, p, asked)
			}
			if p, ok = owner.match(at); !ok {
				t.Fatalf("seed %d: no match of %v", seed, at)
			}
		}
		if want := LSN(common); p.LSN != want {
			t.Fatalf("seed %d: met at %v, the last common position is %d", seed, p, want)
		}
	}
}

// TestLogMatchBeneathBase asks for what only a snapshot can give.
func TestLogMatchBeneathBase(t *testing.T) {
	log := NewLog(Position{Ballot{2, 1}, 10}, 7, nil)
	for _, e := range chain(log.Base(), 7, Ballot{2, 1}, Ballot{3, 1}) {
		log.append(e)
	}
	for _, test := range []struct {
		ask, want Position
		ok        bool
	}{
		{Position{Ballot{3, 1}, 20}, Position{Ballot{3, 1}, 12}, true},
		{Position{Ballot{2, 5}, 12}, Position{Ballot{2, 1}, 11}, true},
		{Position{Ballot{2, 1}, 10}, Position{Ballot{2, 1}, 10}, true},
		{Position{Ballot{1, 9}, 12}, Position{}, false},
		{Position{Ballot{1, 9}, 10}, Position{}, false},
		{Position{Ballot{2, 1}, 9}, Position{}, false},
		{Position{}, Position{}, false},
	} {
		if got, ok := log.match(test.ask); got != test.want || ok != test.ok {
			t.Errorf("match(%v) = %v, %t", test.ask, got, ok)
		}
	}
	if at, hash := log.BaseHash(); at != log.Base() || hash != 7 {
		t.Errorf("base %v with %d", at, hash)
	}
}

func TestLogGapsPanic(t *testing.T) {
	for name, do := range map[string]func(){
		"tail":   func() { NewLog(Position{}, 0, []TailEntry{{LSN: 2}}) },
		"append": func() { NewLog(Position{}, 0, nil).append(Entry{LSN: 2}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a gap went unnoticed", name)
				}
			}()
			do()
		}()
	}
}
