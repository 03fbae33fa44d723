//go:build race

package quorum

// The race detector has nothing to find in a package without goroutines.
func init() { slotSchedules = 600 }
