package bench

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testStudy() *Study {
	s := &Study{
		Name: "failover", Conditions: testConditions(), How: "something was killed", Reps: 3,
		Columns: []Column{{"GAP", "gap-ns"}, {"CPU", "cpu-%"}, {"DISK", "disk-B"}, {"CALLS/S", "calls/s"}},
	}
	for i, gap := range []float64{600e6, 2e9, 500e6} {
		s.add("mesh/go", "killed=1", Values{"gap-ns": gap, "cpu-%": float64(i), "disk-B": 1234567, "calls/s": 100}).Base = "etcd/grpc"
		s.add("etcd/grpc", "", Values{"gap-ns": 1200e6, "cpu-%": 0, "calls/s": 50}).Base = "etcd/grpc"
		s.add("alone", "", Values{"gap-ns": 900}).Base = "nobody"
	}
	return s
}

func TestStudyTable(t *testing.T) {
	var b strings.Builder
	if err := testStudy().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	const want = `
2026-11-23 07:30 UTC
etcd: 3
mesh: 1
machine: 2 cores (Some CPU), Linux 6 amd64, go1.26
disk: ext4 on /dev/vda, not in memory; fdatasync after an append of 4096 bytes: p50 250µs, p99 1.25ms; flushes that the device counted for 300 of them: 301
something was killed; medians of 3 repetitions, and the lowest and the highest

          FAILOVER      GAP                     CPU                     DISK                    CALLS/S
  mesh/go/killed=1  600.0ms  500.0ms..2.00s  1.00 %  0.00 %..2.00 %  1.23 MB  1.23 MB..1.23 MB      100  100..100
         etcd/grpc    1.20s    1.20s..1.20s  0.00 %  0.00 %..0.00 %        -                         50    50..50
             alone      1µs        1µs..1µs       -                        -                          -

          FAILOVER         TO   GAP  CPU  DISK  CALLS/S
  mesh/go/killed=1  etcd/grpc  0.50    -     -     2.00
`
	if got := "\n" + trimLines(b.String()); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// TestStudySave writes a study to all places, and reads it again.
func TestStudySave(t *testing.T) {
	dir, study := t.TempDir(), testStudy()
	study.Rows = study.Rows[:2]
	o := Output{JSON: filepath.Join(dir, "json"), Benchstat: filepath.Join(dir, "benchstat"), Doc: filepath.Join(dir, "page.md")}
	if err := os.WriteFile(o.Doc, []byte("<!-- failover, written by a command: begin -->\n<!-- failover, written by a command: end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := study.Save(o); err != nil {
		t.Fatal(err)
	}
	var files [3]string
	for i, path := range []string{o.JSON, o.Benchstat, o.Doc} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = string(text)
	}
	var again struct {
		Study   string
		Machine struct{ Cores int }
		Columns []struct{ Unit string }
		Rows    []struct {
			System, Setting string
			Samples         []map[string]float64
		}
	}
	if err := json.Unmarshal([]byte(files[0]), &again); err != nil {
		t.Fatal(err)
	}
	if again.Study != "failover" || again.Machine.Cores != 2 || again.Columns[0].Unit != "gap-ns" ||
		again.Rows[0].System != "mesh/go" || again.Rows[0].Setting != "killed=1" || again.Rows[0].Samples[1]["gap-ns"] != 2e9 {
		t.Errorf("%+v", again)
	}
	if _, ok := again.Rows[1].Samples[0]["disk-B"]; ok {
		t.Error("what nobody could tell is there")
	}
	const want = `goarch: amd64
pkg: actormesh/bench
cpu: Some CPU
BenchmarkFailover/system=mesh/go/killed=1 1 6e+08 gap-ns 0 cpu-% 1.23457e+06 disk-B 100 calls/s
BenchmarkFailover/system=mesh/go/killed=1 1 2e+09 gap-ns 1 cpu-% 1.23457e+06 disk-B 100 calls/s
BenchmarkFailover/system=mesh/go/killed=1 1 5e+08 gap-ns 2 cpu-% 1.23457e+06 disk-B 100 calls/s
BenchmarkFailover/system=etcd/grpc 1 1.2e+09 gap-ns 0 cpu-% 50 calls/s
BenchmarkFailover/system=etcd/grpc 1 1.2e+09 gap-ns 0 cpu-% 50 calls/s
BenchmarkFailover/system=etcd/grpc 1 1.2e+09 gap-ns 0 cpu-% 50 calls/s
`
	if files[1] != want {
		t.Errorf("got\n%s\nwant\n%s", files[1], want)
	}
	if !strings.Contains(files[2], "begin -->\n```\n2026-11-23") || !strings.Contains(files[2], "2.00\n```\n<!-- failover") {
		t.Errorf("the page is\n%s", files[2])
	}
}

func TestShow(t *testing.T) {
	for want, got := range map[string]string{
		"-1.5 kB": showBytes(-1500), "999 B": showBytes(999), "12.3 MB": showBytes(12_300_000), "5.4 GB": showBytes(5.4e9), "15µs": show(15_000, "cpu-ns/op"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestPlansOfStudies refuses those that make no sense.
func TestPlansOfStudies(t *testing.T) {
	mesh := MeshSetup{Setup: Setup{Reps: 1}, Mesh: Mesh{Nodes: 3}, Via: ViaGo}
	pigeon, never := mesh, mesh
	pigeon.Via, never.Reps = "pigeon", 0
	failover := func(change func(*FailoverPlan)) error {
		p := FailoverPlan{Setup: mesh.Setup, Clients: 1, Before: minWindow, Attempt: minWindow}
		change(&p)
		return p.check()
	}
	join := func(change func(*JoinPlan)) error {
		p := JoinPlan{MeshSetup: mesh, Clients: 1, Window: minWindow}
		change(&p)
		return p.check()
	}
	recovery := func(change func(*RecoveryPlan)) error {
		p := RecoveryPlan{MeshSetup: mesh, Records: []int{0, 1}}
		change(&p)
		return p.check()
	}
	rest := func(change func(*RestPlan)) error {
		p := RestPlan{MeshSetup: mesh, Actors: []int{0}, Window: minWindow}
		change(&p)
		return p.check()
	}
	scale := func(change func(*ScalePlan)) error {
		p := ScalePlan{MeshSetup: mesh, Workloads: []Workload{CounterAdd}, Clients: 1, Slots: []int{1, 2}, Actors: []int{1, 1}, Window: minWindow}
		change(&p)
		return p.check()
	}
	good := errors.Join(failover(func(*FailoverPlan) {}), join(func(*JoinPlan) {}), recovery(func(*RecoveryPlan) {}),
		rest(func(*RestPlan) {}), scale(func(*ScalePlan) {}))
	if good != nil {
		t.Error(good)
	}
	for name, err := range map[string]error{
		"failover, many clients": failover(func(p *FailoverPlan) { p.Clients = Keys }),
		"failover, no clients":   failover(func(p *FailoverPlan) { p.Clients = 0 }),
		"failover, before":       failover(func(p *FailoverPlan) { p.Before = 0 }),
		"failover, attempt":      failover(func(p *FailoverPlan) { p.Attempt = 0 }),
		"failover, reps":         failover(func(p *FailoverPlan) { p.Reps = MaxReps + 1 }),
		"join, clients":          join(func(p *JoinPlan) { p.Clients = MaxClients + 1 }),
		"join, window":           join(func(p *JoinPlan) { p.Window = 0 }),
		"join, via":              join(func(p *JoinPlan) { p.MeshSetup = pigeon }),
		"recovery, none":         recovery(func(p *RecoveryPlan) { p.Records = nil }),
		"recovery, fewer":        recovery(func(p *RecoveryPlan) { p.Records = []int{2, 1} }),
		"recovery, reps":         recovery(func(p *RecoveryPlan) { p.MeshSetup = never }),
		"rest, negative":         rest(func(p *RestPlan) { p.Actors = []int{-1} }),
		"rest, window":           rest(func(p *RestPlan) { p.Window = 0 }),
		"rest, via":              rest(func(p *RestPlan) { p.MeshSetup = pigeon }),
		"scale, workload":        scale(func(p *ScalePlan) { p.Workloads = []Workload{KVPut} }),
		"scale, no workload":     scale(func(p *ScalePlan) { p.Workloads = nil }),
		"scale, fewer":           scale(func(p *ScalePlan) { p.Slots = []int{2, 1} }),
		"scale, three":           scale(func(p *ScalePlan) { p.Actors = []int{1, 2, 3} }),
		"scale, clients":         scale(func(p *ScalePlan) { p.Clients = 0 }),
		"scale, settle":          scale(func(p *ScalePlan) { p.Settle = -1 }),
		"scale, reps":            scale(func(p *ScalePlan) { p.MeshSetup = never }),
	} {
		if !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
