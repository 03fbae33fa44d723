package sim

import (
	"iter"
	"time"

	"actormesh/quorum"
)

// task is what a goroutine is in production: a coroutine of the world, which runs
// until it waits.
type task struct {
	next func() (struct{}, bool)
	stop func()
	wait func(struct{}) bool // within the task: yields to the world

	on      *process
	waiting bool // in Wait; else it is about to run, or runs
	a, b, c <-chan struct{}
	until   quorum.Instant
}

// killed is the panic by which a task of a process that is gone ends, wherever it
// waits.
type killed struct{}

// begin starts a task in a moment.
func (p *process) begin(run func()) {
	if p.gone {
		return
	}
	t := &task{on: p}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.wait = yield
		defer func() {
			if r := recover(); r != nil && r != (killed{}) {
				panic(r)
			}
		}()
		run()
	})
	p.tasks[t] = struct{}{}
	p.order = append(p.order, t)
	p.resumeLater(t)
}

// resumeLater has a task go on in a moment: how soon is the scheduler's choice.
func (p *process) resumeLater(t *task) {
	p.w.after(time.Duration(p.w.rng.IntN(20_000)), evResume, p, func() { p.resume(t) })
}

// resume runs a task until it waits or ends.
func (p *process) resume(t *task) {
	before := p.w.running
	p.w.running = t
	_, more := t.next()
	p.w.running = before
	if !more {
		p.forget(t)
	}
}

func (p *process) forget(t *task) {
	delete(p.tasks, t)
	for i, o := range p.order {
		if o == t {
			p.order = append(p.order[:i], p.order[i+1:]...)
			return
		}
	}
}

// yield gives the world the word. It does not return if the process is gone.
func (t *task) yield() {
	if t.on.gone || !t.wait(struct{}{}) {
		panic(killed{})
	}
}

// received reports whether one of the task's channels has something, and takes
// it.
func (t *task) received() bool {
	select {
	case <-t.a:
		return true
	default:
	}
	select {
	case <-t.b:
		return true
	default:
	}
	select {
	case <-t.c:
		return true
	default:
		return false
	}
}

// sleep has the running task wait in true time: for a disk, or a network.
func (p *process) sleep(d time.Duration) {
	t := p.w.running
	p.w.after(d, evResume, p, func() { p.resume(t) })
	t.yield()
}
