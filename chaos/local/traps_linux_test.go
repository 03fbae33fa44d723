package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// writerFlag makes the test's own binary a process that only writes.
const writerFlag = "--only-write"

func init() { others[writerFlag] = onlyWrite }

// onlyWrite appends to a file again and again, and tells how that went.
func onlyWrite(args []string) error {
	dir := args[slices.Index(args, "--data")+1]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		block := bytes.Repeat([]byte{byte(1 + i%255)}, blockBytes)
		_, written := file.Write(block)
		began := time.Now()
		synced := file.Sync()
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			return err
		}
		fmt.Printf("write: %v, sync: %v, slow: %v, room: %v\n", said(written), said(synced), time.Since(began) > slowSync, int64(s.Bavail)*s.Frsize > someRoom)
		time.Sleep(5 * time.Millisecond)
	}
}

const blockBytes = 64 << 10

const slowSync = 300 * time.Millisecond

func said(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return fmt.Sprint(err)
}

// A process is told of its disk what the faults say, and of nothing else.
func TestTraps(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	faults := plan(t, "at 1s disk n1 eio\nat 2s disk n1 slow 400ms\nat 3s disk n1 full\nat 4s power-loss n1\nat 5s disk n1 misdirect")
	ground := trap(newRelay(1), faults)
	dir := t.TempDir()
	n := &cluster.Node{Name: "n1", Data: filepath.Join(dir, "n1"), Log: filepath.Join(dir, "log"), Binary: os.Args[0], Args: []string{writerFlag}}
	if err := ground.Start(n); errors.Is(err, errNoTraps) {
		ground.Close()
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		at := len(n.Said())
		err := cluster.Until(ctx, func(context.Context) error {
			if text := n.Said()[at:]; !strings.Contains(text, want) {
				return fmt.Errorf("it does not say %q but %q", want, text[max(0, len(text)-100):])
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	const well = "write: <nil>, sync: <nil>, slow: false, room: true"
	until(well)
	for i, want := range []string{
		"write: <nil>, sync: input/output error, slow: false, room: true",
		"write: <nil>, sync: <nil>, slow: true, room: true",
		"write: no space left on device, sync: <nil>, slow: false, room: false",
	} {
		undo, err := ground.Below(&faults.Faults[i], n)
		if err != nil {
			t.Fatal(err)
		}
		until(want)
		if err := undo(); err != nil {
			t.Error(err)
		}
		until(well)
	}
	if _, err := ground.Below(&faults.Faults[4], n); err != nil {
		t.Fatal(err)
	}
	until(well) // it knows of nothing
	until(well)
	// What was written since the last fsync that succeeded is lost with the power.
	if _, err := ground.Below(&faults.Faults[0], n); err != nil {
		t.Fatal(err)
	}
	until("sync: input/output error")
	until("sync: input/output error")
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.Data, "file")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := int64(len(content))
	if !slices.ContainsFunc(slices.Collect(slices.Chunk(content, blockBytes)), func(b []byte) bool {
		return bytes.Equal(b, make([]byte, blockBytes))
	}) {
		t.Errorf("of %d bytes none is missing that went elsewhere", before)
	}
	if _, err := ground.Below(&faults.Faults[3], n); err != nil {
		t.Error(err)
	}
	if _, after, err := idOf(file); err != nil || after == 0 || after > before-2*blockBytes {
		t.Errorf("a loss of power leaves %d of %d bytes, %v", after, before, err)
	}
	if err := ground.Close(); err != nil {
		t.Error(err)
	}
	saw := ground.Saw()
	for _, what := range []string{"fsync failed", "slow fsync", "disk full", "room told", "crash before an fsync", writeMisdirected} {
		if saw[what] == 0 {
			t.Errorf("it saw no %s: %v", what, saw)
		}
	}
	if _, err := ground.Below(&script.Fault{Verb: script.Clock, Mode: script.Stop}, n); err == nil {
		t.Error("a clock stands still")
	}
}

// Only what needs it takes traps.
func TestTrapNothing(t *testing.T) {
	relay := newRelay(1)
	defer relay.Close()
	if ground := trap(relay, plan(t, "at 1s..2s kill n1\nat 3s disk n1 flip")); ground != Ground(relay) {
		t.Error("processes are trapped whose disks never fail")
	}
}
