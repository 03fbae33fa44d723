package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"actormesh/chaos/netns"
	"actormesh/chaos/report"
	"actormesh/chaos/script"
	"actormesh/chaos/scripts"
	"actormesh/mesh"
)

// several is runs of scripts, a few at a time.
type several struct {
	a       *app
	o       *chaosOptions
	summary report.Summary
	runs    []severalRun
	done    int // guarded by app.saying, as are the summary's rows
}

// severalRun is one that is to be made.
type severalRun struct {
	row    int // in the summary
	plan   *script.Plan
	report *report.Report
}

// runSeveral runs scripts, says what came of each as soon as it is known, and then
// of all.
func (a *app) runSeveral(ctx context.Context, words []string, engine script.Engine, o *chaosOptions) error {
	if o.trace {
		return fmt.Errorf("%w: --trace is for one script", mesh.ErrUsage)
	}
	s := &several{a: a, o: o, summary: report.Summary{Engine: engine}}
	if err := s.plan(words, engine); err != nil {
		return err
	}
	if err := s.probe(engine); err != nil {
		return err
	}
	s.run(ctx)
	fmt.Fprintln(a.stdout)
	if err := s.summary.Table(a.stdout); err != nil {
		return err
	}
	if o.dir != "" {
		if err := s.save(); err != nil {
			return err
		}
	}
	if !s.summary.Passed() {
		return fmt.Errorf("of %d scripts: %s", len(s.summary.Rows), s.summary.Total())
	}
	return nil
}

// plan lays out all runs. Of all scripts it lists those that the engine cannot run;
// one that was asked for by name has to be one that it can.
func (s *several) plan(words []string, engine script.Engine) error {
	all := slices.Equal(words, []string{allScripts})
	if all {
		words = scripts.Names()
	}
	for _, word := range words {
		plan, r, err := planned(word, engine, s.o.seed)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.summary.Rows, func(w report.Row) bool { return w.Name == r.Name }) {
			return fmt.Errorf("%w: there are two scripts %s", mesh.ErrUsage, r.Name)
		}
		row := report.Row{Name: r.Name}
		switch err := plan.CheckEngine(engine); {
		case err != nil && !all:
			return fmt.Errorf("%w: script %s: %w", mesh.ErrUsage, r.Name, err)
		case err != nil:
			row.Needs = plan.Engines().String()
		default:
			s.runs = append(s.runs, severalRun{len(s.summary.Rows), plan, r})
		}
		s.summary.Rows = append(s.summary.Rows, row)
	}
	return nil
}

// probe says before the first run what this machine lacks for any of them.
func (s *several) probe(engine script.Engine) error {
	if engine != script.Netns {
		return nil
	}
	var plans []*script.Plan
	for _, r := range s.runs {
		plans = append(plans, r.plan)
	}
	return netns.Probe(plans...)
}

// run makes the runs, the longest first, so that the last do not wait for one.
func (s *several) run(ctx context.Context) {
	slices.SortStableFunc(s.runs, func(a, b severalRun) int { return int(b.plan.Length() - a.plan.Length()) })
	jobs := s.o.jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	next := make(chan *severalRun)
	var wg sync.WaitGroup
	for range min(jobs, len(s.runs)) {
		wg.Go(func() {
			for r := range next {
				s.one(ctx, r)
			}
		})
	}
	for i := range s.runs {
		select {
		case next <- &s.runs[i]:
		case <-ctx.Done(): // what is left is not run
		}
	}
	close(next)
	wg.Wait()
}

// one makes one run.
func (s *several) one(ctx context.Context, r *severalRun) {
	began := time.Now()
	last, err := s.a.runPlan(ctx, r.plan, r.report, s.o)
	took := time.Since(began)
	if err == nil && s.o.dir != "" {
		_, err = r.report.Save(filepath.Join(s.o.dir, r.report.Name))
	}
	s.a.saying.Lock()
	defer s.a.saying.Unlock()
	s.done++
	row := &s.summary.Rows[r.row]
	if err != nil {
		row.Failed = err
	} else {
		row.Fill(r.report, took)
	}
	fmt.Fprintf(s.a.stdout, "%2d of %d  %-5s  %s in %.0f s: %s\n", s.done, len(s.runs), row.Verdict(), row.Name, took.Seconds(), row.Text())
	if err == nil && !r.report.Passed() {
		var b strings.Builder
		if err := r.report.Verdict(&b); err != nil {
			row.Failed = err
		}
		fmt.Fprintf(s.a.stdout, "\n%s%s\n\n", b.String(), last)
	}
	r.plan, r.report = nil, nil // histories are large
}

// save writes the table beside the reports.
func (s *several) save() error {
	if err := os.MkdirAll(s.o.dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	if err := s.summary.Table(&b); err != nil {
		return err
	}
	fmt.Fprintf(s.a.stdout, "reports: %s\n", s.o.dir)
	return os.WriteFile(filepath.Join(s.o.dir, "summary.txt"), []byte(b.String()), 0o644)
}
