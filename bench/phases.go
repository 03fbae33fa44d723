package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// phases is a closed loop that goes through several phases, one after the other. A
// call counts for the phase in which it ends.
type phases struct {
	loop
	now     atomic.Int32
	tallies [][]tally // by phase and client
	began   time.Time // the phase that is
	took    []time.Duration
	wg      sync.WaitGroup
	cancel  context.CancelFunc
}

// begin starts the clients, with the first of n phases.
func (p *phases) begin(ctx context.Context, n int) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.tallies, p.began = make([][]tally, n), time.Now()
	for i := range p.tallies {
		p.tallies[i] = make([]tally, p.clients)
		for k := range p.tallies[i] {
			p.tallies[i][k].latencies = newHistogram()
		}
	}
	for i := range p.clients {
		p.wg.Go(func() { p.call(ctx, i) })
	}
}

// next begins the next phase.
func (p *phases) next() {
	now := time.Now()
	p.took = append(p.took, now.Sub(p.began))
	p.began = now
	p.now.Add(1)
}

// end ends the last phase, and waits for the clients.
func (p *phases) end() {
	p.took = append(p.took, time.Since(p.began))
	p.cancel()
	p.wg.Wait()
}

func (p *phases) call(ctx context.Context, client int) {
	requests := newRequests(p.workload, p.seed+uint64(client))
	for ctx.Err() == nil {
		start := time.Now()
		err := p.client.Do(ctx, client, requests.next())
		if ctx.Err() != nil {
			return // it was ended, whatever its answer
		}
		t := &p.tallies[p.now.Load()][client]
		if err == nil {
			t.latencies.RecordValue(int64(min(time.Since(start), highestLatency))) // it fits
			continue
		}
		t.errors++
		if t.first == nil {
			t.first = err
		}
		if pause(ctx, pauseAfterError) != nil {
			return
		}
	}
}

// of sums up a phase, after end.
func (p *phases) of(phase int) (Sample, error) {
	l := loop{window: p.took[phase]}
	return l.sample(p.tallies[phase], usage{}, usage{})
}
