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
		requests, again := newRequests(w, 1), newRequests(w, 1)
		keys, values := map[int]bool{}, map[string]bool{}
		for range 20 * Keys {
			r := requests.next()
			if r != again.next() {
				t.Fatal("one seed makes different requests")
			}
			if r.Workload != w || r.Key < 0 || r.Key >= Keys {
				t.Fatalf("%+v", r)
			}
			keys[r.Key], values[r.Value] = true, true
		}
		if len(keys) != Keys {
			t.Errorf("%s: %d of %d keys", w, len(keys), Keys)
		}
		if w != KVPut {
			continue
		}
		if len(values) != valuesInUse {
			t.Errorf("%d different values, want %d", len(values), valuesInUse)
		}
		for v := range values {
			if len(v) != ValueBytes || !json.Valid([]byte(v)) {
				t.Errorf("value %s of %d bytes", v, len(v))
			}
		}
	}
	if _, err := ParseWorkload("kv.burn"); err == nil {
		t.Error("an unknown workload was parsed")
	}
}
