package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// The pause after a failed attempt to dial doubles from the first to the last
// of these, each time with up to as much again at random, so that the nodes of
// a mesh do not dial in step.
const (
	firstPause = 25 * time.Millisecond
	lastPause  = 2 * time.Second
)

// route is the way to one node: the live connections to it, or the means to
// dial one. Nothing is dialled before there is something to send.
type route struct {
	ep   *endpoint
	addr string
	name string        // empty: any node of the cluster
	id   quorum.NodeID // zero: whichever is there
	kind class         // of the hello
	up   func(*link)   // called for each connection that was dialled
	// state is called when the first connection comes and when the last is
	// lost: in order, and without r.mu.
	state  func(connected bool)
	prefer func(*link) bool // of two, the connection to send on
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	links    []*link // alive, the preferred one first
	dialling bool
	changed  chan struct{} // closed and replaced at every change of the above
	failures int
	retryAt  time.Time
	err      error // of the last attempt

	stateMu  sync.Mutex
	reported bool
}

func newRoute(ep *endpoint, addr, name string, id quorum.NodeID, kind class) *route {
	r := &route{
		ep: ep, addr: addr, name: name, id: id, kind: kind,
		up:      func(*link) {},
		state:   func(bool) {},
		prefer:  func(*link) bool { return true },
		changed: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(ep.ctx)
	return r
}

// best returns the connection to send on. If there is none it returns nil, and
// begins to dial unless a pause runs, in which case it returns why.
func (r *route) best() (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links {
		if l.conn.Context().Err() == nil { // else remove will soon be called
			return l, nil
		}
	}
	if r.dialling {
		return nil, nil
	}
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if r.failures > 0 && time.Now().Before(r.retryAt) {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, r.addr, r.err)
	}
	if !r.ep.spawn(r.dial) {
		return nil, ErrClosed
	}
	r.dialling = true
	return nil, nil
}

// await returns the connection to send on, as soon as there is one or the
// attempt to dial it failed.
func (r *route) await(ctx context.Context) (*link, error) {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		l, err := r.best()
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (r *route) dial() {
	l, err := r.ep.dial(r.ctx, r.addr, r.name, r.kind)
	if err == nil && r.id != 0 && l.remote.Node != r.id {
		err = fmt.Errorf("%w: at %s is %s, where %s was; was its disk wiped?", ErrWrongNode, r.addr, l.remote.Node, r.id)
		l.fail(err)
	}
	if err == nil {
		err = r.add(l)
	}
	if err == nil {
		r.up(l)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialling = false
	if err == nil {
		return
	}
	r.err = err
	pause := min(firstPause<<min(r.failures, 16), lastPause)
	r.failures++
	r.retryAt = time.Now().Add(pause + rand.N(pause))
	r.signal()
}

// signal wakes those who await a change. It is called with mu held.
func (r *route) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// add takes a new connection into use. It takes the place of one that was
// dialled by the same end: that end would not have dialled if it still had it.
func (r *route) add(l *link) error {
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		l.fail(ErrClosed)
		return ErrClosed
	}
	var old []*link
	for _, k := range r.links {
		if l.remote.Boot < k.remote.Boot && !mutant.On(mutant.OldBootConnects) {
			r.mu.Unlock()
			err := fmt.Errorf("%w: boot %d of %q, after boot %d", ErrOldBoot, l.remote.Boot, l.remote.Name, k.remote.Boot)
			l.fail(err)
			return err
		}
		if l.remote.Boot > k.remote.Boot || l.dialled == k.dialled {
			old = append(old, k)
		}
	}
	r.links = slices.DeleteFunc(r.links, func(k *link) bool { return slices.Contains(old, k) })
	if r.prefer(l) {
		r.links = slices.Insert(r.links, 0, l)
	} else {
		r.links = append(r.links, l)
	}
	r.failures = 0
	r.signal()
	r.mu.Unlock()
	for _, k := range old {
		closeConn(k.conn, codeSuperseded, "a newer connection took its place")
	}
	r.report()
	context.AfterFunc(l.conn.Context(), func() { r.ep.spawn(func() { r.remove(l) }) })
	return nil
}

func (r *route) remove(l *link) {
	r.mu.Lock()
	r.links = slices.DeleteFunc(r.links, func(k *link) bool { return k == l })
	r.signal()
	r.mu.Unlock()
	r.report()
}

// report tells about the first connection and the last, each once and in order.
func (r *route) report() {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	r.mu.Lock()
	connected := len(r.links) > 0
	r.mu.Unlock()
	if connected != r.reported {
		r.reported = connected
		r.state(connected)
	}
}

// close ends all connections of the route.
func (r *route) close() {
	r.cancel()
	r.mu.Lock()
	links := slices.Clone(r.links)
	r.mu.Unlock()
	for _, l := range links {
		closeConn(l.conn, codeClosed, "peer removed")
	}
}
