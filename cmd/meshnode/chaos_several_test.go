package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Several scripts end in one table, and in a failure if one of them fails.
func TestChaosRunSeveral(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"calm": calmScript, "busy": calmScript + "check calls >= 100000\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".chaos"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	calm, busy := filepath.Join(dir, "calm.chaos"), filepath.Join(dir, "busy.chaos")
	r := newRig()
	if code := r.run("chaos", "run", calm, busy, "--jobs", "2", "--report", filepath.Join(dir, "out")); code != exitFailure {
		t.Errorf("the exit code is %d:\n%s", code, r.err.String())
	}
	for _, want := range []string{" of 2  PASS   calm", " of 2  FAIL   busy", "minimums: line", "1 passed, 1 failed", "again: meshnode chaos run " + busy} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, r.out.String())
		}
	}
	for _, file := range []string{"summary.txt", "calm/timeline.png", "busy/history.txt"} {
		if _, err := os.Stat(filepath.Join(dir, "out", file)); err != nil {
			t.Error(err)
		}
	}
	if code := r.run("chaos", "run", calm, "halves"); code != exitOK {
		t.Errorf("the exit code of two scripts that pass is %d:\n%s%s", code, r.out.String(), r.err.String())
	}
}

// Of all scripts those are listed that the engine cannot run; a signal ends the
// others, and nothing of that is a pass.
func TestChaosRunInterrupted(t *testing.T) {
	t.Setenv(childVar, realChild)
	t.Setenv("TMPDIR", t.TempDir()) // where directories and logs of what failed are kept
	r := newRig()
	r.executable = os.Args[0]
	r.signals <- syscall.SIGTERM
	if code := r.run("chaos", "run", "all", "--on", "local", "--jobs", "1"); code != exitFailure {
		t.Errorf("the exit code is %d", code)
	}
	table := strings.Join(strings.Fields(r.out.String()), " ")
	for _, want := range []string{"clock-drift not on local: needs sim", " loss not run ", " not run, "} {
		if !strings.Contains(table, want) {
			t.Errorf("it does not say %q:\n%s", want, r.out.String())
		}
	}
	if strings.Contains(table, "PASS") {
		t.Errorf("something has passed:\n%s", r.out.String())
	}
}
