package sim

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/mesh"
)

// exchange is an attempt under way at a node.
type exchange struct {
	with   *process
	done   chan struct{}
	answer workload.Answer
	ended  bool
}

func (x *exchange) end(a workload.Answer) {
	if !x.ended {
		x.ended, x.answer = true, a
		close(x.done)
	}
}

// startClients has the clients of a plan make their calls.
func (w *world) startClients(plan *script.Plan) {
	for _, c := range workload.Clients(plan) {
		w.clients.begin(func() { w.client(c) })
	}
}

// client makes the calls of one client, one after the other.
func (w *world) client(c *workload.Client) {
	for {
		at, ok := c.Next()
		if !ok {
			return
		}
		if at > w.since() {
			w.clients.sleep(at - w.since())
		}
		idle := make(chan struct{}, 1)
		w.attempts(c, c.Begin(), idle)
		for c.Busy() {
			w.clients.Wait(0, idle, nil, nil)
		}
	}
}

// attempts makes attempts side by side, and those that follow from them.
func (w *world) attempts(c *workload.Client, list []workload.Attempt, idle chan struct{}) {
	for _, a := range list {
		w.clients.begin(func() {
			if a.Pause > 0 {
				w.clients.sleep(a.Pause)
			}
			o := w.attempt(&a)
			w.history = append(w.history, workload.Event{Attempt: a, Outcome: o})
			w.note(uint64(len(o.Code)) | o.Reply.Seq<<8)
			w.counts["call "+string(o.Code)]++
			w.attempts(c, c.End(a, &o), idle)
			select {
			case idle <- struct{}{}:
			default:
			}
		})
	}
}

// patience is how much longer than its time a client waits for an attempt.
const patience = 500 * time.Millisecond

// attempt makes one attempt, through one node.
func (w *world) attempt(a *workload.Attempt) workload.Outcome {
	start := w.since()
	answer := w.call(w.machine(a.Via), mesh.JSONCall{
		Kind: workload.HostName(a.Actor.Kind), ID: a.Actor.ID, Method: a.Method, Arg: a.Body(), Key: a.Key(), Timeout: a.Within,
	})
	return answer.Outcome(start, w.since())
}

// call makes one call through a machine's node, as an HTTP client would.
func (w *world) call(m *machine, call mesh.JSONCall) workload.Answer {
	c := w.clients
	c.sleep(w.between(latencyMin, latencyMax))
	for m.left { // its clients were told to go elsewhere
		m = w.machines[(m.index+1)%len(w.machines)]
	}
	p := m.process
	refused := workload.Answer{Code: workload.Unreachable, Detail: "connection refused"}
	if p == nil || p.node == nil {
		return refused
	}
	x := &exchange{with: p, done: make(chan struct{})}
	w.open = append(w.open, x)
	defer func() { w.open = slices.DeleteFunc(w.open, func(o *exchange) bool { return o == x }) }()
	w.after(0, evMessage, p, func() {
		if isClosed(p.node.Done()) { // its listener is gone, though the process is not yet
			w.after(w.between(latencyMin, latencyMax), evMessage, c, func() { x.end(refused) })
			return
		}
		p.begin(func() {
			ctx, cancel := p.WithDeadline(context.Background(), p.About().Add(call.Timeout))
			defer cancel()
			reply, err := p.node.CallJSON(ctx, call)
			answer := answerOf(reply, err)
			w.after(w.between(latencyMin, latencyMax), evMessage, c, func() { x.end(answer) })
		})
	})
	c.Wait(c.About().Add(call.Timeout+patience), x.done, nil, nil)
	if !x.ended {
		return workload.Answer{Code: workload.Unknown, Detail: "no answer in time"}
	}
	return x.answer
}

// gone tells clients that the process to which they were connected is no more.
func (w *world) gone(p *process) {
	for _, x := range w.open {
		if x.with == p {
			w.after(w.between(latencyMin, latencyMax), evMessage, w.clients, func() {
				x.end(workload.Answer{Code: workload.Unknown, Detail: "connection lost"})
			})
		}
	}
}

// answerOf is what a client sees of the end of a call.
func answerOf(reply mesh.JSONReply, err error) workload.Answer {
	a := workload.Answer{Code: workload.OK, Body: reply.Result, Owner: reply.Node, Replayed: reply.Replayed}
	var problem *mesh.Problem
	if errors.As(err, &problem) {
		a.Code, a.Detail = workload.Code(problem.Code), problem.Detail
		if problem.App != nil {
			a.Code, a.App, a.Body = workload.App, problem.App.Code, problem.App.Details
		}
	}
	return a
}

// readFinals reads the last states of all actors, through whichever node answers,
// within a time.
func (w *world) readFinals(plan *script.Plan, until time.Duration) {
	for _, actor := range workload.Actors(plan) {
		final := &workload.Final{Actor: actor, Failed: "it was not tried"}
		w.finals = append(w.finals, final)
		w.clients.begin(func() {
			for i := 0; final.Failed != "" && w.time < until; i++ {
				m := w.machines[i%len(w.machines)]
				answer := w.call(m, mesh.JSONCall{
					Kind: workload.HostName(actor.Kind), ID: actor.ID, Method: workload.FinalMethod, Timeout: 2 * time.Second,
				})
				*final = workload.Final{Actor: actor}
				if answer.Code != workload.OK {
					final.Failed = string(answer.Code) + ": " + answer.Detail
				} else if err := json.Unmarshal(answer.Body, &final.Journal); err != nil {
					final.Failed = err.Error()
				}
				if final.Failed != "" {
					w.clients.sleep(50 * time.Millisecond)
				}
			}
		})
	}
}
