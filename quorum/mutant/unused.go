//go:build mutant_unused_guard

package mutant

// Guarded is the mutant UnusedGuard: a guard that nobody calls. Whoever looks for
// dead code must find it when the tag above is set.
func Guarded() bool { return On(UnusedGuard) }
