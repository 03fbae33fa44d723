package local

import (
	"bytes"
	"errors"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A flip turns one bit in one file, and every file has its turn.
func TestFlipBit(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{filepath.Join(dir, "none"): {}}
	write := func() {
		for name, b := range contents {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	if _, err := flipBit(dir, rng); !errors.Is(err, errNothingStored) {
		t.Errorf("where nothing is stored a flip gives %v", err)
	}
	contents[filepath.Join(dir, "a")] = bytes.Repeat([]byte{7}, 30)
	contents[filepath.Join(dir, "deep", "b")] = bytes.Repeat([]byte{9}, 10)
	write()
	hits := map[string]int{}
	for range 200 {
		name, err := flipBit(dir, rng)
		if err != nil {
			t.Fatal(err)
		}
		hits[filepath.Base(name)]++
		for other, before := range contents {
			after, err := os.ReadFile(other)
			if err != nil || len(after) != len(before) {
				t.Fatalf("%s: %v, %d bytes", other, err, len(after))
			}
			turned := 0
			for i := range after {
				turned += bits.OnesCount8(after[i] ^ before[i])
			}
			if want := map[bool]int{true: 1}[other == name]; turned != want {
				t.Fatalf("a flip in %s turned %d bits of %s", name, turned, other)
			}
		}
		write()
	}
	if hits["a"] < 120 || hits["b"] < 25 || len(hits) != 2 {
		t.Errorf("of 200 flips in files of 30 and of 10 bytes these were hit: %v", hits)
	}
	if _, err := flipBit(filepath.Join(dir, "absent"), rng); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there gives %v", err)
	}
}
