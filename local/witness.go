package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	witnessName  = "WITNESS"
	witnessBytes = 28
)

// testimony is what the witness says: how many synced commits there have been,
// and how long the synced part of which MANIFEST is.
type testimony struct {
	commits       uint64
	manifest      uint64 // number in the file's name
	manifestBytes uint64
}

// witness keeps the testimony in a small file, overwritten in place. It is
// written only after what it says has been synced, and is not synced itself: it
// may say too little, never too much.
type witness struct {
	fs  vfs.FS
	dir string

	mu   sync.Mutex
	file vfs.File // nil until the store is open
	says testimony
	err  error // first failed write
}

// readWitness returns the testimony of an earlier run. A missing or torn file
// says nothing.
func readWitness(fs vfs.FS, dir string) (t testimony, err error) {
	f, err := fs.Open(fs.PathJoin(dir, witnessName))
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	defer f.Close()
	var b [witnessBytes]byte
	switch _, err := io.ReadFull(f, b[:]); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return t, nil
	case err != nil:
		return t, err
	}
	if crc32.Checksum(b[:24], castagnoli) != binary.BigEndian.Uint32(b[24:]) {
		return t, nil
	}
	t.commits = binary.BigEndian.Uint64(b[0:])
	t.manifest = binary.BigEndian.Uint64(b[8:])
	t.manifestBytes = binary.BigEndian.Uint64(b[16:])
	return t, nil
}

// open begins to write the file, which from here on exists durably.
func (w *witness) open(commits uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := w.fs.OpenReadWrite(w.fs.PathJoin(w.dir, witnessName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.file = f
	w.says.commits = commits
	w.write()
	if err := errors.Join(w.err, f.Sync()); err != nil {
		return err
	}
	d, err := w.fs.OpenDir(w.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (w *witness) write() {
	if w.file == nil || w.err != nil {
		return
	}
	var b [witnessBytes]byte
	binary.BigEndian.PutUint64(b[0:], w.says.commits)
	binary.BigEndian.PutUint64(b[8:], w.says.manifest)
	binary.BigEndian.PutUint64(b[16:], w.says.manifestBytes)
	binary.BigEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	_, w.err = w.file.WriteAt(b[:], 0)
}

// noteCommits says that so many synced commits are durable.
func (w *witness) noteCommits(n uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.says.commits = n
	w.write()
	return w.err
}

// noteManifest says that so much of a MANIFEST is synced.
func (w *witness) noteManifest(number, bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number >= w.says.manifest {
		w.says.manifest, w.says.manifestBytes = number, bytes
		w.write()
	}
}

// close syncs the file and closes it.
func (w *witness) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	w.file = nil
	return err
}

// checkManifest compares the MANIFEST that Pebble will read with the testimony.
// Pebble takes a damaged record there for the torn end of a crash, and would open
// an older version of the store.
func checkManifest(fs vfs.FS, dir string, t testimony) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return classifyOpen(err)
	}
	if !desc.Exists {
		if t.commits > 0 {
			return damaged("there is no MANIFEST")
		}
		return nil
	}
	if number, ok := manifestNumber(fs.PathBase(desc.ManifestFilename)); !ok || number != t.manifest {
		return nil // the witness knows nothing about it
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return classifyOpen(err)
	}
	defer f.Close()
	rr := record.NewReader(f, 0)
	for uint64(rr.Offset()) < t.manifestBytes {
		r, err := rr.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return damaged("MANIFEST ends before byte %d, which was synced: %v", t.manifestBytes, err)
		}
	}
	return nil
}

func manifestNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, "MANIFEST-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// witnessedFS tells the witness how much of each MANIFEST has been synced.
type witnessedFS struct {
	vfs.FS
	w *witness
}

// Create creates a file.
func (fs witnessedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if number, ok := manifestNumber(fs.PathBase(name)); ok {
		return &manifestFile{File: f, w: fs.w, number: number}, nil
	}
	return f, nil
}

// Unwrap returns the file system below.
func (fs witnessedFS) Unwrap() vfs.FS { return fs.FS }

type manifestFile struct {
	vfs.File
	w       *witness
	number  uint64
	written uint64
}

// Write appends to the file.
func (f *manifestFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.written += uint64(n)
	return n, err
}

// Sync makes durable what was written.
func (f *manifestFile) Sync() error {
	err := f.File.Sync()
	if err == nil {
		f.w.noteManifest(f.number, f.written)
	}
	return err
}
