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
	of    []string // it looks for the mutants in these files, as path.Match has it
	tags  string   // of the build, if not the usual ones
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

// The files whose mutants an instrument looks for.
var (
	registerFiles  = []string{"quorum/register*.go", "quorum/starts.go", "quorum/types.go"}
	slotFiles      = []string{"quorum/slot.go", "quorum/lead.go", "quorum/lease.go", "quorum/base.go", "quorum/types.go"}
	quorumFiles    = []string{"quorum/*.go"}
	coreFiles      = []string{"mesh/core/*.go"}
	ringFiles      = []string{"ring/*.go"}
	meshFiles      = []string{"mesh/*.go"}
	localFiles     = []string{"local/*.go"}
	transportFiles = []string{"transport/*.go"}
)

// catchers are the instruments, of each class those first that are quick. To add
// one, add a line; a test that runs seeds has "seed N" in what it says when it fails.
var catchers = []catcher{
	{class: tests, name: "scripts of the register and the slot log", dir: "quorum", of: quorumFiles,
		skip: "Random|TestRegisterCopies|Births|TestMoreThanExpected"},
	{class: tests, name: "scripts of shards and control", dir: "mesh/core", skip: "Random",
		of: slices.Concat(quorumFiles, coreFiles, ringFiles)},
	{class: tests, name: "placement", dir: "ring", of: ringFiles, skip: "TestPlanConverges|TestPlanWastesLittle"},
	{class: tests, name: "the store", dir: "local", of: localFiles, skip: "TestCrash|Fuzz"},
	{class: tests, name: "turns and the node", dir: "mesh", of: meshFiles, clocked: true},
	{class: tests, name: "connections", dir: "transport", of: transportFiles, clocked: true},
	{class: tests, name: "dead code", make: "dead", of: []string{"quorum/mutant/*.go"}},

	{class: simulator, name: "slot log", dir: "quorum", of: slotFiles, run: "TestSlotRandomSchedules", seed: "seed"},
	{class: simulator, name: "register", dir: "quorum", of: registerFiles,
		run: "TestRegisterRandomSchedules|TestRegisterCopies", args: []string{"-register.seeds=3000"}, seed: "register.seed"},
	{class: simulator, name: "foundings", dir: "quorum", of: []string{"quorum/found.go"}, run: "Births|TestMoreThanExpected"},
	{class: simulator, name: "shards", dir: "mesh/core", of: slices.Concat(slotFiles, coreFiles), run: "TestShardRandom", seed: "shard.seed"},
	{class: simulator, name: "control", dir: "mesh/core", run: "TestControlRandom",
		of: slices.Concat(registerFiles, coreFiles, ringFiles, []string{"quorum/found.go"})},
	{class: simulator, name: "a crashing disk", dir: "local", of: localFiles, run: "TestCrash", seed: "crash-seed"},
	{class: simulator, name: "plans", dir: "ring", of: ringFiles, run: "TestPlanConverges|TestPlanWastesLittle"},
	{class: simulator, name: "whole nodes", dir: "chaos/sim", tags: "mutant", run: "TestWild", args: []string{"-sim.seeds=20"}, seed: "sim.seed",
		of: slices.Concat(quorumFiles, coreFiles, ringFiles, meshFiles, localFiles)},

	{class: explorer, name: "the register", dir: "chaos/explore", of: registerFiles, run: "TestExploreRegister|TestExploreVoters",
		args: []string{"-test.short"}},
	{class: explorer, name: "the slot log", dir: "chaos/explore", run: "TestExploreSlot", args: []string{"-test.short"},
		of: []string{"quorum/slot.go", "quorum/lead.go", "quorum/types.go"}},
	{class: explorer, name: "leases", dir: "chaos/explore", of: []string{"quorum/lease.go", "quorum/lead.go", "quorum/slot.go"},
		run: "TestExploreLease"},
}

// looksFor reports whether the catcher is for a mutant.
func (c *catcher) looksFor(m *planted) bool {
	return slices.ContainsFunc(m.Where, func(file string) bool {
		return slices.ContainsFunc(c.of, func(pattern string) bool {
			matched, _ := path.Match(pattern, file)
			return matched
		})
	})
}

// patience is how long a run may take: a bug may well make a program hang.
func (c *catcher) patience() time.Duration { return max(time.Minute, 4*c.usual) }
