package script

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExpandIsDeterministic(t *testing.T) {
	s := mustParse(t, sample)
	for seed := range uint64(20) {
		p := Expand(s, seed)
		if again := Expand(mustParse(t, sample), seed); !reflect.DeepEqual(p, again) {
			t.Fatalf("seed %d gives two plans", seed)
		}
		checkRoundTrip(t, p)
	}
	if Expand(s, 1).Text() == strings.Replace(Expand(s, 2).Text(), "seed 2", "seed 1", 1) {
		t.Error("two seeds give one plan")
	}
}

// A statement draws the same whatever stands beside it.
func TestExpandStreams(t *testing.T) {
	random := "random every 1s..4s of kill any, pause any\n"
	load := "workload counter\n"
	alone, both := Expand(mustParse(t, random), 3), Expand(mustParse(t, load+random), 3)
	if len(alone.Faults) == 0 || len(alone.Faults) != len(both.Faults) {
		t.Fatalf("%d faults alone, %d with a workload", len(alone.Faults), len(both.Faults))
	}
	for i := range alone.Faults {
		if a, b := alone.Faults[i].line(), both.Faults[i].line(); a != b {
			t.Errorf("fault %d is %q alone, and %q with a workload", i, a, b)
		}
	}
}

func TestExpandFaults(t *testing.T) {
	p := Expand(mustParse(t, sample), 1)
	for i := range p.Faults {
		f := &p.Faults[i]
		if i > 0 && f.At < p.Faults[i-1].At {
			t.Errorf("%s is behind what comes later", f.line())
		}
		if over := f.Over(f.At+f.Window, p.Time); over > p.Time {
			t.Errorf("%s lasts until %v", f.line(), over)
		}
		if f.lasts() && f.For == 0 && f.When == "" {
			t.Errorf("%s has no end", f.line())
		}
		for _, side := range f.Sides {
			for _, target := range side {
				if target.Kind >= Any || target.Actor.ID == anyActor || target.Kind == ReplicaOf && target.Nth == 0 {
					t.Errorf("%s leaves something to chance", f.line())
				}
			}
		}
	}
	flaps := slices.DeleteFunc(slices.Clone(p.Faults), func(f Fault) bool { return f.Line != 17 })
	if len(flaps) != 5 || flaps[1].At != 12*time.Second || flaps[1].For != time.Second || flaps[1].Verb != Cut {
		t.Errorf("the cut flaps as %+v", flaps)
	}
	if half := p.Faults[slices.IndexFunc(p.Faults, func(f Fault) bool { return f.Line == 16 })]; len(half.Sides[0]) != 2 {
		t.Errorf("half of 5 nodes is %s", half.line())
	}
}

func TestExpandCalls(t *testing.T) {
	s := mustParse(t, sample)
	p := Expand(s, 1)
	count, of, ids, storms, keyless, reads := map[Kind]int{}, map[Actor]int{}, map[string]bool{}, 0, 0, 0
	values := map[string]bool{}
	for i := range p.Calls {
		c := &p.Calls[i]
		count[c.Actor.Kind]++
		of[c.Actor]++
		if ids[c.ID] {
			t.Fatalf("the id %s is given twice", c.ID)
		}
		ids[c.ID] = true
		if c.Method == "append" && values[c.Args[0]] {
			t.Errorf("the value %s is written twice", c.Args[0])
		}
		if len(c.Via) > 1 {
			storms++
		}
		if c.Keyless {
			keyless++
		}
		if c.ReadOnly() {
			reads++
		}
		if c.Method == "transfer" && c.Args[0] == c.Actor.ID {
			t.Errorf("a transfer to itself: %s", c.line())
		}
		if c.Method == "pay" && c.Args[0] <= c.Actor.ID {
			t.Errorf("two accounts may pay each other: %s", c.line())
		}
	}
	if count[Counter] != 45*77+1 || count[Account] != 5*29 {
		t.Errorf("calls: %v", count)
	}
	for actor, n := range of {
		if n > maxActorCalls {
			t.Errorf("%d calls of %v", n, actor)
		}
	}
	if storms < 100 || keyless < 150 || reads < 1000 {
		t.Errorf("%d storms, %d without a key, %d reads", storms, keyless, reads)
	}
}

// Clients call through a node only while it is a member.
func TestExpandMoves(t *testing.T) {
	p := Expand(mustParse(t, "spare 1\nworkload counter rate=40/s\nat 5s join n4\nat 10s leave n1"), 1)
	old, new := 0, 0
	for _, c := range p.Calls {
		for _, n := range slices.Concat(c.Via, c.Then) {
			switch {
			case n == "n4" && c.At < 5*time.Second+joinTime, n == "n1" && c.At > 10*time.Second:
				t.Errorf("at %v a client calls through %s", c.At, n)
			case n == "n1":
				old++
			case n == "n4":
				new++
			}
		}
	}
	if old == 0 || new == 0 {
		t.Errorf("%d calls through the node that left, %d through the one that came", old, new)
	}
}

type world struct{ replicas []string }

func (w world) Members() []string          { return []string{"n1", "n2", "n3", "n4", "n5"} }
func (w world) Replicas(Actor) []string    { return w.replicas }
func (w world) Coordinator() string        { return "n2" }
func (w world) Handover() (string, string) { return "n1", "n3" }

func TestResolve(t *testing.T) {
	for _, test := range []struct{ phrase, want string }{
		{"kill n1 n2", "n1 n2"},
		{"kill owner counter/3", "n4"},
		{"kill replica counter/3 1", "n2"},
		{"kill replica counter/3 6", ""},
		{"kill coordinator owner counter/3 n4", "n2 n4"},
		{"kill all", "n1 n2 n3 n4 n5"},
		{"cut owner counter/3 | rest", "n4 | n1 n2 n3 n5"},
		{"cut minority-with-owner counter/3 | rest", "n4 n1 | n2 n3 n5"},
		{"cut n1 | coordinator | rest", "n1 | n2 | n3 n4 n5"},
		{"cut giver | taker", "n1 | n3"},
	} {
		f := Fault{}
		f.parse(newWords(1, test.phrase))
		var got []string
		for _, side := range f.Resolve(world{[]string{"n4", "n2", "n3"}}) {
			got = append(got, strings.Join(side, " "))
		}
		if s := strings.Join(got, " | "); s != test.want {
			t.Errorf("%s is %q, want %q", test.phrase, s, test.want)
		}
	}
	nobody := Target{Kind: OwnerOf}
	if got := nobody.Resolve(world{}); len(got) != 0 {
		t.Errorf("the owner of an actor that nobody owns is %v", got)
	}
}

func TestPairs(t *testing.T) {
	for _, test := range []struct{ phrase, want string }{
		{"cut n1 | n2 n3", "n1>n2 n1>n3 n2>n1 n3>n1"},
		{"cut n1 | n2 | n3", "n1>n2 n1>n3 n2>n1 n2>n3 n3>n1 n3>n2"},
		{"cut-one-way n1 > n2 n3", "n1>n2 n1>n3"},
		{"bridge n1 | n2 | n3", "n1>n3 n3>n1"},
		{"ring n1 n2 n3 n4", "n1>n3 n2>n4 n3>n1 n4>n2"},
		{"link loss 5%", ""},
		{"link loss 5% between n1 | n2", "n1>n2 n2>n1"},
		{"link loss 5% from n1 > n2", "n1>n2"},
		{"kill n1", ""},
	} {
		f := Fault{}
		f.parse(newWords(1, test.phrase))
		var got []string
		for _, p := range f.Pairs(f.Resolve(world{})) {
			got = append(got, p.From+">"+p.To)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s is in the way of %q, want %q", test.phrase, s, test.want)
		}
	}
}
