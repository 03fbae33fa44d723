package local

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The part of seccomp(2) and seccomp_unotify(2) that answers system calls of other
// processes. It needs no root, and Linux 5.19.

// notice is struct seccomp_notif: a thread waits in a system call.
type notice struct {
	ID    uint64
	Tid   uint32
	Flags uint32
	Call  int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// reply is struct seccomp_notif_resp.
type reply struct {
	ID    uint64
	Value int64
	Errno int32 // below 0
	Flags uint32
}

const (
	replyContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel does what was asked
	ioctlValid    = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	offsetCall    = 0          // in struct seccomp_data
	offsetArch    = 4
)

// errNoTraps says that the machine cannot do that: its kernel is too old, or a
// container forbids it.
var errNoTraps = errors.New("disks cannot fail on this machine")

var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// filterOf returns the program that has the system calls wait for an answer.
func filterOf(calls []uint32, arch uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	returns := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	filter := []unix.SockFilter{load(offsetArch), equal(arch, 1, 0), returns(unix.SECCOMP_RET_ALLOW), load(offsetCall)}
	for i, call := range calls {
		filter = append(filter, equal(call, uint8(len(calls)-i), 0))
	}
	return append(filter, returns(unix.SECCOMP_RET_ALLOW), returns(unix.SECCOMP_RET_USER_NOTIF))
}

// trapThread has these system calls wait for an answer: those of the calling thread,
// to which its goroutine must be locked for good, and of the processes that it starts.
func trapThread(calls []uint32) (*os.File, error) {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("%w: on %s", errNoTraps, runtime.GOARCH)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("%w: seccomp: %w", errNoTraps, err)
	}
	filter := filterOf(calls, arch)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without the second flag a signal, such as the Go runtime sends itself, would
	// have a call begin again that waits.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return nil, fmt.Errorf("%w: seccomp: %w", errNoTraps, errno)
	}
	if err := unix.SetNonblock(int(fd), true); err != nil {
		unix.Close(int(fd))
		return nil, err
	}
	return os.NewFile(fd, "seccomp"), nil
}

// eachNotice calls answer for each system call that waits, until the listener is
// closed.
func eachNotice(listener *os.File, answer func(*notice)) {
	conn, err := listener.SyscallConn()
	for err == nil {
		var n notice
		err = conn.Read(func(fd uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(poll, 0); err != nil || poll[0].Revents&unix.POLLIN == 0 {
				return false // the ioctl would wait, and its thread with it
			}
			return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) == nil // it may have been killed meanwhile
		})
		if err == nil {
			answer(&n)
		}
	}
}

// send answers a system call. One whose process was killed has nobody to be told.
func send(listener *os.File, r reply) {
	conn, err := listener.SyscallConn()
	if err == nil {
		conn.Control(func(fd uintptr) { ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) })
	}
}

// waits reports whether the system call still does, so that its thread is who it was.
func waits(listener *os.File, n *notice) bool {
	conn, err := listener.SyscallConn()
	ok := false
	if err == nil {
		conn.Control(func(fd uintptr) { ok = ioctl(fd, ioctlValid, unsafe.Pointer(&n.ID)) == nil })
	}
	return ok
}

func ioctl(fd, request uintptr, value unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(value)); errno != 0 {
		return errno
	}
	return nil
}
