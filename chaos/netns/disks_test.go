//go:build linux

package netns

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func mount(t *testing.T) (*disk, string) {
	t.Helper()
	needsAll(t)
	link := filepath.Join(t.TempDir(), "n1")
	d, err := newDisk(link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d, link
}

// write writes a file, and syncs it if it is to last.
func write(t *testing.T, name string, lasts bool) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(make([]byte, 5000))
	if lasts {
		err = errors.Join(err, file.Sync())
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// What was synced is there after a loss of power, and what was not is gone, again
// and again.
func TestPowerLoss(t *testing.T) {
	d, dir := mount(t)
	for i := range 3 {
		write(t, filepath.Join(dir, "synced"), true)
		write(t, filepath.Join(dir, "synced"), false)
		write(t, filepath.Join(dir, "lost"), false)
		if err := d.losePower(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "synced")); err != nil || info.Size() < int64(5000*(i+1)) {
			t.Errorf("what was synced is %v, %v", info, err)
		}
		if err := os.Truncate(filepath.Join(dir, "synced"), int64(5000*(i+1))); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "lost")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what was not synced is there: %v", err)
		}
	}
	write(t, filepath.Join(dir, "put there"), false)
	if err := errors.Join(d.sync(), d.losePower()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "put there")); err != nil {
		t.Error(err)
	}
}

// A full disk takes nothing, for as long as any fault says so, also when something
// is deleted.
func TestFull(t *testing.T) {
	d, dir := mount(t)
	write(t, filepath.Join(dir, "old"), true)
	room := func() uint64 {
		t.Helper()
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			t.Fatal(err)
		}
		return s.Bavail
	}
	before := room()
	one, err := d.fill()
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.fill()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.stuff(); err != nil {
		t.Error(err)
	}
	if n := room(); n != 0 {
		t.Errorf("%d blocks are free", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), make([]byte, 5000), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write into a full disk gives %v", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "old")), d.stuff()); err != nil {
		t.Error(err)
	}
	if err := one(); err != nil {
		t.Error(err)
	}
	if err := d.losePower(); err != nil { // which may take the ballast
		t.Error(err)
	}
	if err := d.stuff(); err != nil {
		t.Error(err)
	}
	if n := room(); n != 0 {
		t.Errorf("one fault is over, and %d blocks are free", n)
	}
	if err := two(); err != nil {
		t.Error(err)
	}
	if n := room(); n+10 < before {
		t.Errorf("%d blocks are free, of %d before", n, before)
	}
	write(t, filepath.Join(dir, "new"), true)
}
