// Package report tells how a chaos run went: a verdict in text, the plan and the
// history, a timeline as a picture, and where an actor's history cannot be
// explained, Porcupine's page of it.
//
//	workload.Run ─► Check ─► verdict.txt
//	      ├─► series, latencies, bands, owners ─► timeline.svg, timeline.png
//	      ├─► plan.chaos, history.txt           (one run, one text, byte for byte)
//	      └─► linear-*.html                     (of a run that failed)
package report
