package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func testConditions() Conditions {
	return Conditions{
		Date:    time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC),
		Machine: Machine{Cores: 2, CPU: "Some CPU", Kernel: "Linux 6", Arch: "amd64", Go: "go1.26"},
		Disk:    Disk{Filesystem: "ext4", Device: "/dev/vda", SyncP50us: 250, SyncP99us: 1250, Flushes: 301},
		Builds:  []Build{{"etcd", "3"}, {"mesh", "1"}},
	}
}

func testReport() *Report {
	sample := func(rate, p50, cpu, others float64) Sample {
		return Sample{Calls: int64(2 * rate), Seconds: 2, Rate: rate, P50us: p50, P99us: 3 * p50, NodesCPU: cpu, LoadCPU: 0.5, OthersCPU: others, Fsyncs: 40, Flushes: 5}
	}
	return &Report{
		Conditions: testConditions(), Warmup: time.Second, Window: 2 * time.Second, Reps: 3,
		Results: []Result{
			{Cell{"etcd", "grpc", KVPut, 64, 0}, []Sample{sample(1000, 900, 2, 0), sample(500, 900, 2, 0), sample(2000, 900, 2, 0.5)}},
			{Cell{"etcd", "grpc", KVPut, 1, 0}, []Sample{sample(100, 400, 2, 0)}},
			{Cell{"mesh", "go", KVPut, 64, 0}, []Sample{sample(3000, 450, 2, 0), sample(1000, 450, 2, 0)}},
			{Cell{"mesh", "go", CounterAdd, 64, 0}, []Sample{sample(4, 2_000_000, 0, 0)}},
		},
	}
}

func TestTable(t *testing.T) {
	report := testReport()
	report.Results[2].Samples[0].Errors = 7
	var b strings.Builder
	if err := report.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	const want = `
2026-11-23 07:30 UTC
etcd: 3
mesh: 1
machine: 2 cores (Some CPU), Linux 6 amd64, go1.26
disk: ext4 on /dev/vda, not in memory; fdatasync after an append of 4096 bytes: p50 250µs, p99 1.25ms; flushes that the device counted for 300 of them: 301
closed loop, 1000 keys, values of 200 bytes; medians of 3 interleaved repetitions, each 2s after 1s of warm-up

                                                                             NODES    LOAD  NODES'   DEVICE
     WORKLOAD     SYSTEM  CLIENTS  CALLS/S  LOWEST..HIGHEST    P50     P99     CPU     CPU  FSYNCS  FLUSHES  ERRORS
       kv.put  etcd/grpc        1      100         100..100  400µs  1.20ms  10.000   2.500     200       25       0
       kv.put  etcd/grpc       64     1000        500..2000  900µs  2.70ms   1.000   0.250      20      2.5       0
       kv.put    mesh/go       64     2000       1000..3000  450µs  1.35ms   0.667   0.167      13      1.7       7
  counter.add    mesh/go       64      4.0         4.0..4.0  2.00s   6.00s       -  62.500    5000      625       0

CPU: seconds for 1,000 calls, user and system. FSYNCS, FLUSHES: for 1,000 calls.
Other processes, and the kernel on nobody's account, used up to 25 % of one core while a sample was taken.
`
	if got := "\n" + trimLines(b.String()); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
	report.Results[0].Samples[2].OthersCPU = 0
	b.Reset()
	if err := report.WriteTable(&b); err != nil || strings.Contains(b.String(), "Other processes") {
		t.Errorf("%v: a quiet machine is called noisy", err)
	}
}

func TestRatios(t *testing.T) {
	var b strings.Builder
	if err := testReport().WriteRatios(&b, "etcd"); err != nil {
		t.Fatal(err)
	}
	const want = `
  WORKLOAD  CLIENTS  SYSTEM : ETCD  CALLS/S   P50   P99  NODES CPU  ALL CPU
    kv.put       64        mesh/go     2.00  0.50  0.50       0.67     0.67

A ratio of calls above 1 is more than etcd; one of a latency or of CPU for a call below 1 is less.
`
	if got := "\n" + trimLines(b.String()); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// trimLines takes the spaces off the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func TestSpread(t *testing.T) {
	r := Result{Samples: []Sample{{Rate: 4}, {Rate: 1}, {Rate: 2}, {Rate: 8}}}
	if got, want := r.Spread(rate), (Spread{Median: 3, Low: 1, High: 8}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestReportJSON holds the names that other programs read.
func TestReportJSON(t *testing.T) {
	text, err := json.Marshal(testReport().Results[1])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"system":"etcd","via":"grpc","workload":"kv.put","clients":1,"samples":[{"calls":200,"errors":0,"seconds":2,"calls_per_s":100,` +
		`"p50_us":400,"p99_us":1200,"p999_us":0,"max_us":0,"nodes_cpu_s":2,"load_cpu_s":0.5,"others_cpu_s":0,"fsyncs":40,"flushes":5}]}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
