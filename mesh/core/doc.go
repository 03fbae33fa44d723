// Package core holds a node as two kinds of pure state machines: one Control,
// and a Shard for each part of the slots. They have no goroutine, no clock and
// no I/O: a loop of package mesh gives each its events and does what it wants
// done, and a test or the simulator can do so in virtual time.
//
//	gossip, peers ──► Control ◄── reports, verdicts ── Shard ◄── slot messages, calls
//	                     │                                ▲
//	                     └── views, heartbeats, leases ───┘
//
// What must be durable before something leaves is held back in the core, until
// the end of the write is told to it as an event.
package core
