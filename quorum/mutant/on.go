//go:build mutant

package mutant

import "os"

// Variable is the environment variable that names the bug of a process.
const Variable = "MESH_MUTANT"

var active = choose(Name(os.Getenv(Variable)))

// choose refuses a name that is no mutant's: a typing mistake would run a program
// without a bug, and be taken for a bug that nobody catches.
func choose(n Name) Name {
	if n != "" && registry[n].Breaks == "" {
		panic("mutant: " + Variable + " names no mutant: " + string(n))
	}
	return n
}

// On reports whether this process has the bug.
func On(n Name) bool { return n == active }
