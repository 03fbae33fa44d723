package quorum

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// registerNet is a network of register processes in virtual time, whose every
// message and every write is in the hands of the test.
type registerNet struct {
	now   Instant
	procs []*registerProc
	mail  []registerMail
	nonce Nonce

	// What the checks look at.
	decided map[Version]*Decree              // by who first learned it
	votes   map[Version]map[Number][]NodeID  // acceptances that were sent, by the view before
	values  map[Version]map[Number]*Decree   // what was proposed under a number
	only    func(*registerProc) bool         // who hears a message, if not nil
	log     func(format string, args ...any) // renders what happens
	broken  func(format string, args ...any) // an invariant does not hold
	learned func(p *registerProc, v *Decree)
}

// registerProc is one process of a node. Two processes of one node are copies.
type registerProc struct {
	node         NodeID
	copied       bool
	disk         *RegisterState
	snapshot     *RegisterState
	snapshotBoot Boot
	boot         Boot // on disk
	reg          *Register
	saving       *RegisterState
	savingSeq    uint64
	registered   bool
	refused      error
}

type registerMail struct {
	from *registerProc
	RegisterSend
}

func newRegisterNet(broken func(string, ...any)) *registerNet {
	return &registerNet{
		decided: map[Version]*Decree{},
		votes:   map[Version]map[Number][]NodeID{},
		values:  map[Version]map[Number]*Decree{},
		log:     func(string, ...any) {},
		broken:  broken,
		learned: func(*registerProc, *Decree) {},
	}
}

func (n *registerNet) add(id NodeID) *registerProc {
	p := &registerProc{node: id, disk: &RegisterState{}}
	n.procs = append(n.procs, p)
	n.start(p)
	return p
}

// start starts the process, or starts it again after a crash.
func (n *registerNet) start(p *registerProc) {
	p.boot++
	n.nonce++
	p.reg = NewRegister(Start{p.node, p.boot, n.nonce}, p.disk, uint64(n.nonce))
	p.saving, p.registered, p.refused = nil, false, nil
	p.reg.Tick(n.now)
	n.drain(p)
}

func (n *registerNet) crash(p *registerProc) {
	p.reg, p.saving, p.registered = nil, nil, false
	n.mail = slices.DeleteFunc(n.mail, func(m registerMail) bool { return m.from == p })
}

func (n *registerNet) running(p *registerProc) bool { return p.reg != nil && p.refused == nil }

// drain takes what the process has ready.
func (n *registerNet) drain(p *registerProc) {
	ready := p.reg.Ready()
	if ready.Save != nil {
		if p.saving != nil {
			n.broken("two saves at once on %d", p.node)
		}
		b := ready.Save.AppendTo(nil)
		saved, err := DecodeRegisterState(b)
		if err != nil {
			n.broken("state of %d does not decode: %v", p.node, err)
			return
		}
		p.saving, p.savingSeq = saved, ready.Seq
		n.log("%s saves %d: %s", p.name(), ready.Seq, renderState(ready.Save))
	}
	for _, s := range ready.Sends {
		m, err := DecodeRegisterMessage(s.Message.AppendTo(nil))
		if err != nil {
			n.broken("message of %d does not decode: %v", p.node, err)
			continue
		}
		n.observe(p, &m)
		n.log("%s → %d %s", p.name(), s.To, renderMessage(&m))
		n.mail = append(n.mail, registerMail{p, RegisterSend{s.To, m}})
	}
	if ready.Learned != nil {
		n.log("%s learns %s", p.name(), renderDecree(ready.Learned))
		n.checkLearned(p, ready.Learned)
		n.learned(p, ready.Learned)
	}
	if ready.Registered && !p.registered {
		n.log("%s is registered", p.name())
	}
	p.registered = ready.Registered
	if ready.Refused != nil {
		n.log("%s stops: %v", p.name(), ready.Refused)
		p.refused, p.registered = ready.Refused, false
	}
}

// observe notes what the chain of views must rest on. It sees acceptances that
// leave; those of a proposer to itself are on its disk before it decides.
func (n *registerNet) observe(p *registerProc, m *RegisterMessage) {
	switch m.Kind {
	case RegisterAccept:
		if n.values[m.Version] == nil {
			n.values[m.Version] = map[Number]*Decree{}
		}
		if old := n.values[m.Version][m.Number]; old != nil && !sameDecree(old, &m.View) {
			n.broken("number %s of %s proposes two values", m.Number, m.Version)
		}
		n.values[m.Version][m.Number] = &m.View
	case RegisterAccepted:
		n.vote(p.node, m.Version, m.Number)
	}
}

func (n *registerNet) vote(id NodeID, base Version, number Number) {
	if n.votes[base] == nil {
		n.votes[base] = map[Number][]NodeID{}
	}
	if !slices.Contains(n.votes[base][number], id) {
		n.votes[base][number] = append(n.votes[base][number], id)
	}
}

// checkLearned is Agreement and Chain: one view for each epoch, accepted under
// one number by a majority of the voters of the one before it.
func (n *registerNet) checkLearned(p *registerProc, v *Decree) {
	if old := n.decided[v.Version]; old != nil {
		if !sameDecree(old, v) {
			n.broken("Agreement: %s and %s", renderDecree(old), renderDecree(v))
		}
		return
	}
	n.decided[v.Version] = v
	base := n.decided[Version{v.Incarnation, v.Epoch - 1}]
	if v.Epoch == 1 {
		return
	}
	if base == nil {
		n.broken("Chain: %s was learned before the view that it follows", v.Version)
		return
	}
	for number, value := range n.values[base.Version] {
		if !sameDecree(value, v) {
			continue
		}
		votes := slices.Clone(n.votes[base.Version][number])
		if own := p.node; own == number.Node && !slices.Contains(votes, own) {
			votes = append(votes, own) // the proposer decides on its own acceptance, too
		}
		if len(votes) >= Majority(len(base.Voters)) {
			return
		}
	}
	if len(base.Voters) > 1 {
		n.broken("Chain: no majority of %s accepted %s", base.Version, renderDecree(v))
	}
}

// persist ends the write of a process.
func (n *registerNet) persist(p *registerProc) {
	if p.reg == nil || p.saving == nil {
		return
	}
	p.disk, p.saving = p.saving, nil
	n.log("%s has saved %d", p.name(), p.savingSeq)
	p.reg.Persisted(n.now, p.savingSeq)
	n.drain(p)
}

// deliver hands over a copy of the i-th message to whoever runs with its address.
func (n *registerNet) deliver(i int, keep bool) {
	m := n.mail[i]
	if !keep {
		n.mail = slices.Delete(n.mail, i, i+1)
	}
	for _, p := range n.procs {
		if p.node == m.To && n.running(p) && (n.only == nil || n.only(p)) {
			p.reg.Step(n.now, m.from.node, m.Message)
			n.drain(p)
		}
	}
}

// advance lets time pass, and ticks who is due.
func (n *registerNet) advance(d time.Duration) {
	n.now = n.now.Add(d)
	for _, p := range n.procs {
		if n.running(p) && p.reg.Deadline() <= n.now {
			p.reg.Tick(n.now)
			n.drain(p)
		}
	}
}

// run lets d pass, in small steps, with a network and disks that work, and
// shuffles the messages if rng is set.
func (n *registerNet) run(d time.Duration, rng *rand.Rand) {
	for end := n.now.Add(d); n.now < end; n.advance(10 * time.Millisecond) {
		for busy := true; busy; {
			busy = false
			for len(n.mail) > 0 {
				i := 0
				if rng != nil {
					i = rng.IntN(len(n.mail))
				}
				n.deliver(i, false)
			}
			for _, p := range n.procs {
				if p.saving != nil {
					n.persist(p)
					busy = true
				}
			}
		}
	}
}

// found gives the processes a first view.
func (n *registerNet) found(voters []NodeID, procs ...*registerProc) {
	view := Decree{Version: Version{1, 1}, Voters: voters, Body: []byte("1")}
	for _, p := range procs {
		view.Starts = joinStart(view.Starts, p.reg.self)
	}
	for _, p := range procs {
		p.reg.Adopt(n.now, view)
		n.drain(p)
	}
}

// next returns a view that follows the newest one that p knows.
func (n *registerNet) next(p *registerProc, voters []NodeID, body string) Decree {
	view := p.reg.View()
	next := Decree{Version: Version{view.Incarnation, view.Epoch + 1}, Voters: voters, Body: []byte(body)}
	for _, s := range view.Starts {
		next.Starts = append(next.Starts, Start{Node: s.Node})
	}
	return next
}

func (p *registerProc) name() string {
	if p.copied {
		return fmt.Sprintf("%d'", p.node)
	}
	return fmt.Sprint(uint64(p.node))
}

func renderNumber(n Number) string {
	if n.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%d.%d.%d", n.Round, n.Boot, n.Node)
}

func renderDecree(d *Decree) string {
	if d.Epoch == 0 {
		return "-"
	}
	return fmt.Sprintf("%s[%s voters=%s starts=%s]", d.Version, d.Body, renderNodes(d.Voters), renderStarts(d.Starts))
}

func renderNodes(ids []NodeID) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", uint64(id))
	}
	return b.String()
}

func renderStarts(list []Start) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d.%d", uint64(s.Node), s.Boot)
		if s.Nonce == 0 {
			b.WriteByte('!')
		}
	}
	return b.String()
}

func renderState(s *RegisterState) string {
	var late []string
	for _, e := range s.Starts {
		if e.Late {
			late = append(late, fmt.Sprint(uint64(e.Node)))
		}
	}
	text := fmt.Sprintf("view=%s promised=%s accepted=%s %s starts=%s", s.View.Version, renderNumber(s.Promised),
		renderNumber(s.Accepted), renderDecree(&s.Value), renderStarts(s.table()))
	if len(late) > 0 {
		text += " late=" + strings.Join(late, ",")
	}
	return text
}

func renderMessage(m *RegisterMessage) string {
	text := fmt.Sprintf("%s of %s", m.Kind, m.Version)
	if !m.Number.IsZero() {
		text += " " + renderNumber(m.Number)
	}
	if !m.Promised.IsZero() {
		text += " promised=" + renderNumber(m.Promised)
	}
	if !m.Accepted.IsZero() {
		text += " accepted=" + renderNumber(m.Accepted)
	}
	if m.Start != (Start{}) {
		text += " start=" + renderStarts([]Start{m.Start})
	}
	if len(m.Starts) > 0 {
		text += " starts=" + renderStarts(m.Starts)
	}
	if m.View.Epoch > 0 {
		text += " " + renderDecree(&m.View)
	}
	if m.Late {
		text += " late"
	}
	return text
}

func nodeIDs(ids ...NodeID) []NodeID { return ids }

func fatalf(t *testing.T) func(string, ...any) {
	return func(format string, args ...any) { t.Helper(); t.Fatalf(format, args...) }
}

// sameDecree reports whether d and e are the same decision.
func sameDecree(d, e *Decree) bool {
	return d.Version == e.Version && slices.Equal(d.Voters, e.Voters) && bytes.Equal(d.Body, e.Body)
}
