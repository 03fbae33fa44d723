package mesh

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkMesh is what a call costs three nodes and a client together, all in this
// process: time, CPU, allocations, context switches, and commits of the stores.
//
//	go test ./mesh -run '^$' -bench Mesh -benchtime 30000x -count 5
func BenchmarkMesh(b *testing.B) {
	m := newTestMesh(b)
	quiet := func(c *Config) {
		c.Slots, c.Logger = 64, slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	a := m.start("a", quiet)
	m.start("b", quiet)
	m.start("c", quiet)
	m.settled(a, 3)
	client, err := Dial(b.Context(), ClientConfig{Seeds: []string{a.Addr()}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, Host[pot]("pot"))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	const actors = 1000
	durable := func(id string) error {
		_, err := Call(b.Context(), Get[pot](client, id), (*pot).Add, 1)
		return err
	}
	reading := func(id string) error {
		_, err := Call(b.Context(), Get[pot](client, id), (*pot).Get, None{})
		return err
	}
	for i := range actors {
		if err := durable(fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []struct {
		name string
		call func(id string) error
	}{{"durable", durable}, {"read", reading}} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind.name, callers), func(b *testing.B) {
				b.ReportAllocs()
				commits, before := m.commits(), usage(b)
				b.ResetTimer()
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if err := kind.call(fmt.Sprint(n * 7919 % actors)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				after, n := usage(b), float64(b.N)
				b.ReportMetric(float64(m.commits()-commits)/n, "commits/op")
				b.ReportMetric(float64(after.Nvcsw+after.Nivcsw-before.Nvcsw-before.Nivcsw)/n, "switches/op")
				cpu := syscall.TimevalToNsec(after.Utime) + syscall.TimevalToNsec(after.Stime) -
					syscall.TimevalToNsec(before.Utime) - syscall.TimevalToNsec(before.Stime)
				b.ReportMetric(float64(cpu)/n/float64(time.Microsecond), "cpu-µs/op")
			})
		}
	}
}

func usage(b *testing.B) (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u
}

// commits is how often the nodes have committed to their stores.
func (m *testMesh) commits() (n uint64) {
	for _, node := range m.node {
		n += node.store.Metrics().SyncedCommits
	}
	return n
}

// BenchmarkIdleActor is what an actor takes of the heap of the one node that there
// is, when it has been called once and nobody calls it any more: its activation, its
// state, its session, and its place in the slot's log.
//
//	go test ./mesh -run '^$' -bench IdleActor -benchtime 100000x
func BenchmarkIdleActor(b *testing.B) {
	m := newTestMesh(b)
	a := m.start("a", func(c *Config) {
		c.Slots, c.Logger = 64, slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	m.settled(a, 1)
	wake := func(prefix string, actors int) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for n := next.Add(1); n <= int64(actors); n = next.Add(1) {
					if _, err := Call(b.Context(), Get[pot](a, fmt.Sprint(prefix, n)), (*pot).Add, 1); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC() // what pools held
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	wake("before", 10_000) // buffers are as large as they get
	before := inUse()
	b.ResetTimer()
	wake("actor", b.N)
	b.StopTimer()
	b.ReportMetric(float64(inUse()-before)/float64(b.N), "heap-B/op")
}
