// Package local runs a chaos plan on real processes, on loopback:
//
//	clients ── HTTP ──► 127.0.0.1:H1  process n1  127.0.0.1:P1 ◄──┐
//	                                                              │
//	            what others send to n1 goes to 127.0.0.2:P1 ──► relay: cuts, losses, delays
//
// A node listens on 127.0.0.1 and tells the others that it is on 127.0.0.2. There,
// at the same port, is the relay. It knows by the port of a packet which node has
// sent it, does to it what the plan has for that direction, and passes it on from
// the sender's own address on 127.0.0.2, to which the answer goes. So every packet
// between nodes can be hurt, and the processes are the program as it is.
//
// Clients are not cut off: they speak HTTP to the nodes themselves.
//
// A disk fails where a plan says so by what the process is told of it: its fsyncs,
// writes and questions for room wait until the engine has answered them, by seccomp's
// user notifications. An fsync fails or takes longer; a write finds no room; and a
// loss of power undoes the writes that no fsync has followed, in the files of the
// process that was killed. No root is needed for that, and nothing in the program.
//
// It needs a system on which all of 127.0.0.0/8 is loopback, such as Linux, and for
// disks Linux 5.19.
package local
