package bench

import (
	"encoding/json"
	"testing"
)

func TestRequests(t *testing.T) {
	for _, w := range Workloads() {
		if parsed, err := ParseWorkload(string(w)); err != nil || parsed != w {
			t.Errorf("%s is parsed as %q, %v", w, parsed, err)
		}
		traits := w.traits()
		requests, again := newRequests(w, 1), newRequests(w, 1)
		keys, values := map[int]int{}, map[string]bool{}
		for range 20 * Keys {
			r := requests.next()
			if r != again.next() {
				t.Fatal("one seed makes different requests")
			}
			if r.Workload != w || r.Key < 0 || r.Key >= traits.keys || len(r.Value) != traits.bytes {
				t.Fatalf("%+v", r)
			}
			if w == Transfer && (r.To == r.Key || r.To < 0 || r.To >= traits.keys) {
				t.Fatalf("from %d to %d", r.Key, r.To)
			}
			keys[r.Key]++
			values[r.Value] = true
		}
		if traits.keys <= Keys && len(keys) != traits.keys {
			t.Errorf("%s: %d of %d keys", w, len(keys), traits.keys)
		}
		if len(values) != max(traits.values, 1) {
			t.Errorf("%s: %d different values, want %d", w, len(values), traits.values)
		}
		for v := range values {
			if v != "" && !json.Valid([]byte(v)) {
				t.Errorf("%s: %.20q is no JSON", w, v)
			}
		}
	}
	if _, err := ParseWorkload(string(deposit)); err == nil {
		t.Error("what is no workload was parsed")
	}
}

// TestZipf asks a few keys often, and most of them hardly ever.
func TestZipf(t *testing.T) {
	requests, calls := newRequests(CounterZipf, 1), map[int]int{}
	const n = 100_000
	for range n {
		calls[requests.next().Key]++
	}
	if calls[0] < n/20 || calls[0] > n/5 || len(calls) < n/10 {
		t.Errorf("the first key has %d of %d calls, which are of %d keys", calls[0], n, len(calls))
	}
}
