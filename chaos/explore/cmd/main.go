// Command cmd searches the configurations of package explore, prints what each
// has come to, and replays counterexamples.
//
//	go run ./chaos/explore/cmd                      all, each up to its own bound
//	go run ./chaos/explore/cmd --states 20000000 slot-shift
//	go run ./chaos/explore/cmd --mutants            those with a planted bug, which must be found
//	go run ./chaos/explore/cmd --mutants --record chaos/explore/testdata
//	go run ./chaos/explore/cmd --replay FILE        a counterexample, step by step
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"actormesh/chaos/explore"
)

func main() {
	flags := flag.NewFlagSet("explore", flag.ExitOnError)
	states := flags.Int("states", 0, fmt.Sprintf("distinct states of each configuration, %d at most; 0 for its own bound", explore.MaxStates))
	depth := flags.Int("depth", 0, "steps; 0 for no bound")
	list := flags.Bool("list", false, "list the configurations")
	mutants := flags.Bool("mutants", false, "search the configurations with planted bugs: each must be found")
	replay := flags.String("replay", "", "the file of a counterexample to replay")
	record := flags.String("record", "", "the folder in which to write counterexamples, each as NAME.trace")
	doc := flags.String("doc", "", "a page whose table is to be of this run, in the place that it marks")
	verbose := flags.Bool("v", false, "print progress")
	flags.Parse(os.Args[1:])
	if *states < 0 || *states > explore.MaxStates || *depth < 0 {
		flags.Usage()
		os.Exit(2)
	}
	run := &runner{out: os.Stdout, limits: explore.Limits{States: *states, Depth: *depth}, verbose: *verbose, record: *record, doc: *doc}
	var err error
	switch {
	case *list:
		err = run.list()
	case *replay != "":
		err = run.replay(*replay)
	default:
		err = run.search(flags.Args(), *mutants)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(1)
	}
}

type runner struct {
	out     io.Writer
	limits  explore.Limits
	verbose bool
	record  string
	doc     string
	table   strings.Builder
}

func (r *runner) list() error {
	for _, c := range append(explore.Configs(), explore.Mutants()...) {
		fmt.Fprintf(r.out, "%-22s %s\n", c.Name, c.About)
	}
	return nil
}

func (r *runner) replay(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	what, err := explore.Replay(f, r.out)
	if err == nil && what == "" {
		what = "nothing is broken"
	}
	fmt.Fprintln(r.out, what)
	return err
}

// search runs the named configurations, or all. It fails if one of them has a
// violation, or, with planted bugs, if one has none.
func (r *runner) search(names []string, mutants bool) error {
	configs := explore.Configs()
	if mutants {
		configs = explore.Mutants()
	}
	if len(names) > 0 {
		configs = nil
		for _, name := range names {
			c, err := explore.Find(name)
			if err != nil {
				return err
			}
			configs = append(configs, c)
		}
	}
	var wrong []string
	fmt.Fprintf(r.out, "%-22s %10s %11s %5s %8s %8s  %s\n", "configuration", "distinct", "generated", "depth", "of code", "time", "")
	for _, c := range configs {
		result := c.Run(r.limits, r.progress())
		if err := r.print(result, mutants); err != nil {
			return err
		}
		if (result.Violation != nil) != mutants {
			wrong = append(wrong, c.Name)
		}
	}
	switch {
	case len(wrong) == 0:
		return r.writeDoc()
	case mutants:
		return fmt.Errorf("nothing was found in %s", strings.Join(wrong, ", "))
	}
	return fmt.Errorf("an invariant does not hold in %s", strings.Join(wrong, ", "))
}

func (r *runner) progress() func(*explore.Result) {
	if !r.verbose {
		return nil
	}
	return func(p *explore.Result) {
		fmt.Fprintf(os.Stderr, "%s: depth %d, %d distinct, %d generated, %s\n", p.Name, p.Depth, p.Distinct, p.Generated, p.Elapsed.Round(time.Millisecond))
	}
}

func (r *runner) print(p *explore.Result, mutant bool) error {
	end := "all of it"
	switch {
	case p.Violation != nil:
		end = p.Violation.What
	case !p.Complete:
		end = "up to the bound"
	}
	fmt.Fprintf(r.out, "%-22s %10d %11d %5d %8d %8s  %s\n", p.Name, p.Distinct, p.Generated, p.Depth, p.Runs, p.Elapsed.Round(10*time.Millisecond), end)
	fmt.Fprintf(&r.table, "| `%s` | %s | %s | %d | %s | %s | %s |\n", p.Name, thousands(p.Distinct), thousands(p.Generated), p.Depth,
		thousands(p.Runs), p.Elapsed.Round(10*time.Millisecond), end)
	if p.Violation == nil {
		return nil
	}
	var script bytes.Buffer
	if err := p.WriteScript(&script); err != nil {
		return err
	}
	if !mutant || r.verbose {
		fmt.Fprint(r.out, &script)
	}
	if r.record == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(r.record, p.Name+".trace"), script.Bytes(), 0o644)
}

// The marks between which the table of a run is, in a page.
const (
	docBegin = "<!-- configurations, written by a command: begin -->\n"
	docEnd   = "<!-- configurations, written by a command: end -->\n"
)

// writeDoc puts the table of this run into the page.
func (r *runner) writeDoc() error {
	if r.doc == "" {
		return nil
	}
	page, err := os.ReadFile(r.doc)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(page), docBegin)
	_, after, ended := strings.Cut(rest, docEnd)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table, between %q and %q", r.doc, docBegin, docEnd)
	}
	table := "| configuration | distinct | generated | depth | of code | time | |\n|---|---|---|---|---|---|---|\n" + r.table.String()
	return os.WriteFile(r.doc, []byte(before+docBegin+table+docEnd+after), 0o644)
}

// thousands writes a count with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
