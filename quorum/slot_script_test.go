package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestSlotScripts runs the scripts in testdata/slot: what happens to a mesh of
// nodes a, b, c..., as commands, and what was sent and reported meanwhile.
//
//	mesh nodes=N [term=D]           begins anew; leases are off without a term
//	view set=ABC [learners=D] [drop] [to=ABC]
//	                                commits a view and hands it out; drop drops `from`
//	adopt n=A e=N                   hands out an earlier one
//	deliver, drop [from=A] [to=A] [kind=K] [keep]
//	                                the messages in flight that fit, also those
//	                                that this brings about; keep leaves them in flight
//	persist, tick, flush, wants n=A one node
//	beat from=A to=B                a heartbeat, and its answer
//	wait D                          time passes, and nothing else happens
//	run D [quiet]                   time passes without faults
//	append n=A [count=N], ask n=A, fold n=A lsn=N, evict n=A
//	crash n=A, start n=A e=N
//	state
func TestSlotScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/slot", func(t *testing.T, path string) {
		s := &slotScript{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t, s.d = t, d
			s.out.Reset()
			s.run()
			return s.out.String()
		})
	})
}

type slotScript struct {
	*slotMesh
	t   *testing.T
	d   *datadriven.TestData
	out strings.Builder
}

func (s *slotScript) printf(format string, args ...any) {
	fmt.Fprintf(&s.out, format+"\n", args...)
}

func (s *slotScript) run() {
	switch s.d.Cmd {
	case "mesh":
		s.begin()
	case "view":
		s.newView()
	case "adopt":
		s.arg().adopt(Epoch(s.number("e", 0)))
	case "deliver":
		s.deliverAll()
	case "drop":
		s.dropAll()
	case "persist":
		n := s.arg()
		n.persist(len(n.batches))
	case "tick":
		s.arg().tick()
	case "flush":
		s.arg().flush()
	case "wants":
		for n := s.arg(); len(n.wants) > 0; {
			n.answerWant(0)
		}
	case "beat":
		from, to := s.node(s.ids("from")[0]), s.ids("to")[0]
		from.beat()
		s.net = slices.DeleteFunc(s.net, func(p slotPacket) bool { return p.beat != nil && p.to != to })
		s.deliverAll()
	case "wait":
		s.true += s.duration()
	case "run":
		s.runQuiet()
	case "append":
		n := s.arg()
		for range s.number("count", 1) {
			n.write(0, 8)
		}
	case "ask":
		s.printf("round %d", s.arg().ask(0))
	case "fold":
		s.arg().fold(0, LSN(s.number("lsn", 0)))
	case "evict":
		s.arg().slots[0].Evict(0)
	case "crash":
		s.arg().crash()
	case "start":
		n := s.arg()
		n.start(!s.d.HasArg("disabled"))
		if e := s.number("e", 0); e > 0 {
			n.adopt(Epoch(e))
		}
	case "enable":
		s.arg().env.Enabled = true
	case "state":
	default:
		s.d.Fatalf(s.t, "what is %s?", s.d.Cmd)
	}
	for _, n := range s.nodes {
		if n.up {
			n.flush()
		}
	}
	if s.d.Cmd == "state" {
		s.renderState()
	}
	s.checkFoundIfAny()
}

func (s *slotScript) checkFoundIfAny() {
	if len(s.views) > 0 {
		s.checkFound()
	}
}

func (s *slotScript) begin() {
	var term time.Duration
	if s.d.HasArg("term") {
		var text string
		s.d.ScanArgs(s.t, "term", &text)
		term = s.parse(text)
	}
	s.slotMesh = newSlotMesh(s.number("nodes", 3), 1, term, func(format string, args ...any) { s.d.Fatalf(s.t, format, args...) })
	s.trace = s.printf
}

func (s *slotScript) newView() {
	e := Epoch(len(s.views) + 1)
	s.change(0, func(r *Row, e Epoch) {
		if set := s.ids("set"); set != nil {
			r.place(e, set)
		}
		r.Learners = s.ids("learners")
		if s.d.HasArg("drop") {
			r.From = nil
		}
	})
	s.printf("view %d: %s", e, renderSlotRow(&s.views[e-1].rows[0]))
	for _, id := range s.ids("to") {
		if n := s.node(id); n.up {
			s.trace = nil
			n.adopt(e)
			s.trace = s.printf
		}
	}
}

func (s *slotScript) runQuiet() {
	if s.d.HasArg("quiet") {
		s.trace = nil
	}
	s.runFor(s.duration())
	s.trace = s.printf
}

// fits returns the first packet from i on that the arguments name.
func (s *slotScript) fits(i int) int {
	from, to := s.ids("from"), s.ids("to")
	var kind string
	s.d.MaybeScanArgs(s.t, "kind", &kind)
	for ; i < len(s.net); i++ {
		p := &s.net[i]
		if (from == nil || slices.Contains(from, p.from)) && (to == nil || slices.Contains(to, p.to) || s.d.Cmd == "beat") &&
			(kind == "" || kind == p.kind()) {
			return i
		}
	}
	return -1
}

func (p *slotPacket) kind() string {
	switch {
	case p.message != nil:
		return p.message.Kind.String()
	case p.stage != nil:
		return "snapshot"
	}
	return "beat"
}

func (s *slotScript) deliverAll() {
	if s.d.Cmd == "beat" {
		for len(s.net) > 0 && s.net[len(s.net)-1].kind() == "beat" {
			s.deliver(len(s.net)-1, false)
		}
		return
	}
	i := 0
	for range 1000 {
		if i = s.fits(i); i < 0 {
			return
		}
		to, keep := s.node(s.net[i].to), s.d.HasArg("keep")
		s.deliver(i, keep)
		if keep {
			i++
		}
		if to.up {
			to.flush()
		}
	}
	s.d.Fatalf(s.t, "this does not end")
}

func (s *slotScript) dropAll() {
	for i := s.fits(0); i >= 0; i = s.fits(i) {
		s.drop(i)
	}
}

func (s *slotScript) arg() *slotNode {
	if ids := s.ids("n"); ids != nil {
		return s.node(ids[0])
	}
	return nil
}

func (s *slotScript) ids(key string) []NodeID {
	var text string
	if s.d.MaybeScanArgs(s.t, key, &text); text == "" {
		return nil
	}
	var ids []NodeID
	for _, r := range text {
		ids = append(ids, NodeID(r-'a'+1))
	}
	return ids
}

func (s *slotScript) number(key string, otherwise int) int {
	n := otherwise
	s.d.MaybeScanArgs(s.t, key, &n)
	return n
}

func (s *slotScript) duration() time.Duration { return s.parse(s.d.CmdArgs[0].Key) }

func (s *slotScript) parse(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.d.Fatalf(s.t, "%v", err)
	}
	return d
}

func (s *slotScript) renderState() {
	for _, n := range s.nodes {
		if only := s.arg(); only != nil && only != n {
			continue
		}
		if !n.up {
			s.printf("%s: down, %s", renderSlotNode(n.id), renderDisk(&n.disks[0]))
			continue
		}
		s.printf("%s: %s", renderSlotNode(n.id), n.slots[0].render(&n.memory[0], n.now()))
	}
}

func renderDisk(d *slotDisk) string {
	return fmt.Sprintf("promise %s log %s", renderPromise(d.promise), renderEntries(d.log))
}

func renderPromise(p Promise) string {
	if p.Owner == 0 {
		return "-"
	}
	return fmt.Sprintf("%v of %s", p.Ballot, renderSlotNode(p.Owner))
}

func (s *Slot) render(memory *slotDisk, now Instant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "view %d, %s", s.view, renderDisk(memory))
	if base := s.log.Base().LSN; base > 0 {
		fmt.Fprintf(&b, " base %d", base)
	}
	fmt.Fprintf(&b, " commit %d", s.commit)
	if s.sync.lsn < s.log.Last().LSN {
		fmt.Fprintf(&b, " durable %d", s.sync.lsn)
	}
	if !s.wait.ballot.IsZero() {
		fmt.Fprintf(&b, ", %v of %s waits", s.wait.ballot, renderSlotNode(s.wait.owner))
	}
	if l := s.lead; l != nil {
		fmt.Fprintf(&b, "\n   %v %v", l.phase, l.ballot)
		if l.kept {
			b.WriteString(" kept")
		}
		for _, p := range l.peers {
			fmt.Fprintf(&b, ", %s %d %v", renderSlotNode(p.id), p.match, p.state)
			if p.learner {
				b.WriteString(" learns")
			}
		}
		if s.LeaseUntil() > now {
			b.WriteString(", leased")
		}
	}
	return b.String()
}
