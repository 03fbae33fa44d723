package bench

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Disk is where the data is, and how long it takes to be safe there.
type Disk struct {
	Dir        string  `json:"dir"`
	Filesystem string  `json:"filesystem"`
	Device     string  `json:"device,omitempty"`
	SyncP50us  float64 `json:"fdatasync_p50_us"` // of probeBytes appended
	SyncP99us  float64 `json:"fdatasync_p99_us"`
	Flushes    uint64  `json:"probe_flushes"` // that the device counted for probes of them; 0 if it counts none
}

// The probe of a disk: so many appends of so many bytes, each made durable.
const (
	probes     = 300
	probeBytes = 4096
)

// ErrInMemory says that a directory is not on a disk: nothing is durable there,
// and a measurement of it would say nothing.
var ErrInMemory = errors.New("it is in memory, not on a disk")

// TempDir makes a directory for the data of a run, under parent, or, if that is
// empty, where temporary files go, or in the working directory if those are kept
// in memory.
func TempDir(parent string) (string, error) {
	parents := []string{parent}
	if parent == "" {
		parents = []string{os.TempDir(), "/var/tmp", "."}
	}
	var errs []error
	for _, p := range parents {
		name, inMemory, err := filesystem(p)
		if err == nil && inMemory {
			err = fmt.Errorf("%s is on %s: %w", p, name, ErrInMemory)
		}
		if err == nil {
			return os.MkdirTemp(p, "meshnode-bench-")
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// probeDisk measures the disk that holds dir.
func probeDisk(dir string) (d Disk, err error) {
	d = Disk{Dir: dir, Device: deviceName(dir)}
	if d.Filesystem, _, err = filesystem(dir); err != nil {
		return d, err
	}
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	took := make([]time.Duration, probes)
	block := make([]byte, probeBytes)
	before := deviceFlushes(dir)
	for i := range took {
		if _, err := f.Write(block); err != nil {
			return d, err
		}
		start := time.Now()
		if err := fdatasync(f); err != nil {
			return d, fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		took[i] = time.Since(start)
	}
	d.Flushes = deviceFlushes(dir) - before
	slices.Sort(took)
	d.SyncP50us = micros(int64(took[len(took)/2]))
	d.SyncP99us = micros(int64(took[len(took)*99/100]))
	return d, nil
}
