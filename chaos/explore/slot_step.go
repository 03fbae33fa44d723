package explore

import (
	"fmt"
	"slices"

	"actormesh/quorum"
)

func (m *slotMachine) do(e event, msg *message, out *effects) {
	if m.model.term == 0 {
		m.now = m.now.Add(everyTimer)
	}
	switch e.kind {
	case evDeliver:
		m.deliver(msg, out)
	case evAdopt:
		m.view = quorum.Epoch(e.arg & 0xffff)
		m.row = m.model.row(m.view, uint8(e.arg>>16))
		m.slot.SetRow(m.now, m.view, m.row)
	case evWrite:
		m.slot.Append(quorum.MakeActorKey("a", "1"), []byte{0, byte(e.arg)})
	case evPersist:
		m.persist()
	case evTick:
		m.slot.Tick(m.now)
	case evCrash:
		m.crash(int(e.arg))
	}
	m.settle(out)
}

func (m *slotMachine) deliver(msg *message, out *effects) {
	body := msg.body.(*quorum.Message)
	if m.model.bug == BugLowAppend && body.Kind == quorum.MsgAppend && body.Ballot.Less(m.slot.Promise().Ballot) {
		m.lowAppend(msg.from, body, out)
		return
	}
	m.slot.Step(m.now, msg.from, body)
}

// crash stops the process and starts it again. Of the writes under way, kept are
// left on the disk.
func (m *slotMachine) crash(kept int) {
	for _, b := range m.batches {
		for i := range b.writes {
			if kept > 0 {
				m.disk.apply(&b.writes[i])
				kept--
			}
		}
	}
	m.crashBug()
	m.restart()
	if m.view > 0 {
		m.slot.SetRow(m.now, m.view, m.row)
	}
}

// persist ends the oldest write.
func (m *slotMachine) persist() {
	b := m.batches[0]
	m.batches = m.batches[1:]
	for i := range b.writes {
		m.disk.apply(&b.writes[i])
	}
	m.slot.Persisted(m.now, b.seq)
}

// settle does what a shard does after some steps: it ends the batch, takes its
// own messages to itself, and, unless writes end in events of their own, waits
// for the disk.
func (m *slotMachine) settle(out *effects) {
	for {
		marked := m.env.Flush(m.now, m.seq+1)
		writes, sends, events := m.env.Writes, m.env.Sends, m.env.Events
		m.env.Writes, m.env.Sends, m.env.Events = nil, nil, nil
		if (len(marked) > 0) != (len(writes) > 0) {
			out.violate("a write without a mark, or a mark without a write")
		}
		for i := range writes {
			m.memory.apply(&writes[i])
		}
		if len(writes) > 0 {
			m.seq++
			m.batches = append(slices.Clip(m.batches), slotBatch{m.seq, writes})
		}
		for i := range events {
			m.report(&events[i], out)
		}
		m.committed(out)
		for i := range sends {
			m.send(&sends[i], out)
		}
		if m.model.bug == BugEarlyAck {
			m.slot.Persisted(m.now, m.seq)
		}
		for !m.model.async && len(m.batches) > 0 {
			m.persist()
		}
		if len(writes)+len(sends)+len(events) == 0 {
			break
		}
	}
}

// send puts a message into the network, or steps the slot with one that is for
// itself.
func (m *slotMachine) send(e *quorum.Envelope, out *effects) {
	if what := m.checkSend(e); what != "" {
		out.violate(what)
	}
	if e.To == m.id {
		m.slot.Step(m.now, m.id, &e.Message)
		return
	}
	if e.Kind != quorum.MsgRefuse { // it says only that a newer view is there
		out.sends = append(out.sends, slotMessage(m.id, e.To, &e.Message))
	}
}

// checkSend asks that what is said is durable.
func (m *slotMachine) checkSend(e *quorum.Envelope) string {
	last := quorum.Position{}
	if n := len(m.disk.log); n > 0 {
		last = m.disk.log[n-1].Position()
	}
	switch {
	case e.Kind == quorum.MsgPromise && (m.disk.promise.Ballot != e.Ballot || last != e.At):
		return fmt.Sprintf("Durable: %s promises %v at %v, its disk has %v at %v", nodeName(m.id), e.Ballot, e.At, m.disk.promise.Ballot, last)
	case e.Kind == quorum.MsgAck && (m.disk.promise.Ballot != e.Ballot || e.At.LSN > last.LSN):
		return fmt.Sprintf("Durable: %s acknowledges %d at %v, its disk has %v up to %v", nodeName(m.id), e.At.LSN, e.Ballot, m.disk.promise.Ballot, last)
	}
	return ""
}

// report notes an event of the slot.
func (m *slotMachine) report(e *quorum.SlotEvent, out *effects) {
	switch e.Kind {
	case quorum.SlotDamaged:
		out.violate(fmt.Sprintf("%s: damaged: %s", nodeName(m.id), e.Detail))
	case quorum.SlotActive:
		i := slices.IndexFunc(m.memory.log, func(x quorum.Entry) bool { return x.Ballot == e.Ballot })
		if i < 0 || i >= len(m.disk.log) {
			out.violate(fmt.Sprintf("%s is active at %v, and its barrier is not durable here", nodeName(m.id), e.Ballot))
			return
		}
		if e.Kept && i > 0 && !m.wrote(m.memory.log[i-1].Ballot) {
			out.violate(fmt.Sprintf("Kept: %s goes on at %v with what ran, and %v has ruled since", nodeName(m.id), e.Ballot, m.memory.log[i-1].Ballot))
		}
		out.facts = append(out.facts, newSlotFact(e.Ballot, true, m.memory.places()[:i+1]))
	}
}

// wrote reports whether the ballot is one of this process.
func (m *slotMachine) wrote(b quorum.Ballot) bool {
	row := m.model.row(b.Epoch, 0)
	return row.Owner() == m.id && b.Boot == m.boot
}

// committed notes what this node, as an owner, knows to be committed.
func (m *slotMachine) committed(out *effects) {
	b, commit := m.slot.Ballot(), m.slot.Commit()
	if b.IsZero() || commit == m.told || commit > quorum.LSN(len(m.memory.log)) {
		return
	}
	m.told = commit
	if m.memory.log[commit-1].Ballot == b {
		out.facts = append(out.facts, newSlotFact(b, false, m.memory.places()[:commit]))
	}
}

func newSlotFact(b quorum.Ballot, barrier bool, log []place) fact {
	text := fmt.Sprintf("%v commits up to %d", b, len(log))
	if barrier {
		text = fmt.Sprintf("%v is active from %d on", b, len(log))
	}
	return fact{
		key:  fmt.Sprintf("%s %x", text, log[len(log)-1].hash),
		text: text,
		body: &slotFact{ballot: b, barrier: barrier, log: log},
	}
}
