package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// The files that are checked in are the ones that this program writes.
func TestFilesAreGenerated(t *testing.T) {
	openings, transfers := generate(rand.New(rand.NewPCG(2, 10_000)))
	for name, want := range map[string][]byte{"../openings.csv": openings, "../transfers.csv": transfers} {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes", name)
		}
	}
}
