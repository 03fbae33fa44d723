package bench

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Report is what a run has found. Its JSON is what --json writes.
type Report struct {
	Conditions
	Warmup  time.Duration `json:"warmup_ns"`
	Window  time.Duration `json:"window_ns"`
	Reps    int           `json:"reps"`
	Proofs  []Proof       `json:"proofs,omitempty"` // of systems with a durable workload
	Results []Result      `json:"results"`
}

// Conditions are what was measured, when, and on what.
type Conditions struct {
	Date    time.Time `json:"date"`
	Machine Machine   `json:"machine"`
	Disk    Disk      `json:"disk"`
	Builds  []Build   `json:"builds"` // one a system
}

// Machine is what the run ran on.
type Machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu,omitempty"`
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	Go     string `json:"go"` // that built this program
}

func thisMachine() Machine {
	return Machine{Cores: runtime.NumCPU(), CPU: processor(), Kernel: kernel(), Arch: runtime.GOARCH, Go: runtime.Version()}
}

// Build is a system and its version.
type Build struct {
	System  string `json:"system"`
	Version string `json:"version"`
}

// Cell is one thing that was measured.
type Cell struct {
	System   string   `json:"system"`
	Via      string   `json:"via"`
	Workload Workload `json:"workload"`
	Clients  int      `json:"clients"`
	Rate     float64  `json:"asked_per_s,omitempty"` // of an open loop; 0 for a closed one
}

// Label returns the system and the way to it, such as "mesh/http".
func (c Cell) Label() string { return c.System + "/" + c.Via }

// load says how many clients call, and how often those of an open loop.
func (c Cell) load() string {
	if c.Rate == 0 {
		return fmt.Sprint(c.Clients)
	}
	return fmt.Sprintf("%d @ %g/s", c.Clients, c.Rate)
}

// Result is a cell and its samples, one a repetition.
type Result struct {
	Cell
	Samples []Sample `json:"samples"`
}

// Sample is what one repetition has measured of a cell.
type Sample struct {
	Calls      int64   `json:"calls"`   // that ended well within the window
	Errors     int64   `json:"errors"`  // calls that failed within the window
	Seconds    float64 `json:"seconds"` // the window
	Rate       float64 `json:"calls_per_s"`
	P50us      float64 `json:"p50_us"`
	P99us      float64 `json:"p99_us"`
	P999us     float64 `json:"p999_us"`
	MaxUs      float64 `json:"max_us"`
	NodesCPU   float64 `json:"nodes_cpu_s"`  // of all nodes; 0 if unknown
	LoadCPU    float64 `json:"load_cpu_s"`   // of the clients' process
	OthersCPU  float64 `json:"others_cpu_s"` // of everything else on the machine
	Fsyncs     uint64  `json:"fsyncs"`       // as the nodes count them
	Flushes    uint64  `json:"flushes"`      // as the disk's device counts them
	FirstError string  `json:"first_error,omitempty"`
}

// perThousand returns a quantity of the sample per 1,000 calls.
func (s *Sample) perThousand(quantity float64) float64 { return 1000 * quantity / float64(s.Calls) }

// Spread is the median of a few values, and their ends.
type Spread struct{ Median, Low, High float64 }

// Spread returns that of a value over the samples, of which there is at least
// one. The median of an even number is the mean of the two in the middle.
func (r *Result) Spread(value func(*Sample) float64) Spread {
	values := make([]float64, len(r.Samples))
	for i := range r.Samples {
		values[i] = value(&r.Samples[i])
	}
	return spreadOf(values)
}

func spreadOf(values []float64) Spread {
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Low: values[0], High: values[n-1]}
}

func rate(s *Sample) float64     { return s.Rate }
func p50(s *Sample) float64      { return s.P50us }
func p99(s *Sample) float64      { return s.P99us }
func nodesCPU(s *Sample) float64 { return s.perThousand(s.NodesCPU) }
func loadCPU(s *Sample) float64  { return s.perThousand(s.LoadCPU) }
func fsyncs(s *Sample) float64   { return s.perThousand(float64(s.Fsyncs)) }
func flushes(s *Sample) float64  { return s.perThousand(float64(s.Flushes)) }
func others(s *Sample) float64   { return s.OthersCPU / s.Seconds }

// result returns the result of a cell, and adds it if there is none.
func (r *Report) result(c Cell) *Result {
	i := slices.IndexFunc(r.Results, func(r Result) bool { return r.Cell == c })
	if i < 0 {
		i = len(r.Results)
		r.Results = append(r.Results, Result{Cell: c})
	}
	return &r.Results[i]
}
