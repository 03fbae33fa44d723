package quorum

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// chain returns entries that follow p, one for each ballot.
func chain(p Position, hash uint64, ballots ...Ballot) []Entry {
	var list []Entry
	for i, b := range ballots {
		e := Entry{LSN: p.LSN + 1, Ballot: b, Prev: p.Ballot, Actor: MakeActorKey("a", "1"), Data: []byte{byte(i)}}
		e.Hash = e.ChainHash(hash)
		p, hash = e.Position(), e.Hash
		list = append(list, e)
	}
	return list
}

func ballots(epoch Epoch, n int) []Ballot {
	list := make([]Ballot, n)
	for i := range list {
		list[i] = Ballot{epoch, 1}
	}
	return list
}

// replica returns the slot of node 2, of which node 1 is the owner at 2.1. Its
// log holds 1.1:1-3 2.1:4-6, all durable, and 4 are committed.
func replica(t *testing.T) (*Env, *Slot) {
	env := &Env{Self: 2, Boot: 1, Leases: NewLeases(0, 0, MaxDrift), Enabled: true}
	s := NewSlot(0, env, SlotState{})
	s.SetRow(1, 2, Row{Epoch: 2, Replicas: []NodeID{1, 2, 3}})
	entries := chain(Position{}, 0, append(ballots(1, 3), ballots(2, 3)...)...)
	s.Step(1, 1, &Message{Kind: MsgAppend, Ballot: Ballot{2, 1}, Commit: 4, Entries: entries})
	settle(env, s)
	if s.Log().Last().LSN != 6 || s.Commit() != 4 {
		t.Fatalf("log up to %v, commit %d", s.Log().Last(), s.Commit())
	}
	return env, s
}

// settle ends a batch, makes it durable, and returns what was sent and reported.
func settle(env *Env, s *Slot) ([]Envelope, []SlotEvent) {
	env.Flush(1, 1)
	s.Persisted(1, 1)
	sends, events := env.Sends, env.Events
	env.Writes, env.Sends, env.Events = nil, nil, nil
	return sends, events
}

// TestSlotRefusesNonsense gives a replica messages that no owner sends. None
// changes its log, and none is acknowledged.
func TestSlotRefusesNonsense(t *testing.T) {
	old := Ballot{2, 1}
	entries := chain(Position{}, 0, append(ballots(1, 3), ballots(2, 6)...)...)
	edit := func(list []Entry, do func(list []Entry)) []Entry {
		list = append([]Entry(nil), list...)
		do(list)
		return list
	}
	for _, test := range []struct {
		name string
		msg  Message
	}{
		{"a gap after At", Message{At: entries[5].Position(), Entries: entries[7:]}},
		{"a gap among new entries", Message{At: entries[5].Position(), Entries: edit(entries[6:], func(l []Entry) { l[1] = l[2] })}},
		{"a gap among known entries", Message{At: entries[1].Position(), Commit: 9, Entries: []Entry{entries[3], entries[5]}}},
		{"known entries, beyond the last", Message{At: entries[5].Position(), Commit: 9, Entries: entries[4:6]}},
		{"an entry without LSN", Message{At: entries[5].Position(), Entries: make([]Entry, 3)}},
		{"another past", Message{At: entries[5].Position(), Entries: edit(entries[6:7], func(l []Entry) { l[0].Prev = Ballot{1, 1} })}},
		{"a wrong hash", Message{At: entries[5].Position(), Entries: edit(entries[6:7], func(l []Entry) { l[0].Hash++ })}},
		{"other data", Message{At: entries[5].Position(), Entries: edit(entries[6:7], func(l []Entry) { l[0].Data = nil })}},
		{"a ballot that falls", Message{At: entries[5].Position(), Entries: chain(entries[5].Position(), entries[5].Hash, Ballot{1, 1})}},
		{"a ballot above the message's", Message{At: entries[5].Position(), Entries: chain(entries[5].Position(), entries[5].Hash, Ballot{3, 1})}},
		{"At beyond all", Message{At: Position{old, 1<<64 - 1}, Entries: entries[6:]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env, s := replica(t)
			test.msg.Kind, test.msg.Ballot = MsgAppend, old
			s.Step(1, 1, &test.msg)
			if len(env.Writes) > 0 || s.Log().Last() != entries[5].Position() || s.Commit() != 4 {
				t.Errorf("%d writes, log up to %v, commit %d", len(env.Writes), s.Log().Last(), s.Commit())
			}
			sends, events := settle(env, s)
			for i := range sends {
				if sends[i].Kind == MsgAck {
					t.Errorf("acknowledged: %+v", sends[i])
				}
			}
			if len(events) > 0 {
				t.Errorf("reported: %+v", events)
			}
		})
	}
}

// TestSlotAcknowledgesWhatItCompared gives a replica with a tail of its own the
// news that the log goes on from a place before it. The tail may be anybody's.
func TestSlotAcknowledgesWhatItCompared(t *testing.T) {
	env, s := replica(t)
	s.Step(1, 3, &Message{Kind: MsgAppend, Ballot: Ballot{3, 1}, At: Position{Ballot{2, 1}, 5}, Commit: 6})
	sends, _ := settle(env, s)
	if len(sends) != 1 || sends[0].Kind != MsgAck || sends[0].At.LSN != 5 || s.Commit() != 5 {
		t.Fatalf("%+v, commit %d", sends, s.Commit())
	}
}

// TestSlotOwnerContradictsItself sends an append of the ballot whose owner sent
// another entry for the same place. What is committed is still in the log.
func TestSlotOwnerContradictsItself(t *testing.T) {
	env, s := replica(t)
	entries := chain(Position{}, 0, append(ballots(1, 3), ballots(2, 3)...)...)
	other := chain(entries[3].Position(), entries[3].Hash, Ballot{2, 3})
	s.Step(1, 1, &Message{Kind: MsgAppend, Ballot: Ballot{2, 4}, At: entries[5].Position()})
	s.Step(1, 1, &Message{Kind: MsgAppend, Ballot: Ballot{2, 4}, At: entries[3].Position(), Commit: 6, Entries: other})
	settle(env, s)
	if s.Log().Last().LSN != 5 || s.Commit() != 5 {
		t.Fatalf("log up to %v, commit %d", s.Log().Last(), s.Commit())
	}
}

// TestSlotDamaged gives a replica an append of a higher ballot that differs from
// what is committed: nothing of it is taken, and the node is told to stop.
func TestSlotDamaged(t *testing.T) {
	env, s := replica(t)
	entries := chain(Position{}, 0, append(ballots(1, 3), ballots(3, 2)...)...)
	s.Step(1, 3, &Message{Kind: MsgAppend, Ballot: Ballot{3, 1}, At: entries[2].Position(), Entries: entries[3:]})
	_, events := settle(env, s)
	if len(events) != 1 || events[0].Kind != SlotDamaged || s.Log().Last() != (Position{Ballot{2, 1}, 6}) {
		t.Fatalf("%+v, log up to %v", events, s.Log().Last())
	}
}

// TestSlotFetchIsForTheSealer asks a replica for its log: only the node whose
// ballot it has promised, durably, gets an answer.
func TestSlotFetchIsForTheSealer(t *testing.T) {
	env, s := replica(t)
	fetch := func(from NodeID, b Ballot) []MsgKind {
		s.Step(1, from, &Message{Kind: MsgFetch, Ballot: b})
		var kinds []MsgKind
		for _, e := range env.Sends {
			kinds = append(kinds, e.Kind)
		}
		env.Sends = nil
		return kinds
	}
	sealed := Ballot{3, 1}
	if got := fetch(3, sealed); got != nil {
		t.Errorf("before the seal: %v", got)
	}
	s.Step(1, 3, &Message{Kind: MsgSeal, Ballot: sealed})
	if got := fetch(3, sealed); got != nil {
		t.Errorf("before the promise is durable: %v", got)
	}
	settle(env, s)
	if got := fetch(1, sealed); got != nil {
		t.Errorf("a stranger: %v", got)
	}
	if got := fetch(1, Ballot{2, 1}); !reflect.DeepEqual(got, []MsgKind{MsgRefuse}) {
		t.Errorf("a lower ballot: %v", got)
	}
	if got := fetch(3, sealed); !reflect.DeepEqual(got, []MsgKind{MsgFetched}) {
		t.Errorf("the sealer: %v", got)
	}
}

// TestSlotStagedNonsense offers snapshots that do not hang together.
func TestSlotStagedNonsense(t *testing.T) {
	entry := func(lsn LSN, b, prev Ballot) TailEntry { return TailEntry{LSN: lsn, Ballot: b, Prev: prev, Bytes: 64} }
	one, two, three := Ballot{1, 1}, Ballot{2, 1}, Ballot{3, 1}
	base := Position{two, 10}
	good := []TailEntry{entry(11, two, two), entry(12, two, two)}
	for _, test := range []struct {
		name   string
		ballot Ballot
		state  SlotState
		want   bool
	}{
		{"good", two, SlotState{Base: base, Tail: good}, true},
		{"a gap after the base", two, SlotState{Base: base, Tail: good[1:]}, false},
		{"another past", two, SlotState{Base: base, Tail: []TailEntry{entry(11, two, one)}}, false},
		{"a ballot that falls", two, SlotState{Base: base, Tail: []TailEntry{entry(11, one, two)}}, false},
		{"a ballot above the sender's", two, SlotState{Base: base, Tail: []TailEntry{entry(11, three, two)}}, false},
		{"a ballot below the promise", one, SlotState{Base: Position{one, 10}}, false},
		{"less than what is here", two, SlotState{Base: Position{two, 5}}, false},
		{"less than is committed", three, SlotState{Base: Position{three, 3}}, false},
		{"an older log", two, SlotState{Base: Position{one, 50}}, false},
		{"the end of all numbers", two, SlotState{Base: Position{two, 1<<64 - 1}}, false},
	} {
		env, s := replica(t)
		if got := s.Staged(1, 1, test.ballot, test.state, nil); got != test.want || got != (len(env.Writes) > 0) {
			t.Errorf("%s: %t, %d writes", test.name, got, len(env.Writes))
		}
	}
	env, s := replica(t)
	if env.Enabled = false; s.Staged(1, 1, two, SlotState{Base: base, Tail: good}, nil) {
		t.Error("installed before the start is registered")
	}
}

// TestSlotNotEnabled checks that a node whose start is not registered promises
// nothing and seals nothing, and begins once it is.
func TestSlotNotEnabled(t *testing.T) {
	env := &Env{Self: 1, Boot: 1, Leases: NewLeases(0, 0, MaxDrift)}
	s := NewSlot(0, env, SlotState{})
	s.SetRow(1, 1, Row{Epoch: 1, Replicas: []NodeID{1, 2}})
	s.Step(1, 2, &Message{Kind: MsgSeal, Ballot: Ballot{2, 1}})
	s.Step(1, 2, &Message{Kind: MsgAppend, Ballot: Ballot{2, 1}})
	s.Tick(1)
	if sends, _ := settle(env, s); len(sends) > 0 || s.Promise() != (Promise{}) {
		t.Fatalf("sent %+v, promised %v", sends, s.Promise())
	}
	env.Enabled = true
	if !s.Busy() {
		t.Fatal("would not be ticked")
	}
	s.Tick(2)
	if sends, _ := settle(env, s); len(sends) != 2 || sends[0].Kind != MsgSeal {
		t.Fatalf("sent %+v", sends)
	}
}

// TestSlotWindow lets an owner take over a log longer than what may be sent
// without an acknowledgement, and then holds it to that.
func TestSlotWindow(t *testing.T) {
	env := &Env{Self: 1, Boot: 1, Leases: NewLeases(0, 0, MaxDrift), Enabled: true}
	s := NewSlot(0, env, SlotState{Base: Position{Ballot{1, 1}, 1 << 20}})
	s.SetRow(1, 2, Row{Epoch: 2, Replicas: []NodeID{1, 2, 3}})
	for _, id := range []NodeID{1, 2} {
		s.Step(1, id, &Message{Kind: MsgPromise, Ballot: Ballot{2, 1}, At: Position{Ballot{1, 1}, 1 << 20}})
	}
	sent := func() (n LSN, bytes int) {
		sends, _ := settle(env, s)
		for i := range sends {
			if sends[i].To == 2 {
				n += LSN(len(sends[i].Entries))
				for j := range sends[i].Entries {
					bytes += sends[i].Entries[j].Size()
				}
			}
		}
		return n, bytes
	}
	if n, _ := sent(); n != 1 {
		t.Fatalf("%d entries sent, 1 wanted: the barrier", n)
	}
	ack := func(lsn LSN) {
		s.Step(1, 2, &Message{Kind: MsgAck, Ballot: Ballot{2, 1}, At: Position{LSN: lsn}})
	}
	barrier := LSN(1<<20 + 1)
	ack(barrier)
	if !s.Active() {
		t.Fatal("not active")
	}
	for range 3 * windowEntries {
		s.Append("", nil)
	}
	if n, _ := sent(); n < windowEntries || n > windowEntries+appendBytesMax/entryOverheadBytes {
		t.Fatalf("%d entries sent without an acknowledgement", n)
	}
	last := s.Log().Last().LSN
	for range 100 { // one acknowledgement lets more out, up to the end
		ack(s.lead.peers[0].next - 1)
		sent()
	}
	if got := s.lead.peers[0].match; got != last {
		t.Fatalf("acknowledged up to %d of %d", got, last)
	}
	for range 5 {
		s.Append("", make([]byte, 4<<20))
	}
	if _, bytes := sent(); bytes < windowBytes || bytes > windowBytes+5<<20 {
		t.Fatalf("%d bytes sent without an acknowledgement", bytes)
	}
	s.Step(1, 2, &Message{Kind: MsgAck, Ballot: Ballot{2, 1}, At: Position{LSN: 1 << 60}})
	if got := s.lead.peers[0].match; got != last {
		t.Fatalf("match %d by the acknowledgement of what was never written", got)
	}
}

// FuzzSlotStep lets an attacker who is a member send whatever it likes to a
// replica and to owners in all phases. Nothing panics, and the log stays whole.
func FuzzSlotStep(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		data := make([]byte, 400)
		for i := 0; i+8 <= len(data); i += 8 {
			binary.LittleEndian.PutUint64(data[i:], rng.Uint64())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &slotAttack{data: data}
		a.env = &Env{Self: 2, Boot: 1, Leases: NewLeases(0, 500*time.Millisecond, MaxDrift), Enabled: true}
		a.slot = NewSlot(0, a.env, SlotState{})
		for len(a.data) > 0 {
			a.step()
			a.check(t)
		}
	})
}

// slotAttack makes messages of bytes that the fuzzer chooses.
type slotAttack struct {
	data []byte
	env  *Env
	slot *Slot
	now  Instant
	seq  uint64
	done uint64
	view Epoch
}

func (a *slotAttack) pick(n int) int {
	if len(a.data) == 0 {
		return 0
	}
	v := a.data[0]
	a.data = a.data[1:]
	return int(v) % n
}

// lsn returns one near those that mean something.
func (a *slotAttack) lsn() LSN {
	near := []LSN{0, a.slot.log.Base().LSN, a.slot.log.Last().LSN, a.slot.commit, 1<<64 - 1}[a.pick(5)]
	return near + LSN(a.pick(4)) - 1
}

func (a *slotAttack) ballot() Ballot {
	b := []Ballot{{}, a.slot.promise.Ballot, a.slot.Ballot(), a.slot.log.Last().Ballot, {1<<64 - 1, 1}}[a.pick(5)]
	return Ballot{b.Epoch + Epoch(a.pick(2)), b.Boot + Boot(a.pick(2))}
}

func (a *slotAttack) position() Position {
	if p, ok := a.slot.log.position(a.lsn()); ok && a.pick(4) > 0 {
		return p
	}
	return Position{a.ballot(), a.lsn()}
}

// entries returns a run of entries after p that may even be right.
func (a *slotAttack) entries(p Position) []Entry {
	var hash uint64
	if q, ok := a.slot.log.position(p.LSN); ok && q == p {
		hash = a.slot.log.hash(p.LSN)
	}
	var list []Ballot
	for range a.pick(4) {
		list = append(list, a.ballot())
	}
	entries := chain(p, hash, list...)
	if len(entries) > 0 && a.pick(4) == 0 {
		e := &entries[a.pick(len(entries))]
		e.LSN, e.Prev, e.Hash = a.lsn(), a.ballot(), uint64(a.pick(256))
	}
	return entries
}

func (a *slotAttack) step() {
	s := a.slot
	from := NodeID(1 + a.pick(4))
	a.now += Instant(a.pick(100)) * Instant(time.Millisecond)
	switch k := a.pick(16); k {
	default:
		m := &Message{Kind: MsgKind(k + 1), Ballot: a.ballot(), At: a.position(), Commit: a.lsn(), Round: uint64(a.pick(3)) - 1, Promised: Promise{a.ballot(), from}}
		m.Entries = a.entries(m.At)
		s.Step(a.now, from, m)
	case 10:
		a.view += Epoch(1 + a.pick(3))
		row := Row{Epoch: a.view, Replicas: [][]NodeID{{2}, {2, 1, 3}, {2, 1, 3}, {1, 2, 3}, {1, 3}, nil}[a.pick(6)]}
		if old := s.Row(); a.pick(2) == 0 && old.Epoch > 0 {
			row = old
			row.Learners = [][]NodeID{nil, {4}}[a.pick(2)]
		}
		if a.pick(2) == 0 {
			row.From = [][]NodeID{{1, 2}, nil}
		}
		s.SetRow(a.now, a.view, row)
	case 11:
		s.Tick(a.now)
	case 12:
		a.seq++
		a.env.Flush(a.now, a.seq)
		a.env.Writes, a.env.Sends, a.env.Events = nil, nil, nil
	case 13:
		for ; a.done < a.seq; a.done++ {
			s.Persisted(a.now, a.done+1)
		}
	case 14:
		p := a.position()
		s.ReadDone(a.now, from, a.ballot(), a.entries(p))
		s.SnapshotSent(a.now, from, s.log.Last().LSN, a.pick(2) == 0)
		var state SlotState
		state.Base = p
		for _, e := range a.entries(p) {
			state.Tail = append(state.Tail, TailEntry{LSN: e.LSN, Ballot: e.Ballot, Prev: e.Prev, Hash: e.Hash, Bytes: e.Size()})
		}
		s.Staged(a.now, from, a.ballot(), state, nil)
	case 15:
		s.Evict(a.pick(2) << 20)
		s.Forget(a.lsn(), func(ActorKey, LSN, int) {})
		if s.Active() {
			s.Append("", []byte{1})
			s.Ask()
		}
		s.Reconnected(a.now, from)
		s.Floor()
		s.LeaseUntil()
	}
}

func (a *slotAttack) check(t *testing.T) {
	s, log := a.slot, a.slot.log
	if s.commit > log.Last().LSN || s.sync.lsn > log.Last().LSN || log.Base().LSN > max(s.commit, s.sync.lsn) {
		t.Fatalf("base %v, commit %d, durable %d, last %v", log.Base(), s.commit, s.sync.lsn, log.Last())
	}
	p := log.Base()
	for lsn := p.LSN + 1; lsn <= log.Last().LSN; lsn++ {
		e := log.at(lsn)
		if e.LSN != p.LSN+1 || e.Prev != p.Ballot || e.Ballot.Less(p.Ballot) {
			t.Fatalf("%+v follows %v", e, p)
		}
		p = e.Position()
	}
}
