//go:build invariants

package local

// invariantsEnabled turns costly checks of our own code on.
const invariantsEnabled = true
