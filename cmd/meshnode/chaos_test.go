package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const calmScript = `nodes 3
slots 4
time 3s
settle 4s
workload counter clients=2 actors=2 rate=10/s
at 1s..2s pause n2
check calls >= 40
check pause >= 1
`

// One script runs on both engines.
func TestChaosRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "calm.chaos")
	if err := os.WriteFile(file, []byte(calmScript), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(childVar, realChild)
	for _, engine := range []string{"sim", "local"} {
		r := newRig()
		r.executable = os.Args[0]
		if code := r.run("chaos", "run", file, "--on", engine, "--seed", "3", "--report", filepath.Join(dir, engine)); code != 0 {
			t.Fatalf("on %s the exit code is %d:\n%s%s", engine, code, r.out.String(), r.err.String())
		}
		for _, want := range []string{"PASS  calm on " + engine + ", seed 3", "again: meshnode chaos run " + file + " --on " + engine + " --seed 3", "timeline.png"} {
			if !strings.Contains(r.out.String(), want) {
				t.Errorf("on %s it does not say %q:\n%s", engine, want, r.out.String())
			}
		}
		verdict, err := os.ReadFile(filepath.Join(dir, engine, "verdict.txt"))
		if code := r.run("chaos", "check", filepath.Join(dir, engine)); code != 0 || err != nil || r.out.String() != string(verdict) {
			t.Errorf("on %s, checked again, with code %d and %v:\n%s", engine, code, err, r.out.String())
		}
	}
}

func TestChaosRunUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.chaos")
	if err := os.WriteFile(file, []byte("at 1s explode n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"chaos run peace", "no script"},
		{"chaos run " + file, "line 1"},
		{"chaos run halves --on steam", "no engine"},
		{"chaos run slow-link --on netns", "takes one of: sim, local"},
		{"chaos run clock-drift --on local", "takes one of: sim"},
		{"chaos run halves clock-drift --on local", "script clock-drift: line"},
		{"chaos run halves halves", "two scripts halves"},
		{"chaos run halves peace", "no script"},
		{"chaos run halves loss --trace", "one script"},
	} {
		r := newRig()
		if code := r.run(strings.Fields(test.args)...); code != exitUsage || !strings.Contains(r.err.String(), test.want) {
			t.Errorf("%s ends with code %d, and says %q; want %q", test.args, code, r.err.String(), test.want)
		}
	}
}
