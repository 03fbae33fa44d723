// Package explore searches all behaviours of a few nodes, within stated bounds,
// for one that breaks an invariant of docs/spec. What it steps is the production
// code of package quorum, not a model of it: what is explored is what runs.
//
//	            ┌───────────────── world ─────────────────┐
//	action ───► │ node a │ node b │ ... │ network │ facts │ ───► world, new or known
//	            └───┬─────────────────────────────────────┘
//	                │ one node's state and one event: the code is run
//	                ▼ once for each such pair, and remembered
//	      state after, messages sent, facts
//
// An action happens to one node: a message comes, the view changes, a client
// writes, a write ends, the process crashes. As a state machine's step depends on
// its own state and the event only, what it does is computed once for every pair
// of the two, by running the node's own events again from its start; a world is
// then a handful of numbers. Two states of a node are the same if their canonical
// encodings are ([quorum.Slot.AppendState] and its siblings).
//
// The network is either a set that only grows, so that every message may be lost
// (it never comes), repeated and late; or a bounded multiset, from which messages
// are taken and lost for good, so that the code's own repeats are needed.
//
// Facts are what was said to the world outside, such as "committed up to here at
// this ballot". They are kept when the node that said them is gone, and are what
// most invariants are about.
//
// The search is breadth first, so a counterexample is as short as any. It prints
// as a list of steps, which is also the script that replays it:
//
//	go run ./chaos/explore/cmd --replay FILE
//
// docs/adr/0005-explorer.md says why it is built so, and what it does not cover.
package explore
