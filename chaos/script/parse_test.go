package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample uses every statement.
const sample = `# a comment
seed 7
nodes 5
spare 2   # n6 and n7
slots 16
replication 3
voters 5
time 60s
settle 20s
set lease 500ms
set fold-records 16
workload counter clients=4 actors=8 rate=45/s storm=5% keyless=10%
workload account clients=2 actors=3 rate=5/s from=1s until=30s reads=50% tries=2 within=1s
at 5s..8s cut n1 n2 | n3 n4 n5
at 9s..10s cut any | rest
at 9s..9500ms kill half
at 10s..20s flap owner account/any | rest every 2s
at 12s..50s when seal kill taker for 2s
at 13s restart n3 of n2
at 14s join n6 n7
at 14s call x counter/0 add 5 id=x.1 via=n1,n2 then=n3 within=500ms
at 15s call x list/a append 3 id=x.2 via=n1 keyless
random every 1s..4s for 500ms..2s from 20s until 45s of kill any *3, pause owner any, disk any slow 50ms, calm
check calls >= 500
check kill >= 2
check saw fenced-append >= 1
check recovery 10s
`

func mustParse(t testing.TB, text string) *Script {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

func TestParse(t *testing.T) {
	s := mustParse(t, sample)
	if s.Seed != 7 || s.Nodes != 5 || s.Spare != 2 || s.Slots != 16 || s.Replication != 3 || s.Voters != 5 ||
		s.Length() != 80*time.Second || len(s.Settings) != 2 || len(s.Checks) != 4 {
		t.Errorf("the header is %+v", s.Header)
	}
	want := Workload{
		Line: 13, Kind: Account, Clients: 2, Actors: 3, Rate: 5, From: time.Second, Until: 30 * time.Second,
		Reads: whole / 2, Tries: 2, Within: time.Second,
	}
	if len(s.Workloads) != 2 || s.Workloads[1] != want {
		t.Errorf("the workloads are %+v", s.Workloads)
	}
	if s.Workloads[0].Until != 77*time.Second {
		t.Errorf("a workload that says no end ends at %v", s.Workloads[0].Until)
	}
	if len(s.Random) != 1 || len(s.Random[0].Of) != 6 || s.Random[0].Every != (Span{time.Second, 4 * time.Second}) {
		t.Errorf("the random faults are %+v", s.Random)
	}
	if got := strings.Join(s.Names(), " "); got != "n1 n2 n3 n4 n5 n6 n7" {
		t.Errorf("the nodes are %s", got)
	}
}

// Every fault is printed as it was read.
func TestFaultText(t *testing.T) {
	for _, line := range []string{
		"at 1s..2s cut n1 n2 | n3",
		"at 1s..2s cut n1 | n2 | n3",
		"at 1s..2s cut owner counter/3 | rest",
		"at 1s..2s cut minority-with-owner counter/3 | rest",
		"at 1s..2s cut-one-way n1 > n2 n3",
		"at 1s..2s bridge n1 n2 | n3 | n4 n5",
		"at 1s..2s ring n1 n2 n3 n4 n5",
		"at 1s..2s link loss 20% repeat 5% reorder 0.5% delay 10ms..50ms rate 64kB/s",
		"at 1s..2s link loss 1.25% between n1 | n2 n3",
		"at 1s..2s link delay 10ms rate 2MB/s from n1 > n2 n3",
		"at 1s..2s link rate 12B/s",
		"at 1s heal",
		"at 1s..2s kill owner counter/3",
		"at 1s..2s kill replica counter/3 2 coordinator",
		"at 1s..2s power-loss all",
		"at 1s restart n1",
		"at 1s restart n1 empty",
		"at 1s restart n1 rolled-back",
		"at 1s restart n1 of n2",
		"at 1s..2s clone n2",
		"at 1s..2s pause n1",
		"at 1s..2s clock n1 drift +0.9%",
		"at 1s..2s clock n1 drift -0.9%",
		"at 1s..2s clock all stop",
		"at 1s clock n1 jump +5s",
		"at 1s clock n1 jump -1m0s",
		"at 1s..2s disk n1 full",
		"at 1s..2s disk n1 eio",
		"at 1s..2s disk n1 slow 50ms",
		"at 1s disk n1 flip",
		"at 1s disk n1 misdirect",
		"at 1s..2s disk n1 torn",
		"at 1s..2s disk n1 lose",
		"at 1s gossip suspect n2 by n1",
		"at 1s..2s gossip silence n1 n2",
		"at 1s join n2",
		"at 1s leave n2",
		"at 1s..2s drain coordinator",
		"at 1s calm",
		"at 1s..2s when quiesced kill giver",
		"at 1s..2s when active cut taker | rest for 3s",
	} {
		s := mustParse(t, "nodes 5\n"+line)
		if got := s.Faults[0].line(); got != line {
			t.Errorf("read %s\nprinted %s", line, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"nodse 3", `line 2: "nodse" begins no statement`},
		{"nodes", "the number of nodes is missing"},
		{"nodes 0", "a number from 1 to 64"},
		{"nodes 3 4", `"4" is too much`},
		{"nodes 4\nnodes 5", "line 3: nodes is already said in line 2"},
		{"nodes 60\nspare 10", "too many"},
		{"voters 4", "even"},
		{"time 0s", "the time is 0"},
		{"time soon", "written like 60s"},
		{"set colour red", "no setting"},
		{"set lease red", "no value"},
		{"workload cart", "the kind"},
		{"workload counter speed=3", "no option"},
		{"workload counter rate=3", "like 50/s"},
		{"workload counter reads=101%", "from 0% to 100%"},
		{"workload counter actors=2 rate=1000/s", "more than 500 of one"},
		{"workload counter actors=2 rate=15/s\nworkload counter actors=9 rate=15/s", "more than 500 of one"},
		{"workload account actors=1", "two accounts"},
		{"workload counter from=10s until=5s", "from 10s until 5s"},
		{"at 5 kill n1", "the time is"},
		{"at 9s..5s kill n1", "the time is"},
		{"at 5s explode n1", "no fault"},
		{"at 5s kill", "to which nodes"},
		{"at 5s kill n9", "no node n9"},
		{"at 5s kill n1 n1", "named twice"},
		{"at 5s kill rest", "no other"},
		{"at 5s kill owner", "the actor of owner is missing"},
		{"at 5s kill owner cart/1", "the actor of owner"},
		{"at 5s kill owner any", "no workload"},
		{"at 5s kill taker", "say when"},
		{"at 5s kill any any any any", "takes 4 nodes"},
		{"at 5s cut n1", "two sides"},
		{"at 5s cut n1 |", "to which nodes"},
		{"at 5s cut-one-way n1 | n2", "two sides"},
		{"at 5s bridge n1 | n2", "three sides"},
		{"at 5s link", "what happens to packets"},
		{"at 5s link loss 20", "written like 20%"},
		{"at 5s link loss 20% between n1", "two sides"},
		{"at 5s link rate 5", "64kB/s"},
		{"at 5s flap n1 | n2", "how fast"},
		{"at 5s..6s heal", "has no end"},
		{"at 5s..6s disk n1 flip", "has no end"},
		{"at 5s..6s kill n1 for 2s", "said twice"},
		{"at 5s disk n1 melt", "it is one of full, eio"},
		{"at 5s disk n1 slow", "missing"},
		{"at 5s clock n1 drift 200%", "drift is"},
		{"at 5s gossip suspect n1", "who suspects"},
		{"at 5s restart n1 of", "one node"},
		{"at 5s when seal kill n1", "for how long"},
		{"at 5s..6s when lunch kill n1", "the step"},
		{"at 40s kill n1", "until 40s"},
		{"at 30s kill n1", "is over"},
		{"at 5s..40s kill n1", "it may last until 40s"},
		{"random of kill any", "how often"},
		{"random every 1s of", "what is done is missing"},
		{"random every 1s of kill any *0", "a weight"},
		{"random every 1s of flap n1 | n2 every 1s", "cannot be random"},
		{"random every 1s until 90s of kill any", "the faults are from"},
		{"random every 1ms of kill any", "more than 10000"},
		{"random often of kill any", "neither"},
		{"check calls 5", ">="},
		{"check happiness >= 5", "nothing counts"},
		{"check recovery soon", "recovery"},
		{"at 1s call c1 counter/0 add 1 via=n1", "the id of a call"},
		{"at 1s call c1 counter/0 add 1 id=a", "through which node"},
		{"at 1s call c1 counter/0 add x id=a via=n1", "the argument of add"},
		{"at 1s call c1 account/0 pay 0 5 id=a via=n1", "to itself"},
		{"at 1s call c1 counter/0 sub 1 id=a via=n1", "no method"},
		{"at 1s call c1 counter/0 add 1 id=a via=n9", "no node"},
		{"at 1s call c1 counter/0 add 1 id=a via=n1 then=n2 keyless", "once only"},
		{"at 1s call c1 counter/0 get id=a via=n1\nat 1s call c1 counter/0 get id=a via=n1", "line 3: the id a is that of line 2"},
		{"at 99s call c1 counter/0 get id=a via=n1", "the run takes"},
		{"at 1s..2s call c1 counter/0 get id=a via=n1", "one time"},
	} {
		_, err := Parse("# first\n" + test.line)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q gives the error %v, want %q", test.line, err, test.want)
		}
	}
	_, err := Parse(strings.Repeat("what\n", 100))
	if err == nil || strings.Count(err.Error(), "\n") != maxErrors {
		t.Errorf("100 errors are told as %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for _, s := range []string{"0%", "0.9%", "20%", "0.05%", "100%", "-1.25%"} {
		if share, ok := parseShare(s); !ok || share.String() != s {
			t.Errorf("the share %s is read as %v, %v", s, share, ok)
		}
	}
	for _, s := range []string{"", "%", "5", "0.123%", "1.%", "+-3%", "1-3%", "12345%", "e%"} {
		if share, ok := parseShare(s); ok {
			t.Errorf("the share %q is read as %v", s, share)
		}
	}
	for _, s := range []string{"1B/s", "64kB/s", "2MB/s", "1500B/s"} {
		if rate, ok := parseBytesRate(s); !ok || rateText(rate) != s {
			t.Errorf("the rate %s is read as %v, %v", s, rate, ok)
		}
	}
	for _, e := range []Engine{Sim, Local, Netns} {
		if got, err := ParseEngine(e.String()); got != e || err != nil {
			t.Errorf("the engine %v is read as %v, %v", e, got, err)
		}
	}
	if _, err := ParseEngine("steam"); err == nil {
		t.Error("there is an engine steam")
	}
}

func TestCheckEngine(t *testing.T) {
	p := Expand(mustParse(t, "at 1s kill n1\nat 2s clock n1 jump +5s"), 1)
	if err := p.CheckEngine(Sim); err != nil {
		t.Error(err)
	}
	want := `line 2: the engine local cannot do "clock n1 jump +5s"; it takes one of: sim`
	if err := p.CheckEngine(Local); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	p = Expand(mustParse(t, "at 1s..5s when seal kill n1"), 1)
	if p.CheckEngine(Sim) != nil || p.CheckEngine(Netns) == nil {
		t.Error("a handover's steps are seen by the simulator, and by no other engine")
	}
}

// FuzzParse asks that no text makes a panic, and that what is read is printed and
// read again as the same.
func FuzzParse(f *testing.F) {
	f.Add(sample, uint64(1))
	for _, v := range Verbs() {
		f.Add(fmt.Sprintf("nodes 5\nat 1s..2s %s n1 | n2 > any slow 5ms by n3", v), uint64(2))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		calls := len(s.Calls)
		for _, l := range s.Workloads {
			calls += l.calls()
		}
		if calls > 2000 {
			return
		}
		checkRoundTrip(t, Expand(s, seed))
	})
}

// checkRoundTrip asks that a plan's text expands to the plan.
func checkRoundTrip(t testing.TB, p *Plan) {
	t.Helper()
	text := p.Text()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("a plan's text is no script: %v\n%s", err, text)
	}
	again := Expand(s, s.Seed)
	if got := again.Text(); got != text {
		t.Fatalf("the plan\n%s\nbecomes\n%s", text, got)
	}
	if !slices.EqualFunc(p.Calls, again.Calls, func(a, b Call) bool { return a.line() == b.line() }) {
		t.Error("calls differ")
	}
}
