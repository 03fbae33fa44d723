package bench

import (
	"io"
	"os"
	"testing"
)

// TestRest measures three nodes that stand for a mesh, in which an actor takes 500
// bytes, 400 of them on the heap.
func TestRest(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := RestPlan{
		MeshSetup: MeshSetup{Setup: Setup{Reps: 2, Dir: t.TempDir(), Progress: io.Discard}, Mesh: Mesh{Binary: self, Nodes: 3}, Via: ViaHTTP},
		Actors:    []int{0, 60}, Window: minWindow,
	}
	study, err := Rest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(study.Rows) != 2 || study.Rows[0].label() != "mesh/actors=0" || study.Rows[1].label() != "mesh/actors=60" || len(study.Rows[1].Samples) != 2 {
		t.Fatalf("%+v", study.Rows)
	}
	for unit, want := range map[string]float64{
		"rss-B": 3e6 + 500*60/3, "heap-B": 2e6 + 400*60/3, "disk-B": 1e6, "rss/actor-B": 500, "heap/actor-B": 400, "fsyncs/s": 0,
	} {
		if got, ok := study.Rows[1].spread(unit); !ok || got != (Spread{want, want, want}) {
			t.Errorf("%s is %v, want %v", unit, got, want)
		}
	}
	if _, ok := study.Rows[0].spread("rss/actor-B"); ok {
		t.Error("no actors take memory")
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
