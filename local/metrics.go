package local

import "actormesh/local/engine"

// Metrics are readings of the store, for monitoring.
type Metrics struct {
	engine.Metrics
	SyncedCommits uint64 // ever
}

// Metrics returns the store's readings.
func (s *Store) Metrics() Metrics { return Metrics{s.engine.Metrics(), s.commits.Load()} }
