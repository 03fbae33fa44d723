package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeSystem answers at once and writes down what is done with it.
type fakeSystem struct {
	name  string
	vias  []string
	only  []Workload // empty for all
	told  *[]string
	fails error // of Start
}

func (s *fakeSystem) tell(format string, args ...any) {
	*s.told = append(*s.told, s.name+" "+fmt.Sprintf(format, args...))
}

func (s *fakeSystem) Name() string                            { return s.name }
func (s *fakeSystem) Version(context.Context) (string, error) { return "1", nil }
func (s *fakeSystem) Vias() []string                          { return s.vias }
func (s *fakeSystem) Workloads() []Workload {
	if len(s.only) > 0 {
		return s.only
	}
	return Workloads()
}
func (s *fakeSystem) Start(_ context.Context, dir string) (Cluster, error) {
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return nil, fmt.Errorf("the directory holds %v: %v", left, err)
	}
	s.tell("start")
	return fakeCluster{s}, s.fails
}

type fakeCluster struct{ *fakeSystem }

func (c fakeCluster) Counters(context.Context) (Counters, error) { return Counters{Fsyncs: 1}, nil }
func (c fakeCluster) PIDs() []int                                { return nil }
func (c fakeCluster) Close() error                               { c.tell("close"); return nil }
func (c fakeCluster) Dial(_ context.Context, via string, clients int) (Client, error) {
	c.tell("dial %s for %d", via, clients)
	return clientFunc(func(context.Context, int, Request) error {
		time.Sleep(time.Millisecond) // the work, not a wait for something
		return nil
	}), nil
}

func testPlan(t *testing.T) Plan {
	return Plan{
		Workloads: []Workload{CounterAdd, CounterGet}, Clients: []int{1, 40}, Vias: []string{"go", "grpc"},
		Reps: 2, Window: minWindow, Dir: t.TempDir(), Progress: io.Discard,
	}
}

// TestRunInterleaves starts one system at a time, in turns.
func TestRunInterleaves(t *testing.T) {
	var told []string
	plan := testPlan(t)
	report, err := Run(t.Context(), plan,
		&fakeSystem{name: "a", vias: []string{"go", "http"}, told: &told},
		&fakeSystem{name: "b", vias: []string{"grpc"}, told: &told})
	if err != nil {
		t.Fatal(err)
	}
	once := func(name, via string, proof ...string) []string {
		d := name + " dial " + via + " for "
		return slices.Concat([]string{name + " start", d + "32", d + "40", d + "32", d + "40"}, proof, []string{name + " close"})
	}
	want := slices.Concat(once("a", "go", "a dial go for 1"), once("b", "grpc", "b dial grpc for 1"), once("b", "grpc"), once("a", "go"))
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if len(report.Results) != 8 {
		t.Errorf("%d results, want 8", len(report.Results))
	}
	for _, r := range report.Results {
		if len(r.Samples) != 2 || r.Samples[1].Rate <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if left, err := os.ReadDir(plan.Dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestRunLeavesOut measures of a system only what it can do, and does not start
// one that can do nothing.
func TestRunLeavesOut(t *testing.T) {
	var told []string
	plan := testPlan(t)
	report, err := Run(t.Context(), plan,
		&fakeSystem{name: "a", vias: []string{"go"}, told: &told, only: []Workload{CounterGet, KVGet}},
		&fakeSystem{name: "b", vias: []string{"grpc"}, told: &told, only: []Workload{KVGet}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.System != "a" || r.Workload != CounterGet {
			t.Errorf("%+v was measured", r.Cell)
		}
	}
	if len(report.Results) != 2 || slices.Contains(told, "b start") {
		t.Errorf("%d results; told %v", len(report.Results), told)
	}
}

// TestRunThatFails keeps what the nodes have left, and says where.
func TestRunThatFails(t *testing.T) {
	var told []string
	plan := testPlan(t)
	broken := errors.New("broken")
	_, err := Run(t.Context(), plan, &fakeSystem{name: "a", vias: plan.Vias, told: &told, fails: broken})
	left, _ := os.ReadDir(plan.Dir)
	if !errors.Is(err, broken) || len(left) != 1 || !strings.Contains(err.Error(), left[0].Name()) {
		t.Errorf("%v; left %v", err, left)
	}
}

func TestPlanIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"no workloads": func(p *Plan) { p.Workloads = nil },
		"no clients":   func(p *Plan) { p.Clients = nil },
		"0 clients":    func(p *Plan) { p.Clients = []int{0} },
		"many clients": func(p *Plan) { p.Clients = []int{MaxClients + 1} },
		"no rate":      func(p *Plan) { p.Rates = []float64{0} },
		"no vias":      func(p *Plan) { p.Vias = nil },
		"unknown via":  func(p *Plan) { p.Vias = []string{"pigeon"} },
		"no reps":      func(p *Plan) { p.Reps = 0 },
		"no window":    func(p *Plan) { p.Window = 0 },
		"warm-up":      func(p *Plan) { p.Warmup = -1 },
	} {
		plan := testPlan(t)
		change(&plan)
		if _, err := Run(t.Context(), plan, &fakeSystem{name: "a", vias: []string{"go", "grpc"}}); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
