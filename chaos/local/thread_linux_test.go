package local

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestProcessesOutliveThreads starts processes as nodes are, and then has goroutines end
// that keep their threads to themselves, as those of traps do: the processes answer.
func TestProcessesOutliveThreads(t *testing.T) {
	type process struct {
		*exec.Cmd
		in  io.WriteCloser
		out io.Reader
	}
	processes := make([]process, 32)
	var all sync.WaitGroup
	for i := range processes {
		cmd := exec.Command("cat")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		in, inErr := cmd.StdinPipe()
		out, outErr := cmd.StdoutPipe()
		if inErr != nil || outErr != nil {
			t.Fatal(inErr, outErr)
		}
		processes[i] = process{cmd, in, out}
		all.Go(func() {
			if err := onKeptThread(cmd.Start); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}

	var locked sync.WaitGroup
	threads := make([]int, 64)
	together := make(chan struct{})
	for i := range threads {
		locked.Add(1)
		all.Go(func() {
			runtime.LockOSThread() // and it ends so
			threads[i] = syscall.Gettid()
			locked.Done()
			<-together
		})
	}
	locked.Wait() // each has a thread, all that there were but this goroutine's
	close(together)
	all.Wait()
	for _, id := range threads {
		for id != os.Getpid() { // the first thread of a program stays, and does nothing any more
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id)); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}

	for _, p := range processes {
		word, answer := []byte("alive"), make([]byte, 5)
		_, err := p.in.Write(word)
		if err == nil {
			_, err = io.ReadFull(p.out, answer)
		}
		if err != nil || !bytes.Equal(answer, word) {
			t.Errorf("it has ended: %q, %v", answer, err)
		}
		_ = p.in.Close()
		_ = p.Wait()
	}
}
