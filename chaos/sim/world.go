package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"actormesh/chaos/sim/disk"
	"actormesh/chaos/workload"
)

// world is everything in a run: the machines, the network between them, the
// clients, and what is still to happen. One event happens at a time.
type world struct {
	rng    *rand.Rand
	time   time.Duration // true time, since the run began
	zero   time.Duration // when the plan's time began
	queue  eventQueue
	number uint64 // of the last event
	hash   uint64 // of all that has happened
	events uint64

	machines []*machine
	clients  *process // no node: where the clients' tasks run
	net      network
	running  *task // nil while none runs
	idle     []*coroutine

	facts     facts
	waiting   []armed         // faults that wait for a step of a handover
	deeds     []*deed         // faults that were done
	stalls    []workload.Band // what came of them later
	limit     time.Duration   // when faults are over
	calm      bool            // no faults any more
	clocksOff bool            // a clock was past the bound: only writes are safe
	disks     disk.Counts

	open    []*exchange // calls of clients under way
	history workload.History
	finals  []*workload.Final

	counts   map[string]int
	findings []string
	trace    func(format string, args ...any) // nil for none
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x6d657368)), counts: map[string]int{}, facts: newFacts()}
	w.net.init()
	return w
}

// event is something that happens: to a process, or, if it is nil, to the world.
type event struct {
	kind uint8 // of what, for the trace's hash
	on   *process
	what happening
}

// happening is what happens in an event.
type happening interface{ happen() }

// action is a happening of no type of its own.
type action func()

func (a action) happen() { a() }

// The kinds of events.
const (
	evWorld uint8 = iota + 1
	evTimer
	evResume
	evLoop
	evMessage
	evFault
)

// eventQueue is a binary heap by time, and number. What moves in it has no
// pointers, which the garbage collector would have to be told of.
type eventQueue struct {
	heap   []due
	events []event
	free   []uint32 // places in events
}

// due is when an event happens, and its place in events.
type due struct {
	at     time.Duration
	number uint64
	place  uint32
}

func (a *due) before(b *due) bool {
	return a.at < b.at || a.at == b.at && a.number < b.number
}

func (q *eventQueue) push(at time.Duration, number uint64, e event) {
	place := uint32(len(q.events))
	if n := len(q.free); n > 0 {
		place = q.free[n-1]
		q.free = q.free[:n-1]
		q.events[place] = e
	} else {
		q.events = append(q.events, e)
	}
	h := append(q.heap, due{})
	q.heap = h
	d := due{at, number, place}
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !d.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = d
}

func (q *eventQueue) pop() (at time.Duration, e event) {
	h := q.heap
	top := h[0]
	last := len(h) - 1
	d := h[last]
	h = h[:last]
	q.heap = h
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&d) {
			break
		}
		h[i] = h[child]
		i = child
	}
	if last > 0 {
		h[i] = d
	}
	e = q.events[top.place]
	q.events[top.place] = event{}
	q.free = append(q.free, top.place)
	return top.at, e
}

// after has something happen in a while: on a process, unless it is gone by then.
func (w *world) after(d time.Duration, kind uint8, on *process, do func()) {
	w.schedule(d, event{kind, on, action(do)})
}

// schedule has an event come in a while.
func (w *world) schedule(d time.Duration, e event) {
	w.number++
	w.queue.push(w.time+max(d, 0), w.number, e)
}

// run lets the world go on until a time, or until a check has failed.
func (w *world) run(until time.Duration) {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= until && len(w.findings) == 0 {
		at, e := w.queue.pop()
		w.time = at
		p := e.on
		switch {
		case p == nil:
			w.note(uint64(e.kind))
			e.what.happen()
			continue
		case p.gone:
			continue
		case w.time < p.pausedUntil:
			w.number++
			w.queue.push(p.pausedUntil, w.number, e)
			continue
		}
		w.note(uint64(e.kind) | uint64(p.id)<<8)
		p.happens(e.what)
	}
	w.time = max(w.time, until)
}

// happensOn has something happen to a process now, or when it is not paused any
// more.
func (w *world) happensOn(p *process, what happening) {
	if w.time < p.pausedUntil {
		w.schedule(0, event{evMessage, p, what})
		return
	}
	p.happens(what)
}

// since returns the time since the plan's began.
func (w *world) since() time.Duration { return w.time - w.zero }

// note adds something to the hash of all that has happened.
func (w *world) note(what uint64) {
	w.events++
	w.hash = mix(w.hash^uint64(w.time), what+0x9e3779b97f4a7c15)
}

func mix(a, b uint64) uint64 {
	a ^= b
	a *= 0xff51afd7ed558ccd
	a ^= a >> 32
	a *= 0xc4ceb9fe1a85ec53
	return a ^ a>>29
}

func (w *world) count(what string) { w.counts[what]++ }

func (w *world) countAll(what string, n int) {
	if n > 0 {
		w.counts[what] += n
	}
}

// broken reports what must not be. The first such thing ends the run.
func (w *world) broken(format string, args ...any) {
	w.findings = append(w.findings, fmt.Sprintf("at %v: ", w.time)+fmt.Sprintf(format, args...))
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace("%12.6f "+format, append([]any{w.time.Seconds()}, args...)...)
	}
}

// chance reports true once in n.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// between returns a duration between two.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}
