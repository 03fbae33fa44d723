// Package mesh runs durable virtual actors on a mesh of nodes.
//
// A plain struct is an actor's durable state, and its methods are its handlers:
//
//	type Counter struct{ N int }
//
//	func (c *Counter) Add(ctx *mesh.Ctx, n int) (int, error) { c.N += n; return c.N, nil }
//	func (c *Counter) Get(ctx *mesh.View, _ mesh.None) (int, error) { return c.N, nil }
//
//	node, err := mesh.Start(ctx, conf, mesh.Host[Counter]("counter"))
//	n, err := mesh.Call(ctx, mesh.Get[Counter](node, "visits"), (*Counter).Add, 1)
//
// An actor exists by its name; it is activated at its first call, on the node
// that owns its slot, and a call's reply leaves only when what the call did is
// on the disks of a majority of the slot's replicas. At most one node runs an
// actor at a time, and a request id takes effect once, whatever crashes and
// however often it is repeated. docs/DESIGN.md says how.
//
// # Inside
//
// This package is the shell around the pure cores of mesh/core: goroutines,
// clocks, I/O, and the users' code.
//
//	HTTP ─┐                 ┌────────── shardLoop ──────────┐
//	Go ───┼─► router ──────►│ inbox ─► core.Shard ─► Ready  │──► committer ─► store
//	QUIC ─┘   (any node)    │   ▲                     │     │──► transport
//	                        │   └── turns ◄───────────┘     │──► folder, loads, ...
//	                        └───────────────────────────────┘
//	gossip ─► controlLoop: core.Control ─► views ─► every shardLoop, router
//
// One goroutine owns each core; others give it events through its inbox. A view
// is immutable and is read through an atomic pointer.
package mesh
