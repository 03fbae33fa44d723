package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// fileID is a file, whatever its name; the number of one that is gone is used again.
type fileID struct {
	inode uint64
	born  unix.StatxTimestamp
}

func idOf(name string) (fileID, int64, error) {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_INO|unix.STATX_BTIME|unix.STATX_SIZE, &s); err != nil {
		return fileID{}, 0, err
	}
	return fileID{s.Ino, s.Btime}, int64(s.Size), nil
}

// patch is a write that no fsync has followed, and what undoes it.
type patch struct {
	at    int64
	bytes int64
	was   []byte // what it replaced: less than it wrote where it made the file longer
	size  int64  // of the file, before
}

// unsynced is what a disk has not kept yet, by file and in order. Only what files hold
// is lost with it: their names and directories are kept.
type unsynced map[fileID][]patch

// written notes a write to the file behind a link, before it is done.
func (u unsynced) written(link string, at, bytes int64) error {
	id, size, err := idOf(link)
	if err != nil {
		return err
	}
	p := patch{at: at, bytes: bytes, size: size}
	if replaced := min(size, at+bytes) - at; replaced > 0 {
		file, err := os.Open(link)
		if err != nil {
			return err
		}
		defer file.Close()
		p.was = make([]byte, replaced)
		if _, err := file.ReadAt(p.was, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	u[id] = append(u[id], p)
	return nil
}

// synced notes that all of a file is on its disk.
func (u unsynced) synced(link string) error {
	id, _, err := idOf(link)
	delete(u, id)
	return err
}

// sectorBytes is what a disk writes as a whole.
const sectorBytes = 512

// lose takes from the files below a directory what was not synced, and returns how
// many writes that were. If torn is not nil, a part of them stays.
func (u unsynced) lose(dir string, torn *rand.Rand) (lost int, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		id, _, err := idOf(name)
		if err != nil || len(u[id]) == 0 {
			return err
		}
		patches := u[id]
		if torn != nil {
			patches = tear(patches, torn)
		}
		lost += len(patches)
		return undoWrites(name, patches)
	})
	clear(u)
	return lost, err
}

// tear returns the writes that are to be undone of a file: the last ones, the first of
// them but for its first sectors.
func tear(patches []patch, rng *rand.Rand) []patch {
	patches = slices.Clone(patches[rng.IntN(len(patches)):])
	p := &patches[0]
	keep := rng.Int64N(p.bytes/sectorBytes+1) * sectorBytes
	p.size = max(p.size, p.at+keep)
	p.was = p.was[min(keep, int64(len(p.was))):]
	p.at += keep
	return patches
}

// undoWrites undoes writes to a file, the last first.
func undoWrites(name string, patches []patch) (err error) {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, p := range slices.Backward(patches) {
		if _, err := file.WriteAt(p.was, p.at); err != nil {
			return err
		}
		if info, err := file.Stat(); err != nil || info.Size() <= p.size {
			continue // the write never came to be
		}
		if err := file.Truncate(p.size); err != nil {
			return err
		}
	}
	return nil
}

// offsetOf returns where a thread's descriptor is in its file.
func offsetOf(tid uint32, fd uint64) (at int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", tid, fd))
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(string(text), "pos: %d", &at)
	return at, err
}
