// Package script is the language in which a chaos run is written: how large the
// mesh is, what its clients call, what is done to it and when, and what must hold
// in the end. It is text, one statement a line; docs/chaos.md is its reference.
//
//	Parse ─► Script ─► Expand(seed) ─► Plan ─► an engine runs it
//	  ▲                                 │  └─► Shrink: a smaller plan that still fails
//	  └────────── Plan.Text ◄───────────┘
//
// A Script may leave things to chance: "any" node, a fault every few seconds, a
// workload of so many calls. Expand settles all of that from a seed. The Plan that
// results is a list of faults and calls, each with its time, and nothing in it is
// random any more. A Plan is printed in the same language, and that text expands
// to the same Plan again, whatever the seed; so a run that failed, or its smallest
// part that fails, is kept as a script like any other.
//
// What a plan leaves open is what only the run can know, such as who owns an actor
// when the time comes. An engine finds that out through World.
//
// The package has no clock and no I/O of its own, and one script and seed give one
// Plan, byte for byte.
package script
