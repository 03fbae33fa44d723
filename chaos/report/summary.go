package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// Summary tells what came of several scripts on one engine.
type Summary struct {
	Engine script.Engine
	Rows   []Row
}

// Row is what came of one script. It begins as that of a run that was not made.
type Row struct {
	Name   string
	Needs  string // the engines that can run it, if this one cannot: that is no pass
	Failed error  // why there is nothing to judge
	Ran    bool
	Took   time.Duration

	findings  int
	counts    map[string]int
	recovered time.Duration
}

// Fill fills in what a run has shown.
func (w *Row) Fill(r *Report, took time.Duration) {
	w.Ran, w.Took, w.findings, w.counts = true, took, len(r.Findings), map[string]int{}
	for _, c := range workload.Counts(r.Run) {
		w.counts[c.What] = c.N
	}
	w.recovered = workload.Recovered(r.Run)
}

// Verdict returns in a word what came of a script that the engine can run.
func (w *Row) Verdict() string {
	switch {
	case w.Failed != nil:
		return "ERROR"
	case !w.Ran:
		return "not run"
	case w.findings > 0:
		return "FAIL"
	}
	return "PASS"
}

// Text returns a line about a run that was made, or not.
func (w *Row) Text() string {
	if w.Failed != nil {
		return w.Failed.Error()
	}
	text := fmt.Sprintf("%d calls, %d faults, %d failovers", w.counts["calls"], w.counts["faults"], w.counts["failovers"])
	if w.findings > 0 {
		text = fmt.Sprintf("%d findings; %s", w.findings, text)
	}
	return text
}

// Passed reports whether every script that the engine can run was run, and nothing
// was found. That takes one such script.
func (s *Summary) Passed() bool {
	passed := 0
	for i := range s.Rows {
		switch w := &s.Rows[i]; {
		case w.Needs != "":
		case w.Verdict() != "PASS":
			return false
		default:
			passed++
		}
	}
	return passed > 0
}

// Total returns how many scripts came to which verdict.
func (s *Summary) Total() string {
	n := map[string]int{}
	for i := range s.Rows {
		verdict := s.Rows[i].Verdict()
		if s.Rows[i].Needs != "" {
			verdict = "not"
		}
		n[verdict]++
	}
	var words []string
	for _, v := range []struct{ verdict, word string }{
		{"PASS", "passed"}, {"FAIL", "failed"}, {"ERROR", "could not be run"}, {"not run", "not run"}, {"not", "not on " + s.Engine.String()},
	} {
		if n[v.verdict] > 0 {
			words = append(words, fmt.Sprintf("%d %s", n[v.verdict], v.word))
		}
	}
	return strings.Join(words, ", ")
}

// Table writes a line for each script, those that were not run last.
func (s *Summary) Table(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "on %v\t\tseconds\tcalls\tanswered\trefused\tunknown\tfaults\tfailovers\trecovered\n", s.Engine)
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Ran {
			fmt.Fprintf(tab, "%s\t%s\t%.0f\t%d\t%d\t%d\t%d\t%d\t%d\t%v\n", r.Name, r.Verdict(), r.Took.Seconds(), r.counts["calls"], r.counts["ok"],
				r.counts["refused"], r.counts["unknown"], r.counts["faults"], r.counts["failovers"], r.recovered.Round(time.Millisecond))
		}
	}
	for i := range s.Rows {
		switch r := &s.Rows[i]; {
		case r.Ran:
		case r.Needs != "":
			fmt.Fprintf(tab, "%s\tnot on %v: needs %s\n", r.Name, s.Engine, r.Needs)
		case r.Failed != nil:
			why, _, _ := strings.Cut(r.Failed.Error(), "\n")
			fmt.Fprintf(tab, "%s\t%s: %s\n", r.Name, r.Verdict(), why)
		default:
			fmt.Fprintf(tab, "%s\t%s\n", r.Name, r.Verdict())
		}
	}
	fmt.Fprintf(tab, "\n%s\n", s.Total())
	return tab.Flush()
}
