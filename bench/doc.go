// Package bench measures systems side by side: the nodes of each are processes of
// their own with directories on one real disk, the clients are goroutines of this
// process, and all of it happens in one run.
//
//	Run ── repetition ── System.Start ── Cluster: fresh processes, empty directories
//	                        │
//	                        └─ cell ── Cluster.Dial ── Client ◄── drive: a loop
//	                                                     │           of so many clients
//	                        Sample ◄── latencies, CPU, fsyncs
//
// Repetitions are interleaved: each starts one system after the other, never two
// at a time, and in another order than the one before. A result is the median of
// the repetitions, with the lowest and the highest.
//
// Loops are closed or open. In a closed one a client sends its next call when the
// last one is answered: a system that stalls is asked less meanwhile, so that the
// latencies say what these clients saw. In an open one calls come at fixed times,
// and latencies count from those, as a steady stream of calls would see them.
package bench
