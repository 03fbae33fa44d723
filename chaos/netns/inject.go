//go:build linux

package netns

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"actormesh/chaos/cluster"
)

// syncs are the system calls that put a file's contents on the disk.
const syncs = "fsync,fdatasync"

// tracer is a strace of a node's process, which has its fsyncs fail, or take longer.
type tracer struct {
	cmd  *exec.Cmd
	log  string
	said bytes.Buffer  // to be read when it is done
	done chan struct{} // closed when strace has ended
}

// attachTime bounds how long strace takes to have all threads.
const attachTime = 10 * time.Second

// trace attaches to a process. What it does to fsyncs is written to a file.
func trace(pid int, fails bool, delay time.Duration, log string) (*tracer, error) {
	inject := syncs
	if fails {
		inject += ":error=EIO"
	}
	if delay > 0 {
		inject += ":delay_exit=" + strconv.FormatInt(delay.Microseconds(), 10)
	}
	t := &tracer{log: log, done: make(chan struct{})}
	t.cmd = exec.Command("strace", "-f", "-q", "-o", log, "-e", "trace="+syncs, "-e", "inject="+inject, "-p", strconv.Itoa(pid))
	t.cmd.Stderr = &t.said
	t.cmd.WaitDelay = time.Second // for whoever else has its standard error
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		t.cmd.Wait() // it ends with the process as well
		close(t.done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), attachTime)
	defer cancel()
	if err := cluster.Until(ctx, func(context.Context) error { return t.attached(pid) }); err != nil {
		_, ended := t.end()
		return nil, errors.Join(fmt.Errorf("strace: %w: %s", err, bytes.TrimSpace(t.said.Bytes())), ended)
	}
	return t, nil
}

// errUntraced says that a thread is not traced.
var errUntraced = errors.New("strace has not attached")

// attached returns nil if strace has all threads of a process, or if it has ended
// because there is no process any more. Until then it must not be told to end: it
// would leave processes behind with which it finds out what the kernel can do.
func (t *tracer) attached(pid int) error {
	ended := false
	select {
	case <-t.done:
		ended = true
	default:
	}
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return err
	}
	tracer := fmt.Appendf(nil, "\nTracerPid:\t%d\n", t.cmd.Process.Pid)
	traced, others := 0, 0
	for _, name := range names {
		status, err := os.ReadFile(name)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH), bytes.Contains(status, []byte("\nState:\tZ")):
		case err != nil:
			return err
		case bytes.Contains(status, tracer):
			traced++
		default:
			others++
		}
	}
	switch {
	case others > 0 && ended:
		return fmt.Errorf("%w: %w", cluster.ErrHopeless, errUntraced)
	case others == 0 && (traced > 0 || ended):
		return nil
	}
	return errUntraced
}

// end detaches, and returns what was done, by its name among what a run has seen.
func (t *tracer) end() (map[string]int, error) {
	// That the process is gone, and strace with it, is nothing wrong.
	if err := t.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, err
	}
	<-t.done
	return readTrace(t.log)
}

// readTrace counts what strace has done to fsyncs.
func readTrace(log string) (map[string]int, error) {
	file, err := os.Open(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it has not come so far
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	did := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if strings.Contains(lines.Text(), " EIO ") {
			did["fsync failed"]++
		}
		if strings.Contains(lines.Text(), "(DELAYED)") {
			did["slow fsync"]++
		}
	}
	return did, lines.Err()
}
