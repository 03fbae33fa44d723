package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// Report is a run and what was found in it.
type Report struct {
	Name     string // of the script
	Engine   script.Engine
	Run      *workload.Run
	Findings []workload.Finding
	Replay   string // the command that runs it again
}

// Passed reports whether nothing was found.
func (r *Report) Passed() bool { return len(r.Findings) == 0 }

// maxPages is how many actors' histories get a page.
const maxPages = 5

// Save writes the report into a directory, which it makes, and returns the names
// of the files.
func (r *Report) Save(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{"verdict.txt", r.Verdict},
		{"plan.chaos", written(r.Run.Plan.Text())},
		{"history.txt", written(r.Run.History.Text())},
		{"run.json", r.writeRest},
		{"timeline.svg", r.SVG},
		{"timeline.png", r.PNG},
	}
	for _, a := range workload.Suspects(r.Findings) {
		if len(files) < 6+maxPages {
			name := fmt.Sprintf("linear-%s-%s.html", a.Kind, a.ID)
			files = append(files, struct {
				name  string
				write func(io.Writer) error
			}{name, func(w io.Writer) error { return workload.Visualize(r.Run, a, w) }})
		}
	}
	var names []string
	for _, f := range files {
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return names, fmt.Errorf("%s: %w", f.name, err)
		}
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

func written(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// Verdict writes what came of the run, for people.
func (r *Report) Verdict(w io.Writer) error {
	var b strings.Builder
	word := "PASS"
	if !r.Passed() {
		word = "FAIL"
	}
	fmt.Fprintf(&b, "%s  %s on %v, seed %d, %d nodes, %v\n", word, r.Name, r.Engine, r.Run.Plan.Seed,
		r.Run.Plan.Nodes+r.Run.Plan.Spare, r.Run.Plan.Length())
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s\n", strings.ReplaceAll(f.String(), "\n", "\n    "))
	}
	b.WriteByte('\n')
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range workload.Counts(r.Run) {
		fmt.Fprintf(tab, "%s\t%d\n", c.What, c.N)
	}
	slow := quantiles(r.Run.History, func(*workload.Event) bool { return true })
	fmt.Fprintf(tab, "answered after\t%v median, %v at 90 %%, %v at most\n", slow[0], slow[1], slow[2])
	fmt.Fprintf(tab, "recovered\t%v after the last fault\n", workload.Recovered(r.Run).Round(time.Millisecond))
	tab.Flush()
	if len(r.Run.Bands) > 0 {
		b.WriteString("\ndone to the mesh:\n")
	}
	for _, band := range r.Run.Bands {
		fmt.Fprintf(&b, "  %v..%v  %s\n", band.Begin.Round(time.Millisecond), band.End.Round(time.Millisecond), band.Text)
	}
	fmt.Fprintf(&b, "\nagain: %s\n", r.Replay)
	_, err := io.WriteString(w, b.String())
	return err
}
