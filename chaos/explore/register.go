package explore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"actormesh/quorum"
)

// viewRegister is the model of the view register: voters, some of which propose
// views, and restart. All nodes begin registered, at view 1.
type viewRegister struct {
	size    int
	voters  []quorum.NodeID // of view 1
	choices []proposal
	epochs  int // the last epoch that is tried
	rounds  uint64
	crashes int // of all nodes together
	ticks   int // of all nodes together
	victims []quorum.NodeID
	fickle  bool // who has proposed may take it back
	async   bool // writes end in events of their own
	bug     Bug
}

// proposal is a view that may be proposed once, over a view of the epoch.
type proposal struct {
	by     quorum.NodeID
	over   quorum.Epoch
	voters []quorum.NodeID
}

// Places in globals.
const (
	registerProposed = iota // bit i: choice i was proposed
	registerCrashes         // of any node
	registerTicks           // of any node
)

func (c *viewRegister) nodes() int { return c.size }

func (c *viewRegister) first() (globals, effects) {
	return globals{}, effects{facts: []fact{learnedFact(c.founding())}}
}

// founding is view 1, with everybody's first start.
func (c *viewRegister) founding() *quorum.Decree {
	d := &quorum.Decree{Version: quorum.Version{Incarnation: 1, Epoch: 1}, Voters: c.voters, Body: []byte("-")}
	for i := range c.size {
		d.Starts = append(d.Starts, startOf(quorum.NodeID(i+1), 1))
	}
	return d
}

func startOf(id quorum.NodeID, boot quorum.Boot) quorum.Start {
	return quorum.Start{Node: id, Boot: boot, Nonce: quorum.Nonce(10*uint64(id) + uint64(boot))}
}

// registerLook is what actions and checks see of a node.
type registerLook struct {
	node      quorum.NodeID
	boot      quorum.Boot
	view      *quorum.Decree
	durable   quorum.Version // of the view on disk
	proposing bool
	saving    bool
	stopped   bool
}

// Facts of the register.
type (
	learned  struct{ view *quorum.Decree }
	proposed struct {
		base   quorum.Version
		number quorum.Number
		value  *quorum.Decree
	}
	accepted struct {
		base   quorum.Version
		number quorum.Number
		by     quorum.NodeID
	}
)

func learnedFact(v *quorum.Decree) fact {
	text := "learned " + decreeText(v)
	return fact{text, text, learned{v}}
}

// decreeText shows what is decided of a view: not the starts, of which one copy
// may know more than another.
func decreeText(v *quorum.Decree) string {
	return fmt.Sprintf("%d[%s by %s]", v.Epoch, nodeNames(v.Voters), v.Body)
}

func (c *viewRegister) actions(v *view, emit func(action)) {
	g := v.globals
	for i := range c.size {
		l := v.looks[i].(*registerLook)
		act := func(kind eventKind, arg uint32, g globals) {
			emit(action{node: i, event: event{kind: kind, arg: arg}, globals: g})
		}
		if l.stopped || c.final(l) {
			continue
		}
		for k, p := range c.choices {
			if p.by == l.node && p.over == l.view.Epoch && g[registerProposed]>>k&1 == 0 {
				n := g
				n[registerProposed] |= 1 << k
				act(evPropose, uint32(k), n)
			}
		}
		if l.proposing && c.fickle {
			act(evWithdraw, 0, g)
		}
		if l.saving {
			act(evPersist, 0, g)
		}
		if int(g[registerTicks]) < c.ticks {
			n := g
			n[registerTicks]++
			act(evTick, 0, n)
		}
		if int(g[registerCrashes]) < c.crashes && slices.Contains(c.victims, l.node) {
			n := g
			n[registerCrashes]++
			act(evCrash, 0, n)
			if l.saving {
				act(evCrash, 1, n)
			}
		}
	}
}

func (c *viewRegister) describe(a *action, _ *view) string {
	name := nodeName(quorum.NodeID(a.node + 1))
	switch a.event.kind {
	case evPropose:
		p := c.choices[a.event.arg]
		return fmt.Sprintf("%s proposes %d: voters %s", name, p.over+1, nodeNames(p.voters))
	case evWithdraw:
		return name + " takes back what it proposed"
	case evPersist:
		return name + " ends a write"
	case evTick:
		return name + " ticks"
	case evCrash:
		return name + [...]string{" restarts", " restarts, its write done"}[a.event.arg]
	}
	return fmt.Sprintf("%s event %d", name, a.event.kind)
}

// final: the search ends with the last epoch.
func (c *viewRegister) final(look any) bool {
	return look.(*registerLook).durable.Epoch == quorum.Epoch(c.epochs)
}

// spent: what is about a view that is durably replaced here is at most answered
// with the newer one.
func (c *viewRegister) spent(look any, m *message) bool {
	return m.body.(*quorum.RegisterMessage).Version.Compare(look.(*registerLook).durable) < 0
}

// registerMachine is a node with its register.
type registerMachine struct {
	model  *viewRegister
	id     quorum.NodeID
	boot   quorum.Boot
	now    quorum.Instant
	reg    *quorum.Register
	disk   *quorum.RegisterState
	saving *quorum.RegisterState
	seq    uint64
	stop   bool // it was refused
}

// start returns a node that has registered its first start with all voters.
func (c *viewRegister) start(node int) machine {
	m := &registerMachine{model: c, id: quorum.NodeID(node + 1), now: 1}
	view := c.founding()
	m.disk = &quorum.RegisterState{View: *view}
	for _, s := range view.Starts {
		m.disk.Starts = append(m.disk.Starts, quorum.RegisteredStart{Start: s})
	}
	var out effects
	m.restart()
	for _, id := range c.voters {
		m.reg.Step(m.now, id, quorum.RegisterMessage{Kind: quorum.RegisterTaken, Version: view.Version, Start: startOf(m.id, m.boot)})
	}
	m.settle(&out)
	m.now = m.now.Add(everyTimer)
	m.reg.Tick(m.now)
	m.settle(&out)
	return m
}

func (m *registerMachine) restart() {
	m.boot++
	m.reg = quorum.NewRegister(startOf(m.id, m.boot), m.disk, 1)
	m.saving = nil
}

func (m *registerMachine) look() any {
	v := *m.reg.View()
	return &registerLook{
		node: m.id, boot: m.boot, view: &v, durable: m.disk.View.Version,
		proposing: m.reg.Proposing(), saving: m.saving != nil, stopped: m.stop,
	}
}

func (m *registerMachine) appendState(b []byte) []byte {
	b = m.reg.AppendState(binary.AppendUvarint(b, uint64(m.boot)), m.now.Add(everyTimer))
	b = m.disk.AppendTo(b)
	if m.saving != nil {
		b = m.saving.AppendTo(b)
	}
	return b
}

func (m *registerMachine) do(e event, msg *message, out *effects) {
	m.now = m.now.Add(everyTimer)
	switch e.kind {
	case evDeliver:
		m.reg.Step(m.now, msg.from, m.heard(msg.body.(*quorum.RegisterMessage)))
	case evTick:
		m.reg.Tick(m.now)
	case evPropose:
		p := m.model.choices[e.arg]
		next := quorum.Decree{Version: quorum.Version{Incarnation: 1, Epoch: p.over + 1}, Voters: p.voters, Body: []byte(nodeName(m.id))}
		for i := range m.model.size {
			next.Starts = append(next.Starts, quorum.Start{Node: quorum.NodeID(i + 1)})
		}
		_ = m.reg.Propose(m.now, next) // refused at times: what is checked is what is decided
	case evWithdraw:
		m.reg.Withdraw()
	case evPersist:
		m.persist(out)
	case evCrash:
		m.crash(e.arg == 1, out)
	}
	m.settle(out)
}

func (m *registerMachine) persist(out *effects) {
	m.disk, m.saving = m.saving, nil
	m.voted(out)
	m.reg.Persisted(m.now, m.seq)
}

func (m *registerMachine) crash(written bool, out *effects) {
	if written {
		m.disk = m.saving
		m.voted(out)
	}
	m.crashBug()
	m.restart()
	m.reg.Tick(m.now)
}

// settle takes what the register has ready.
func (m *registerMachine) settle(out *effects) {
	for {
		ready := m.reg.Ready()
		if ready.Save != nil {
			if m.saving != nil {
				out.violate("two saves at once")
			}
			m.saving, m.seq = ready.Save, ready.Seq
		}
		for i := range ready.Sends {
			m.send(&ready.Sends[i], out)
		}
		if ready.Learned != nil {
			v := *ready.Learned
			out.facts = append(out.facts, learnedFact(&v))
		}
		m.stop = m.stop || ready.Refused != nil
		switch {
		case ready.Save != nil && m.model.bug == BugEarlyAck:
			m.reg.Persisted(m.now, m.seq)
		case ready.Save != nil && !m.model.async:
			m.persist(out)
		default:
			return
		}
	}
}

func (m *registerMachine) send(s *quorum.RegisterSend, out *effects) {
	body := &s.Message
	if body.Number.Round > m.model.rounds {
		return // nobody hears of a round beyond the bound
	}
	out.sends = append(out.sends, registerMessage(m.id, s.To, body))
	switch body.Kind {
	case quorum.RegisterPromise:
		if what := m.promised(body.Number); what != "" {
			out.violate(what)
		}
	case quorum.RegisterAccept:
		f := proposed{body.Version, body.Number, &body.View}
		text := fmt.Sprintf("proposed over %d %s %s", f.base.Epoch, numberText(f.number), decreeText(f.value))
		out.facts = append(out.facts, fact{text, text, f})
	case quorum.RegisterAccepted:
		// The same write may have brought a later acceptance, which stands for it.
		if m.disk.Accepted.Compare(body.Number) < 0 || m.disk.View.Version != body.Version {
			out.violate(fmt.Sprintf("Durable: %s has accepted %s, its disk has %s", nodeName(m.id), numberText(body.Number), numberText(m.disk.Accepted)))
		}
		out.facts = append(out.facts, acceptedFact(body.Version, body.Number, m.id))
	}
}

// promised asks that a promise which leaves is durable.
func (m *registerMachine) promised(n quorum.Number) string {
	if m.disk.Promised.Compare(n) < 0 {
		return fmt.Sprintf("Durable: %s promises %s, its disk has %s", nodeName(m.id), numberText(n), numberText(m.disk.Promised))
	}
	return ""
}

// voted notes what is accepted on the disk, also by a proposer, whose acceptance
// of its own proposal takes no message.
func (m *registerMachine) voted(out *effects) {
	if n := m.disk.Accepted; !n.IsZero() {
		out.facts = append(out.facts, acceptedFact(m.disk.View.Version, n, m.id))
	}
}

func acceptedFact(base quorum.Version, n quorum.Number, by quorum.NodeID) fact {
	text := fmt.Sprintf("accepted over %d %s by %s", base.Epoch, numberText(n), nodeName(by))
	return fact{text, text, accepted{base, n, by}}
}

func numberText(n quorum.Number) string {
	if n.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%d.%d.%s", n.Round, n.Boot, nodeName(n.Node))
}

func registerMessage(from, to quorum.NodeID, m *quorum.RegisterMessage) message {
	key := m.AppendTo([]byte{byte(from), byte(to)})
	return message{from: from, to: to, key: string(key), text: func() string { return registerText(from, to, m) }, body: m}
}

func registerText(from, to quorum.NodeID, m *quorum.RegisterMessage) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s→%s %s over %d", nodeName(from), nodeName(to), m.Kind, m.Version.Epoch)
	if !m.Number.IsZero() {
		fmt.Fprintf(&b, " %s", numberText(m.Number))
	}
	if !m.Accepted.IsZero() {
		fmt.Fprintf(&b, " accepted %s", numberText(m.Accepted))
	}
	if m.View.Epoch > 0 {
		fmt.Fprintf(&b, " %s", decreeText(&m.View))
	}
	return b.String()
}

// alike returns the voters that only vote: where nobody restarts and no time
// passes, nothing that they do depends on which of them does it.
func (c *viewRegister) alike() []int {
	var list []int
	for i := range c.size {
		proposes := func(p proposal) bool { return p.by == quorum.NodeID(i+1) }
		if c.crashes+c.ticks == 0 && c.epochs == 2 && len(c.voters) == c.size && !slices.ContainsFunc(c.choices, proposes) {
			list = append(list, i)
		}
	}
	return list
}

// renamed: the lists of voters and of starts are of all nodes, so that an
// exchange leaves them as they are.
func (c *viewRegister) renamed(m *message, to func(quorum.NodeID) quorum.NodeID) message {
	body := *m.body.(*quorum.RegisterMessage)
	if s := body.Start; s.Node != 0 {
		body.Start = startOf(to(s.Node), s.Boot)
	}
	return registerMessage(to(m.from), to(m.to), &body)
}

func (c *viewRegister) renamedFact(f *fact, to func(quorum.NodeID) quorum.NodeID) fact {
	if a, ok := f.body.(accepted); ok {
		return acceptedFact(a.base, a.number, to(a.by))
	}
	return *f
}

// check holds a world to the invariants of docs/spec/ViewRegister.tla.
func (c *viewRegister) check(v *view) string {
	for i, f := range v.facts {
		switch f := f.(type) {
		case learned:
			if what := c.checkLearned(f.view, v.facts, i); what != "" {
				return what
			}
		case proposed:
			for _, g := range v.facts[:i] {
				if g, ok := g.(proposed); ok && g.base == f.base && g.number == f.number && !sameDecree(g.value, f.value) {
					return fmt.Sprintf("Number: %s proposes %s and %s", numberText(f.number), decreeText(f.value), decreeText(g.value))
				}
			}
		}
	}
	for i := range c.size {
		l := v.looks[i].(*registerLook)
		for k := range i {
			if o := v.looks[k].(*registerLook); o.view.Version == l.view.Version && !sameDecree(o.view, l.view) {
				return fmt.Sprintf("NoSplitBrain: %s has %s, %s has %s", nodeName(l.node), decreeText(l.view), nodeName(o.node), decreeText(o.view))
			}
		}
	}
	return ""
}

// checkLearned: one view an epoch (Agreement), accepted under one number by a
// majority of the voters of the view before it (Chain).
func (c *viewRegister) checkLearned(v *quorum.Decree, facts []any, i int) string {
	var base *quorum.Decree
	for k, f := range facts {
		f, ok := f.(learned)
		switch {
		case !ok || k == i:
		case f.view.Version == v.Version && !sameDecree(f.view, v):
			return fmt.Sprintf("Agreement: %s and %s", decreeText(f.view), decreeText(v))
		case f.view.Epoch == v.Epoch-1:
			base = f.view
		}
	}
	if v.Epoch == 1 {
		return ""
	}
	if base == nil {
		return fmt.Sprintf("Chain: %s was learned before the view that it follows", decreeText(v))
	}
	for _, f := range facts {
		if f, ok := f.(proposed); ok && f.base == base.Version && sameDecree(f.value, v) && 2*votes(facts, base, f.number) > len(base.Voters) {
			return ""
		}
	}
	return fmt.Sprintf("Chain: no majority of %s accepted %s", decreeText(base), decreeText(v))
}

// votes counts the voters of base that have accepted the number. That its
// proposer has is seen on the proposer's disk only; a higher acceptance there may
// have come with the same write, and stands for it.
func votes(facts []any, base *quorum.Decree, n quorum.Number) int {
	var by []quorum.NodeID
	for _, f := range facts {
		if f, ok := f.(accepted); ok && f.base == base.Version && (f.number == n || f.by == n.Node && f.number.Compare(n) > 0) && base.IsVoter(f.by) && !slices.Contains(by, f.by) {
			by = append(by, f.by)
		}
	}
	return len(by)
}

func sameDecree(d, e *quorum.Decree) bool {
	return d.Version == e.Version && slices.Equal(d.Voters, e.Voters) && bytes.Equal(d.Body, e.Body)
}
