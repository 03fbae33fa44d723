package sim

import (
	"testing"

	"actormesh/chaos/script"
)

// BenchmarkMinute runs a minute of five nodes with clients and faults.
func BenchmarkMinute(b *testing.B) {
	s, err := script.Parse(minute)
	if err != nil {
		b.Fatal(err)
	}
	for seed := uint64(1); b.Loop(); seed++ {
		r, err := Run(script.Expand(s, seed), Options{Seed: seed})
		if err != nil {
			b.Fatal(err)
		}
		if len(r.Findings) > 0 {
			b.Fatal(r)
		}
		b.ReportMetric(r.Virtual.Seconds(), "virtual-s/op")
		b.ReportMetric(float64(r.Events), "events/op")
	}
}

const minute = `
nodes 5
slots 16
time 40s
settle 12s
set fold-records 8
workload counter clients=3 actors=3 rate=5/s storm=5% tries=3 within=1s
workload register clients=2 actors=3 rate=3/s tries=2 within=1s
workload account clients=2 actors=3 rate=2/s tries=2
random every 1s..4s for 200ms..3s from 1s until 30s of kill any, cut any | rest, pause any, link loss 20% repeat 5% reorder 10% delay 0s..20ms
`
