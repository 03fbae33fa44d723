package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 on every
// architecture that Go knows.
const tick = 10 * time.Millisecond

// processCPU returns the user and system time of a process, of all its threads.
func processCPU(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// Fields are counted from behind the command's name, which may hold
	// anything; utime and stime are the 14th and 15th of all.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has %d fields", path, len(fields))
	}
	return ticks(fields[11]) + ticks(fields[12]), nil
}

func ticks(field []byte) time.Duration {
	n, _ := strconv.ParseInt(string(field), 10, 64) // the kernel writes numbers
	return time.Duration(n) * tick
}

// machineCPU returns the time that all CPUs together were busy; 0 if unknown.
func machineCPU() time.Duration {
	stat, _ := os.ReadFile("/proc/stat") // unreadable is unknown
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 {
		return 0
	}
	var busy time.Duration
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		if i != 3 && i != 4 {
			busy += ticks(field)
		}
	}
	return busy
}

// device returns the directory in /sys of the block device that holds dir.
func device(dir string) string {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return ""
	}
	return fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
}

// deviceName returns the name of the block device that holds dir, or "".
func deviceName(dir string) string {
	path, err := filepath.EvalSymlinks(device(dir))
	if err != nil {
		return ""
	}
	return "/dev/" + filepath.Base(path)
}

// deviceFlushes returns how many flushes of its cache the block device that
// holds dir has completed; 0 if unknown.
func deviceFlushes(dir string) uint64 {
	stat, _ := os.ReadFile(filepath.Join(device(dir), "stat")) // unreadable is unknown
	fields := bytes.Fields(stat)
	if len(fields) < 16 {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[15]), 10, 64) // the kernel writes numbers
	return n
}

// filesystem returns the type of the file system that holds dir.
func filesystem(dir string) (name string, inMemory bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", false, fmt.Errorf("statfs %s: %w", dir, err)
	}
	switch int64(uint32(fs.Type)) {
	case unix.TMPFS_MAGIC:
		return "tmpfs", true, nil
	case unix.RAMFS_MAGIC:
		return "ramfs", true, nil
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", false, nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", false, nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", false, nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs", false, nil
	}
	return fmt.Sprintf("file system %#x", uint32(fs.Type)), false, nil
}

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// kernel returns the system's name and release.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "linux"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// processor returns the CPU's model, or "".
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // unreadable is unknown
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return ""
}
