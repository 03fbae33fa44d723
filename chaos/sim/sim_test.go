package sim

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/scripts"
	"actormesh/chaos/workload"
	"actormesh/mesh"
)

var (
	firstSeed = flag.Uint64("sim.seed", 1, "first seed of TestWild")
	seeds     = flag.Int("sim.seeds", 12, "how many seeds TestWild runs")
	traced    = flag.Bool("sim.trace", false, "print what happens")
)

func options(seed uint64) Options {
	o := Options{Seed: seed}
	if *traced {
		o.Trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	}
	return o
}

func run(t *testing.T, plan *script.Plan, o Options) *Result {
	t.Helper()
	r, err := Run(plan, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWild runs scripts that are drawn from seeds, each twice: the second run must
// be the first one again, event by event.
func TestWild(t *testing.T) {
	saw := map[string]int{}
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds) && !t.Failed(); seed++ {
		plan := script.Expand(Wild(seed), seed)
		r := run(t, plan, options(seed))
		if len(r.Findings) > 0 {
			t.Errorf("%v\nrun it again with: go test ./chaos/sim -run TestWild -sim.seeds 1 -sim.trace -sim.seed %d", r, seed)
		}
		for name, n := range r.Saw {
			saw[name] += n
		}
		if again := run(t, plan, Options{Seed: seed}); again.Hash != r.Hash || again.Events != r.Events {
			t.Errorf("seed %d: two runs differ: %v\n%v", seed, r, again)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(saw)) {
		t.Logf("%8d %s", saw[name], name)
	}
}

// TestReplays runs the scripts of testdata, each of which failed once: its first
// line says why.
func TestReplays(t *testing.T) {
	files, err := filepath.Glob("testdata/*.chaos")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".chaos"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s, err := script.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if r := run(t, script.Expand(s, s.Seed), options(s.Seed)); len(r.Findings) > 0 {
				t.Error(r)
			}
		})
	}
}

// TestScripts runs the project's scripts.
func TestScripts(t *testing.T) {
	for _, name := range scripts.Names() {
		t.Run(name, func(t *testing.T) {
			text, err := scripts.Text(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := script.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			plan := script.Expand(s, *firstSeed)
			if plan.CheckEngine(script.Sim) != nil {
				t.Skip("it needs another engine")
			}
			if r := run(t, plan, options(*firstSeed)); len(r.Findings) > 0 {
				t.Errorf("%v\nrun it again with: go test ./chaos/sim -run TestScripts/%s -sim.trace -sim.seed %d", r, name, *firstSeed)
			}
		})
	}
}

// TestStops tells nodes to stop all the time, drained or not, and looks that
// nothing of them goes on.
func TestStops(t *testing.T) {
	s, err := script.Parse(stops)
	if err != nil {
		t.Fatal(err)
	}
	for seed := *firstSeed; seed < *firstSeed+3; seed++ {
		if r := run(t, script.Expand(s, seed), options(seed)); len(r.Findings) > 0 {
			t.Error(r)
		}
	}
}

const stops = `
nodes 3
spare 1
slots 8
time 40s
settle 12s
set fold-records 2
set idle-timeout 1s
workload counter clients=4 actors=4 rate=20/s storm=5% tries=3 within=1s
workload account clients=3 actors=4 rate=10/s tries=2
at 10s join n4
at 20s leave n4
random every 300ms..1s for 100ms..2s from 1s until 36s of restart any *4, drain any, disk any slow 5ms
check saw process stopped >= 10
check saw crash within a stop >= 1
`

// TestStoppedRefuses calls through a node before it stops, and after, while its process
// is still there.
func TestStoppedRefuses(t *testing.T) {
	s, err := script.Parse("nodes 1\nslots 4\ntime 1s\nworkload counter actors=1\n")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(1)
	plan := script.Expand(s, 1)
	if err := w.build(plan, Options{Seed: 1}); err != nil {
		t.Fatal(err)
	}
	defer w.end()
	w.found(plan)
	m := w.machines[0]
	p := m.process
	actor, codes := workload.Actors(plan)[0], map[workload.Code]int{}
	call := func() {
		w.clients.begin(func() {
			codes[w.call(m, mesh.JSONCall{Kind: workload.HostName(actor.Kind), ID: actor.ID, Method: workload.FinalMethod, Timeout: time.Second}).Code]++
		})
	}
	call()
	w.run(w.time + 10*time.Millisecond)
	if codes[workload.OK] != 1 {
		t.Fatalf("before it stops: %v", codes)
	}
	p.then = func() {}
	p.begin(func() { _ = p.node.Close() })
	for !isClosed(p.node.Done()) {
		w.run(w.time + time.Microsecond)
	}
	call()
	w.run(w.time + time.Millisecond)
	if m.process != p || codes[workload.Unreachable] != 1 {
		t.Errorf("when it has stopped: %v", codes)
	}
	w.run(w.time + 2*remainsTime)
	if m.process != nil || len(w.findings) > 0 {
		t.Errorf("it goes on: %v", w.findings)
	}
}

// TestSnapshots sends snapshots that nothing lets through at once.
func TestSnapshots(t *testing.T) {
	s, err := script.Parse(snapshots)
	if err != nil {
		t.Fatal(err)
	}
	saw := map[string]int{}
	for seed := *firstSeed; seed < *firstSeed+4; seed++ {
		r := run(t, script.Expand(s, seed), options(seed))
		if len(r.Findings) > 0 {
			t.Error(r)
		}
		for what, n := range r.Saw {
			saw[what] += n
		}
	}
	for _, what := range []string{"snapshot taken", "snapshot cut short", "snapshot aborted", "snapshot installed", "snapshot timed out"} {
		if saw[what] == 0 {
			t.Errorf("no %s", what)
		}
	}
}

const snapshots = `
nodes 3
spare 2
slots 1
time 40s
settle 16s
set fold-records 2
set dead-grace 2s
workload counter clients=12 actors=8 rate=150/s until=22s within=1s
workload list clients=2 actors=3 rate=3/s
at 5s join n4 n5
at 10s restart n1 empty
at 10s..20s when snapshot cut giver | taker for 2s
at 20s leave n2
at 20s..26s when snapshot kill taker for 1s
at 27s leave n3
at 27s..33s when snapshot kill giver for 1s
check recovery 10s
`

// TestPausesEnd pauses one node several times at once: each is over when it should
// be, whatever stands still meanwhile, and one of them within a step.
func TestPausesEnd(t *testing.T) {
	s, err := script.Parse(pauses)
	if err != nil {
		t.Fatal(err)
	}
	within := 0
	for seed := *firstSeed; seed < *firstSeed+8; seed++ {
		r := run(t, script.Expand(s, seed), options(seed))
		if len(r.Findings) > 0 {
			t.Error(r)
		}
		within += r.Saw["pause within a step"]
		if end := workload.LastFault(&r.Run); end > 12*time.Second {
			t.Errorf("seed %d: the last pause is over at %v", seed, end)
		}
	}
	if within == 0 {
		t.Error("no pause within a step")
	}
}

const pauses = `
nodes 3
slots 4
time 15s
settle 12s
workload register clients=4 actors=4 rate=20/s tries=3 within=1s
at 2s..8s pause n1
at 5s..10s pause n1
at 7s..12s pause n1
check recovery 10s
`

// TestMissed kills nodes, and measures how long it takes until the others have a view
// in which one is down: heartbeats are to be missed after four, whatever the rates of
// clocks.
func TestMissed(t *testing.T) {
	s, err := script.Parse(missed)
	if err != nil {
		t.Fatal(err)
	}
	for seed := *firstSeed; seed < *firstSeed+12; seed++ {
		var crashed, down []float64
		o := options(seed)
		o.Trace = func(format string, args ...any) {
			line := fmt.Sprintf(format, args...)
			switch at := args[0].(float64); {
			case strings.HasSuffix(line, ": crash"):
				crashed = append(crashed, at)
			case strings.Contains(line, "(down)") && len(down) < len(crashed):
				down = append(down, at)
			}
		}
		r, err := Run(script.Expand(s, seed), o)
		if err != nil || len(r.Findings) > 0 {
			t.Fatal(r, err)
		}
		if len(crashed) != 3 || len(down) != 3 {
			t.Fatalf("seed %d: crashes at %v, views at %v", seed, crashed, down)
		}
		for i := range crashed {
			if took := down[i] - crashed[i]; took > 0.5 {
				t.Errorf("seed %d: a crash at %.2f s is in a view %.2f s later", seed, crashed[i], took)
			}
		}
	}
}

const missed = `
nodes 3
slots 4
time 30s
settle 12s
workload counter clients=2 actors=4 rate=10/s tries=3 within=1s
at 1s..30s clock n1 drift 0.9%
at 1s..30s clock n2 drift -0.5%
at 5s..8s kill n1
at 13s..16s kill n2
at 21s..24s kill n3
`
