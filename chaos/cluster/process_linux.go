package cluster

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// attributes puts a node into a process group of its own, so that a Ctrl-C is
// for this program only, and has the kernel end it when this program ends in
// whatever way. To the kernel that is the thread which started it: a program whose
// threads end must start nodes from a thread that stays.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// stopped reports whether the process is in the state "T", or "t" if something
// traces it. The signal is sent to the process, and its threads stop one after the
// other.
func stopped(pid int) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
		at := bytes.LastIndexByte(stat, ')') // the state follows the command's name
		if err != nil || at < 0 || !bytes.HasPrefix(bytes.ToUpper(stat[at:]), []byte(") T")) {
			return false
		}
	}
	return true
}
