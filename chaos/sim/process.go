package sim

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"actormesh/local"
	"actormesh/mesh"
	"actormesh/quorum"
	"actormesh/transport"
)

// process is one life of a node's program, from start to crash: a
// mesh.Environment in the world's virtual time.
type process struct {
	w  *world
	m  *machine // nil for the clients
	id int      // unlike that of any other
	// gone is set when it has crashed: nothing happens on it any more.
	gone        bool
	pausedUntil time.Duration
	rng         *rand.Rand

	node     *mesh.Node // nil before it serves
	cancel   func()     // ends its start
	retiring bool       // it drains, or leaves
	then     func()     // not nil if it was told to stop: what is to happen when it is gone
	told     func()     // called by each task that is ended; nil for none
	full     bool       // its disk had no room, at a time
	dying    bool       // an fsync was to fail

	quiet  bool    // no task can have waited for what the event does
	tasks  []*task // by age
	loops  []*loop
	timers timerQueue
	armed  time.Duration // for when the world has an event for timers; 0 for none
	due    action        // what it does
	ctxs   []*deadlineContext

	port  *port        // nil before the node listens
	view  *viewRecord  // the newest that the node has adopted
	heard map[int]hint // by machines: what gossip said last

	// pauseIn counts readings of the clock: at the last one the process is
	// paused until pauseEnd, within whatever it does.
	pausedBy    *deed
	pauseIn     int
	pauseEnd    time.Duration
	pauseAtRead time.Duration // of a pause just before the next answer by a lease leaves; 0 for none
	// crashIn counts steps of the given kind: at the last one it crashes.
	crashIn int
	crashAt crashPoint
}

// crashPoint is where a process can be told to crash.
type crashPoint uint8

const (
	crashNowhere     crashPoint = iota
	crashBeforeWrite            // a commit is handed to the disk
	crashBeforeSync             // it is written and not durable
	crashAfterSync              // it is durable, and nobody has been told
	crashAtSend                 // a message is about to leave
)

var _ mesh.Environment = (*process)(nil)

func (w *world) newProcess(m *machine) *process {
	p := &process{w: w, m: m, rng: rand.New(rand.NewPCG(w.rng.Uint64(), 1)), heard: map[int]hint{}}
	p.due = p.runTimers
	if m != nil {
		p.full, p.dying = m.full > 0, m.dying > 0
		m.lives++
		p.id = m.index + 1 + m.lives*64
	}
	return p
}

// happens runs an event on the process, and then lets those go on who waited for
// what it has done.
func (p *process) happens(what happening) {
	defer p.survive()
	p.quiet = false
	what.happen()
	if !p.quiet {
		p.poll()
	}
}

// survive ends an event that was cut short by a crash of its own process. Any
// other panic is a finding.
func (p *process) survive() {
	if r := recover(); r != nil && r != (killed{}) {
		p.w.broken("panic: %v\n%s", r, debug.Stack())
	}
}

// poll looks who can go on.
func (p *process) poll() {
	if p.gone || p.w.time < p.pausedUntil {
		return
	}
	for i := 0; i < len(p.ctxs); i++ {
		c := p.ctxs[i]
		if c.err == nil {
			select {
			case <-c.Context.Done():
				c.end(c.Context.Err())
			default:
			}
		}
		if c.err != nil {
			p.ctxs = append(p.ctxs[:i], p.ctxs[i+1:]...)
			i--
		}
	}
	var quiet <-chan struct{} // the end of the node has not come: most wait for that, too
	for _, l := range p.loops {
		if l.poll() {
			quiet = l.stop
		}
	}
	for _, t := range p.tasks {
		if t.waiting && t.received(quiet) {
			t.waiting = false
			p.resumeLater(t)
		}
	}
}

// end lets nothing happen on the process any more.
func (p *process) end() {
	p.gone = true
	for _, t := range append([]*task(nil), p.tasks...) {
		if t != p.w.running { // which ends when it gives the world the word
			t.co.stop()
		}
	}
	p.tasks, p.loops, p.timers, p.ctxs = nil, nil, nil, nil
}

// Now implements mesh.Environment. A process may be paused just before.
func (p *process) Now() quorum.Instant {
	if p.pauseIn > 0 && p.w.running != nil {
		if p.pauseIn--; p.pauseIn == 0 {
			p.w.count("pause within a step")
			p.pause(p.pauseEnd)
			p.sleep(p.pauseEnd - p.w.time)
		}
	}
	return p.m.now()
}

// pause stops all that happens on the process for a while.
func (p *process) pause(until time.Duration) {
	p.w.tracef("%s: paused for %v", p.m.name, until-p.w.time)
	p.pausedUntil = max(p.pausedUntil, until) // what waits was put off until the end of an earlier one
}

// About implements mesh.Environment.
func (p *process) About() quorum.Instant { return p.m.now() }

// Wall implements mesh.Environment.
func (p *process) Wall() int64 { return p.m.wall() }

// Until implements mesh.Environment.
func (p *process) Until(t time.Time) time.Duration { return time.Duration(t.UnixNano() - p.m.wall()) }

// Random implements mesh.Environment.
func (p *process) Random() uint64 { return p.rng.Uint64() }

// Go implements mesh.Environment.
func (p *process) Go(run func()) { p.begin(run) }

// Wait implements mesh.Environment.
func (p *process) Wait(until quorum.Instant, a, b, c <-chan struct{}) {
	t := p.w.running
	if t == nil || t.on != p {
		panic("sim: only a task of the process can wait")
	}
	t.a, t.b, t.c, t.until = a, b, c, until
	if t.received(nil) {
		return
	}
	if until != 0 {
		if p.m.now() >= until {
			return
		}
		p.timer(until, func() {
			if t.waiting && t.until == until && p.m.now() >= until {
				t.waiting = false
				p.resumeLater(t)
			}
		})
	}
	t.waiting = true
	t.yield()
	t.a, t.b, t.c, t.until = nil, nil, nil, 0
}

// loop is a task that runs steps.
type loop struct {
	on     *process
	task   *task
	stop   <-chan struct{}
	idle   bool // between two steps
	woken  bool // a step is due
	queued bool // and will come
	ended  bool
	goOn   action // runs the step that is due
	next   quorum.Instant
	timer  quorum.Instant // of the earliest one there is; 0 for none
	due    func()         // what it does
	step   func() quorum.Instant
}

// Loop implements mesh.Environment.
func (p *process) Loop(stop <-chan struct{}, step func() quorum.Instant, ended func()) (run, wake func()) {
	l := &loop{on: p, stop: stop, woken: true, step: step}
	l.goOn, l.due = l.resume, l.timeCame
	run = func() {
		p.loops = append(p.loops, l)
		p.begin(func() {
			l.task = p.w.running
			for !isClosed(stop) {
				l.runStep()
				l.task.yield()
				l.idle = false
			}
			l.ended = true
			ended()
		})
	}
	return run, func() {
		l.woken = true
		l.wake()
	}
}

// resume has the step that is due run: as an event of its own, which costs less than
// a task, unless the step may be paused, or is not to come, for the loop is to end.
func (l *loop) resume() {
	l.queued = false
	if l.on.pauseIn > 0 || l.on.pauseAtRead > 0 || isClosed(l.stop) {
		l.on.resume(l.task)
		return
	}
	l.idle = false
	l.runStep()
}

func (l *loop) runStep() {
	l.woken = false
	l.next = l.step()
	l.arm()
	l.idle = true
	l.wake()
}

// wake has the step that is due run in a moment.
func (l *loop) wake() {
	if !l.idle || !l.woken || l.queued || l.on.gone {
		return
	}
	l.queued = true
	w := l.on.w
	w.schedule(time.Duration(w.rng.IntN(30_000)), event{evLoop, l.on, l.goOn})
}

// poll wakes a loop that is to stop, and reports whether it is to go on.
func (l *loop) poll() bool {
	if !isClosed(l.stop) {
		return true
	}
	if l.idle && !l.ended {
		l.woken = true
		l.wake()
	}
	return false
}

// arm has a timer for the next step, unless an earlier one will see to it.
func (l *loop) arm() {
	if l.timer != 0 && l.timer <= l.next {
		return
	}
	l.timer = l.next
	l.on.timer(l.next, l.due)
}

// timeCame wakes the loop, unless the timer was for an earlier end of its wait.
func (l *loop) timeCame() {
	now := l.on.m.now()
	if now < l.timer {
		return
	}
	l.timer = 0
	if now < l.next {
		l.arm()
		return
	}
	l.woken = true
	l.wake()
}

// deadlineContext is a context with a deadline in virtual time.
type deadlineContext struct {
	context.Context // the parent
	at              time.Time
	done            chan struct{}
	err             error
}

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.at, true }
func (c *deadlineContext) Done() <-chan struct{}       { return c.done }
func (c *deadlineContext) Err() error                  { return c.err }

func (c *deadlineContext) end(err error) {
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// WithDeadline implements mesh.Environment.
func (p *process) WithDeadline(parent context.Context, at quorum.Instant) (context.Context, context.CancelFunc) {
	c := &deadlineContext{Context: parent, done: make(chan struct{}), at: time.Unix(0, p.m.wall()+int64(at.Sub(p.m.now())))}
	if err := parent.Err(); err != nil {
		c.end(err)
	}
	p.ctxs = append(p.ctxs, c)
	p.timer(at, func() {
		c.end(context.DeadlineExceeded)
		p.quiet = false
	})
	return c, func() { c.end(context.Canceled) }
}

// timer is something to do at a time by the machine's clock.
type timer struct {
	at     quorum.Instant
	number uint64
	do     func()
}

// timerQueue is a binary heap by time, and number.
type timerQueue []timer

func (a *timer) before(b *timer) bool {
	return a.at < b.at || a.at == b.at && a.number < b.number
}

func (q *timerQueue) push(t timer) {
	h := append(*q, t)
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(&h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	*q = h
}

func (q *timerQueue) pop() timer {
	h := *q
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = timer{}
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&h[i]) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	*q = h
	return top
}

// timer has something done at a time by the machine's clock.
func (p *process) timer(at quorum.Instant, do func()) {
	if p.gone {
		return
	}
	p.w.number++
	p.timers.push(timer{at, p.w.number, do})
	p.arm()
}

// arm has the world come back when the first timer is due.
func (p *process) arm() {
	if len(p.timers) == 0 {
		return
	}
	at, ok := p.m.trueTime(p.timers[0].at)
	if !ok || p.armed != 0 && p.armed <= at {
		return
	}
	p.armed = max(at, 1)
	p.w.schedule(at-p.w.time, event{evTimer, p, p.due})
}

// runTimers does what is due, though the event may be of an earlier time for which
// it was armed.
func (p *process) runTimers() {
	if p.w.time >= p.armed {
		p.armed = 0
	}
	p.quiet = true // loops and tasks are woken by their timers
	now := p.m.now()
	for len(p.timers) > 0 && p.timers[0].at <= now {
		t := p.timers.pop()
		t.do()
	}
	p.arm()
}

// clockChanged looks anew when timers are due.
func (p *process) clockChanged() {
	p.armed = 0
	p.arm()
}

// OpenStore implements mesh.Environment.
func (p *process) OpenStore(dir string, options local.Options) (*local.Store, error) {
	return p.m.disk.open(p, dir, options)
}

// Commit implements mesh.Environment: it takes the time of an fsync, and is where
// crashes like to come.
func (p *process) Commit(store *local.Store, batch *local.Batch) error {
	p.crash(crashBeforeWrite)
	before, after := p.m.disk.latency()
	p.sleep(before)
	if p.crashAt == crashBeforeSync && p.crashIn == 1 {
		// Of what is written, and of what was before it, a part remains.
		if err := store.Commit(batch, false); err != nil {
			return err
		}
	}
	p.crash(crashBeforeSync)
	if err := store.Commit(batch, true); err != nil {
		return err
	}
	p.sleep(after)
	p.crash(crashAfterSync)
	return nil
}

// crash crashes the process if this is the point where it is to. It does not
// return then.
func (p *process) crash(at crashPoint) {
	if p.crashAt != at || p.gone {
		return
	}
	if p.crashIn--; p.crashIn > 0 {
		return
	}
	p.w.count(crashNames[at])
	p.m.crash()
	panic(killed{})
}

var crashNames = [...]string{
	crashBeforeWrite: "crash before a write", crashBeforeSync: "crash before an fsync",
	crashAfterSync: "crash after an fsync", crashAtSend: "crash at a send",
}

// Listen implements mesh.Environment.
func (p *process) Listen(conf transport.Config) (mesh.Network, error) { return p.w.net.listen(p, conf) }

// Observer implements mesh.Environment.
func (p *process) Observer() mesh.Observer { return watcher{p} }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
