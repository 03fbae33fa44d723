//go:build linux

package netns

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace that has no name: it is gone when it is closed
// and no process is in it.
type namespace struct {
	file *os.File
}

// own is the namespace of the thread that opens it.
const own = "/proc/thread-self/ns/net"

// newNamespace makes a namespace, which has nothing but a loopback that is down.
func newNamespace() (*namespace, error) {
	n := &namespace{}
	err := inside(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		n.file, err = os.Open(own)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("a network namespace: %w", err)
	}
	return n, nil
}

func (n *namespace) close() { n.file.Close() }

// path names the namespace to programs.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do calls f inside. What f opens and starts stays there; goroutines that it starts
// are outside.
func (n *namespace) do(f func() error) error {
	return inside(func() error { return unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET) }, f)
}

// inside takes this thread somewhere else, calls f, and takes it back.
func inside(enter, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(own)
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enter(); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("a thread cannot leave a namespace: %v", err)) // other goroutines would run there
		}
	}()
	return f()
}

// run runs a program inside, and returns what it says.
func (n *namespace) run(input, program string, args ...string) (string, error) {
	var out, said bytes.Buffer
	err := n.do(func() error {
		cmd := exec.Command(program, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
		return cmd.Run()
	})
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}
