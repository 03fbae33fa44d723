package bench

import (
	"fmt"
	"io"
	"strings"
)

// WriteBenchstat writes all samples as lines of Go benchmarks, for benchstat and
// its kin: one line a sample, one name a cell. An op is a call. ns/op is the
// window divided by the calls of all clients, p50-ns and p99-ns are what one
// client saw.
func (r *Report) WriteBenchstat(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.benchstatHead())
	for i := range r.Results {
		result := &r.Results[i]
		for k := range result.Samples {
			s := &result.Samples[k]
			calls := float64(s.Calls)
			fmt.Fprintf(&b, "Benchmark%s %d %.0f ns/op %.0f p50-ns %.0f p99-ns %.0f nodes-cpu-ns/op %.0f load-cpu-ns/op %.4g fsyncs/op\n",
				result.benchmark(), s.Calls, 1e9*s.Seconds/calls, 1e3*s.P50us, 1e3*s.P99us,
				1e9*s.NodesCPU/calls, 1e9*s.LoadCPU/calls, float64(s.Fsyncs)/calls)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// benchstatHead says what benchmarks ran on.
func (c *Conditions) benchstatHead() string {
	head := fmt.Sprintf("goarch: %s\npkg: actormesh/bench\n", c.Machine.Arch)
	if c.Machine.CPU != "" {
		head += fmt.Sprintf("cpu: %s\n", c.Machine.CPU)
	}
	return head
}

// benchmark is the cell's name among benchmarks, such as
// "KvPut/system=mesh/via=go/clients=64".
func (c Cell) benchmark() string {
	var name strings.Builder
	for _, word := range strings.FieldsFunc(string(c.Workload), func(r rune) bool { return r == '.' }) {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	fmt.Fprintf(&name, "/system=%s/via=%s/clients=%d", c.System, c.Via, c.Clients)
	if c.Rate > 0 {
		fmt.Fprintf(&name, "/asked=%g", c.Rate)
	}
	return name.String()
}
