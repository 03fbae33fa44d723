package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"actormesh/bench"
)

// TestBare puts values into each store and finds them on disk, with at most one
// batch a call.
func TestBare(t *testing.T) {
	for name, fsyncs := range map[string]uint64{"fdatasync": 1, "pebble-x3": nodes} {
		dir := t.TempDir()
		s, err := new(options).system(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Start(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		const calls = 50
		value := strings.Repeat("v", bench.ValueBytes)
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				client, err := c.Dial(t.Context(), "bare", calls)
				if err == nil {
					err = client.Do(t.Context(), i, bench.Request{Workload: bench.KVPut, Key: i, Value: value})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		counters, err := c.Counters(t.Context())
		if err != nil || counters.Fsyncs < fsyncs || counters.Fsyncs > calls*fsyncs {
			t.Errorf("%s: %+v, %v", name, counters, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got := bytesUnder(t, dir); got < int64(fsyncs)*calls*bench.ValueBytes {
			t.Errorf("%s has written %d bytes", name, got)
		}
	}
}

// bytesUnder returns how large the files under dir are together.
func bytesUnder(t *testing.T, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
