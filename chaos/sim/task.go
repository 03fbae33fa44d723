package sim

import (
	"iter"
	"runtime/debug"
	"time"

	"actormesh/quorum"
)

// task is what a goroutine is in production: it runs, in a coroutine of the world,
// until it waits.
type task struct {
	co       *coroutine
	on       *process
	finished bool
	waiting  bool // in Wait; else it is about to run, or runs
	a, b, c  <-chan struct{}
	until    quorum.Instant
	goOn     action // resumes it
}

// coroutine runs one task after the other.
type coroutine struct {
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool // within the task
	run    func()
	w      *world
}

// killed is the panic by which a task of a process that is gone ends, wherever it
// waits.
type killed struct{}

// coroutine returns one that is to run something.
func (w *world) coroutine(run func()) *coroutine {
	if n := len(w.idle); n > 0 {
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		c.run = run
		return c
	}
	c := &coroutine{run: run, w: w}
	c.resume, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			c.once()
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

// once runs the task, unless its process goes before it ends. A panic is a finding.
func (c *coroutine) once() {
	defer func() {
		if r := recover(); r != nil && r != (killed{}) {
			c.w.broken("panic: %v\n%s", r, debug.Stack())
		}
	}()
	c.run()
}

// begin starts a task in a moment.
func (p *process) begin(run func()) {
	if p.gone {
		return
	}
	t := &task{on: p}
	t.goOn = func() { p.resume(t) }
	t.co = p.w.coroutine(func() {
		defer func() { t.finished = true }()
		run()
	})
	p.tasks = append(p.tasks, t)
	p.resumeLater(t)
}

// resumeLater has a task go on in a moment: how soon is the scheduler's choice.
func (p *process) resumeLater(t *task) {
	p.w.schedule(time.Duration(p.w.rng.IntN(20_000)), event{evResume, p, t.goOn})
}

// resume runs a task until it waits or ends.
func (p *process) resume(t *task) {
	before := p.w.running
	p.w.running = t
	t.co.resume()
	p.w.running = before
	if !t.finished {
		return
	}
	p.w.idle = append(p.w.idle, t.co)
	for i, o := range p.tasks {
		if o == t {
			p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
			return
		}
	}
}

// yield gives the world the word. It does not return if the process is gone.
func (t *task) yield() {
	if t.on.gone || !t.co.yield(struct{}{}) {
		if t.on.told != nil {
			t.on.told()
		}
		panic(killed{})
	}
}

// received reports whether one of the task's channels has something, and takes
// it. In the quiet one, which may be nil, there is nothing.
func (t *task) received(quiet <-chan struct{}) bool {
	return received(t.a, quiet) || received(t.b, quiet) || received(t.c, quiet)
}

func received(c, quiet <-chan struct{}) bool {
	if c == nil || c == quiet {
		return false
	}
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sleep has the running task wait in true time: for a disk, or a network.
func (p *process) sleep(d time.Duration) {
	t := p.w.running
	p.w.schedule(d, event{evResume, p, t.goOn})
	t.yield()
}
