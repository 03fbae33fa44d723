package main

import (
	"path"
	"slices"
	"time"
)

// class is a kind of instrument. Every mutant is shown to all catchers of each
// class until one of the class catches it.
type class int

const (
	tests class = iota
	simulator
	explorer
	classes
)

func (c class) String() string { return [...]string{"tests", "simulator", "explorer"}[c] }

// catcher is an instrument: some tests of one package, or a command that looks at
// the source.
type catcher struct {
	class class
	name  string
	dir   string   // of the package
	make  string   // the target of a command, in place of a package's tests
	of    []string // it looks for mutants in these directories
	run   string   // as go test's -run; all if empty
	skip  string
	args  []string
	seed  string // the flag that runs one seed; empty where there is none
	// clocked says that it watches the wall clock: what it catches must fail
	// again, and pass without the bug.
	clocked bool

	binary string
	usual  time.Duration // without a bug
}

// catchers are the instruments, those first that are quick. To add one, add a line;
// a test that runs seeds has "seed N" in the message of a failure.
var catchers = []catcher{
	{class: tests, name: "scripts of the register and the slot log", dir: "quorum", of: []string{"quorum"},
		skip: "Random|TestRegisterCopies|Births|TestMoreThanExpected"},
	{class: tests, name: "scripts of shards and control", dir: "mesh/core", of: []string{"quorum", "mesh/core", "ring"}, skip: "Random"},
	{class: tests, name: "placement", dir: "ring", of: []string{"ring"}, skip: "TestPlanConverges|TestPlanWastesLittle"},

	{class: tests, name: "dead code", make: "dead", of: []string{"quorum/mutant"}},

	{class: simulator, name: "slot log", dir: "quorum", of: []string{"quorum"}, run: "TestSlotRandomSchedules", seed: "seed"},
	{class: simulator, name: "register", dir: "quorum", of: []string{"quorum"},
		run: "TestRegisterRandomSchedules|TestRegisterCopies", args: []string{"-register.seeds=3000"}, seed: "register.seed"},
	{class: simulator, name: "foundings", dir: "quorum", of: []string{"quorum"}, run: "Births|TestMoreThanExpected"},
	{class: simulator, name: "shards", dir: "mesh/core", of: []string{"quorum", "mesh/core"}, run: "TestShardRandom", seed: "shard.seed"},
	{class: simulator, name: "control", dir: "mesh/core", of: []string{"quorum", "mesh/core", "ring"}, run: "TestControlRandom"},
	{class: simulator, name: "plans", dir: "ring", of: []string{"ring"}, run: "TestPlanConverges|TestPlanWastesLittle"},
}

// looksFor reports whether the catcher is for a mutant.
func (c *catcher) looksFor(m *planted) bool {
	return slices.ContainsFunc(m.Where, func(file string) bool { return slices.Contains(c.of, path.Dir(file)) })
}

// patience is how long a run may take: a bug may well make a program hang.
func (c *catcher) patience() time.Duration { return max(20*time.Second, 10*c.usual) }
