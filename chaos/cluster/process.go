package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Node is one place for a process of the mesh: a name, a data directory and
// addresses that stay the same from start to start. Its methods may be called
// from several goroutines.
type Node struct {
	Name   string
	Data   string   // data directory; its parent exists
	Listen string   // address for QUIC and gossip
	HTTP   string   // address for HTTP
	Binary string   // the program: meshnode, or one with its command line
	Args   []string // further flags of start, such as --expect or --join
	Log    string   // file to which standard output and error are appended

	mu      sync.Mutex
	process *process // the last one started
}

// process is one start. Its done is closed when it has ended and was reaped.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// ErrRunning says that a node's process was started and has not ended.
var ErrRunning = errors.New("the node is running")

// Start starts the process and returns at once. What it says goes to Log.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && !n.process.ended() {
		return fmt.Errorf("%s: %w", n.Name, ErrRunning)
	}
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	args := append([]string{"start", "--name", n.Name, "--data", n.Data,
		"--listen", n.Listen, "--http", n.HTTP}, n.Args...)
	cmd := exec.Command(n.Binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait() // the code is in cmd.ProcessState
		close(p.done)
	}()
	n.process = p
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (n *Node) current() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// Running reports whether the process was started and has not ended.
func (n *Node) Running() bool {
	p := n.current()
	return p != nil && !p.ended()
}

// PID returns the process's id, or 0 if none runs.
func (n *Node) PID() int {
	p := n.current()
	if p == nil || p.ended() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Exited is closed when the process that runs now has ended. It is closed
// already for a node that was never started.
func (n *Node) Exited() <-chan struct{} {
	if p := n.current(); p != nil {
		return p.done
	}
	never := make(chan struct{})
	close(never)
	return never
}

// ExitCode returns the last process's exit code: -1 if a signal ended it, or
// if it has not ended.
func (n *Node) ExitCode() int {
	p := n.current()
	if p == nil || !p.ended() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process, if it runs.
func (n *Node) Signal(sig syscall.Signal) error {
	p := n.current()
	if p == nil || p.ended() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s to %s: %w", sig, n.Name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL, also one that is stopped, and waits until
// it is gone. It does nothing if none runs.
func (n *Node) Kill() error {
	if err := n.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-n.Exited()
	return nil
}

// Said returns everything that the node's processes have written.
func (n *Node) Said() string {
	text, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Tail returns the last lines that the node's processes have written.
func (n *Node) Tail(lines int) string {
	text := bytes.TrimRight([]byte(n.Said()), "\n")
	at := len(text)
	for range lines {
		if at = bytes.LastIndexByte(text[:at], '\n'); at < 0 {
			return string(text)
		}
	}
	return string(text[at+1:])
}

// CopyData copies the data directory of a node that does not run to a new
// directory, as a backup or a cloned disk would.
func (n *Node) CopyData(to string) error {
	if n.Running() {
		return fmt.Errorf("copy the data of %s: %w", n.Name, ErrRunning)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(n.Data))
}
