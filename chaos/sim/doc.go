// Package sim runs whole nodes in one goroutine and in virtual time: the code of
// package mesh and of all below it, over a modelled network, modelled disks and
// clocks that drift. The same plan and seed, the same run, event by event.
//
//	plan ──► world: one heap of events by time
//	           ├─ machines: a clock, a disk, and a process while one runs
//	           │     └─ process: a mesh.Environment; its goroutines are coroutines
//	           ├─ network: delays, loses, repeats, reorders, cuts
//	           ├─ clients: the calls of the plan
//	           └─ watchers: what each node's cores decide is checked as they do
//
// A node is made of tasks that wait by mesh.Environment, and of nothing else that
// blocks. Here each is a coroutine; when an event has happened to a process, those
// of its tasks go on whose wait is over.
package sim
