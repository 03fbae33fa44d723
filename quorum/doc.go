// Package quorum is the agreement of the mesh: who is a member, who owns a slot,
// and what a slot's log holds. All of it is pure: state machines that are stepped
// with messages, times and ends of writes, and that leave what is to be written,
// sent and reported. There is no goroutine, clock or I/O here.
//
// It has three protocols, specified in docs/spec and told in docs/DESIGN.md.
//
// # The view register
//
// The voters of a view choose the next one by single-decree Paxos [Register], and
// keep the list of the starts of all nodes [Starts]. See ViewRegister.tla.
//
// # The slot log
//
// A [Slot] is one node's part in the log of one slot. The newest view's [Row]
// appoints the owner, Paxos's first phase makes the appointment safe, and from
// then on the log is Raft's. See SlotLog.tla.
//
// A replica:
//
//	                   a seal of a higher ballot comes
//	┌─────────────────┐ ───────────────────────────► ┌─────────────────────┐
//	│ follows the     │                              │ the seal waits for  │
//	│ promised owner  │ ◄─────────────────────────── │ the old owner's     │
//	└─────────────────┘   its lease ends, or it says │ lease; the old one  │
//	  │ ▲                 that it knows: promise     │ is followed on      │
//	  └─┘                                            └─────────────────────┘
//	an append at the promised ballot or above is taken at once, and is a promise
//
// An owner, at each ballot (slot epoch, boot):
//
//	          a majority of the set and of      the highest log is here,
//	          each of `from` has promised       the barrier is appended
//	┌─────────┐          ┌──────────┐          ┌─────────┐
//	│ sealing │ ───────► │ fetching │ ───────► │ opening │
//	└─────────┘          └──────────┘          └─────────┘
//	     │  own log is the highest                ▲  │ the barrier is committed,
//	     └────────────────────────────────────────┘  ▼ and durable here
//	                                           ┌────────┐
//	                                           │ active │
//	                                           └────────┘
//
// Any of them ends when a view appoints another owner or a higher ballot is
// promised here (SlotLost), or begins anew when a view keeps the owner in a new
// slot epoch (SlotPaused, and SlotActive with Kept if nobody ruled in between).
//
// What a replica says is durable before it is said: [Env].Flush numbers the
// writes of a batch, [Slot.Persisted] brings back that they are on the disk, and
// promises and acknowledgements wait for that. Everything may be lost, repeated
// and reordered on the way.
//
// # Leases
//
// [Leases] let an owner answer reads alone: a majority of its replicas has
// promised to promise nobody else for a time. See SlotLease.tla.
//
// # What is stored
//
// A log consists of [Entry] values, each with an encoded [Record]: one committed
// invocation of one actor. Folded, an actor's records are a [Base].
package quorum
