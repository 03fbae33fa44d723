package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
)

// devNode is one process of a dev mesh.
type devNode struct {
	cmd   *exec.Cmd
	stdin io.Closer     // its end tells the process to end, also when this one is killed
	done  chan struct{} // closed when the process has ended
}

// startDevNode starts a process of this program with the arguments.
func startDevNode(executable string, args []string) (n *devNode, stdout, stderr io.Reader, err error) {
	cmd := exec.Command(executable, args...)
	cmd.Env = childEnv(os.Environ())
	cmd.SysProcAttr = ownGroup()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, nil, nil, err
	}
	if stderr, err = cmd.StderrPipe(); err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return &devNode{cmd: cmd, stdin: stdin, done: make(chan struct{})}, stdout, stderr, nil
}

// childEnv returns the environment without this program's settings: what a
// started node is to do is all on its command line.
func childEnv(env []string) []string {
	var rest []string
	for _, v := range env {
		if !strings.HasPrefix(v, envPrefix) {
			rest = append(rest, v)
		}
	}
	return rest
}
