// Package mutant plants bugs. A mutant is the program with one guard taken out,
// or one line as the textbooks warn of it: whoever checks the program must catch
// every one of them, for a check that cannot fail proves nothing.
//
// Where a guard stands, the code asks On with the mutant's name:
//
//	if m.Ballot.Less(s.promise.Ballot) && !mutant.On(mutant.LowAppend) {
//
// In a normal build On is the constant false, and nothing is left of the question.
// With the build tag `mutant`, the environment variable MESH_MUTANT names the one
// bug that this process has. registry.go says of each what it breaks, and
// chaos/mutants runs them all.
package mutant

// Name names a mutant: on the command line, in MESH_MUTANT, and in
// docs/HAZARDS.md.
type Name string
