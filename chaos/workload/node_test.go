package workload

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
	"actormesh/mesh"
)

// The kinds, the clients and the checks fit together on a real node.
func TestOnANode(t *testing.T) {
	node, err := mesh.Start(t.Context(), mesh.Config{
		Name: "n1", DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", Expect: 1, Slots: 8,
		Logger: slog.New(slog.DiscardHandler),
	}, Hosts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	s, err := script.Parse("nodes 1\nslots 8\nreplication 1\ntime 10s\nsettle 0s\n" +
		"workload counter rate=10/s storm=50% keyless=20%\nworkload register rate=10/s\nworkload list rate=10/s\n" +
		"workload account rate=20/s\nworkload lock rate=10/s actors=1\ncheck calls >= 600\ncheck ok >= 600")
	if err != nil {
		t.Fatal(err)
	}
	d := driver{client: cluster.NewClient(16, nil), addr: node.HTTPAddr(), began: time.Now()}
	defer d.client.Close()
	plan := script.Expand(s, 1)
	var wg sync.WaitGroup
	for _, c := range Clients(plan) {
		wg.Go(func() { d.drive(t.Context(), c) })
	}
	wg.Wait()
	r := &Run{Plan: plan, History: d.history}
	for _, a := range Actors(plan) {
		r.Finals = append(r.Finals, d.final(t.Context(), a))
	}
	for _, f := range Check(r) {
		t.Error(f)
	}
	codes := map[string]int{}
	for _, e := range r.History {
		codes[e.App]++
	}
	for _, code := range []string{AppMismatch, AppHeld, AppNotHeld} {
		if codes[code] == 0 {
			t.Errorf("no call fails with %s", code)
		}
	}
}

// driver makes the calls of clients as fast as they are answered.
type driver struct {
	client *cluster.Client
	addr   string
	began  time.Time

	mu      sync.Mutex
	history History
}

func (d *driver) drive(ctx context.Context, c *Client) {
	for {
		if _, ok := c.Next(); !ok {
			return
		}
		for queue := c.Begin(); len(queue) > 0; {
			outcomes := make([]Outcome, len(queue))
			var wg sync.WaitGroup
			for i, a := range queue {
				wg.Go(func() { outcomes[i] = d.try(ctx, a) })
			}
			wg.Wait()
			var next []Attempt
			for i, a := range queue {
				next = append(next, c.End(a, &outcomes[i])...)
			}
			d.mu.Lock()
			for i, a := range queue {
				d.history = append(d.history, Event{a, outcomes[i]})
			}
			d.mu.Unlock()
			queue = next
		}
	}
}

func (d *driver) try(ctx context.Context, a Attempt) Outcome {
	start := time.Since(d.began)
	answer, err := d.client.Do(ctx, d.addr, cluster.Call{
		Kind: HostName(a.Actor.Kind), ID: a.Actor.ID, Method: a.Method, Arg: json.RawMessage(a.Body()), Key: a.Key(), Timeout: a.Within,
	})
	got := Answer{Code: OK, Body: answer.Body, Owner: answer.Node, Replayed: answer.Replayed}
	var p *cluster.Problem
	switch {
	case errors.As(err, &p) && p.App != nil:
		got.Code, got.App, got.Body = App, p.App.Code, p.App.Details
	case errors.As(err, &p):
		got.Code, got.Detail = Code(p.Code), p.Detail
	case err != nil:
		got.Code, got.Detail = Unknown, err.Error()
	}
	return got.Outcome(start, time.Since(d.began))
}

func (d *driver) final(ctx context.Context, a script.Actor) Final {
	f := Final{Actor: a}
	answer, err := d.client.Do(ctx, d.addr, cluster.Call{Kind: HostName(a.Kind), ID: a.ID, Method: FinalMethod})
	if err == nil {
		err = json.Unmarshal(answer.Body, &f.Journal)
	}
	if err != nil {
		f.Failed = err.Error()
	}
	return f
}
