package local

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"actormesh/chaos/script"
)

// errNothingStored says that a directory holds no file with anything in it.
var errNothingStored = errors.New("nothing is stored there")

// damageFound is what is counted where a node says that its store is damaged.
const damageFound = "damage found"

// maxFlipTries bounds how often a file may be gone before it is hit.
const maxFlipTries = 10

// flip turns one bit of what the node has stored, whether it runs or not. What the
// node finds then is its own matter.
func (h *host) flip(f *script.Fault) error {
	h.blame()
	rng := rand.New(rand.NewPCG(h.e.plan.Seed, uint64(f.At)))
	name, err := flipBit(h.node.Data, rng)
	for tries := 1; tries < maxFlipTries && errors.Is(err, fs.ErrNotExist); tries++ {
		name, err = flipBit(h.node.Data, rng) // the process had just deleted the file
	}
	if err != nil {
		return err
	}
	h.e.count("bit flipped", 1)
	h.e.count("bit flipped of "+strings.Trim(filepath.Base(name), "-.0123456789"), 1)
	h.e.count(damageFound, 0) // from now on that can be asked for
	return nil
}

// flipBit turns one bit below a directory, each as likely as any other, and returns
// the file that it is in. It is done in place, so that a process which has the file
// open sees it too.
func flipBit(dir string, rng *rand.Rand) (name string, err error) {
	var names []string
	var ends []int64 // of the files, were they one after the other
	total := int64(0)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
			names, ends = append(names, name), append(ends, total)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if total == 0 {
		return "", fmt.Errorf("%s: %w", dir, errNothingStored)
	}
	at := rng.Int64N(total)
	i, _ := slices.BinarySearch(ends, at+1)
	if i > 0 {
		at -= ends[i-1]
	}
	file, err := os.OpenFile(names[i], os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return "", err
	}
	b[0] ^= 1 << rng.IntN(8)
	_, err = file.WriteAt(b[:], at)
	return names[i], err
}
