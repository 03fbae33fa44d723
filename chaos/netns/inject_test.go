//go:build linux

package netns

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// Fsyncs fail, take longer, do both, and are as they were in the end.
func TestTrace(t *testing.T) {
	needsAll(t)
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "sync", filepath.Join(dir, "file"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	// want looks at some of the fsyncs that begin from now on.
	want := func(when string, fails bool, from, to int64) {
		t.Helper()
		now := time.Now().UnixMilli()
		for seen := 0; seen < 5; {
			var began, millis int64
			var failed bool
			if !lines.Scan() {
				t.Fatalf("%s: there is no fsync: %v", when, lines.Err())
			}
			if _, err := fmt.Sscan(lines.Text(), &began, &failed, &millis); err != nil {
				t.Fatal(err)
			}
			if began <= now {
				continue
			}
			seen++
			if failed != fails || millis < from || millis > to {
				t.Errorf("%s: an fsync fails: %v, and takes %d ms", when, failed, millis)
			}
		}
	}
	const usual = 1000 // of a disk that others use as well
	attach := func(fails bool, delay time.Duration) *tracer {
		t.Helper()
		tr, err := trace(cmd.Process.Pid, fails, delay, filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	end := func(tr *tracer, what string) {
		t.Helper()
		if did, err := tr.end(); err != nil || did[what] < 4 {
			t.Errorf("it has done %v, %v; want at least 4 of %s", did, err, what)
		}
	}
	want("at first", false, 0, usual)
	tr := attach(true, 0)
	want("failing", true, 0, usual)
	end(tr, "fsync failed")
	want("after failures", false, 0, usual)
	tr = attach(false, 50*time.Millisecond)
	want("slow", false, 50, usual)
	end(tr, "slow fsync")
	tr = attach(true, 50*time.Millisecond)
	want("slow and failing", true, 50, usual)
	end(tr, "slow fsync")
	want("in the end", false, 0, usual)
}

// A node that is traced can be paused; one that ends takes its tracer along.
func TestTraceNode(t *testing.T) {
	needsAll(t)
	dir := t.TempDir()
	n := &cluster.Node{Name: "n1", Binary: os.Args[0], Log: filepath.Join(dir, "n1.log")}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	defer n.Kill()
	pid, log := n.PID(), n.Log+".strace"
	tr, err := trace(pid, true, 0, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := tr.end(); err != nil {
		t.Error(err)
	}
	if tr, err = trace(pid, true, time.Millisecond, log); err != nil { // it still stands still
		t.Fatal(err)
	}
	if err := errors.Join(n.Continue(), n.Kill()); err != nil {
		t.Error(err)
	}
	<-tr.done
	if did, err := tr.end(); err != nil || len(did) > 0 {
		t.Errorf("of a process that was killed: %v, %v", did, err)
	}
	if tr, err = trace(pid, true, 0, log); err != nil {
		t.Errorf("of a process that is gone: %v", err)
	} else if _, err := tr.end(); err != nil {
		t.Error(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := trace(n.PID(), true, 0, filepath.Join(dir, "none", "log")); !errors.Is(err, errUntraced) {
		t.Errorf("where strace cannot write its log: %v", err)
	}
}
