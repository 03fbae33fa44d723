package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteRatios writes, for each cell that the base system has as well, how the
// others do beside it: their medians divided by the base's of the same run.
func (r *Report) WriteRatios(w io.Writer, base string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	row("WORKLOAD", "CLIENTS", "SYSTEM : "+strings.ToUpper(base), "CALLS/S", "P50", "P99", "NODES CPU", "ALL CPU")
	for _, result := range r.sorted() {
		b := r.of(base, result.Cell)
		if result.System == base || b == nil {
			continue
		}
		ratio := func(value func(*Sample) float64) string {
			below := b.Spread(value).Median
			if below == 0 {
				return "-"
			}
			return fmt.Sprintf("%.2f", result.Spread(value).Median/below)
		}
		row(string(result.Workload), result.load(), result.Label(),
			ratio(rate), ratio(p50), ratio(p99), ratio(nodesCPU), ratio(allCPU))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nA ratio of calls above 1 is more than %s; one of a latency or of CPU for a call below 1 is less.\n", base)
	return err
}

func allCPU(s *Sample) float64 { return s.perThousand(s.NodesCPU + s.LoadCPU) }

// of returns a system's result under the load of a cell, or nil.
func (r *Report) of(system string, like Cell) *Result {
	for i := range r.Results {
		c := &r.Results[i].Cell
		if c.System == system && c.Workload == like.Workload && c.Clients == like.Clients && c.Rate == like.Rate {
			return &r.Results[i]
		}
	}
	return nil
}
