package explore

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"actormesh/quorum"
)

// leaseMachine is a node with its part in the slot, its clock, and the
// heartbeats that it has sent.
type leaseMachine struct {
	*slotMachine
	delays bool                // as in the model
	beats  [maxNodes]heartbeat // by the node that they are for; only the newest is on its way
	heard  [maxNodes]quorum.Epoch
}

// heartbeat is one on its way. It is worth something until its sender would not
// count the lease any more; epoch is 0 for none.
type heartbeat struct {
	sent     quorum.Instant
	epoch    quorum.Epoch
	answered bool // with a lease
}

func (m *leaseMachine) do(e event, msg *message, out *effects) {
	switch e.kind {
	case evClock:
		m.clock(e.arg, out)
	case evBeat:
		m.beat()
	case evHear:
		from, boot, epoch := heardBeat(e.arg)
		m.heard[from-1] = max(m.heard[from-1], epoch)
		out.agreed = m.env.Leases.Hear(m.now, from, boot, epoch)
		m.again(out)
	case evAnswer:
		if m.beats[e.arg].answered = m.delays; !m.delays {
			m.grant(e.arg)
		}
	case evGrant:
		m.grant(e.arg)
	case evCrash:
		m.beats, m.heard = [maxNodes]heartbeat{}, [maxNodes]quorum.Epoch{}
		m.slotMachine.do(e, msg, out)
	default:
		m.slotMachine.do(e, msg, out)
	}
}

// grant takes the answer of a node to the newest heartbeat. An earlier answer
// to it says the same.
func (m *leaseMachine) grant(node uint32) {
	m.env.Leases.Grant(quorum.NodeID(node+1), m.sentAt(m.beats[node].sent))
}

// beat sends a heartbeat to each other node.
func (m *leaseMachine) beat() {
	for i := range m.model.size {
		if quorum.NodeID(i+1) != m.id {
			m.beats[i] = heartbeat{sent: m.now, epoch: m.beatEpoch()}
		}
	}
}

// clock lets the node's clock go on, and all timers of its slot end, unless it
// has stopped.
func (m *leaseMachine) clock(units uint32, out *effects) {
	if units == 0 {
		return
	}
	m.now = m.now.Add(time.Duration(units) * unit)
	for i := range m.beats {
		if m.now >= m.beats[i].sent.Add(m.model.term-quorum.LeaseMargin(m.model.term, m.model.leaseDrift())) {
			m.beats[i] = heartbeat{}
		}
	}
	m.slot.Tick(m.now)
	m.settle(out)
	if b, since, waits := m.slot.SealWaits(); waits && m.now.Sub(since) >= m.model.term {
		out.violate(fmt.Sprintf("SealBounded: at %s the seal of %v has waited for a whole lease", nodeName(m.id), b))
	}
}

// again has the seal that waits come once more, as its sender repeats it: the
// heartbeat may have been what it waited for.
func (m *leaseMachine) again(out *effects) {
	b, _, waits := m.slot.SealWaits()
	if !waits {
		return
	}
	row := m.model.row(b.Epoch, 0)
	m.slot.Step(m.now, row.Owner(), &quorum.Message{Kind: quorum.MsgSeal, Ballot: b})
	m.settle(out)
}

// appendState counts time from now: no two clocks are compared, and no instant
// means anything but by how far it is away.
func (m *leaseMachine) appendState(b []byte) []byte {
	b = m.env.Leases.AppendState(m.slotMachine.appendState(b), m.now)
	if _, since, waits := m.slot.SealWaits(); waits {
		b = binary.AppendUvarint(b, uint64(m.now-since))
	}
	for i, h := range m.beats {
		b = binary.AppendUvarint(b, uint64(m.heard[i]))
		if b = binary.AppendUvarint(b, uint64(h.epoch)); h.epoch > 0 {
			b = strconv.AppendBool(binary.AppendUvarint(b, uint64(m.now-h.sent)), h.answered)
		}
	}
	return b
}

func (m *leaseMachine) look() any {
	l := m.slotMachine.look().(*slotLook)
	l.lease.heard = m.heard
	l.lease.holds = m.now < m.slot.LeaseUntil()
	for i, h := range m.beats {
		l.lease.beats[i], l.lease.answers[i] = h.epoch, h.answered
	}
	return l
}
