//go:build !linux

package bench

import (
	"errors"
	"os"
	"runtime"
	"time"
)

// processCPU is not known here.
func processCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

// machineCPU is not known here.
func machineCPU() time.Duration { return 0 }

// deviceName is not known here.
func deviceName(string) string { return "" }

// deviceFlushes is not known here.
func deviceFlushes(string) uint64 { return 0 }

// filesystem takes every directory for one on a disk.
func filesystem(string) (name string, inMemory bool, err error) { return "file system", false, nil }

func fdatasync(f *os.File) error { return f.Sync() }

// kernel returns the system's name.
func kernel() string { return runtime.GOOS }

// processor is not known here.
func processor() string { return "" }
