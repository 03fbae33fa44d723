package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FailoverPlan says how it is measured what a crash costs those who wait.
type FailoverPlan struct {
	Setup
	Vias    []string      // those of each system that are measured; empty for all
	Clients int           // each writes to one key that the victim serves, one call after the other
	Before  time.Duration // of calls, before the crash
	After   time.Duration // of calls, after each client has had an answer again
	Attempt time.Duration // a call that has no answer by then is made again
}

// The most that a part of a crash, or of a start, may take.
const stepTimeout = time.Minute

func (p *FailoverPlan) check() error {
	switch {
	case p.Clients < 1 || p.Clients > Keys/10: // of which the victim serves at least a tenth
		return fmt.Errorf("%w: %d clients; it must be from 1 to %d", ErrPlan, p.Clients, Keys/10)
	case p.Before < minWindow || p.After < 0 || p.Attempt < time.Millisecond:
		return fmt.Errorf("%w: %v before the crash, %v after it, and %v for an attempt", ErrPlan, p.Before, p.After, p.Attempt)
	}
	return p.Setup.check()
}

// Failover kills, under load, the node that serves the clients, and measures how
// long they go without an answer. Each crash is of a system that has just been
// started; the systems alternate. They are compared with the one that has the
// label base, if any has.
func Failover(ctx context.Context, p FailoverPlan, base string, systems ...System) (*Study, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	study := &Study{
		Name: "failover",
		How: fmt.Sprintf("SIGKILL for the owner or leader under %d clients that put %d bytes, each to a key of its own; a call without an answer is made again after %v; the longest gap is that of all clients",
			p.Clients, ValueBytes, p.Attempt),
		Columns: []Column{{"LONGEST GAP", "gap-ns"}, {"A CLIENT'S", "client-gap-ns"}, {"CALLS/S BEFORE", "calls/s"}},
	}
	return p.conduct(ctx, study, systems, func(dir string) error {
		for rep := range p.Reps {
			for i := range systems {
				s := systems[(rep+i)%len(systems)]
				for _, via := range s.Vias() {
					if len(p.Vias) > 0 && !slices.Contains(p.Vias, via) {
						continue
					}
					name := fmt.Sprintf("%d-%s-%s", rep+1, s.Name(), via)
					v, err := p.crash(ctx, s, via, rep, filepath.Join(dir, name))
					if err != nil {
						return fmt.Errorf("%s/%s: %w", s.Name(), via, err)
					}
					study.add(s.Name()+"/"+via, "", v).Base = base
					p.say("crash %d of %d  %-20s longest gap %s", rep+1, p.Reps, s.Name()+"/"+via, show(v["gap-ns"], "ns"))
				}
			}
		}
		return nil
	})
}

// crash starts a system, kills one node of it under load, and ends it.
func (p *FailoverPlan) crash(ctx context.Context, s System, via string, rep int, dir string) (v Values, err error) {
	err = with(ctx, s, dir, func(c Cluster) (err error) {
		ctx, cancel := context.WithTimeout(ctx, stepTimeout)
		defer cancel()
		crashable, ok := c.(Crashable)
		if !ok {
			return fmt.Errorf("%w: %s has no node to kill", ErrPlan, s.Name())
		}
		victim, keys, err := crashable.Victim(ctx, rep, p.Clients)
		if err != nil {
			return err
		}
		client, err := c.Dial(ctx, via, p.Clients)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		load := &stubborn{client: client, attempt: p.Attempt, keys: keys}
		v, err = load.through(ctx, p.Before, p.After, victim.Kill)
		return err
	})
	return v, err
}

// stubborn is clients that make each call until it has an answer.
type stubborn struct {
	client  Client
	attempt time.Duration
	keys    []int // one a client

	crashed atomic.Bool
	stopped atomic.Bool
	calls   atomic.Int64 // that had an answer before the crash
}

// through calls before and after a crash, and returns what the clients saw.
func (s *stubborn) through(ctx context.Context, before, after time.Duration, crash func() error) (Values, error) {
	gaps, errs := make([]time.Duration, len(s.keys)), make([]error, len(s.keys))
	var served, ended sync.WaitGroup
	served.Add(len(s.keys))
	for i := range s.keys {
		ended.Go(func() {
			once := sync.OnceFunc(served.Done)
			defer once()
			gaps[i], errs[i] = s.run(ctx, i, once)
		})
	}
	began := time.Now()
	err := pause(ctx, before)
	calls := s.calls.Load()
	took := time.Since(began)
	if err == nil {
		s.crashed.Store(true)
		err = crash()
	}
	if err == nil {
		served.Wait()
		err = pause(ctx, after)
	}
	s.stopped.Store(true)
	ended.Wait()
	if err = errors.Join(err, errors.Join(errs...)); err != nil {
		return nil, err
	}
	slices.Sort(gaps)
	return Values{
		"gap-ns":        float64(gaps[len(gaps)-1]),
		"client-gap-ns": float64(gaps[len(gaps)/2]),
		"calls/s":       float64(calls) / took.Seconds(),
	}, nil
}

// run is one client. It returns the longest time between two answers; served is
// called after the first to a call that began after the crash.
func (s *stubborn) run(ctx context.Context, i int, served func()) (gap time.Duration, err error) {
	requests := newRequests(KVPut, uint64(i))
	last := time.Now()
	for first := true; !s.stopped.Load(); first = false {
		crashed := s.crashed.Load()
		r := requests.of(s.keys[i])
		for {
			attempt, cancel := context.WithTimeout(ctx, s.attempt)
			err := s.client.Do(attempt, i, r)
			cancel()
			if err == nil {
				break
			}
			if pause(ctx, pauseAfterError) != nil {
				return 0, fmt.Errorf("client %d: %w; the last answer: %w", i, context.Cause(ctx), err)
			}
		}
		now := time.Now()
		if !first { // which made the connection
			gap = max(gap, now.Sub(last))
		}
		last = now
		if crashed {
			served()
		} else {
			s.calls.Add(1)
		}
	}
	return gap, nil
}
