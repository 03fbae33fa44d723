//go:build !mutant

package mutant

// On reports whether this process has the bug. In this build it has none.
func On(Name) bool { return false }
