package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"actormesh/chaos/cluster"
)

// run is one demo, from the first start to the last comparison.
type run struct {
	ledger  *ledger
	cluster *cluster.Cluster
	screen  *screen
	stats   *stats
	pour    *pour
	answers []int64 // of the transfers
}

// startTimeout bounds how long a node may take from its start until it serves.
const startTimeout = 20 * time.Second

func (r *run) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.start, r.open, r.transfers, r.compare, r.killAll} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) start(ctx context.Context) error {
	if err := r.cluster.Start(); err != nil {
		return err
	}
	names := make([]string, len(r.cluster.Nodes))
	for i, n := range r.cluster.Nodes {
		names[i] = n.Name + " http://" + n.HTTP
	}
	r.screen.say("started %s", strings.Join(names, "   "))
	if err := r.ready(ctx, r.cluster.Nodes...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := r.cluster.WaitShared(ctx); err != nil {
		return fmt.Errorf("the nodes do not share the slots: %w", err)
	}
	r.screen.say("all three are ready, and each owns its share")
	return nil
}

func (r *run) ready(ctx context.Context, nodes ...*cluster.Node) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return r.cluster.WaitReady(ctx, nodes...)
}

func (r *run) open(ctx context.Context) error {
	if err := r.pour.open(ctx, r.ledger.openings); err != nil {
		return err
	}
	r.screen.say("%d accounts opened", len(r.ledger.openings))
	return nil
}

// When the two nodes are killed, in percent of the transfers; and how many more
// must have been acknowledged before a killed node is started again: the others
// have taken over then.
const (
	firstKill  = 50
	secondKill = 75
	afterKill  = 5
)

// transfers pours the file in, while another goroutine kills and restarts. The
// clients are held at the second kill until the first victim is back.
func (r *run) transfers(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	back := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { r.show(ctx) })
	faults := make(chan error, 1)
	wg.Go(func() {
		err := r.faults(ctx, back)
		if err != nil {
			cancel(err)
		}
		faults <- err
	})
	hold := r.share(secondKill)
	answers, err := r.pour.transfer(ctx, r.ledger.transfers, r.stats, func(ctx context.Context, i int) error {
		if i != hold {
			return nil
		}
		select {
		case <-back:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	took := time.Since(start)
	if err == nil {
		err = <-faults
	}
	cancel(err)
	wg.Wait()
	if err != nil {
		return err
	}
	r.answers = answers
	r.report(took)
	return nil
}

// share returns how many transfers so many percent are.
func (r *run) share(percent int) int { return len(r.ledger.transfers) * percent / 100 }

// faults kills the node that owns the most accounts half-way and starts it again
// later; then another.
func (r *run) faults(ctx context.Context, back chan<- struct{}) error {
	first, err := r.fault(ctx, firstKill, nil)
	if err != nil {
		return err
	}
	close(back)
	_, err = r.fault(ctx, secondKill, first)
	return err
}

func (r *run) fault(ctx context.Context, percent int, not *cluster.Node) (*cluster.Node, error) {
	if err := r.reach(ctx, percent); err != nil {
		return nil, err
	}
	victim, owned, err := r.pour.busiest(ctx, r.cluster, r.ledger.accounts(), not)
	if err != nil {
		return nil, err
	}
	if err := victim.Kill(); err != nil {
		return nil, err
	}
	r.screen.say("kill -9 %s, which owns %d of %d accounts", victim.Name, owned, len(r.ledger.openings))
	if err := r.reach(ctx, percent+afterKill); err != nil {
		return nil, err
	}
	if err := victim.Start(); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := r.ready(ctx, victim); err != nil {
		return nil, err
	}
	r.screen.say("%s was started again and was ready after %s", victim.Name, brief(time.Since(start)))
	return victim, nil
}

// reach waits until so many percent of the transfers are acknowledged.
func (r *run) reach(ctx context.Context, percent int) error {
	want := r.share(percent)
	return cluster.Until(ctx, func(context.Context) error {
		if done := r.stats.done(); done < want {
			return fmt.Errorf("%d transfers are acknowledged, %d wanted", done, want)
		}
		return nil
	})
}

const showInterval = 100 * time.Millisecond

// show keeps the line of progress up to date.
func (r *run) show(ctx context.Context) {
	ticker := time.NewTicker(showInterval)
	defer ticker.Stop()
	before, beforeAt, rate := 0, time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			done := r.stats.done()
			rate += 0.2 * (float64(done-before)/now.Sub(beforeAt).Seconds() - rate)
			before, beforeAt = done, now
			r.screen.progress(r.line(done, rate))
		}
	}
}

func (r *run) line(done int, rate float64) string {
	nodes := make([]string, len(r.cluster.Nodes))
	for i, n := range r.cluster.Nodes {
		state := "up"
		if !n.Running() {
			state = "DOWN"
		}
		nodes[i] = n.Name + " " + state
	}
	return fmt.Sprintf("%s %6s/%s %6.0f/s   %s", bar(done, len(r.ledger.transfers)),
		thousands(done), thousands(len(r.ledger.transfers)), rate, strings.Join(nodes, "  "))
}

func (r *run) report(took time.Duration) {
	s := r.stats.summary()
	r.screen.say("%s transfers acknowledged in %s, %s tries were repeated", thousands(s.done), brief(took), thousands(s.retries))
	r.screen.say("latency p50 %s, p99 %s, slowest %s", brief(s.p50), brief(s.p99), brief(s.slowest))
	r.screen.say("longest gap between two successes: %s", brief(s.gap))
}

func (r *run) compare(ctx context.Context) error {
	want := r.ledger.balances()
	if err := r.pour.verify(ctx, r.ledger.accounts(), want); err != nil {
		return err
	}
	r.screen.say("%d balances, read through each node, are what the file says; %s units in all",
		len(want), thousands(total(want)))
	return nil
}

// killAll crashes the whole mesh. What it had acknowledged must be there after
// it, the answers to old requests included.
func (r *run) killAll(ctx context.Context) error {
	if err := r.cluster.Kill(); err != nil {
		return err
	}
	r.screen.say("kill -9 all three")
	start := time.Now()
	if err := r.cluster.Start(); err != nil {
		return err
	}
	if err := r.ready(ctx, r.cluster.Nodes...); err != nil {
		return err
	}
	r.screen.say("all three are ready again after %s", brief(time.Since(start)))
	if err := r.compare(ctx); err != nil {
		return fmt.Errorf("after the restart of all: %w", err)
	}
	n, err := r.pour.replay(ctx, r.ledger.transfers, r.answers)
	if err != nil {
		return err
	}
	r.screen.say("%s transfers were sent once more; each got its first answer", thousands(n))
	if err := r.compare(ctx); err != nil {
		return errors.Join(errors.New("repeated transfers took effect again"), err)
	}
	r.screen.say("OK")
	return nil
}
