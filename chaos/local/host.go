package local

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// host is a place for the processes of one node, and what the run wants of it.
type host struct {
	e    *engine
	node *cluster.Node

	mu     sync.Mutex
	wanted bool // it is to run
	holds  int  // faults that keep it down
	pauses int  // faults that keep it still
	blamed bool // it has been given a reason to end by itself
}

// start starts the node's process, if nothing keeps it down.
func (h *host) start() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = true
	return h.run()
}

// run starts the process and watches it. The caller has the lock.
func (h *host) run() error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if h.holds > 0 || !h.wanted || h.e.over || h.node.Running() {
		return nil
	}
	if h.e.rollsBack() {
		if err := copyDir(h.node.Data, h.earlier()); err != nil {
			return err
		}
	}
	if err := h.e.ground.Start(h.node); err != nil {
		return err
	}
	h.e.counts["start"]++
	exited := h.node.Exited()
	h.e.running.Go(func() {
		<-exited
		h.exit()
	})
	return nil
}

// wipePause is how long the operator takes to do what a node's last words ask for:
// to wipe a directory that is of no use any more.
const wipePause = 2 * time.Second

// exit sees to a process that has ended.
func (h *host) exit() {
	h.e.mu.Lock()
	over := h.e.over
	h.e.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if over || !h.wanted || h.holds > 0 || h.node.Running() {
		return
	}
	h.e.count("process ended by itself", 1)
	if !h.blamed {
		h.e.find("%s ended by itself with code %d:\n%s", h.node.Name, h.node.ExitCode(), h.node.Tail(3))
	}
	words := h.node.Tail(3)
	if strings.Contains(words, "damaged") {
		h.e.count(damageFound, 1)
	}
	if !strings.Contains(words, "wipe") {
		return
	}
	h.e.count("directory wiped", 1)
	h.mu.Unlock()
	time.Sleep(wipePause)
	h.mu.Lock()
	if h.node.Running() || h.holds > 0 {
		return // somebody else has started it, or wants it down
	}
	if err := errors.Join(os.RemoveAll(h.node.Data), h.run()); err != nil {
		h.e.find("%s: %v", h.node.Name, err)
	}
}

// hold keeps the node down until the function is called. end ends its process.
func (h *host) hold(end func() error) (undo func() error, err error) {
	h.mu.Lock()
	h.holds++
	h.mu.Unlock()
	err = end()
	return func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.holds--
		return h.run()
	}, err
}

// drain has the process give up what it owns, and waits until it has exited.
func (h *host) drain() error {
	if err := h.node.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case <-h.node.Exited():
		return nil
	case <-timer.C:
		h.e.count("drain took too long", 1)
		return h.node.Kill()
	}
}

// pause has the process stand still until the function is called.
func (h *host) pause() (undo func() error, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pauses++
	err = h.node.Stop()
	return func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.pauses--; h.pauses > 0 {
			return nil
		}
		return h.node.Continue()
	}, err
}

// losePower ends the process, and takes what its disk has not kept.
func (h *host) losePower(f *script.Fault) error {
	if err := h.node.Kill(); err != nil {
		return err
	}
	_, err := h.e.ground.Below(f, h.node)
	return err
}

// below does what a fault does to what is below the process, until the function is
// called: it starts a process that has ended by itself meanwhile.
func (h *host) below(f *script.Fault) (undo func() error, err error) {
	h.blame()
	u, err := h.e.ground.Below(f, h.node)
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := u(); err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.run()
	}, nil
}

// copyTo copies the node's directory as it is at one moment.
func (h *host) copyTo(dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.node.Stop(); err != nil {
		return err
	}
	err := copyDir(h.node.Data, dir)
	if h.pauses == 0 {
		err = errors.Join(err, h.node.Continue())
	}
	return err
}

// earlier is where the directory is kept as it was before the last start, if a
// fault needs it.
func (h *host) earlier() string { return h.node.Data + ".earlier" }

// restart kills the process and starts another, on what replace makes of the
// directory.
func (h *host) restart(replace func() error) error {
	undo, err := h.hold(h.node.Kill)
	if err == nil {
		err = replace()
	}
	return errors.Join(err, undo())
}
