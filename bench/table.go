package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes the report as text: what it ran on, and a row a cell.
func (r *Report) WriteTable(w io.Writer) error {
	if _, err := io.WriteString(w, r.heading()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	row("", "", "", "", "", "", "", "NODES", "LOAD", "NODES'", "DEVICE", "")
	row("WORKLOAD", "SYSTEM", "CLIENTS", "CALLS/S", "LOWEST..HIGHEST", "P50", "P99", "CPU", "CPU", "FSYNCS", "FLUSHES", "ERRORS")
	for _, result := range r.sorted() {
		calls := result.Spread(rate)
		row(string(result.Workload), result.Label(), result.load(),
			showCount(calls.Median), showCount(calls.Low)+".."+showCount(calls.High),
			showMicros(result.Spread(p50).Median), showMicros(result.Spread(p99).Median),
			showCPU(result.Spread(nodesCPU).Median), showCPU(result.Spread(loadCPU).Median),
			showCount(result.Spread(fsyncs).Median), showCount(result.Spread(flushes).Median),
			fmt.Sprint(result.errors()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\nCPU: seconds for 1,000 calls, user and system. FSYNCS, FLUSHES: for 1,000 calls.\n"+r.noise())
	if err != nil {
		return err
	}
	return r.writeProofs(w)
}

// heading says what was measured on what, and how.
func (r *Report) heading() string {
	loop := "closed"
	if slices.ContainsFunc(r.Results, func(r Result) bool { return r.Rate > 0 }) {
		loop = "open"
	}
	return r.Conditions.heading() + fmt.Sprintf(
		"%s loop, %d keys, values of %d bytes; medians of %d interleaved repetitions, each %v after %v of warm-up\n\n",
		loop, Keys, ValueBytes, r.Reps, r.Window, r.Warmup)
}

// heading says what was measured on what.
func (c *Conditions) heading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", c.Date.Format("2006-01-02 15:04 UTC"))
	for _, build := range c.Builds {
		fmt.Fprintf(&b, "%s: %s\n", build.System, build.Version)
	}
	m := c.Machine
	fmt.Fprintf(&b, "machine: %d cores", m.Cores)
	if m.CPU != "" {
		fmt.Fprintf(&b, " (%s)", m.CPU)
	}
	fmt.Fprintf(&b, ", %s %s, %s\n", m.Kernel, m.Arch, m.Go)
	fmt.Fprintf(&b, "disk: %s", c.Disk.Filesystem)
	if c.Disk.Device != "" {
		fmt.Fprintf(&b, " on %s", c.Disk.Device)
	}
	fmt.Fprintf(&b, ", not in memory; fdatasync after an append of %d bytes: p50 %s, p99 %s; flushes that the device counted for %d of them: %d\n",
		probeBytes, showMicros(c.Disk.SyncP50us), showMicros(c.Disk.SyncP99us), probes, c.Disk.Flushes)
	return b.String()
}

// noisy is how much of one core others may use before the table says so.
const noisy = 0.05

// noise says how much else ran on the machine.
func (r *Report) noise() string {
	worst := 0.0
	for i := range r.Results {
		worst = max(worst, r.Results[i].Spread(others).High)
	}
	if worst < noisy {
		return ""
	}
	return fmt.Sprintf("Other processes, and the kernel on nobody's account, used up to %.0f %% of one core while a sample was taken.\n", 100*worst)
}

// sorted returns the results by workload, clients and then system, in the order
// in which they came.
func (r *Report) sorted() []Result {
	sorted := slices.Clone(r.Results)
	first := func(same func(Result) bool) int { return slices.IndexFunc(r.Results, same) }
	slices.SortStableFunc(sorted, func(a, b Result) int {
		if a.Workload != b.Workload {
			return first(func(r Result) bool { return r.Workload == a.Workload }) -
				first(func(r Result) bool { return r.Workload == b.Workload })
		}
		return cmp.Or(a.Clients-b.Clients, cmp.Compare(a.Rate, b.Rate))
	})
	return sorted
}

func (r *Result) errors() int64 {
	var n int64
	for i := range r.Samples {
		n += r.Samples[i].Errors
	}
	return n
}

// showMicros shows a latency with three digits.
func showMicros(us float64) string {
	d := time.Duration(us * float64(time.Microsecond))
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0fµs", us)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2fms", us/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}

// showCount shows a number, with more digits where it is small.
func showCount(n float64) string {
	if n < 10 && n != 0 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

// showCPU shows seconds; 0 is what could not be told.
func showCPU(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", seconds)
}
