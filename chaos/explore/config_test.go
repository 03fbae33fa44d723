package explore

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raceDetector: it has nothing to find in a program of one goroutine, and makes do
// with a few states.
var raceDetector bool

// explore searches the configurations whose names begin so, each up to a bound.
// It is what a bug in package quorum is to fail.
func explore(t *testing.T, prefix string, most int) {
	states := most
	if testing.Short() {
		states = min(states, 20_000)
	}
	if raceDetector {
		states = min(states, 15_000)
	}
	n := 0
	for _, c := range Configs() {
		if !strings.HasPrefix(c.Name, prefix) {
			continue
		}
		n++
		r := c.Run(Limits{States: states}, nil)
		if r.Violation != nil {
			var script bytes.Buffer
			r.WriteScript(&script)
			t.Errorf("%s: %s\n%s", c.Name, r.Violation.What, &script)
		}
		if r.Distinct < states && !r.Complete {
			t.Errorf("%s ended at %d states", c.Name, r.Distinct)
		}
	}
	if n == 0 {
		t.Fatalf("no configuration is called %s...", prefix)
	}
}

// Each of these searches a little further than it takes to find the bugs that
// can be planted.
func TestExploreRegister(t *testing.T) {
	explore(t, "register-", 40_000)
	explore(t, "register-restart-c", 160_000)
}
func TestExploreVoters(t *testing.T) { explore(t, "voters", 100_000) }
func TestExploreSlot(t *testing.T)   { explore(t, "slot-", 70_000) }
func TestExploreLease(t *testing.T)  { explore(t, "lease-", 90_000) }
func TestExploreRecord(t *testing.T) { explore(t, "record-", 6_000) }

// TestMutants finds every planted bug, and replays how it is found.
func TestMutants(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("it takes long")
	}
	for _, c := range Mutants() {
		r := c.Run(Limits{States: 600_000}, nil)
		if r.Violation == nil {
			t.Errorf("%s: nothing found in %d states", c.Name, r.Distinct)
			continue
		}
		var script, out bytes.Buffer
		if err := r.WriteScript(&script); err != nil {
			t.Fatal(err)
		}
		what, err := Replay(&script, &out)
		if err != nil || what != r.Violation.What {
			t.Errorf("%s: found %q, its replay %q, %v", c.Name, r.Violation.What, what, err)
		}
		for _, step := range r.Violation.Steps[:len(r.Violation.Steps)-1] {
			if !strings.Contains(out.String(), step) {
				t.Errorf("%s: the replay does not show %q", c.Name, step)
			}
		}
	}
}

// TestTraces replays the recorded counterexamples. Each breaks what its second
// line says.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.trace")
	if err != nil || len(files) < len(Mutants()) {
		t.Fatalf("%d traces, %d planted bugs: %v", len(files), len(Mutants()), err)
	}
	for _, name := range files {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(script), "\n", 3)
		want := strings.TrimPrefix(lines[1], "# ")
		what, err := Replay(bytes.NewReader(script), io.Discard)
		if err != nil || what != want || !strings.HasPrefix(lines[0], "# ") {
			t.Errorf("%s: %q, %v, want %q", name, what, err, want)
		}
	}
}

// TestNames: each configuration has a name of its own, by which it is found.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range append(Configs(), Mutants()...) {
		if seen[c.Name] || c.About == "" {
			t.Errorf("%q: there are two, or it says nothing", c.Name)
		}
		seen[c.Name] = true
		if found, err := Find(c.Name); err != nil || found.About != c.About {
			t.Errorf("%q is not found: %v", c.Name, err)
		}
	}
}

func TestReplayErrors(t *testing.T) {
	for script, want := range map[string]string{
		"a writes record 1":                          "before the configuration",
		"config nowhere":                             "no configuration",
		"config slot-handover\nz writes record 1":    "0 steps of this state",
		"config slot-handover\n\n# x\nb restarts":    "0 steps of this state",
		"config slot-handover\na writes record 1\na": "0 steps of this state",
	} {
		if _, err := Replay(strings.NewReader(script), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", script, err, want)
		}
	}
	what, err := Replay(strings.NewReader("config slot-handover\na writes record 1\n"), io.Discard)
	if what != "" || err != nil {
		t.Errorf("a step that breaks nothing: %q, %v", what, err)
	}
}
