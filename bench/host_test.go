package bench

import (
	"errors"
	"os"
	"runtime"
	"testing"
)

// TestProcessCPU uses some, until it shows in this process and in the machine.
func TestProcessCPU(t *testing.T) {
	before, err := processCPU(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	machine := machineCPU()
	for now := before; err == nil && (now == before || machineCPU() == machine); {
		now, err = processCPU(os.Getpid())
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := processCPU(-1); err == nil {
		t.Error("a process that is not")
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	d, err := probeDisk(dir)
	if err != nil || d.Dir != dir || d.Filesystem == "" || d.SyncP50us <= 0 || d.SyncP99us < d.SyncP50us {
		t.Errorf("%+v, %v", d, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := TempDir(dir + "/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestMemoryIsNoDisk refuses a directory in which nothing lasts.
func TestMemoryIsNoDisk(t *testing.T) {
	const shm = "/dev/shm"
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says what a directory is on")
	}
	if _, inMemory, err := filesystem(shm); err != nil || !inMemory {
		t.Skipf("%s is no tmpfs here: %v", shm, err)
	}
	if dir, err := TempDir(shm); !errors.Is(err, ErrInMemory) {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv("TMPDIR", shm)
	dir, err := TempDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	if _, inMemory, err := filesystem(dir); err != nil || inMemory {
		t.Errorf("%s is in memory, %v", dir, err)
	}
}
