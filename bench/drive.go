package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms' range and precision: 1 µs to 1 min, three digits.
const (
	lowestLatency   = time.Microsecond
	highestLatency  = time.Minute
	latencyDigits   = 3
	pauseAfterError = 10 * time.Millisecond // what fails at once is not to be hammered
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(lowestLatency), int64(highestLatency), latencyDigits)
}

// loop is clients that call until the window is over. A closed loop calls again
// when the last call is answered. An open one calls at times that are fixed
// beforehand, in turns, and counts a call's latency from its time: what waits
// behind a slow answer is late, and is counted as late.
type loop struct {
	client   Client
	workload Workload
	keys     int // 0 for the workload's own
	clients  int
	rate     float64 // calls per second of all clients; 0 for a closed loop
	seed     uint64
	warmup   time.Duration // before the window
	window   time.Duration

	// usage reads the counters of all; it is called at the window's two ends.
	usage func(context.Context) (usage, error)
}

// usage is what was used and done so far.
type usage struct {
	Counters
	load    time.Duration // CPU of this process
	machine time.Duration // CPU of all processes of the machine
	flushes uint64        // of the disk's device, whoever asked for them
}

// tally is what one client has seen of the window.
type tally struct {
	latencies *hdrhistogram.Histogram
	errors    int64
	first     error
}

// drive runs the loop. A call counts if it ends within the window. The error is
// that of a loop that measured nothing; failed calls are in the Sample.
func (l *loop) drive(ctx context.Context) (Sample, error) {
	start := time.Now()
	begin := start.Add(l.warmup)
	end := begin.Add(l.window)
	tallies := make([]tally, l.clients)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range tallies {
		wg.Go(func() { tallies[i] = l.call(ctx, i, start, begin, end) })
	}
	before, err := l.usageAt(ctx, begin)
	if err != nil {
		return Sample{}, err
	}
	after, err := l.usageAt(ctx, end)
	if err != nil {
		return Sample{}, err
	}
	wg.Wait()
	return l.sample(tallies, before, after)
}

func (l *loop) usageAt(ctx context.Context, at time.Time) (usage, error) {
	if err := pause(ctx, time.Until(at)); err != nil {
		return usage{}, err
	}
	return l.usage(ctx)
}

// call is one client.
func (l *loop) call(ctx context.Context, client int, loopStart, begin, end time.Time) tally {
	t := tally{latencies: newHistogram()}
	requests := newRequests(l.workload, l.seed+uint64(client))
	if l.keys > 0 {
		requests.traits.keys = l.keys
	}
	for n := 0; ; n++ {
		start := time.Now()
		if l.rate > 0 {
			start = loopStart.Add(l.due(client, n))
			if wait := time.Until(start); wait > 0 && start.Before(end) && pause(ctx, wait) != nil {
				return t
			}
		}
		if !start.Before(end) || !time.Now().Before(end) || ctx.Err() != nil {
			return t
		}
		err := l.client.Do(ctx, client, requests.next())
		now := time.Now()
		counts := !now.Before(begin) && now.Before(end)
		switch {
		case err == nil && counts:
			t.latencies.RecordValue(int64(min(now.Sub(start), highestLatency))) // it fits
		case err != nil:
			if counts {
				t.errors++
			}
			if t.first == nil {
				t.first = err
			}
			if pause(ctx, pauseAfterError) != nil {
				return t
			}
		}
	}
}

// due returns when a client's nth call of an open loop is to start.
func (l *loop) due(client, n int) time.Duration {
	return time.Duration(float64(n*l.clients+client) / l.rate * float64(time.Second))
}

// sample sums up.
func (l *loop) sample(tallies []tally, before, after usage) (Sample, error) {
	all := newHistogram()
	s := Sample{Seconds: l.window.Seconds()}
	for _, t := range tallies {
		all.Merge(t.latencies) // of the same range: nothing is dropped
		s.Errors += t.errors
		if s.FirstError == "" && t.first != nil {
			s.FirstError = t.first.Error()
		}
	}
	s.Calls = all.TotalCount()
	if s.Calls == 0 {
		return s, fmt.Errorf("no call ended well within %v: %s", l.window, s.FirstError)
	}
	s.Rate = float64(s.Calls) / s.Seconds
	s.P50us, s.P99us = micros(all.ValueAtQuantile(50)), micros(all.ValueAtQuantile(99))
	s.P999us, s.MaxUs = micros(all.ValueAtQuantile(99.9)), micros(all.Max())
	s.NodesCPU = (after.CPU - before.CPU).Seconds()
	s.LoadCPU = (after.load - before.load).Seconds()
	s.OthersCPU = max(0, (after.machine-before.machine).Seconds()-s.NodesCPU-s.LoadCPU)
	s.Fsyncs, s.Flushes = after.Fsyncs-before.Fsyncs, after.flushes-before.flushes
	return s, nil
}

func micros(nanoseconds int64) float64 { return float64(nanoseconds) / 1e3 }

// prepareClients is how many clients write all keys once.
const prepareClients = 32

// prepare writes keys once, so that every read finds something and every actor is
// awake.
func prepare(ctx context.Context, c Client, w Workload) error {
	t := w.traits()
	return write(ctx, c, t.writer, prepareClients, 0, t.first, func(n int) int { return n })
}

// write makes the nth call of a workload, for each n from one number up to, but
// without, another, by so many clients; key says of which key.
func write(ctx context.Context, c Client, w Workload, clients, from, to int, key func(n int) int) error {
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			requests := newRequests(w, uint64(i))
			for n := from + i; n < to && errs[i] == nil && ctx.Err() == nil; n += clients {
				errs[i] = c.Do(ctx, i, requests.of(key(n)))
			}
		})
	}
	wg.Wait()
	return errors.Join(context.Cause(ctx), errors.Join(errs...))
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// read adds this process, the machine and the disk to a cluster's counters.
func read(ctx context.Context, c Cluster, dir string) (usage, error) {
	u := usage{machine: machineCPU(), flushes: deviceFlushes(dir)}
	u.load, _ = processCPU(os.Getpid()) // 0 where the system does not tell
	var err error
	u.Counters, err = c.Counters(ctx)
	return u, err
}
