package local

// Metrics are readings of the store, for monitoring.
type Metrics struct {
	DiskBytes           uint64 // all files, those that wait for their deletion included
	WALBytes            uint64 // live data in the write-ahead log
	MemTableBytes       uint64
	CacheBytes          int64
	CacheHits           int64 // block cache, since the start
	CacheMisses         int64
	ReadAmplification   int // sorted runs that a read may have to look at
	L0Files             int64
	CompactionDebtBytes uint64
	Flushes             int64  // since the start
	Compactions         int64  // since the start
	WriteStalls         int64  // since the start
	SyncedCommits       uint64 // ever
}

// Metrics returns the store's readings.
func (s *Store) Metrics() Metrics {
	m := s.db.Metrics()
	return Metrics{
		DiskBytes:           m.DiskSpaceUsage(),
		WALBytes:            m.WAL.Size,
		MemTableBytes:       m.MemTable.Size,
		CacheBytes:          m.BlockCache.Size,
		CacheHits:           m.BlockCache.Hits,
		CacheMisses:         m.BlockCache.Misses,
		ReadAmplification:   m.ReadAmp(),
		L0Files:             m.Levels[0].TablesCount,
		CompactionDebtBytes: m.Compact.EstimatedDebt,
		Flushes:             m.Flush.Count,
		Compactions:         m.Compact.Count,
		WriteStalls:         s.stalls.Load(),
		SyncedCommits:       s.commits.Load(),
	}
}
