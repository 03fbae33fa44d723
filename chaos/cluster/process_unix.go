//go:build unix

package cluster

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// Stop freezes the process with SIGSTOP and waits until all of its threads
// stand still; Continue lets it go on.
func (n *Node) Stop() error {
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return Until(ctx, func(context.Context) error {
		if p := n.current(); p != nil && !p.ended() && !stopped(p.cmd.Process.Pid) {
			return fmt.Errorf("%s does not stop", n.Name)
		}
		return nil
	})
}

const stopTimeout = 5 * time.Second

// Continue lets a stopped process go on.
func (n *Node) Continue() error { return n.Signal(syscall.SIGCONT) }
