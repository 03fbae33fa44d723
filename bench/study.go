package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Study is what a measurement has found that is no table of steady loads: what a
// crash costs, a join, a start. Its JSON is what --json writes.
type Study struct {
	Name string `json:"study"`
	Conditions
	How     string   `json:"how"` // one sentence: what was done
	Reps    int      `json:"reps"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Column is one thing that is measured.
type Column struct {
	Name string `json:"name"` // its heading
	Unit string `json:"unit"` // as benchstat has it, such as "gap-ns"; its ending says how it is shown
}

// Row is one thing of which it is measured.
type Row struct {
	System  string   `json:"system"`
	Setting string   `json:"setting,omitempty"` // such as "records=1000/killed=1"
	Base    string   `json:"base,omitempty"`    // the label of the row that it is compared with
	Samples []Values `json:"samples"`           // one a repetition
}

// Values are what one repetition has measured, by their columns' units. What
// nobody could tell is not there.
type Values map[string]float64

func (r *Row) label() string { return strings.TrimSuffix(r.System+"/"+r.Setting, "/") }

// spread returns that of one unit, or false if no sample has it.
func (r *Row) spread(unit string) (Spread, bool) {
	var values []float64
	for _, s := range r.Samples {
		if v, ok := s[unit]; ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Spread{}, false
	}
	return spreadOf(values), true
}

// add adds one repetition's values to a row, which is made if there is none, and
// returns the row.
func (s *Study) add(system, setting string, v Values) *Row {
	i := slices.IndexFunc(s.Rows, func(r Row) bool { return r.System == system && r.Setting == setting })
	if i < 0 {
		i = len(s.Rows)
		s.Rows = append(s.Rows, Row{System: system, Setting: setting})
	}
	s.Rows[i].Samples = append(s.Rows[i].Samples, v)
	return &s.Rows[i]
}

// WriteTable writes the study as text: what it ran on, a line a row, and how rows do
// beside those that they are compared with.
func (s *Study) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s%s; medians of %d repetitions, and the lowest and the highest\n\n", s.heading(), s.How, s.Reps)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells []string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	head := []string{strings.ToUpper(s.Name)}
	for _, c := range s.Columns {
		head = append(head, c.Name, "")
	}
	line(head)
	for i := range s.Rows {
		cells := []string{s.Rows[i].label()}
		for _, c := range s.Columns {
			if got, ok := s.Rows[i].spread(c.Unit); ok {
				cells = append(cells, show(got.Median, c.Unit), show(got.Low, c.Unit)+".."+show(got.High, c.Unit))
			} else {
				cells = append(cells, "-", "")
			}
		}
		line(cells)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return s.writeRatios(w)
}

// writeRatios writes rows' medians divided by those of what they are compared with.
func (s *Study) writeRatios(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells []string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	head := []string{strings.ToUpper(s.Name), "TO"}
	for _, c := range s.Columns {
		head = append(head, c.Name)
	}
	for i := range s.Rows {
		b := slices.IndexFunc(s.Rows, func(r Row) bool { return r.label() == s.Rows[i].Base })
		if b < 0 || b == i {
			continue // it is compared with nothing, or with nothing that was measured this time
		}
		if head != nil {
			fmt.Fprintln(w)
			line(head)
			head = nil
		}
		cells := []string{s.Rows[i].label(), s.Rows[b].label()}
		for _, c := range s.Columns {
			above, has := s.Rows[i].spread(c.Unit)
			below, had := s.Rows[b].spread(c.Unit)
			if !has || !had || below.Median == 0 {
				cells = append(cells, "-")
				continue
			}
			cells = append(cells, fmt.Sprintf("%.2f", above.Median/below.Median))
		}
		line(cells)
	}
	return table.Flush()
}

// WriteBenchstat writes all samples as lines of Go benchmarks, as a Report does.
func (s *Study) WriteBenchstat(w io.Writer) error {
	var b strings.Builder
	b.WriteString(s.benchstatHead())
	for i := range s.Rows {
		for _, values := range s.Rows[i].Samples {
			fmt.Fprintf(&b, "Benchmark%s/system=%s", strings.ToUpper(s.Name[:1])+s.Name[1:], s.Rows[i].System)
			if s.Rows[i].Setting != "" {
				b.WriteString("/" + s.Rows[i].Setting)
			}
			b.WriteString(" 1")
			for _, c := range s.Columns {
				if v, ok := values[c.Unit]; ok {
					fmt.Fprintf(&b, " %.6g %s", v, c.Unit)
				}
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Save writes the study to the places of o; it has no pictures.
func (s *Study) Save(o Output) error {
	var text strings.Builder
	if err := s.WriteTable(&text); err != nil {
		return err
	}
	return o.save(s, s.WriteBenchstat, s.Name, text.String())
}

// show shows a value as its unit's ending wants it.
func show(v float64, unit string) string {
	switch {
	case strings.HasSuffix(unit, "ns"), strings.HasSuffix(unit, "ns/op"):
		return showMicros(v / 1e3)
	case strings.HasSuffix(unit, "B"):
		return showBytes(v)
	case strings.HasSuffix(unit, "%"):
		return fmt.Sprintf("%.2f %%", v)
	}
	return showCount(v)
}

// showBytes shows a size with three digits.
func showBytes(n float64) string {
	switch size := max(n, -n); {
	case size < 1e3:
		return fmt.Sprintf("%.0f B", n)
	case size < 1e6:
		return fmt.Sprintf("%.3g kB", n/1e3)
	case size < 1e9:
		return fmt.Sprintf("%.3g MB", n/1e6)
	}
	return fmt.Sprintf("%.3g GB", n/1e9)
}

// Setup is what every study is told.
type Setup struct {
	Reps     int
	Dir      string    // parent of the data directories; empty: see TempDir
	Progress io.Writer // a line now and then
}

func (s *Setup) check() error {
	if s.Reps < 1 || s.Reps > MaxReps {
		return fmt.Errorf("%w: %d repetitions; it must be from 1 to %d", ErrPlan, s.Reps, MaxReps)
	}
	return nil
}

func (s *Setup) say(format string, args ...any) { fmt.Fprintf(s.Progress, format+"\n", args...) }

// MeshSetup is what studies of one mesh are told.
type MeshSetup struct {
	Setup
	Mesh Mesh
	Via  string // how it is called
}

func (s *MeshSetup) check() error {
	if vias := s.Mesh.Vias(); !slices.Contains(vias, s.Via) {
		return fmt.Errorf("%w: there is no way %q to call: it is one of %v", ErrPlan, s.Via, vias)
	}
	return s.Setup.check()
}

// conduct fills in a study: under what conditions it is made, and what do finds in
// a directory that is empty.
func (s *Setup) conduct(ctx context.Context, study *Study, systems []System, do func(dir string) error) (*Study, error) {
	study.Reps = s.Reps
	err := inDir(s.Dir, func(dir string) (err error) {
		if study.Conditions, err = conditions(ctx, dir, systems); err != nil {
			return err
		}
		return do(dir)
	})
	if err != nil {
		return nil, err
	}
	return study, nil
}

// inDir makes a directory for the data of a run, and removes it afterwards. If do
// has failed it stays, and the error says where.
func inDir(parent string, do func(dir string) error) error {
	dir, err := TempDir(parent)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := do(dir); err != nil {
		return fmt.Errorf("%w\nwhat the run has left is in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// conditions looks at the machine, the disk and the systems.
func conditions(ctx context.Context, dir string, systems []System) (c Conditions, err error) {
	c = Conditions{Date: time.Now().UTC(), Machine: thisMachine()}
	if c.Disk, err = probeDisk(dir); err != nil {
		return c, err
	}
	for _, s := range systems {
		version, err := s.Version(ctx)
		if err != nil {
			return c, fmt.Errorf("the version of %s: %w", s.Name(), err)
		}
		c.Builds = append(c.Builds, Build{System: s.Name(), Version: version})
	}
	return c, nil
}

// with starts a system in a directory of its own, and ends it when do has.
func with(ctx context.Context, s System, dir string, do func(c Cluster) error) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	c, err := s.Start(ctx, dir)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name(), err)
	}
	defer func() {
		if err = errors.Join(err, c.Close()); err == nil {
			err = os.RemoveAll(dir) // the next one is to have the disk for itself
		}
	}()
	return do(c)
}
