package local

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// overwritten returns what a file holds after a write.
func overwritten(content []byte, at int64, block []byte) []byte {
	out := append(slices.Clone(content), make([]byte, max(0, int(at)+len(block)-len(content)))...)
	copy(out[at:], block)
	return out
}

// A loss of power leaves what was synced last; a torn one, that and a first part of
// what was written since.
func TestUnsynced(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		name := filepath.Join(dir, "file")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		u := unsynced{}
		var now []byte
		possible := [][]byte{nil} // from what is synced on, sector by sector
		for range rng.IntN(12) {
			if rng.IntN(4) == 0 {
				if err := u.synced(name); err != nil {
					t.Fatal(err)
				}
				possible = [][]byte{now}
				continue
			}
			at := rng.Int64N(int64(len(now)) + 1)
			block := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(2000))
			if err := u.written(name, at, int64(len(block))); err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt(block, at); err != nil {
				t.Fatal(err)
			}
			for part := sectorBytes; part < len(block); part += sectorBytes {
				possible = append(possible, overwritten(now, at, block[:part]))
			}
			now = overwritten(now, at, block)
			possible = append(possible, now)
		}
		file.Close()
		var torn *rand.Rand
		if seed%2 > 0 {
			torn = rng
		} else {
			possible = possible[:1]
		}
		if _, err := u.lose(dir, torn); err != nil || len(u) > 0 {
			t.Fatalf("seed %d: %v, and %d files are still unsynced", seed, err, len(u))
		}
		got, err := os.ReadFile(name)
		if err != nil || !slices.ContainsFunc(possible, func(p []byte) bool { return bytes.Equal(p, got) }) {
			t.Fatalf("seed %d: %v, %d bytes are left; could be any of %d, the first of %d bytes", seed, err, len(got), len(possible), len(possible[0]))
		}
	}
}

// A write that its process did not live to do is not undone, and a file that is gone
// is not missed.
func TestUnsyncedNever(t *testing.T) {
	dir := t.TempDir()
	u := unsynced{}
	for _, name := range []string{"kept", "gone"} {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte("abc"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := u.written(name, 2, 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if lost, err := u.lose(dir, nil); err != nil || lost != 1 {
		t.Errorf("%d writes are lost, %v", lost, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || string(got) != "abc" {
		t.Errorf("it holds %q, %v", got, err)
	}
}
