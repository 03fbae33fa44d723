package local

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"syscall"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// drive makes the calls of one client, one after the other.
func (e *engine) drive(ctx context.Context, c *workload.Client) {
	for {
		at, ok := c.Next()
		if !ok || !e.sleep(ctx, at) {
			return
		}
		for attempts := c.Begin(); len(attempts) > 0; {
			attempts = e.attempts(ctx, c, attempts)
		}
	}
}

// attempts makes attempts at the same time, and returns those that follow.
func (e *engine) attempts(ctx context.Context, c *workload.Client, now []workload.Attempt) []workload.Attempt {
	outcomes := make([]workload.Outcome, len(now))
	var wg sync.WaitGroup
	for i, a := range now {
		wg.Go(func() {
			if a.Pause > 0 {
				e.sleep(ctx, e.since()+a.Pause)
			}
			start := e.since()
			answer := e.call(ctx, e.hosts[a.Via].node.HTTP, cluster.Call{
				Kind: workload.HostName(a.Actor.Kind), ID: a.Actor.ID, Method: a.Method,
				Arg: json.RawMessage(a.Body()), Key: a.Key(), Timeout: a.Within,
			})
			outcomes[i] = answer.Outcome(start, e.since())
		})
	}
	wg.Wait()
	var next []workload.Attempt
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, a := range now {
		e.history = append(e.history, workload.Event{Attempt: a, Outcome: outcomes[i]})
		next = append(next, c.End(a, &outcomes[i])...)
	}
	return next
}

// patience is how much longer than its time a client waits for an answer.
const patience = 500 * time.Millisecond

// call makes one call, through the node at an address.
func (e *engine) call(ctx context.Context, addr string, call cluster.Call) workload.Answer {
	ctx, cancel := context.WithTimeout(ctx, call.Timeout+patience)
	defer cancel()
	got, err := e.cluster.Client.Do(ctx, addr, call)
	answer := workload.Answer{Code: workload.OK, Body: got.Body, Owner: got.Node, Replayed: got.Replayed}
	var problem *cluster.Problem
	switch {
	case err == nil:
	case errors.As(err, &problem) && problem.App != nil:
		answer.Code, answer.App, answer.Body = workload.App, problem.App.Code, problem.App.Details
	case errors.As(err, &problem):
		answer.Code, answer.Detail = workload.Code(problem.Code), problem.Detail
	case errors.Is(err, syscall.ECONNREFUSED):
		answer.Code, answer.Detail = workload.Unreachable, "connection refused"
	default:
		answer.Code, answer.Detail = workload.Unknown, err.Error()
	}
	return answer
}

// finalPause is between two tries to read a last state.
const finalPause = 100 * time.Millisecond

// final reads the last state of an actor, through whichever node answers, until a
// time of the run.
func (e *engine) final(ctx context.Context, a script.Actor, until time.Duration) workload.Final {
	names := e.plan.Names()
	for i := 0; ; i++ {
		answer := e.call(ctx, e.hosts[names[i%len(names)]].node.HTTP, cluster.Call{
			Kind: workload.HostName(a.Kind), ID: a.ID, Method: workload.FinalMethod, Timeout: 2 * time.Second,
		})
		f := workload.Final{Actor: a}
		err := json.Unmarshal(answer.Body, &f.Journal)
		switch {
		case answer.Code != workload.OK:
			f.Failed = string(answer.Code) + ": " + answer.Detail
		case err != nil:
			f.Failed = err.Error()
		}
		if f.Failed == "" || e.since() > until || !e.sleep(ctx, e.since()+finalPause) {
			return f
		}
	}
}
