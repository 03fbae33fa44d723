package local

import (
	"time"

	"actormesh/chaos/workload"
)

// A machine that gives this process no time for as long as this gives the nodes
// none either: leases lapse, calls end without an answer.
const (
	pulsePeriod = 20 * time.Millisecond
	stallTime   = 200 * time.Millisecond
	// stallPause is how far two stalls are apart at least to be told as two.
	stallPause = time.Second
)

// pulse notes when the machine stands still, as long as it can wait until a time of
// the run. What follows from a stall is no fault of the mesh.
func (e *engine) pulse(wait func(until time.Duration) bool) {
	last := e.since()
	for wait(last + pulsePeriod) {
		now := e.since()
		if now-last > stallTime {
			e.stalled(last, now)
		}
		last = now
	}
}

// stalled tells of a stall like of a fault, for calls recover from it as from one.
func (e *engine) stalled(began, ended time.Duration) {
	e.count("machine stood still", 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.bands {
		if b := &e.bands[i]; b.Verb == workload.Stall && began-b.End < stallPause {
			b.End = ended
			return
		}
	}
	e.addBand(workload.Band{Verb: workload.Stall, Text: "the machine stands still", Begin: began, End: ended})
}
