package quorum

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// birth is a network of nodes that found a mesh, in virtual time.
type birth struct {
	t     *testing.T
	rng   *rand.Rand
	now   Instant
	nodes []*birthNode
	mail  []birthMail
	loss  int // of 100 messages, so many are lost
}

type birthNode struct {
	id      NodeID
	name    string
	expect  int
	seeds   []NodeID
	boot    Boot
	disk    FoundState
	f       *Founding
	saving  *FoundState
	seq     uint64
	founded []Candidate
	blocked error
}

type birthMail struct {
	from NodeID
	FoundSend
}

func newBirth(t *testing.T, seed uint64) *birth {
	return &birth{t: t, rng: rand.New(rand.NewPCG(seed, 3))}
}

func (b *birth) add(id NodeID, expect int, seeds ...NodeID) *birthNode {
	n := &birthNode{id: id, name: fmt.Sprintf("n%d", id), expect: expect, seeds: seeds}
	b.nodes = append(b.nodes, n)
	return n
}

func (b *birth) start(n *birthNode) {
	n.boot++
	self := Candidate{Start: Start{n.id, n.boot, Nonce(b.rng.Uint64() | 1)}, Name: n.name, Body: fmt.Appendf(nil, "%d.%d", n.id, n.boot)}
	n.f = NewFounding(b.now, self, n.expect, 200*time.Millisecond, &n.disk)
	n.saving = nil
	b.drain(n)
}

func (b *birth) drain(n *birthNode) {
	r := n.f.Ready()
	if r.Save != nil {
		saved, err := DecodeFoundState(r.Save.AppendTo(nil))
		if err != nil {
			b.t.Fatal(err)
		}
		n.saving, n.seq = saved, r.Seq
	}
	for _, s := range r.Sends {
		m, err := DecodeFoundMessage(s.Message.AppendTo(nil))
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Kind == FoundYes && !slices.Equal(n.disk.Set, m.Set) {
			b.t.Fatalf("%s says yes before it is durable", n.name)
		}
		b.mail = append(b.mail, birthMail{n.id, FoundSend{s.To, m}})
	}
	if r.Founded != nil {
		n.founded = r.Founded
	}
	n.blocked = r.Blocked
}

func (b *birth) node(id NodeID) *birthNode {
	for _, n := range b.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// run lets d pass.
func (b *birth) run(d time.Duration) {
	for end := b.now.Add(d); b.now < end; b.now = b.now.Add(10 * time.Millisecond) {
		for _, n := range b.nodes {
			if n.f == nil {
				continue
			}
			if n.f.Deadline() <= b.now {
				for _, id := range n.seeds {
					b.mail = append(b.mail, birthMail{n.id, FoundSend{id, n.f.Hello()}})
				}
				n.f.Tick(b.now)
			}
			if n.saving != nil && b.rng.IntN(2) == 0 {
				n.disk, n.saving = *n.saving, nil
				n.f.Persisted(b.now, n.seq)
			}
			b.drain(n)
		}
		for k := len(b.mail); k > 0; k-- {
			i := b.rng.IntN(len(b.mail))
			m := b.mail[i]
			b.mail = slices.Delete(b.mail, i, i+1)
			if n := b.node(m.To); n != nil && n.f != nil && b.rng.IntN(100) >= b.loss {
				n.f.Step(b.now, m.from, m.Message)
				b.drain(n)
			}
		}
	}
}

// check reports whether all have founded, and fails if two founded differently.
func (b *birth) check() bool {
	var first *birthNode
	all := true
	for _, n := range b.nodes {
		switch {
		case n.founded == nil:
			all = false
		case first == nil:
			first = n
		default:
			same := func(c, d Candidate) bool {
				return c.Start == d.Start && c.Name == d.Name && string(c.Body) == string(d.Body)
			}
			if !slices.EqualFunc(first.founded, n.founded, same) {
				b.t.Fatalf("%s founded with %v, %s with %v", first.name, first.founded, n.name, n.founded)
			}
		}
	}
	return all
}

func TestTwentyBirths(t *testing.T) {
	for seed := range uint64(20) {
		for _, size := range []int{1, 2, 3, 5, 20} {
			b := newBirth(t, seed)
			b.loss = int(seed) % 3 * 15
			for i := range size {
				var seeds []NodeID
				if i > 0 {
					seeds = []NodeID{NodeID(100 - 1 - b.rng.IntN(i))} // any that was added before: a tree
				}
				b.add(NodeID(100-i-1), size, seeds...)
			}
			for _, n := range b.nodes {
				b.start(n)
				b.run(time.Duration(b.rng.IntN(60)) * time.Millisecond)
			}
			for b.now < Instant(10*time.Second) && !b.check() {
				b.run(100 * time.Millisecond)
			}
			if !b.check() {
				t.Fatalf("seed %d: %d nodes have not founded in 10 s", seed, size)
			}
		}
	}
}

// TestBirthsThatCrash restarts nodes at random: what they said stays said, and
// whoever said yes drives the founding to its end.
func TestBirthsThatCrash(t *testing.T) {
	restarted, differ := 0, 0
	for seed := range uint64(200) {
		b := newBirth(t, seed)
		b.loss = 10
		for i := range 4 {
			b.add(NodeID(i+1), 4, 4)
		}
		for _, n := range b.nodes {
			b.start(n)
		}
		for range 30 {
			b.run(20 * time.Millisecond)
			if n := b.nodes[b.rng.IntN(4)]; b.rng.IntN(3) == 0 && n.founded == nil {
				if n.saving != nil || len(n.disk.Set) > 0 {
					restarted++
				}
				b.start(n)
			}
		}
		b.run(5 * time.Second)
		if !b.check() {
			t.Fatalf("seed %d: not founded", seed)
		}
		for _, c := range b.nodes[0].founded {
			if c.Start.Boot != b.node(c.Start.Node).boot {
				differ++ // founded with what it brought in an earlier start
			}
		}
	}
	if restarted == 0 || differ == 0 {
		t.Errorf("%d restarts in the middle, %d members of an earlier start", restarted, differ)
	}
}

// TestMoreThanExpected starts five where three are expected: one founding, of
// three, and the others are left to join it.
func TestMoreThanExpected(t *testing.T) {
	for seed := range uint64(50) {
		b := newBirth(t, seed)
		for i := range 5 {
			b.add(NodeID(i+1), 3, NodeID(1+(i+1)%5))
		}
		for _, n := range b.nodes {
			b.start(n)
			b.run(time.Duration(b.rng.IntN(100)) * time.Millisecond)
		}
		b.run(3 * time.Second)
		b.check()
		founded := 0
		for _, n := range b.nodes {
			if n.blocked != nil {
				t.Fatalf("seed %d: %v", seed, n.blocked)
			}
			if n.founded != nil {
				founded++
			}
		}
		if founded != 3 {
			t.Fatalf("seed %d: %d have founded", seed, founded)
		}
	}
}

func TestBlockedFoundings(t *testing.T) {
	b := newBirth(t, 1)
	n1, n2, n3 := b.add(1, 2, 2), b.add(2, 2, 3), b.add(3, 2)
	n1.disk = FoundState{Set: nodeIDs(1, 2), Own: Candidate{Start: Start{1, 1, 1}, Name: "n1"}}
	n2.disk = FoundState{Set: nodeIDs(2, 3), Own: Candidate{Start: Start{2, 1, 1}, Name: "n2"}}
	for _, n := range b.nodes {
		b.start(n)
	}
	b.run(3 * time.Second)
	var blocked *BlockedError
	if !errors.As(n1.blocked, &blocked) || blocked.Other != "n2" {
		t.Fatalf("n1: %v", n1.blocked)
	}
	for _, want := range []string{"a mesh of n1, n2, but n2 has agreed", "wipe the data directory of this node"} {
		if !strings.Contains(blocked.Error(), want) {
			t.Errorf("n1 says %q, without %q", blocked, want)
		}
	}
	if n2.founded == nil || n3.founded == nil {
		t.Errorf("the other founding did not go on: %v, %v", n2.f.Waiting(), n3.f.Waiting())
	}
}

func TestWaitingForFounders(t *testing.T) {
	b := newBirth(t, 1)
	n1, n2 := b.add(1, 3), b.add(2, 3, 1)
	n9 := b.add(9, 5, 1)
	for _, n := range b.nodes {
		b.start(n)
	}
	b.run(time.Second)
	if got := n1.f.Waiting(); got != "found 2 of 3 nodes: n1, n2; n9 expects 5" {
		t.Errorf("n1: %s", got)
	}
	if n1.founded != nil || n2.founded != nil || n9.founded != nil {
		t.Error("founded without all that are expected")
	}
	// A node that is gone for good is forgotten before it is in a set.
	n2.f = nil
	b.run(2*foundForget + time.Second) // the others name it for a while
	if got := n1.f.Waiting(); strings.Contains(got, "n2") {
		t.Errorf("n1: %s", got)
	}
}

func FuzzDecodeFoundMessage(f *testing.F) {
	c := Candidate{Start: Start{1, 2, 3}, Name: "n1", Body: []byte("body")}
	m := FoundMessage{Kind: FoundYes, Expect: 2, From: c, Others: []Candidate{c}, Set: nodeIDs(1, 7), Yeses: []Candidate{c}}
	f.Add(m.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeFoundMessage(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, err := DecodeFoundMessage(m.AppendTo(nil))
		if err != nil || string(again.AppendTo(nil)) != string(m.AppendTo(nil)) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
		n := NewFounding(0, Candidate{Start: Start{7, 1, 1}}, 2, 0, &FoundState{})
		n.Step(1, m.From.Start.Node, m)
		n.Persisted(2, n.Ready().Seq)
		n.Step(3, m.From.Start.Node, m)
		n.Tick(4)
	})
}

func FuzzDecodeFoundState(f *testing.F) {
	s := FoundState{Set: nodeIDs(1, 7), Own: Candidate{Start: Start{1, 2, 3}, Name: "n1", Body: []byte("body")}}
	f.Add(s.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeFoundState(b)
		if err != nil {
			return
		}
		again, err := DecodeFoundState(s.AppendTo(nil))
		if err != nil || string(again.AppendTo(nil)) != string(s.AppendTo(nil)) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
