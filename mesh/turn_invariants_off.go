//go:build !invariants

package mesh

// invariantsEnabled turns costly checks of the user's code and of our own on.
const invariantsEnabled = false
