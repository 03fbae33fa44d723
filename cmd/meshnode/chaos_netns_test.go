package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actormesh/chaos/netns"
	"actormesh/chaos/script"
)

const hurtScript = `nodes 3
spare 1
slots 4
time 11s
settle 10s
workload counter clients=2 actors=2 rate=10/s
workload list clients=2 actors=2 rate=10/s
at 1s join n4
at 2s..3s power-loss n1
at 3s..4s cut n2 | rest
at 4s..5s link loss 10% rate 64kB/s
at 5s..8s disk n1 eio
at 5s..7s disk n2 slow 20ms
at 6s..7s pause n2
at 7s..8s disk n3 full
at 8s..9s power-loss all
check calls >= 300
check power-loss >= 2
check disk >= 3
check saw disk crash >= 5
check saw fsync failed >= 1
check saw slow fsync >= 1
check saw packet cut off >= 1
check saw packet lost >= 1
check saw packet on a slow link >= 1
`

// hurtPlan skips the test on a machine that cannot do what it does.
func hurtPlan(t *testing.T) (file string) {
	t.Helper()
	s, err := script.Parse(hurtScript)
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Probe(script.Expand(s, 1)); err != nil {
		t.Skipf("this machine lacks what it takes:\n%v", err)
	}
	file = filepath.Join(t.TempDir(), "hurt.chaos")
	if err := os.WriteFile(file, []byte(hurtScript), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(childVar, realChild)
	t.Setenv("TMPDIR", t.TempDir())
	return file
}

// machine returns the links, the named namespaces, the mounts, the loop devices on
// images of this test, and the processes on them.
func machine(t *testing.T) string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/class/net/*", "/run/netns/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	for _, pattern := range []string{"/sys/block/loop*/loop/backing_file", "/proc/[0-9]*/cmdline"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), os.TempDir()) {
				found = append(found, name+": "+string(text))
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(found, string(mounts)), "\n")
}

// remains checks that the machine is as it was, now or as soon as the kernel has
// taken down what nobody has any more.
func remains(t *testing.T, before string) {
	t.Helper()
	now := ""
	for range 100 {
		if now = machine(t); now == before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("there was\n%s\nand is\n%s", before, now)
}

// A mesh in namespaces keeps its promises, whatever is done below it, and the
// machine is as it was.
func TestChaosRunNetns(t *testing.T) {
	file := hurtPlan(t)
	before := machine(t)
	r := newRig()
	r.executable = os.Args[0]
	if code := r.run("chaos", "run", file, "--on", "netns"); code != exitOK || !strings.Contains(r.out.String(), "PASS  hurt on netns") {
		t.Errorf("the exit code is %d:\n%s%s", code, r.out.String(), r.err.String())
	}
	remains(t, before)
	if files, err := os.ReadDir(os.TempDir()); err != nil || len(files) > 0 {
		t.Errorf("there are files left: %v, %v", files, err)
	}
}

// A run that a signal ends leaves nothing but the logs and the images of its disks.
func TestChaosRunNetnsInterrupted(t *testing.T) {
	file := hurtPlan(t)
	before := machine(t)
	r := newRig()
	r.executable = os.Args[0]
	during := make(chan string, 1)
	go func() {
		time.Sleep(6500 * time.Millisecond) // or so, in the middle of faults
		during <- machine(t)
		r.signals <- syscall.SIGTERM
	}()
	if code := r.run("chaos", "run", file, "--on", "netns"); code != exitFailure || !strings.Contains(r.err.String(), "ended by a signal") {
		t.Errorf("the exit code is %d:\n%s%s", code, r.out.String(), r.err.String())
	}
	if text := <-during; !strings.Contains(text, "backing_file") || !slices.Contains(strings.Split(text, "\x00"), "start") {
		t.Errorf("when it was interrupted there was\n%s", text)
	}
	remains(t, before)
}
