package bench

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// crashSystem is a fakeSystem with a node that may be killed.
type crashSystem struct{ fakeSystem }

func (s *crashSystem) Start(ctx context.Context, dir string) (Cluster, error) {
	c, err := s.fakeSystem.Start(ctx, dir)
	return crashCluster{c.(fakeCluster)}, err
}

type crashCluster struct{ fakeCluster }

// Victim implements Crashable, with a node that never ran.
func (c crashCluster) Victim(_ context.Context, n, keys int) (*cluster.Node, []int, error) {
	c.tell("victim %d", n)
	return &cluster.Node{}, slices.Repeat([]int{7}, keys), nil
}

func TestFailover(t *testing.T) {
	var told []string
	p := FailoverPlan{Setup: Setup{Reps: 2, Dir: t.TempDir(), Progress: io.Discard}, Clients: 2, Vias: []string{"go", "grpc"}, Before: minWindow, Attempt: time.Second}
	a := &crashSystem{fakeSystem{name: "a", vias: []string{"go", "http"}, told: &told}}
	b := &crashSystem{fakeSystem{name: "b", vias: []string{"grpc"}, told: &told}}
	study, err := Failover(t.Context(), p, "b/grpc", a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a start", "a victim 0", "a dial go for 2", "a close", "b start", "b victim 0", "b dial grpc for 2", "b close",
		"b start", "b victim 1", "b dial grpc for 2", "b close", "a start", "a victim 1", "a dial go for 2", "a close",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if len(study.Rows) != 2 || study.Rows[0].label() != "a/go" || study.Rows[0].Base != "b/grpc" || len(study.Rows[1].Samples) != 2 {
		t.Errorf("%+v", study.Rows)
	}
	_, err = Failover(t.Context(), p, "", &fakeSystem{name: "c", vias: []string{"go"}, told: &told})
	if !errors.Is(err, ErrPlan) {
		t.Errorf("a system that cannot be killed: %v", err)
	}
}

// TestStubborn sees a gap that is as long as the calls that failed in it, of the
// client that had it.
func TestStubborn(t *testing.T) {
	const refusals = 3
	var crashed atomic.Bool
	var failed atomic.Int32
	client := clientFunc(func(_ context.Context, client int, r Request) error {
		if r.Workload != KVPut || r.Key != 10+client || len(r.Value) != ValueBytes {
			t.Errorf("client %d: %+v", client, r)
		}
		if client == 2 && crashed.Load() && failed.Add(1) <= refusals {
			return errors.New("gone")
		}
		time.Sleep(time.Millisecond) // the work, not a wait for something
		return nil
	})
	load := &stubborn{client: client, attempt: time.Minute, keys: []int{10, 11, 12}}
	v, err := load.through(t.Context(), minWindow, 0, func() error { crashed.Store(true); return nil })
	if err != nil || v["gap-ns"] < float64(refusals*pauseAfterError) || failed.Load() <= refusals || v["calls/s"] <= 0 {
		t.Errorf("%v, %v; %d calls failed", v, err, failed.Load())
	}
	if v["client-gap-ns"] > v["gap-ns"] {
		t.Errorf("%v: the median is above the longest", v)
	}
}

// TestStubbornGivesUp tells what the last answer was, and why there was none.
func TestStubbornGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*minWindow)
	defer cancel()
	gone := errors.New("gone for good")
	var crashed atomic.Bool
	load := &stubborn{attempt: time.Millisecond, keys: []int{0}, client: clientFunc(func(ctx context.Context, _ int, _ Request) error {
		if crashed.Load() {
			<-ctx.Done() // no answer: the attempt has to end by itself
			return gone
		}
		return nil
	})}
	_, err := load.through(ctx, minWindow, 0, func() error { crashed.Store(true); return nil })
	if !errors.Is(err, gone) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	broken := errors.New("not killed")
	crashed.Store(false)
	if _, err := load.through(t.Context(), minWindow, time.Hour, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a crash that was none: %v", err)
	}
}
