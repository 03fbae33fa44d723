package bench

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// clientFunc is a Client.
type clientFunc func(ctx context.Context, client int, r Request) error

func (f clientFunc) Do(ctx context.Context, client int, r Request) error { return f(ctx, client, r) }
func (f clientFunc) Close() error                                        { return nil }

// TestDrive measures a system of which every latency is known: three clients are
// answered after 10 ms, and one after 1 s. Calls of the warm-up, and those that
// end behind the window, do not count.
func TestDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var reads []time.Duration
		l := &loop{
			client: clientFunc(func(_ context.Context, client int, _ Request) error {
				if client == 3 {
					time.Sleep(time.Second)
				} else {
					time.Sleep(10 * time.Millisecond)
				}
				return nil
			}),
			workload: CounterAdd, clients: 4, warmup: 500 * time.Millisecond, window: 2 * time.Second,
			usage: func(context.Context) (usage, error) {
				reads = append(reads, time.Since(began))
				n := uint64(len(reads))
				return usage{
					Counters: Counters{CPU: time.Duration(3*n) * time.Second, Fsyncs: 100 * n},
					load:     time.Duration(n) * time.Second, machine: time.Duration(6*n) * time.Second, flushes: 10 * n,
				}, nil
			},
		}
		s, err := l.drive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// 200 calls of 10 ms end in 2 s, the first of them right at its begin.
		want := Sample{
			Calls: 3*200 + 2, Seconds: 2, Rate: 301, NodesCPU: 3, LoadCPU: 1, OthersCPU: 2, Fsyncs: 100, Flushes: 10,
			P50us: s.P50us, P99us: s.P99us, P999us: s.P999us, MaxUs: s.MaxUs,
		}
		if s != want {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
		within := func(what string, got, want float64) {
			if got < 0.998*want || got > 1.002*want {
				t.Errorf("%s: %v µs, want %v", what, got, want)
			}
		}
		within("p50", s.P50us, 10_000)
		within("p99", s.P99us, 10_000)
		within("p99.9", s.P999us, 1_000_000)
		within("max", s.MaxUs, 1_000_000)
		if len(reads) != 2 || reads[0] != 500*time.Millisecond || reads[1] != 2500*time.Millisecond {
			t.Errorf("counters were read at %v", reads)
		}
	})
}

// TestDriveOpen asks 100 calls a second of a system that stands still for a second
// and then answers at once: the calls that waited are late by as much as they waited.
func TestDriveOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := &loop{
			client: clientFunc(func(context.Context, int, Request) error {
				if at := time.Since(began); at > 500*time.Millisecond && at < 1500*time.Millisecond {
					time.Sleep(1500*time.Millisecond - at)
				}
				time.Sleep(time.Millisecond)
				return nil
			}),
			workload: CounterAdd, clients: 4, rate: 100, window: 4 * time.Second,
			usage: func(context.Context) (usage, error) { return usage{}, nil },
		}
		s, err := l.drive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Of 400 calls 100 wait, half of them for longer than half a second.
		if s.Calls != 400 || s.P50us > 1100 || s.P99us < 900_000 || s.MaxUs < 980_000 || s.MaxUs > 1_010_000 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDriveErrors keeps failures out of the rate, and pauses after each.
func TestDriveErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		l := &loop{
			client: clientFunc(func(_ context.Context, client int, _ Request) error {
				time.Sleep(10 * time.Millisecond)
				if client == 0 {
					return refused
				}
				return nil
			}),
			workload: CounterAdd, clients: 2, window: time.Second,
			usage: func(context.Context) (usage, error) { return usage{}, nil },
		}
		s, err := l.drive(t.Context())
		if err != nil || s.Calls != 99 || s.Errors != 50 || s.FirstError != "refused" {
			t.Errorf("%+v, %v", s, err)
		}
		l.clients = 1
		if _, err := l.drive(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("nothing measured: %v", err)
		}
		l.usage = func(context.Context) (usage, error) { return usage{}, refused }
		if _, err := l.drive(t.Context()); !errors.Is(err, refused) {
			t.Errorf("no counters: %v", err)
		}
	})
}

// TestDriveIsStopped ends with its context.
func TestDriveIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, stopped := time.Now(), errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		l := &loop{
			client:   clientFunc(func(ctx context.Context, _ int, _ Request) error { <-ctx.Done(); return ctx.Err() }),
			workload: CounterAdd, clients: 3, window: time.Hour,
			usage: func(context.Context) (usage, error) { return usage{}, nil },
		}
		if _, err := l.drive(ctx); !errors.Is(err, stopped) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestPrepare(t *testing.T) {
	var puts [Keys]atomic.Int32
	c := clientFunc(func(_ context.Context, client int, r Request) error {
		if r.Workload != KVPut || len(r.Value) != ValueBytes || client < 0 || client >= prepareClients {
			t.Errorf("client %d: %+v", client, r)
		}
		puts[r.Key].Add(1)
		return nil
	})
	if err := prepare(t.Context(), c, KVGet); err != nil {
		t.Fatal(err)
	}
	for key := range puts {
		if n := puts[key].Load(); n != 1 {
			t.Errorf("key %d was written %d times", key, n)
		}
	}
	full := errors.New("full")
	if err := prepare(t.Context(), clientFunc(func(context.Context, int, Request) error { return full }), CounterGet); !errors.Is(err, full) {
		t.Error(err)
	}
}
