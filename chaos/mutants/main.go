// Command mutants plants the bugs of package quorum/mutant, one at a time, and
// has every instrument look for them: scripts and unit tests, the simulators, the
// explorer. It prints who caught each, with the seed, and how fast. One that
// nobody catches fails the command.
//
//	make mutants
//	go run ./chaos/mutants -only low-append,from-ignored
//	go run ./chaos/mutants -write
//
// With -write it puts what it found into docs/HAZARDS.md; rows of mutants that it
// was not to run stay.
//
// The programs are test binaries, built once with the tag mutant. First all of them
// must pass without a bug: else a failure would say nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "", "mutants to run, divided by commas; all if empty")
	write := flag.Bool("write", false, "put the results into docs/HAZARDS.md")
	parallel := flag.Int("parallel", 2, "how many programs run at a time")
	within := flag.Duration("within", 15*time.Minute, "time for everything")
	flag.Parse()
	if flag.NArg() > 0 || *parallel < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *within)
	err := run(ctx, *only, *parallel, *write)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, parallel int, write bool) (err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	all, err := readMutants(root)
	mutants := all
	if err == nil && only != "" {
		mutants, err = choose(all, strings.Split(only, ","))
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "actormesh-mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begun := time.Now()
	l := &lab{root: root, dir: dir, parallel: parallel}
	if err := l.build(ctx, mutants); err != nil {
		return err
	}
	fmt.Printf("%d catchers built in %.0f s; each must pass without a bug\n", len(l.catchers), time.Since(begun).Seconds())
	if err := l.calibrate(ctx); err != nil {
		return err
	}
	results, err := l.examine(ctx, mutants)
	if err != nil {
		return err
	}
	survivors := 0
	for _, r := range results {
		if !r.caught() {
			survivors++
			fmt.Printf("NOBODY CAUGHT %s: %s (%s)\n", r.mutant.Name, r.mutant.Breaks, strings.Join(r.mutant.Where, ", "))
		}
	}
	fmt.Printf("%d mutants, %d caught, in %.0f s\n", len(results), len(results)-survivors, time.Since(begun).Seconds())
	if survivors > 0 {
		return fmt.Errorf("%d mutants survive", survivors)
	}
	if write {
		return writePage(root, all, results)
	}
	return nil
}

func choose(all []planted, names []string) ([]planted, error) {
	var list []planted
	for _, name := range names {
		i := slices.IndexFunc(all, func(m planted) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no mutant %q", name)
		}
		list = append(list, all[i])
	}
	return list, nil
}
