package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// straceTimeout bounds how long strace takes to begin, and to end.
const straceTimeout = 5 * time.Second

// fsyncWatch is strace, which counts a few processes' calls of fsync and
// fdatasync.
type fsyncWatch struct {
	cmd  *exec.Cmd
	out  *os.File       // where its summary goes
	said sync.WaitGroup // until its standard error has been read
}

// watchFsyncs begins to count, and returns when every process is watched. It fails
// where strace is not installed, or not allowed to look.
func watchFsyncs(ctx context.Context, pids []int) (*fsyncWatch, error) {
	if len(pids) == 0 {
		return nil, errors.New("their ids are not known")
	}
	out, err := os.CreateTemp("", "meshnode-strace-")
	if err != nil {
		return nil, err
	}
	args := []string{"-f", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync", "-o", out.Name()}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	w := &fsyncWatch{cmd: exec.CommandContext(ctx, "strace", args...), out: out}
	said, err := w.cmd.StderrPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, w.remove())
	}
	giveUp := time.AfterFunc(straceTimeout, func() { w.cmd.Process.Kill() }) // then there is nothing more to read
	attached, lines := 0, bufio.NewScanner(said)
	last := ""
	for attached < len(pids) && lines.Scan() {
		last = lines.Text()
		for _, pid := range pids {
			if strings.Contains(last, fmt.Sprintf("Process %d attached", pid)) {
				attached++
			}
		}
	}
	if !giveUp.Stop() || attached < len(pids) {
		w.cmd.Process.Kill()
		w.cmd.Wait() // it was killed
		return nil, errors.Join(fmt.Errorf("strace watches %d of %d processes: %s", attached, len(pids), last), w.remove())
	}
	w.said.Go(func() { io.Copy(io.Discard, said) }) // of threads that are new; it ends with strace
	return w, nil
}

func (w *fsyncWatch) remove() error { return errors.Join(w.out.Close(), os.Remove(w.out.Name())) }

// end ends the watch, and returns how many calls there were.
func (w *fsyncWatch) end() (n int, err error) {
	defer func() { err = errors.Join(err, w.remove()) }()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	giveUp := time.AfterFunc(straceTimeout, func() { w.cmd.Process.Kill() })
	defer giveUp.Stop()
	w.said.Wait()
	w.cmd.Wait() // it ends by the signal, and says so; whether it counted is in its file
	summary, err := os.ReadFile(w.out.Name())
	if err != nil {
		return 0, err
	}
	return countCalls(string(summary))
}

// countCalls reads strace's summary: lines of a count and a name. That of nothing
// is empty.
func countCalls(summary string) (n int, err error) {
	for line := range strings.Lines(summary) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != "fsync" && fields[1] != "fdatasync" {
			continue
		}
		calls, err := strconv.Atoi(fields[0])
		if err != nil {
			return 0, fmt.Errorf("strace counts %q", line)
		}
		n += calls
	}
	return n, nil
}
