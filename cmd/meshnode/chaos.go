package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"actormesh/chaos/local"
	"actormesh/chaos/netns"
	"actormesh/chaos/report"
	"actormesh/chaos/script"
	"actormesh/chaos/scripts"
	"actormesh/chaos/sim"
	"actormesh/mesh"
)

func (a *app) chaosCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break a mesh on purpose, and check what it promised",
		Long: `Break a mesh on purpose, and check what it promised. A script says how large the
mesh is, what its clients call, what is done to it and when; docs/chaos.md is its
language. A run ends in a verdict, and in a report if one is asked for.`,
		RunE: needsCommand,
	}
	cmd.AddCommand(a.chaosListCommand(), a.chaosRunCommand(), a.chaosCheckCommand(), a.chaosHuntCommand())
	return cmd
}

func (a *app) chaosListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the scripts that the program knows",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		for _, name := range scripts.Names() {
			text, err := scripts.Text(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%-24s %s\n", name, firstSentence(text))
		}
		return nil
	})
	return cmd
}

// firstSentence returns the first sentence of the comment that a script begins
// with.
func firstSentence(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(comment))
	}
	sentence, _, _ := strings.Cut(strings.Join(words, " ")+" ", ". ")
	return strings.TrimSpace(sentence)
}

// chaosOptions are the flags of chaos run.
type chaosOptions struct {
	on    string
	seed  uint64
	jobs  int
	dir   string
	trace bool
}

// allScripts is the word for all scripts of the program that the engine can run.
const allScripts = "all"

func (a *app) chaosRunCommand() *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use:   "run SCRIPT... | all [--on sim|local|netns] [--seed N] [--jobs N] [--report DIR]",
		Short: "Run scripts, and say what they have shown",
		Long: `Run scripts: those that "chaos list" names, or files. What a script leaves to chance
is drawn from the seed; on sim, all of the run is, and so the same seed gives the same
run, event by event.

Several scripts are run a few at a time, and end in a table; "all" are those of the
program. Of these, what the engine cannot do is listed and not run.

The exit code is 1 if the mesh has broken a promise in any of them.`,
		Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.on, "on", "sim", "the engine: sim, whole nodes in one goroutine and virtual time; local, processes; netns, processes in namespaces, as root")
	f.Uint64Var(&o.seed, "seed", 0, "what chance is drawn from (default the script's, or 1)")
	f.IntVar(&o.jobs, "jobs", 0, "how many of several scripts run at a time (default one a core)")
	f.StringVar(&o.dir, "report", "", "write the report into this directory: verdict, timeline, plan, history; of several, one below it for each")
	f.BoolVar(&o.trace, "trace", false, "with sim: print what happens, with its virtual time")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error { return a.runChaos(args, &o) })
	return cmd
}

// readScript returns the name and the script that a word names: one of the
// program's, or a file.
func readScript(word string) (string, *script.Script, error) {
	name := strings.TrimSuffix(filepath.Base(word), ".chaos")
	text, err := scripts.Text(word)
	if err != nil {
		b, fileErr := os.ReadFile(word)
		if fileErr != nil {
			return "", nil, fmt.Errorf("%w: %w, and no such file", mesh.ErrUsage, err)
		}
		text = string(b)
	}
	s, err := script.Parse(text)
	if err != nil {
		return "", nil, fmt.Errorf("%w: script %s: %w", mesh.ErrUsage, name, err)
	}
	return name, s, nil
}

// planned returns what a script and a seed make, and a report to be filled in.
func planned(word string, engine script.Engine, seed uint64) (*script.Plan, *report.Report, error) {
	name, s, err := readScript(word)
	if err != nil {
		return nil, nil, err
	}
	for _, other := range []uint64{s.Seed, 1} {
		if seed == 0 {
			seed = other
		}
	}
	replay := fmt.Sprintf("meshnode chaos run %s --on %v --seed %d", word, engine, seed)
	return script.Expand(s, seed), &report.Report{Name: name, Engine: engine, Replay: replay}, nil
}

func (a *app) runChaos(words []string, o *chaosOptions) error {
	engine, err := script.ParseEngine(o.on)
	if err != nil {
		return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	ctx, cancel := a.interruptible()
	defer cancel()
	if len(words) > 1 || words[0] == allScripts {
		return a.runSeveral(ctx, words, engine, o)
	}
	plan, r, err := planned(words[0], engine, o.seed)
	if err != nil {
		return err
	}
	if err := plan.CheckEngine(engine); err != nil {
		return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	last, err := a.runPlan(ctx, plan, r, o)
	if err != nil {
		return err
	}
	if err := r.Verdict(a.stdout); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, last)
	if o.dir != "" {
		files, err := r.Save(o.dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "report: %s in %s\n", strings.Join(files, " "), o.dir)
	}
	if !r.Passed() {
		return fmt.Errorf("script %s, seed %d: the mesh has broken a promise", r.Name, plan.Seed)
	}
	return nil
}

// interruptible returns a context that a signal ends.
func (a *app) interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case s := <-a.signals:
			cancel(fmt.Errorf("ended by a signal: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// runPlan runs a plan on the report's engine, fills in the report, and returns
// what else is to be said of the run.
func (a *app) runPlan(ctx context.Context, plan *script.Plan, r *report.Report, o *chaosOptions) (string, error) {
	switch r.Engine {
	case script.Sim:
		return a.runSim(plan, o, r)
	case script.Local:
		return a.runProcesses(ctx, local.Run, plan, r)
	}
	return a.runProcesses(ctx, netns.Run, plan, r)
}

// runSim runs a plan in the simulator, and returns what is to be said of the run.
func (a *app) runSim(plan *script.Plan, o *chaosOptions, r *report.Report) (string, error) {
	options := sim.Options{Seed: plan.Seed}
	if o.trace {
		options.Trace = func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	}
	result, err := sim.Run(plan, options)
	if err != nil {
		return "", fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	r.Run, r.Findings = &result.Run, result.Findings
	return fmt.Sprintf("%d events in %v, hash %016x", result.Events, result.Elapsed.Round(time.Millisecond), result.Hash), nil
}

// processRunner runs a plan on processes.
type processRunner func(context.Context, *script.Plan, local.Options) (*local.Result, error)

// runProcesses runs a plan on processes of this program. What they leave is kept if
// the mesh has broken a promise.
func (a *app) runProcesses(ctx context.Context, run processRunner, plan *script.Plan, r *report.Report) (string, error) {
	dir, err := os.MkdirTemp("", "meshnode-chaos-")
	if err != nil {
		return "", err
	}
	a.saying.Lock()
	fmt.Fprintf(a.stderr, "%s runs for %v, on processes of this program in %s\n", r.Name, plan.Length(), dir)
	a.saying.Unlock()
	result, err := run(ctx, plan, local.Options{Binary: a.executable, Args: []string{"--chaos"}, Dir: dir})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return "", fmt.Errorf("%w (logs and directories are in %s)", err, dir)
	}
	r.Run, r.Findings = &result.Run, result.Findings
	if r.Passed() {
		return "all processes have ended", os.RemoveAll(dir)
	}
	return "logs and directories are in " + dir, nil
}

func (a *app) chaosCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Check a run again, from its report",
		Long: `Check a run again, from the directory that "chaos run --report DIR" has written.
The exit code is 1 if the mesh has broken a promise.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = a.do(func(_ *cobra.Command, args []string) error {
		r, err := report.Load(args[0])
		if err != nil {
			return err
		}
		if err := r.Verdict(a.stdout); err != nil {
			return err
		}
		if !r.Passed() {
			return fmt.Errorf("script %s: the mesh has broken a promise", r.Name)
		}
		return nil
	})
	return cmd
}

// huntOptions are the flags of chaos hunt.
type huntOptions struct {
	from    uint64
	seeds   int
	limit   time.Duration
	workers int
	twice   bool
	save    string
}

func (a *app) chaosHuntCommand() *cobra.Command {
	var o huntOptions
	cmd := &cobra.Command{
		Use:   "hunt [--for 5m] [--from-seed N]",
		Short: "Simulate wild scripts, seed after seed, until one shows a broken promise",
		Long: `Simulate wild scripts, seed after seed: meshes of 3 to 6 nodes with clients, faults
of all kinds, in any mix. The first that shows a broken promise is made as small as
it goes, and saved as a script.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Uint64Var(&o.from, "from-seed", 1, "the first seed")
	f.IntVar(&o.seeds, "seeds", 0, "how many seeds (default no bound)")
	f.DurationVar(&o.limit, "for", 0, "how long (default until it is interrupted)")
	f.IntVar(&o.workers, "workers", 0, "how many run at a time (default one a core)")
	f.BoolVar(&o.twice, "twice", false, "run each seed again: it must be the same run")
	f.StringVar(&o.save, "save", ".", "the directory for the script of a run that failed")
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.hunt(&o) })
	return cmd
}

// huntGarbage is how much garbage may come with what is alive, in percent: a hunt
// has memory to spare.
const huntGarbage = 800

func (a *app) hunt(o *huntOptions) error {
	defer debug.SetGCPercent(debug.SetGCPercent(huntGarbage))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, o.limit)
		defer cancel()
	}
	go func() {
		select {
		case <-a.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	h := sim.Hunt{From: o.from, Seeds: o.seeds, Workers: o.workers, Twice: o.twice}
	told := time.Now()
	h.Progress = func(f *sim.Found) {
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(a.stderr, "%v: %d runs, %v of virtual time, next seed %d\n", f.Elapsed.Round(time.Second), f.Runs, f.Virtual.Round(time.Second), f.Next)
		}
	}
	if err := os.MkdirAll(o.save, 0o755); err != nil { // before an hour is spent
		return err
	}
	found, err := h.Run(ctx)
	if err != nil {
		return err
	}
	if err := found.Table(a.stdout); err != nil {
		return err
	}
	if missing := found.Missing(); found.Failed == nil && found.Runs >= sim.Rare && len(missing) > 0 {
		return fmt.Errorf("nothing was broken, and nothing shown either: in %d runs there was no %s", found.Runs, strings.Join(missing, ", no "))
	}
	if found.Failed == nil {
		return nil
	}
	fmt.Fprintln(a.stdout, found.Failed)
	return a.shrink(found.Failed, o.save)
}

// shrinkAttempts bounds the runs by which a failure is made smaller.
const shrinkAttempts = 300

// shrink makes the plan of a run that failed smaller, and saves it.
func (a *app) shrink(failed *sim.Result, dir string) error {
	fmt.Fprintf(a.stderr, "making it smaller, in %d runs at most\n", shrinkAttempts)
	plan, result := sim.Shrink(failed, sim.WildOptions(failed.Seed), shrinkAttempts)
	plan.Seed = failed.Seed
	var b strings.Builder
	for line := range strings.Lines(result.Findings[0].String()) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
	}
	file := filepath.Join(dir, fmt.Sprintf("wild-%d.chaos", failed.Seed))
	if err := os.WriteFile(file, []byte(b.String()+plan.Text()), 0o644); err != nil {
		return err
	}
	return fmt.Errorf("seed %d shows a broken promise; run it again with: meshnode chaos run %s --seed %d --trace", failed.Seed, file, failed.Seed)
}
