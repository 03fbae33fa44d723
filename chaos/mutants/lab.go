package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// usualTags are those of the test binaries: with the bugs, and with all checks.
const usualTags = "mutant,invariants"

// memoryKiB bounds the address space of a program, for a bug may fill memory.
const memoryKiB = 8 << 20

// lab runs catchers.
type lab struct {
	root, dir string
	parallel  int
	catchers  []catcher
}

// build builds the test binaries of those catchers that look for any of the
// mutants.
func (l *lab) build(ctx context.Context, mutants []planted) error {
	built := map[string]string{} // by directory: each is built with the tags of its first catcher
	for _, c := range catchers {
		if !slices.ContainsFunc(mutants, func(m planted) bool { return c.looksFor(&m) }) {
			continue
		}
		if c.make == "" && built[c.dir] == "" {
			binary := filepath.Join(l.dir, strings.ReplaceAll(c.dir, "/", "-")+".test")
			cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", cmp.Or(c.tags, usualTags), "-o", binary, "./"+c.dir)
			cmd.Dir = l.root
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("building the tests of %s: %w\n%s", c.dir, err, out)
			}
			built[c.dir] = binary
		}
		c.binary = built[c.dir]
		l.catchers = append(l.catchers, c)
	}
	return nil
}

// each calls f for 0 to n-1, so many at a time.
func (l *lab) each(ctx context.Context, n int, f func(i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	room := make(chan struct{}, l.parallel)
	for i := range n {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			if err := f(i); err != nil {
				stop(err)
			}
			<-room
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// calibrate runs every catcher without a bug. All must pass.
func (l *lab) calibrate(ctx context.Context) error {
	return l.each(ctx, len(l.catchers), func(i int) error {
		c := &l.catchers[i]
		c.usual = 30 * time.Second
		begun := time.Now()
		f, err := l.once(ctx, c, "", c.run, c.skip)
		if err != nil {
			return err
		}
		if f != nil {
			return fmt.Errorf("%s (%s) fails without a bug, so it can catch none:\n%s", c.name, c.dir, f.output)
		}
		c.usual = time.Since(begun)
		return nil
	})
}

// result is who caught a mutant, at most one of each class.
type result struct {
	mutant *planted
	by     [classes]*failure
}

func (r *result) caught() bool {
	return slices.ContainsFunc(r.by[:], func(f *failure) bool { return f != nil })
}

// examine shows every mutant to the catchers that look for it.
func (l *lab) examine(ctx context.Context, mutants []planted) ([]result, error) {
	results := make([]result, len(mutants))
	var print sync.Mutex
	err := l.each(ctx, len(mutants), func(i int) error {
		r := &results[i]
		r.mutant = &mutants[i]
		for k := range l.catchers {
			c := &l.catchers[k]
			if r.by[c.class] != nil || !c.looksFor(r.mutant) {
				continue
			}
			f, err := l.try(ctx, c, r.mutant.Name)
			if err != nil {
				return err
			}
			r.by[c.class] = f
		}
		print.Lock()
		defer print.Unlock()
		fmt.Print(r.render())
		return nil
	})
	return results, err
}

func (r *result) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %s\n", r.mutant.Name, strings.Join(r.mutant.Hazards, " "))
	for k, f := range r.by {
		if f != nil {
			fmt.Fprintf(&b, "    %-9s  %5.1f s  %s: %s\n", class(k), f.took.Seconds(), f.where(), f.message)
		}
	}
	return b.String()
}

// try shows a mutant to a catcher, and returns how that failed, or nil. A test that
// fails with the mutant once, and not again, or also without it, has found nothing, and
// keeps none from looking that comes after it.
func (l *lab) try(ctx context.Context, c *catcher, mutant string) (*failure, error) {
	for skip := c.skip; ; {
		f, err := l.once(ctx, c, mutant, c.run, skip)
		if f == nil || err != nil {
			return nil, err
		}
		if c.class == simulator && f.seed == "" && !f.hung || c.make != "" && f.message == "" {
			return nil, nil // it did not come across what it should, or could not look: nothing is found
		}
		if !c.clocked {
			return f, nil
		}
		again, err := l.once(ctx, c, mutant, exactly(f.test), c.skip)
		if err != nil {
			return nil, err
		}
		if again != nil {
			sound, err := l.once(ctx, c, "", exactly(f.test), c.skip)
			if err != nil {
				return nil, err
			}
			if sound == nil {
				return f, nil
			}
		}
		if f.test == "" {
			return nil, nil
		}
		test, _, _ := strings.Cut(f.test, "/")
		skip = strings.TrimPrefix(skip+"|"+exactly(test), "|")
	}
}

func exactly(test string) string { return "^" + strings.ReplaceAll(test, "/", "$/^") + "$" }

// failure is what a catcher found.
type failure struct {
	catcher *catcher
	test    string // the first test that failed, and its part
	seed    string // or configuration of the explorer; empty for what has none
	message string
	hung    bool
	took    time.Duration
	output  string
}

// where names the package, the test and the seed, as they are given to go test.
func (f *failure) where() string {
	at := strings.TrimSpace(f.catcher.dir + " " + f.test)
	switch {
	case f.seed != "" && f.catcher.seed != "":
		at += " -" + f.catcher.seed + "=" + f.seed
	case f.seed != "" && f.catcher.class == explorer:
		at += " " + f.seed
	case f.seed != "":
		at += " seed " + f.seed
	}
	return at
}

// once runs a catcher once. It returns nil if all was well.
func (l *lab) once(ctx context.Context, c *catcher, mutant, run, skip string) (*failure, error) {
	cmd := c.command(ctx, mutant, run, skip)
	cmd.Dir = filepath.Join(l.root, c.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	begun := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s, %s: %w", mutant, c.name, context.Cause(ctx))
	case err == nil:
		return nil, nil
	case !errors.As(err, &exit):
		return nil, fmt.Errorf("%s, %s: %w", mutant, c.name, err)
	}
	f := parse(out.String())
	if c.make != "" {
		f = &failure{test: "make " + c.make, message: finding.FindString(out.String()), output: out.String()}
	}
	f.catcher, f.took = c, time.Since(begun)
	if c.class == explorer {
		f.seed, _, _ = strings.Cut(f.message, ":")
	}
	return f, nil
}

// command returns what runs the catcher once, with a bug if there is one. A
// command that looks at the source sees the bug by a build tag of its own.
func (c *catcher) command(ctx context.Context, mutant, run, skip string) *exec.Cmd {
	if c.make != "" {
		return exec.CommandContext(ctx, "make", c.make, "TAGS=mutant_"+strings.ReplaceAll(mutant, "-", "_"))
	}
	args := append([]string{"-c", fmt.Sprintf(`ulimit -v %d 2>/dev/null; exec "$0" "$@"`, memoryKiB), c.binary,
		"-test.failfast", "-test.timeout=" + c.patience().String(), "-test.run=" + run, "-test.skip=" + skip}, c.args...)
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Env = append(os.Environ(), "MESH_MUTANT="+mutant)
	return cmd
}

var (
	failLine = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+) `)
	textLine = regexp.MustCompile(`(?m)^ +\S+_test\.go:\d+: (.+)$`)
	panicked = regexp.MustCompile(`(?m)^(?:panic|fatal error): (.*)$`)
	inTest   = regexp.MustCompile(`(?m)^actormesh/\S*\.((?:Test|Fuzz)\w+)`)
	timedOut = regexp.MustCompile(`(?m)^panic: test timed out after .*\n\s*running tests:\n\s*(\S+)`)
	finding  = regexp.MustCompile(`unreachable func: .*`)
	seedOf   = regexp.MustCompile(`\bseed (\d+)\b`)
)

// parse finds in the output of a test binary that failed which test did, and
// with what.
func parse(out string) *failure {
	f := &failure{output: out}
	for _, m := range failLine.FindAllStringSubmatch(out, -1) {
		if f.test == "" || strings.HasPrefix(m[1], f.test+"/") {
			f.test = m[1]
		}
	}
	if m := textLine.FindStringSubmatch(out); m != nil {
		f.message = m[1]
	} else if f.test != "" {
		f.message = "it goes another way than the script says"
	}
	if m := panicked.FindStringSubmatch(out); m != nil && f.message == "" {
		f.message = "panic: " + m[1]
	}
	if m := timedOut.FindStringSubmatch(out); m != nil {
		f.test, f.message, f.hung = m[1], "hangs", true
	}
	if m := inTest.FindStringSubmatch(out); m != nil && f.test == "" {
		f.test = m[1]
	}
	if m := seedOf.FindStringSubmatch(out); m != nil {
		f.seed = m[1]
	}
	if len(f.message) > messageBytes {
		f.message = f.message[:messageBytes] + "..."
	}
	return f
}

const messageBytes = 120
