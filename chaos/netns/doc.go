// Package netns runs a chaos plan on real processes, each in a network namespace
// and on a disk of its own:
//
//	        namespace of n1                                 namespace of n2
//	┌────────────────────────────┐                  ┌────────────────────────────┐
//	│ process ── eth0 127.77.0.1 │                  │ 127.77.0.2 eth0 ── process │
//	└────┬────────────┬──────────┘                  └──────────┬────────────┬────┘
//	   strace        veth                                     veth        strace
//	     │            │  namespace of the switch               │            │
//	     │       ┌────┴─ p1 ─── bridge: cuts, losses ─── p2 ───┴────┐       │
//	     │       └───────────── at each port: slow links ───────────┘       │
//	   ext4 on a loop device                                 ext4 on a loop device
//
// Cuts are a set of pairs of addresses in the switch's nftables, lost packets are
// drawn there, and a slow link is a class of a port's token buckets. Packets are the
// kernel's, and so are the disks: one that loses power is shut down as ext4 can be,
// without its journal, and mounted again; one that is full has no block left; fsyncs
// fail and take their time where strace has them do so. A pause is SIGSTOP.
//
// Nothing has a name. Namespaces and mounts are held by this process's file
// descriptors and by the nodes, and the nodes end with it: when it is gone, in
// whatever way, the kernel has taken down all of it, and there is nothing that two
// runs could have in common. The addresses are loopback ones, which a namespace can
// be told to route, so that nodes need no certificates, and none of them could be
// reached from outside if the namespaces were not enough. Clients connect from
// within the namespace of the node that they call, and are not cut off.
//
// It needs Linux, root, and the programs of a few packages; Probe names what a plan
// would lack. There is no delay, repetition or reordering of packets and no clock
// that is wrong: these take netem and libfaketime, which few machines have.
package netns
