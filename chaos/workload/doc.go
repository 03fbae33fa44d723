// Package workload is what clients do to a mesh during a chaos run, and how it is
// told afterwards whether the mesh kept its promises.
//
//	Plan.Calls ─► Client ─► Attempt ─► engine ─► an actor of Kinds
//	                ▲                    │            │ keeps a journal of
//	                └──── Outcome ◄──────┤            │ all that it applied
//	                                     ▼            ▼
//	                                  History       Final
//	                                     └──► Check ◄─┘
//
// An actor journals each operation that it applies, by its id and in order. So at
// the end of a run nothing is left to guess: an operation whose answer was lost is
// in the journal, or it never happened; one that is in it twice was applied twice;
// one that was acknowledged and is not in it was lost. Every answer says how long
// the journal was, which makes the search for an order that explains all answers
// short.
//
// Engines drive the clients: the package has no goroutine and no clock of its own.
package workload
