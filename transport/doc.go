// Package transport carries everything that nodes and clients of a mesh say to
// each other: over QUIC with mutual TLS, on one UDP port, which gossip shares.
//
//	       Transport                                  Transport
//	SendLog, SendControl ──► queue ──► writer ──► uni stream ──► Handler.Log, .Control
//	SendBeat ───────────────────────► writer ──► datagram ───► Handler.Beat
//	Call ──► queue ──► writer ──► call stream ──► Handler.Call
//	  ▲───────── replies ◄────── the same stream ◄── reply ◄──┘
//	Ask, OpenSnapshot, Gossip ──► a connection of its own ──► Config.Answer, Handler.Snapshot, Gossip
//
// A connection begins with a Hello in each direction on its first stream; the
// name in it must be that of the certificate. Every other stream begins with
// one byte, its class, for which the certificate's role must suffice. Between
// two nodes there is one connection, dialled by the one that first had
// something to send; if both dialled, both connections live, and both nodes
// send on that of the lower id. A connection that is lost is dialled again when
// there is something to send, after a pause that doubles with each failure.
//
// Sending never blocks and never dials: frames are encoded into a bounded
// queue and written by a goroutine, all that is queued in one write. What is
// queued when a connection is lost may be lost with it; the cores are written
// for that.
//
// Goroutines: one for each accepted connection and each stream that is read,
// three for each peer. All of them end before Close returns.
package transport
