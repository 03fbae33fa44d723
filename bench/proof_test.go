package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestProof counts what the nodes say of calls of a durable workload, made by one
// client, in the first repetition only.
func TestProof(t *testing.T) {
	var told []string
	plan := testPlan(t)
	plan.Vias = []string{"go"}
	report, err := Run(t.Context(), plan, &fakeSystem{name: "a", vias: []string{"go"}, told: &told})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Proofs) != 1 {
		t.Fatalf("%+v", report.Proofs)
	}
	p := report.Proofs[0]
	if p.System != "a" || p.Workload != CounterAdd || p.Calls != proofCalls || p.Said != 0 || p.Syscalls != nil || p.Blind == "" {
		t.Errorf("%+v", p)
	}
	plan.Workloads = []Workload{CounterGet}
	report, err = Run(t.Context(), plan, &fakeSystem{name: "a", vias: []string{"go"}, told: &told})
	if err != nil || len(report.Proofs) > 0 {
		t.Errorf("%+v of what is not durable, %v", report, err)
	}
}

func TestVerdict(t *testing.T) {
	count := func(n int) *int { return &n }
	for _, test := range []struct {
		disk    uint64 // flushes of the probe
		nodes   int
		seen    *int
		flushes uint64
		want    string
	}{
		{300, 3, count(300), 280, "yes"},
		{300, 3, count(199), 280, "NO"}, // of a majority
		{300, 3, nil, 100, "yes"},
		{300, 3, nil, 99, "NO"},
		{300, 1, count(0), 280, "NO"}, // others have flushed
		{300, 1, count(100), 3, "NO"}, // it was asked for, and not done
		{0, 1, count(100), 0, "yes"},
		{0, 1, count(99), 0, "NO"},
		{0, 3, nil, 0, "nobody can tell"},
	} {
		p := Proof{Nodes: test.nodes, Calls: 100, Syscalls: test.seen, Flushes: test.flushes}
		if got := p.durable(&Disk{Flushes: test.disk}); got != test.want {
			t.Errorf("%+v is %q", test, got)
		}
	}
}

func TestProofsTable(t *testing.T) {
	report, seen := testReport(), 300
	report.Proofs = []Proof{
		{System: "mesh", Workload: KVPut, Calls: 100, Said: 301, Syscalls: &seen, Flushes: 280},
		{System: "echo", Workload: KVPut, Calls: 100, Flushes: 2, Blind: "no strace"},
	}
	var b strings.Builder
	if err := report.writeProofs(&b); err != nil {
		t.Fatal(err)
	}
	const want = `
Is it durable? What 100 calls of one client caused, one call after the other:

  SYSTEM  WORKLOAD  FSYNCS SAID  SEEN BY STRACE  DEVICE FLUSHES  DURABLE
    mesh    kv.put          301             300             280      yes
    echo    kv.put            0               -               2       NO

Not all processes were watched: no strace
`
	if got := trimLines(b.String()); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// TestWatchFsyncs counts those of this process, where it may be watched.
func TestWatchFsyncs(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := watchFsyncs(t.Context(), nil); err == nil {
		t.Error("nobody is watched")
	}
	watch, err := watchFsyncs(t.Context(), []int{os.Getpid()})
	if err != nil {
		t.Skip(err)
	}
	for range 3 {
		if err := fdatasync(f); err != nil {
			t.Error(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if n, err := watch.end(); err != nil || n != 4 {
		t.Errorf("%d fsyncs, %v; there were 4", n, err)
	}
	if _, err := watchFsyncs(t.Context(), []int{1 << 30}); err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("a process that is not: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := watchFsyncs(ctx, []int{os.Getpid()}); err == nil {
		t.Error("it was watched although it was not to be")
	}
	runtime.KeepAlive(f)
}
