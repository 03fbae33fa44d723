package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
)

func plan(t *testing.T, text string) *script.Plan {
	t.Helper()
	s, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return script.Expand(s, 1)
}

// Real processes are hurt in most of the ways that there are, and keep their
// promises.
func TestRun(t *testing.T) {
	t.Parallel()
	run(t, `
nodes 3
spare 1
slots 8
time 16s
settle 20s
set dead-grace 5s
workload counter clients=3 actors=2 rate=10/s storm=10% keyless=10%
workload account clients=2 actors=3 rate=5/s
workload list clients=2 actors=2 rate=5/s
at 1s join n4
at 2s..4s kill owner counter/0
at 5s..7s cut n1 | rest
at 6s..8s link loss 10% delay 1ms..5ms
at 8s..9s pause n2
at 10s..14s drain n3
at 15s calm
check calls >= 400
check ok >= 400
check kill >= 1
check cut >= 1
check pause >= 1
check drain >= 1
check failovers >= 1
`, "packet cut off", "packet lost", "packet delayed", "start")
}

// Directories are wiped and rolled back. Whoever finds that its own is of no use
// says so, and gets an empty one.
func TestRunDirectories(t *testing.T) {
	t.Parallel()
	run(t, `
nodes 5
slots 8
time 24s
settle 20s
set dead-grace 2s
workload counter clients=3 actors=2 rate=10/s
workload register clients=2 actors=2 rate=5/s
workload lock clients=2 actors=2 rate=5/s
at 1s restart n2 empty
at 11s..12s kill n4
at 14s restart n4 rolled-back
check calls >= 400
check ok >= 400
check restart >= 2
`, "start", "directory wiped")
}

// A node's directory is copied, and the copy started; another node leaves for good.
// Only one of the two that have one name goes on.
func TestRunClone(t *testing.T) {
	t.Parallel()
	run(t, `
nodes 4
slots 8
time 10s
settle 20s
workload counter clients=3 actors=2 rate=10/s reads=100%
at 1s..8s clone n3
at 9s leave n2
check clone >= 1
check leave >= 1
`, "start", "directory wiped")
}

// run runs a script, in which nothing may be found, and which must have seen all
// this.
func run(t *testing.T, text string, saw ...string) {
	t.Helper()
	dir := t.TempDir()
	r, err := Run(t.Context(), plan(t, text), Options{Binary: os.Args[0], Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	for _, s := range saw {
		if r.Saw[s] == 0 {
			t.Errorf("the run saw no %s: %v", s, r.Saw)
		}
	}
	t.Logf("%d attempts, %v", len(r.History), r.Saw)
	if !t.Failed() {
		return
	}
	for _, b := range r.Bands {
		t.Logf("%v..%v %s", b.Begin.Round(time.Millisecond), b.End.Round(time.Millisecond), b.Text)
	}
	logs, err := filepath.Glob(dir + "/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		t.Logf("%s: %v\n%s", name, err, text[max(0, len(text)-2000):])
	}
}

func TestRunRefuses(t *testing.T) {
	_, err := Run(t.Context(), plan(t, "at 1s..2s clock n1 stop"), Options{Binary: os.Args[0], Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a fault that real processes cannot have gives %v", err)
	}
}
