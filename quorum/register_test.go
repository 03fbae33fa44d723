package quorum

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestRegisterScripts runs the scripts in testdata/register.
//
//	new nodes=(1,2,3) voters=(1,2,3)   start the nodes with a first view
//	add n=4                            start a node that knows no view
//	propose n=1 voters=(1,2) body=x [drop=3] [join=4]
//	withdraw n=1
//	deliver [from=1] [to=2] [kind=prepare] [keep] [twin|original]   all messages that match, in order, as they
//	                                   are now; keep delivers a copy, twin and original say which of two processes
//	drop [from=1] [to=2] [kind=...]
//	persist [n=1]                      end the write
//	tick ms=100                        let time pass
//	run ms=500                         ... with a network and disks that work
//	crash n=1 · start n=1              of a copy with twin
//	snapshot n=1 · rollback n=1        of the disk, rolled back while no process runs
//	copy n=1                           run a second process, on the snapshot if there is one, or a copy of the disk
//	state                              of every process
func TestRegisterScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/register", func(t *testing.T, path string) {
		n := newRegisterNet(fatalf(t))
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			n.log = func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
			runRegisterCommand(t, n, d, &out)
			if out.Len() == 0 {
				return "ok\n"
			}
			return out.String()
		})
	})
}

func runRegisterCommand(t *testing.T, n *registerNet, d *datadriven.TestData, out *strings.Builder) {
	switch d.Cmd {
	case "new":
		var procs []*registerProc
		for _, id := range scanNodes(t, d, "nodes") {
			procs = append(procs, n.add(id))
		}
		n.found(scanNodes(t, d, "voters"), procs...)
	case "add":
		n.add(scanNodes(t, d, "n")[0])
	case "propose":
		p := n.scanProc(t, d)
		var body string
		d.ScanArgs(t, "body", &body)
		next := n.next(p, scanNodes(t, d, "voters"), body)
		for _, id := range scanNodes(t, d, "drop") {
			next.Starts = slices.DeleteFunc(next.Starts, func(s Start) bool { return s.Node == id })
		}
		for _, id := range scanNodes(t, d, "join") {
			next.Starts = joinStart(next.Starts, n.proc(id, false).reg.self)
		}
		if err := p.reg.Propose(n.now, next); err != nil {
			fmt.Fprintf(out, "error: %v\n", err)
		}
		n.drain(p)
	case "withdraw":
		p := n.scanProc(t, d)
		p.reg.Withdraw()
		n.drain(p)
	case "deliver", "drop":
		n.scanMail(t, d)
	case "persist":
		for _, p := range n.procs {
			if !d.HasArg("n") || p == n.scanProc(t, d) {
				n.persist(p)
			}
		}
	case "tick", "run":
		var ms int
		d.ScanArgs(t, "ms", &ms)
		if d.Cmd == "tick" {
			n.advance(time.Duration(ms) * time.Millisecond)
		} else {
			n.run(time.Duration(ms)*time.Millisecond, nil)
		}
	case "crash":
		n.crash(n.scanProc(t, d))
	case "start":
		n.start(n.scanProc(t, d))
	case "copy":
		p := n.scanProc(t, d)
		twin := &registerProc{node: p.node, copied: true, disk: p.disk.clone(), boot: p.boot}
		if p.snapshot != nil {
			twin.disk, twin.boot = p.snapshot.clone(), p.snapshotBoot
		}
		n.procs = append(n.procs, twin)
		n.start(twin)
	case "snapshot":
		p := n.scanProc(t, d)
		p.snapshot, p.snapshotBoot = p.disk.clone(), p.boot
	case "rollback":
		p := n.scanProc(t, d)
		p.disk, p.boot = p.snapshot, p.snapshotBoot
	case "state":
		for _, p := range n.procs {
			if p.reg != nil {
				fmt.Fprintf(out, "%s: %s registered=%v stored=%v\n", p.name(), renderState(&p.reg.state), p.registered,
					p.reg.StoredByMajority())
			}
		}
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

func (n *registerNet) scanMail(t *testing.T, d *datadriven.TestData) {
	var kind string
	d.MaybeScanArgs(t, "kind", &kind)
	from, to := scanNodes(t, d, "from"), scanNodes(t, d, "to")
	matches := func(m *registerMail) bool {
		return (kind == "" || m.Message.Kind.String() == kind) &&
			(len(from) == 0 || slices.Contains(from, m.from.node)) && (len(to) == 0 || slices.Contains(to, m.To))
	}
	for i, left := 0, len(n.mail); left > 0; left-- {
		switch {
		case !matches(&n.mail[i]):
			i++
		case d.Cmd == "drop":
			n.mail = slices.Delete(n.mail, i, i+1)
		default:
			n.only = func(p *registerProc) bool {
				return !d.HasArg("twin") && !d.HasArg("original") || p.copied == d.HasArg("twin")
			}
			n.deliver(i, d.HasArg("keep"))
			n.only = nil
			if d.HasArg("keep") {
				i++
			}
		}
	}
}

func scanNodes(t *testing.T, d *datadriven.TestData, key string) []NodeID {
	var ids []NodeID
	for _, arg := range d.CmdArgs {
		if arg.Key != key {
			continue
		}
		for _, v := range arg.Vals {
			id, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			ids = append(ids, NodeID(id))
		}
	}
	return ids
}

func (n *registerNet) proc(id NodeID, copied bool) *registerProc {
	for _, p := range n.procs {
		if p.node == id && p.copied == copied {
			return p
		}
	}
	return nil
}

func (n *registerNet) scanProc(t *testing.T, d *datadriven.TestData) *registerProc {
	p := n.proc(scanNodes(t, d, "n")[0], d.HasArg("twin"))
	if p == nil {
		d.Fatalf(t, "no such node")
	}
	return p
}

func TestProposeErrors(t *testing.T) {
	n := newRegisterNet(fatalf(t))
	a, b := n.add(1), n.add(2)
	if err := a.reg.Propose(n.now, Decree{Version: Version{0, 2}, Voters: nodeIDs(1)}); !errors.Is(err, ErrStale) {
		t.Errorf("without a view: %v", err)
	}
	n.found(nodeIDs(1), a, b)
	if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1), "x")); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("before registering: %v", err)
	}
	n.run(100*time.Millisecond, nil)
	if err := b.reg.Propose(n.now, n.next(b, nodeIDs(1), "x")); !errors.Is(err, ErrNotVoter) {
		t.Errorf("not a voter: %v", err)
	}
	stale := n.next(a, nodeIDs(1), "x")
	stale.Epoch++
	if err := a.reg.Propose(n.now, stale); !errors.Is(err, ErrStale) {
		t.Errorf("epoch skipped: %v", err)
	}
	if err := a.reg.Propose(n.now, n.next(a, nil, "x")); err == nil {
		t.Error("a view without voters was proposed")
	}
	if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1), "x")); err != nil {
		t.Errorf("a proposal: %v", err)
	}
	n.drain(a)
	n.persist(a) // the promise to itself: now it asks
	if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1), "y")); !errors.Is(err, ErrBusy) {
		t.Errorf("while one is decided: %v", err)
	}
	n.run(100*time.Millisecond, nil)
	if got := renderDecree(b.reg.View()); got != "1.2[x voters=1 starts=1.1,2.1]" && b.reg.View().Epoch != 1 {
		t.Errorf("b has %s", got)
	}
	if string(a.reg.View().Body) != "x" {
		t.Errorf("decided %s", renderDecree(a.reg.View()))
	}
}

func TestWithdraw(t *testing.T) {
	n := newRegisterNet(fatalf(t))
	a, b := n.add(1), n.add(2)
	n.found(nodeIDs(1, 2), a, b)
	n.run(3*time.Second, nil)
	propose := func() {
		t.Helper()
		if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1, 2), "x")); err != nil {
			t.Fatal(err)
		}
	}
	idle := func(when string, withdrawn uint64) {
		t.Helper()
		if got := a.reg.Stats().Withdrawn; a.reg.Proposing() || a.reg.Deadline() != Never || got != withdrawn {
			t.Errorf("%s: proposing %t, a deadline in %v, withdrawn %d times", when, a.reg.Proposing(), a.reg.Deadline().Sub(n.now), got)
		}
	}
	a.reg.Withdraw()
	idle("nothing proposed", 0)
	propose()
	a.reg.Step(n.now, 2, RegisterMessage{
		Kind: RegisterNack, Version: a.reg.View().Version, Number: a.reg.proposal.number, Promised: Number{9, 1, 2},
	})
	a.reg.Withdraw()
	a.reg.Withdraw()
	idle("refused before", 1)
	propose()
	if got := a.reg.proposal.number; got.Round != 10 {
		t.Errorf("the next number is %s, not above what was refused", got)
	}
	// It promises another one before it asks, so that it does not accept its own.
	n.drain(a)
	n.persist(a)
	a.reg.Step(n.now, 2, RegisterMessage{Kind: RegisterPrepare, Version: a.reg.View().Version, Number: Number{20, 1, 2}, Start: b.reg.self})
	for !a.reg.proposal.asking {
		n.drain(a)
		n.persist(a)
		for len(n.mail) > 0 {
			n.deliver(0, false)
		}
		n.persist(b)
	}
	a.reg.Withdraw()
	if !a.reg.Proposing() || !a.reg.state.Accepted.IsZero() {
		t.Errorf("proposing %t, accepted %s", a.reg.Proposing(), a.reg.state.Accepted)
	}
	n.run(time.Second, nil)
	if a.reg.View().Epoch != 2 || b.reg.View().Epoch != 2 {
		t.Errorf("asked for, and then not decided: %s, %s", renderDecree(a.reg.View()), renderDecree(b.reg.View()))
	}
}

func TestIncarnationIsComparedFirst(t *testing.T) {
	n := newRegisterNet(fatalf(t))
	a, b := n.add(1), n.add(2)
	n.found(nodeIDs(1, 2), a, b)
	for range 3 {
		n.run(300*time.Millisecond, nil)
		if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1, 2), "x")); err != nil {
			t.Fatal(err)
		}
	}
	n.run(300*time.Millisecond, nil)
	recovered := n.next(a, nodeIDs(2), "recovered")
	recovered.Version = Version{2, 2}
	n.decided[recovered.Version] = &recovered // by an operator, not by voters
	b.reg.Adopt(n.now, recovered)
	n.drain(b)
	n.run(300*time.Millisecond, nil)
	if err := a.reg.Propose(n.now, n.next(a, nodeIDs(1, 2), "x")); err != nil {
		t.Fatal(err)
	}
	n.drain(a)
	n.run(300*time.Millisecond, nil)
	if got := a.reg.View().Version; got != (Version{2, 2}) {
		t.Errorf("a is at %s", got)
	}
}

func FuzzDecodeRegisterMessage(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		m := randomRegisterMessage(rng)
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeRegisterMessage(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, err := DecodeRegisterMessage(m.AppendTo(nil))
		if err != nil || string(again.AppendTo(nil)) != string(m.AppendTo(nil)) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
		// And no message may make a register panic.
		r := NewRegister(Start{1, 1, 1}, &RegisterState{}, 1)
		r.Adopt(0, Decree{Version: Version{1, 1}, Voters: nodeIDs(1, 2), Starts: []Start{{1, 1, 1}, {2, 1, 1}}})
		r.Step(0, 2, m)
		r.Persisted(0, r.Ready().Seq)
		r.Step(0, 2, m)
		r.Tick(0)
	})
}

func FuzzDecodeRegisterState(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		m := randomRegisterMessage(rng)
		s := RegisterState{View: m.View, Promised: m.Promised, Accepted: m.Accepted, Value: m.View}
		for _, start := range m.Starts {
			s.Starts = append(s.Starts, RegisteredStart{start, m.Late})
		}
		f.Add(s.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeRegisterState(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, err := DecodeRegisterState(s.AppendTo(nil))
		if err != nil || string(again.AppendTo(nil)) != string(s.AppendTo(nil)) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

func randomRegisterMessage(rng *rand.Rand) RegisterMessage {
	number := func() Number { return Number{rng.Uint64N(300), Boot(rng.Uint64N(3)), NodeID(rng.Uint64())} }
	m := RegisterMessage{
		Kind:    RegisterKind(1 + rng.IntN(len(registerKindNames)-1)),
		Version: Version{rng.Uint32N(3), Epoch(rng.Uint64N(1000))},
		Number:  number(), Promised: number(), Accepted: number(),
		Start: Start{NodeID(rng.Uint64()), Boot(rng.Uint64N(9)), Nonce(rng.Uint64())},
		Late:  rng.IntN(2) == 0,
	}
	for range rng.IntN(4) {
		m.Starts = joinStart(m.Starts, Start{NodeID(1 + rng.Uint64N(9)), Boot(rng.Uint64N(9)), Nonce(rng.Uint64())})
	}
	if rng.IntN(2) == 0 {
		m.View = Decree{Version: Version{1, 1 + Epoch(rng.Uint64N(9))}, Voters: nodeIDs(1, 5, 2), Starts: m.Starts, Body: []byte("body")}
	}
	return m
}

func TestRegisterMessageTruncated(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		m := randomRegisterMessage(rng)
		b := m.AppendTo(nil)
		for i := range b {
			if _, err := DecodeRegisterMessage(b[:i]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", i, len(b), err)
			}
		}
		if _, err := DecodeRegisterMessage(append(b, 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a byte too many: %v", err)
		}
	}
}

func TestStartsAreALattice(t *testing.T) {
	starts := []Start{{1, 1, 1}, {1, 1, 2}, {1, 1, 0}, {1, 2, 1}, {1, 2, 3}, {1, 2, 0}, {1, 3, 1}}
	for _, a := range starts {
		for _, b := range starts {
			if a.join(b) != b.join(a) || a.join(a) != a || a.join(b).join(b) != a.join(b) {
				t.Errorf("%s, %s", a, b)
			}
			if a != b && a.Boot == b.Boot && a.Nonce != 0 && !a.join(b).rulesOut(a) {
				t.Errorf("the join of %s and %s lets one run", a, b)
			}
			for _, c := range starts {
				if a.join(b).join(c) != a.join(b.join(c)) {
					t.Errorf("%s, %s, %s", a, b, c)
				}
			}
		}
	}
}
