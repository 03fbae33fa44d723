package local

import (
	"bytes"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// The first thread of a program does not end, whoever keeps it to himself. Here the main
// goroutine keeps it, so that it starts nothing.
func init() { runtime.LockOSThread() }

// TestProcessesOutliveThreads starts processes as nodes are, and then has goroutines end
// that keep their threads to themselves, as those of traps do: the processes answer.
func TestProcessesOutliveThreads(t *testing.T) {
	processes := make([]*cat, 32)
	var started sync.WaitGroup
	for i := range processes {
		processes[i] = newCat(t)
		started.Go(func() {
			if err := onKeptThread(processes[i].Start); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	if t.Failed() {
		return
	}

	// Each of these threads ends with its goroutine, and then what it started itself is
	// killed: that shows that it has.
	onThreads(64, func() {
		c := newCat(t)
		if err := c.Start(); err != nil {
			t.Error(err)
			return
		}
		started.Go(func() { _ = c.Wait() })
	}).Wait()
	started.Wait()

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

// cat is a process that says what it is told, and is killed when the thread ends that
// started it.
type cat struct {
	*exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func newCat(t *testing.T) *cat {
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Error(inErr, outErr)
	}
	return &cat{cmd, in, out}
}

// onThreads runs f in n goroutines, each locked to a thread of its own: together they
// have all threads but those that others keep. It returns when they have them.
func onThreads(n int, f func()) *sync.WaitGroup {
	var begun, done sync.WaitGroup
	begun.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			begun.Done()
			begun.Wait()
			f()
		})
	}
	begun.Wait()
	return &done
}
