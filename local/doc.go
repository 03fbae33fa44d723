// Package local is what one node keeps on its disk: the slots' logs, the actors
// folded from them, what this node promised as an acceptor, and who it is. It is
// one Pebble store in one directory.
//
// # Keys
//
// All numbers in keys are big endian. "actor" is the length of an ActorKey in
// two bytes and the key itself, so that no actor's keys are a prefix of
// another's. The barriers of a slot are records of the empty actor.
//
//	00                             format of the store; written first, checked first
//	01 field                       identity: disk, boot, name, cluster, left, register, peers, reset key
//	02                             count of synced commits, see below
//	10 slot                        the slot's promise: ballot, owner
//	20 slot 01                     the slot's base: position and rolling hash
//	20 slot 02 actor lsn           record: one entry of the slot's log
//	20 slot 03 actor 'b'           the actor folded: quorum.Base without marks
//	20 slot 03 actor 'c'           wall time before which no own key is left
//	20 slot 03 actor 'd' key       answer to a client's own key
//	20 slot 03 actor 'k' key       the actor's ordered keys
//	20 slot 03 actor 'm' source    highest send applied, by source
//	20 slot 03 actor 'n' target    highest send number used, by target
//	20 slot 03 actor 'x' wall key  own keys in the order in which they expire
//	20 slot 04 actor               the folded actor has sends or timers outstanding
//
// Everything of a slot but its promise is in the range [20 slot, 20 slot+1), so
// that a snapshot replaces it, and Discard deletes it, in one step, and the
// promise stays. An actor's log is one range of records. A slot's records are
// beside each other and apart from what is folded, which is larger and colder.
//
// # A record's value
//
//	0   version, flags, feature level (2)
//	4   crc32c over the key from the slot on, and over all of the value but itself
//	8   ballot: epoch, boot
//	24  ballot of the slot's previous entry: epoch, boot
//	40  rolling hash of the slot's log
//	48  the encoded quorum.Record; empty for a barrier
//
// # Durability
//
//	Batch ──Commit(sync)──► WAL ──fsync──► returns ──► witness (not synced)
//	                          └─► memtable ──flush──► SST
//
// A synced Commit returns when all that it and every earlier Commit wrote is on
// disk. Fold writes without a sync: what it loses in a crash it does again, from
// records whose deletion was lost with it.
//
// A log whose last synced bytes were damaged looks like one that ended before
// them. Pebble's WAL says in each chunk how far the log was synced before, which
// leaves only the chunks at the very end in doubt. So each synced commit carries a
// count, and the file WITNESS, written after the fsync and never waited for, says
// how high the count has been, and how long the synced MANIFEST has been: a
// store that knows less than its witness is damaged. The witness never claims
// what was not durable before it was written.
//
// A store that is found damaged refuses to open (ErrDamaged), and a store whose
// write or fsync failed refuses every later commit (ErrFailed): the node comes
// back as a new disk, or is started again, never with a shorter log.
//
// # Concurrency
//
// Commits are serialized; they are meant to come from one goroutine. Reads may
// come from many. Fold works beside both, and drops what it has computed if the
// slot was discarded or replaced meanwhile.
package local
