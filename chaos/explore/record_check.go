package explore

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"actormesh/quorum"
)

func (m *recordMachine) look() any {
	l := &recordLook{length: len(m.log), shipped: m.has[1-m.owner], commit: m.commit, active: m.actor != nil, settled: m.commit == len(m.log)}
	for i := range m.log {
		r := m.log[i].record
		if r == nil {
			continue
		}
		if n := m.numberOf(r); n >= 0 && i < m.commit {
			l.done[n] = true
		}
		for k := range m.stores {
			if i >= m.stores[k].upTo && i < m.foldable() && i < m.has[k] {
				l.foldable[k]++
			}
		}
	}
	o := m.remembered(m.commit)
	l.outbox = len(o.outbox) > 0 && m.remembered(len(m.log)).done == o.done
	return l
}

// numberOf returns which request the record is of, or -1.
func (m *recordMachine) numberOf(r *quorum.Record) int {
	if r.Request.IsZero() {
		return -1
	}
	return int(r.Args)
}

func (m *recordMachine) appendState(b []byte) []byte {
	b = appendBallot(appendNumbers(b, uint64(m.commit), uint64(m.owner), uint64(m.wall), uint64(m.has[0]), uint64(m.has[1])), m.ballot)
	b = appendNumbers(b, uint64(len(m.log)))
	for i := range m.log {
		b = appendText(appendBallot(b, m.log[i].Ballot), string(m.log[i].Data))
	}
	for i := range m.stores {
		s := &m.stores[i]
		b = appendText(appendNumbers(b, uint64(s.upTo)), string(s.base))
		b = fmt.Appendf(b, "%v%v%v", s.received, s.sent, s.keys) // maps print in order
		b = appendNumbers(b, uint64(len(s.answers)))
		for _, key := range slices.Sorted(maps.Keys(s.answers)) {
			b = appendText(appendText(b, key), string(s.answers[key]))
		}
		b = fmt.Appendf(b, "%v", s.expiry)
	}
	if m.actor != nil {
		b = append(m.actor.base.AppendTo(b, false), '+')
		for _, key := range slices.Sorted(maps.Keys(m.actor.recent)) {
			b = appendText(b, key)
		}
	}
	return b
}

func appendText(b []byte, s string) []byte { return append(appendNumbers(b, uint64(len(s))), s...) }

// memory is what must be remembered of a beginning of the log, made out
// without package quorum.
type memory struct {
	ran      []int // how often each request had an effect
	sent     uint64
	done     uint64 // the highest send that its target has committed
	outbox   []uint64
	received uint64
	key      string // the value of the one ordered key, or empty
	timer    string
	wall     int64
	own      map[string]quorum.LSN // of the last record of each own key
	repeated string                // a request that took effect again, and must not
}

// lastRun is when a request, or any request of its session, was recorded last.
type lastRun struct {
	wall int64
	low  uint64
}

// remembered reads the beginning of the log.
func (m *recordMachine) remembered(n int) *memory {
	o := &memory{ran: make([]int, len(m.model.requests)), own: map[string]quorum.LSN{}}
	sessions, last := map[quorum.SessionID]lastRun{}, map[int]int64{}
	for i := range m.log[:n] {
		r := m.log[i].record
		if r == nil {
			continue
		}
		o.wall = r.Wall
		if len(r.SendsDone) > 0 {
			o.done = r.SendsDone[0].Number
			o.outbox = slices.DeleteFunc(o.outbox, func(n uint64) bool { return n <= o.done })
			continue
		}
		k := m.numberOf(r)
		s := sessions[r.Request.Session]
		kept := last[k]
		if r.Request.Session != (quorum.SessionID{}) {
			kept = s.wall
			if r.Request.Number < s.low && r.Wall-kept <= int64(recordRetention) {
				o.repeated = m.model.requests[k].name + " took effect below its session's low mark"
			}
			sessions[r.Request.Session] = lastRun{r.Wall, max(s.low, r.Request.Low)}
		}
		if _, ran := last[k]; ran && (r.Wall-kept <= int64(recordRetention) || r.Request.Source != "") {
			o.repeated = m.model.requests[k].name + " took effect twice"
		}
		last[k] = r.Wall
		o.take(k, m.log[i].LSN, r)
	}
	return o
}

// take adds what the record of a request leaves behind.
func (o *memory) take(k int, lsn quorum.LSN, r *quorum.Record) {
	if r.Request.Key != "" {
		o.own[r.Request.Key] = lsn
	}
	if r.Request.Source != "" {
		o.received = r.Request.Number
	}
	if r.Err != nil {
		return
	}
	o.ran[k]++
	o.key, o.timer = string(r.Writes[0].Value), r.Timers[0].Method
	if r.Timers[0].Cancel {
		o.timer = ""
	}
	for _, s := range r.Sends {
		if s.Number != o.sent+1 {
			o.repeated = fmt.Sprintf("a send has the number %d after %d", s.Number, o.sent)
		}
		o.sent = s.Number
		o.outbox = append(o.outbox, s.Number)
	}
}

// check holds what is in memory and on the disks to the log.
func (m *recordMachine) check() string {
	all := m.remembered(len(m.log))
	if all.repeated != "" {
		return "Idempotency: " + all.repeated
	}
	if m.actor != nil {
		if what := m.checkBase("the activation", m.actor.base, len(m.log), all); what != "" {
			return what
		}
	}
	for i := range m.stores {
		name := fmt.Sprintf("replica %d", i)
		o := m.remembered(m.has[i])
		if what := m.checkBase(name, m.load(i).base, m.has[i], o); what != "" {
			return what
		}
		if what := m.checkStore(name, &m.stores[i], m.has[i], o); what != "" {
			return what
		}
	}
	return ""
}

// checkBase compares a base with what the log alone gives, and that with what
// must be remembered. How many own keys it has is compared elsewhere.
func (m *recordMachine) checkBase(name string, base *quorum.Base, n int, o *memory) string {
	alone := quorum.NewBase()
	for i := range m.log[:n] {
		if r := m.log[i].record; r != nil {
			alone.Apply(&m.log[i].Entry, r, recordRetention)
		}
	}
	own := base.OwnKeys
	alone.OwnKeys, base.OwnKeys = 0, 0
	same := bytes.Equal(alone.AppendTo(nil, false), base.AppendTo(nil, false))
	base.OwnKeys = own
	if !same {
		return fmt.Sprintf("SameBase: %s is not what the log of %d gives", name, n)
	}
	for k, count := range o.ran {
		if count > 0 && (len(base.State) <= k || int(base.State[k]) != count) || count == 0 && len(base.State) > k && base.State[k] > 0 {
			return fmt.Sprintf("AtomicVisibility: %s has not %d times %s", name, count, m.model.requests[k].name)
		}
	}
	var outbox []uint64
	for _, s := range base.Outbox {
		outbox = append(outbox, s.Number)
	}
	if !slices.Equal(outbox, o.outbox) {
		return fmt.Sprintf("NoResurrection: %s is to send %v, not %v", name, outbox, o.outbox)
	}
	if base.Timers["timer"].Method != o.timer {
		return fmt.Sprintf("NoResurrection: %s has the timer of %q, not of %q", name, base.Timers["timer"].Method, o.timer)
	}
	if base.Received[sourceActor] != o.received || base.Sent[targetActor] != o.sent {
		return fmt.Sprintf("Idempotency: %s has the marks %v and %v, not %d and %d", name, base.Received, base.Sent, o.received, o.sent)
	}
	return ""
}

// checkStore compares what a replica keeps beside the base.
func (m *recordMachine) checkStore(name string, s *recordStore, n int, o *memory) string {
	key := s.keys["key"]
	folded := m.remembered(s.upTo)
	for i := s.upTo; i < n; i++ {
		if r := m.log[i].record; r != nil && len(r.Writes) > 0 {
			key = string(r.Writes[0].Value)
		}
	}
	if key != o.key {
		return fmt.Sprintf("NoResurrection: %s has the value %q, not %q", name, key, o.key)
	}
	for id, lsn := range folded.own {
		answer, err := quorum.DecodeAnswer(s.answers[id])
		expired := m.log[lsn-1].record.Wall < folded.wall-int64(recordRetention)
		if (err != nil || answer.At.LSN != lsn) && !expired {
			return fmt.Sprintf("Idempotency: %s has lost the answer to %q", name, id)
		}
	}
	if s.base != nil && s.load().OwnKeys != len(s.expiry) {
		return fmt.Sprintf("Idempotency: %s counts %d own keys, and has %d", name, s.load().OwnKeys, len(s.expiry))
	}
	return ""
}

// checkReplay asks that a repeated request gets the answer of its record.
func (m *recordMachine) checkReplay(i int, a *quorum.Answer) string {
	r := &m.model.requests[i]
	if a == nil {
		for k := range m.log {
			rec := m.log[k].record
			if rec != nil && (m.numberOf(rec) == i || rec.Request.Session == r.id.Session && rec.Request.Low > r.id.Number) {
				return ""
			}
		}
		return fmt.Sprintf("Idempotency: %s is taken to be done, and never was", r.name)
	}
	if n := int(a.At.LSN); n > len(m.log) || m.log[n-1].record == nil || a.At != m.log[n-1].Position() {
		return fmt.Sprintf("Idempotency: %s is answered from %v, which is not in the log", r.name, a.At)
	}
	rec := m.log[a.At.LSN-1].record
	if m.numberOf(rec) != i || !bytes.Equal(rec.Reply, a.Reply) || (rec.Err != nil) != (a.Err != nil) {
		return fmt.Sprintf("Idempotency: %s does not get its first answer again", r.name)
	}
	return ""
}
