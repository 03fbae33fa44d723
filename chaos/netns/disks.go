//go:build linux

package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// disk is an ext4 filesystem in a file. Its mount has no place in the tree of files:
// a file descriptor holds it, and a symbolic link leads there.
type disk struct {
	link string
	loop *os.File // its device, which is free when it is closed and nothing is mounted

	mu    sync.Mutex
	mount *os.File
	full  int // faults for which no room is left
}

// diskBytes is the size of a disk, of which only what is used takes room.
const diskBytes = 1 << 30

// newDisk makes a disk that is seen at link.
func newDisk(link string) (*disk, error) {
	image := link + ".ext4"
	file, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the device has its own
	if err := file.Truncate(diskBytes); err != nil {
		return nil, err
	}
	// No blocks are kept back for root, which is who writes here.
	said, err := exec.Command("mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=1,lazy_journal_init=1", image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, said)
	}
	d := &disk{link: link}
	if d.loop, err = attach(file); err != nil {
		return nil, err
	}
	if err := d.insert(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// attach returns a loop device on a file.
func attach(file *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("a loop device: %w", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if err = unix.IoctlLoopConfigure(int(loop.Fd()), &config); err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return nil, fmt.Errorf("%s: %w", loop.Name(), err)
		}
	}
}

// insertTime bounds how long a disk that was removed may still be in use.
const insertTime = 10 * time.Second

// insert mounts the disk. The caller has the lock, or is the only one.
func (d *disk) insert() error {
	deadline := time.Now().Add(insertTime)
	for {
		err := d.tryInsert()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// tryInsert mounts the disk. Where the mount before is not yet quite gone, what is
// mounted is that again, and nothing can be written.
func (d *disk) tryInsert() (err error) {
	fail := func(what string, err error) error { return fmt.Errorf("mount %s: %s: %w", d.loop.Name(), what, err) }
	context, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail("fsopen", err)
	}
	defer unix.Close(context)
	// What was not synced is to be lost: ext4 shall not hurry to write it.
	for name, value := range map[string]string{"source": d.loop.Name(), "commit": "600"} {
		if err := unix.FsconfigSetString(context, name, value); err != nil {
			return fail(name, err)
		}
	}
	if err := unix.FsconfigSetFlag(context, "noauto_da_alloc"); err != nil {
		return fail("noauto_da_alloc", err)
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return fail("create", err)
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fail("fsmount", err)
	}
	mount := os.NewFile(uintptr(fd), d.loop.Name())
	root := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	probe := filepath.Join(root, ".probe")
	if err := errors.Join(os.WriteFile(probe, nil, 0o600), os.Remove(probe)); err != nil {
		return errors.Join(err, mount.Close())
	}
	os.Remove(d.link)
	if err := os.Symlink(root, d.link); err != nil {
		return errors.Join(err, mount.Close())
	}
	d.mount = mount
	return nil
}

// The request that shuts an ext4 filesystem down, and its flag: what is not in the
// journal's log on the disk is not written any more.
const (
	ext4Shutdown    = 0x8004587D // _IOR('X', 125, __u32)
	shutdownNoFlush = 2
)

// losePower takes everything that was not synced. Nobody may use the disk.
func (d *disk) losePower() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := os.Open(d.link)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(int(root.Fd()), ext4Shutdown, shutdownNoFlush)
	if err := errors.Join(err, root.Close(), d.mount.Close()); err != nil {
		return fmt.Errorf("shut %s down: %w", d.loop.Name(), err)
	}
	return d.insert()
}

// sync writes everything: what the operator has put there is there.
func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := os.Open(d.link)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(root.Fd())), root.Close())
}

// close removes the disk. The image stays.
func (d *disk) close() error {
	var err error
	if d.mount != nil {
		err = errors.Join(os.Remove(d.link), d.mount.Close())
	}
	return errors.Join(err, d.loop.Close())
}

// ballast is the file that takes all room, and ballastInterval how soon it takes what
// has become free.
const (
	ballast         = ".ballast"
	ballastInterval = 50 * time.Millisecond
)

// fill leaves no room on the disk, until the function is called.
func (d *disk) fill() (undo func() error, err error) {
	d.mu.Lock()
	d.full++
	d.mu.Unlock()
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		ticker := time.NewTicker(ballastInterval)
		defer ticker.Stop()
		for err := d.stuff(); ; err = d.stuff() {
			select {
			case <-ticker.C:
				if err == nil {
					continue
				}
			case <-stop:
			}
			failed <- err
			return
		}
	}()
	return func() error {
		close(stop)
		err := <-failed
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.full--; d.full == 0 {
			err = errors.Join(err, os.Remove(filepath.Join(d.link, ballast)))
		}
		return err
	}, nil
}

// stuff takes the room that there is.
func (d *disk) stuff() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, err := os.OpenFile(filepath.Join(d.link, ballast), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return ignoreFull(err)
	}
	defer file.Close()
	for {
		var room unix.Statfs_t
		var has unix.Stat_t
		if err := errors.Join(unix.Fstatfs(int(file.Fd()), &room), unix.Fstat(int(file.Fd()), &has)); err != nil {
			return err
		}
		// What cannot be had at once is tried in smaller pieces.
		want := int64(room.Bavail)
		for want > 0 && unix.Fallocate(int(file.Fd()), 0, has.Blocks*512, want*room.Bsize) != nil {
			want /= 2
		}
		if want == 0 {
			return nil
		}
	}
}

// ignoreFull says that nothing is wrong where there is no room for a new file.
func ignoreFull(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}
