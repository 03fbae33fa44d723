// Package bench measures systems side by side: the nodes of each are processes of
// their own with directories on one real disk, the clients are goroutines of this
// process, and all of it happens in one run.
//
//	Run ── repetition ── System.Start ── Cluster: fresh processes, empty directories
//	                        │
//	                        └─ cell ── Cluster.Dial ── Client ◄── drive: a closed loop
//	                                                     │           of so many clients
//	                        Sample ◄── latencies, CPU, fsyncs
//
// Repetitions are interleaved: each starts one system after the other, never two
// at a time, and in another order than the one before. A result is the median of
// the repetitions, with the lowest and the highest.
//
// The loops are closed: a client sends its next call when the last one is
// answered. A system that stalls is asked less meanwhile, so that the latencies
// say what these clients saw, and not what a steady stream of calls would.
package bench
