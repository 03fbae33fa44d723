package main

import (
	"slices"
	"sync"
	"time"
)

// stats is what the clients have seen. The gap is the time between two
// successes, whosever they were, while a call was waiting.
type stats struct {
	mu        sync.Mutex
	waiting   int // calls under way
	tries     int
	latencies []time.Duration // of each success, retries included
	last      time.Time       // of the last success, or when there was work again
	gap       time.Duration   // the longest so far
}

func (s *stats) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == 0 {
		s.last = now
	}
	s.waiting++
}

func (s *stats) succeed(now time.Time, latency time.Duration, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	s.tries += tries
	s.latencies = append(s.latencies, latency)
	s.gap = max(s.gap, now.Sub(s.last))
	s.last = now
}

func (s *stats) done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.latencies)
}

// summary is what stats amount to.
type summary struct {
	done, retries          int
	gap, p50, p99, slowest time.Duration
}

func (s *stats) summary() summary {
	s.mu.Lock()
	sorted := slices.Sorted(slices.Values(s.latencies))
	r := summary{done: len(sorted), retries: s.tries - len(sorted), gap: s.gap}
	s.mu.Unlock()
	r.p50, r.p99, r.slowest = percentile(sorted, 50), percentile(sorted, 99), percentile(sorted, 100)
	return r
}

// percentile returns the smallest value that p percent of the sorted ones do not
// exceed; 0 for none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}
