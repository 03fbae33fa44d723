package bench

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMeasureRest measures three nodes that stand for a mesh.
func TestMeasureRest(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := RestPlan{Mesh: Mesh{Binary: self, Nodes: 3}, Actors: []int{0}, Window: minWindow, Dir: t.TempDir(), Progress: io.Discard}
	rests, err := MeasureRest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := Rest{Nodes: 3, Window: minWindow, CPU: rests[0].CPU, Resident: 9e6, Heap: 6e6, Store: 3e6}
	if len(rests) != 1 || rests[0] != want || rests[0].CPU > 0.3 {
		t.Errorf("%+v, want %+v", rests, want)
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	p.Actors = []int{1, 1}
	if _, err := MeasureRest(t.Context(), p); !errors.Is(err, ErrPlan) {
		t.Error(err)
	}
}

func TestWriteRest(t *testing.T) {
	var b strings.Builder
	err := WriteRest(&b, []Rest{
		{Nodes: 2, Window: 10 * time.Second, CPU: 0.5, Fsyncs: 3, Resident: 100e6, Heap: 20e6, Store: 2e6},
		{Actors: 1000, Nodes: 2, Window: 10 * time.Second, CPU: 1, Resident: 103e6, Heap: 22e6, Store: 4e6},
	})
	const want = `
  ACTORS  CPU/NODE  FSYNCS/S  RSS/NODE  HEAP/NODE  DISK/NODE  RSS/ACTOR  HEAP/ACTOR
       0    2.50 %       0.3   50.0 MB    10.0 MB     1.0 MB          -           -
    1000    5.00 %       0.0   51.5 MB    11.0 MB     2.0 MB     3000 B      2000 B

CPU: of one core. An actor is awake on one node, and stored on all of its replicas.
`
	if got := "\n" + trimLines(b.String()); err != nil || got != want {
		t.Errorf("%v: got%s\nwant%s", err, got, want)
	}
}
