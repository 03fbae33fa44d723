package local

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestProcessesOutliveThreads starts processes as nodes are, and then has goroutines end
// that keep their threads to themselves, as those of traps do.
func TestProcessesOutliveThreads(t *testing.T) {
	var all sync.WaitGroup
	cmds := make([]*exec.Cmd, 32)
	for i := range cmds {
		cmds[i] = exec.Command("sleep", "60")
		cmds[i].SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		all.Go(func() {
			if err := onKeptThread(cmds[i].Start); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	together := make(chan struct{})
	for range 64 {
		all.Go(func() {
			runtime.LockOSThread() // and it ends so
			<-together
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(together)
	all.Wait()
	time.Sleep(100 * time.Millisecond)
	for _, cmd := range cmds {
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 {
			t.Errorf("it has ended: %v, %v", status.Signal(), err)
			continue
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
