package mesh

import "sync"

// taskGroup counts tasks that run. Only a task that is counted, or who has not
// called wait, may begin another; after a store has failed, nobody keeps to that.
type taskGroup struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when none runs; nil until somebody waits
}

func (g *taskGroup) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
}

func (g *taskGroup) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.idle != nil && !isClosed(g.idle) {
		close(g.idle)
	}
}

// wait returns a channel that is closed when no task runs. It is called once.
func (g *taskGroup) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle = make(chan struct{})
	if g.running == 0 {
		close(g.idle)
	}
	return g.idle
}

// semaphore bounds how many do something at a time: it has a value for each that
// may begin.
type semaphore chan struct{}

func newSemaphore(n int) semaphore {
	s := make(semaphore, n)
	for range n {
		s <- struct{}{}
	}
	return s
}

// take waits for a value, and reports false if done is closed before.
func (s semaphore) take(env Environment, done <-chan struct{}) bool {
	env.Wait(0, s, done, nil)
	return !isClosed(done)
}

func (s semaphore) give() { s <- struct{}{} }
