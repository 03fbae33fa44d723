package bench

import (
	"strings"
	"testing"
)

func TestBenchstat(t *testing.T) {
	report := testReport()
	report.Results = report.Results[1:3]
	report.Results[1].Rate = 1500
	var b strings.Builder
	if err := report.WriteBenchstat(&b); err != nil {
		t.Fatal(err)
	}
	const want = `goarch: amd64
pkg: actormesh/bench
cpu: Some CPU
BenchmarkKvPut/system=etcd/via=grpc/clients=1 200 10000000 ns/op 400000 p50-ns 1200000 p99-ns 10000000 nodes-cpu-ns/op 2500000 load-cpu-ns/op 0.2 fsyncs/op
BenchmarkKvPut/system=mesh/via=go/clients=64/asked=1500 6000 333333 ns/op 450000 p50-ns 1350000 p99-ns 333333 nodes-cpu-ns/op 83333 load-cpu-ns/op 0.006667 fsyncs/op
BenchmarkKvPut/system=mesh/via=go/clients=64/asked=1500 2000 1000000 ns/op 450000 p50-ns 1350000 p99-ns 1000000 nodes-cpu-ns/op 250000 load-cpu-ns/op 0.02 fsyncs/op
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
