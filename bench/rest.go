package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// Rest is what a mesh takes while nobody calls it.
type Rest struct {
	Actors   int           `json:"actors"` // that are awake, each of which has been written to once
	Nodes    int           `json:"nodes"`
	Window   time.Duration `json:"window_ns"`
	CPU      float64       `json:"cpu_s"`       // of all nodes, within the window
	Fsyncs   uint64        `json:"fsyncs"`      // likewise
	Resident int64         `json:"rss_bytes"`   // of all nodes, at its end
	Heap     int64         `json:"heap_bytes"`  // reachable or not yet collected, likewise
	Store    int64         `json:"store_bytes"` // on disk
}

// RestPlan says how a mesh at rest is measured.
type RestPlan struct {
	Mesh     Mesh
	Actors   []int // how many are awake, from fewer to more
	Settle   time.Duration
	Window   time.Duration
	Dir      string // as in Plan
	Progress io.Writer
}

// wakers is how many clients wake actors.
const wakers = 128

// MeasureRest measures one mesh with more and more actors awake.
func MeasureRest(ctx context.Context, p RestPlan) (rests []Rest, err error) {
	for i, n := range p.Actors {
		if n < 0 || i > 0 && n <= p.Actors[i-1] {
			return nil, fmt.Errorf("%w: %d actors after %v", ErrPlan, n, p.Actors[:i])
		}
	}
	if p.Window < minWindow || p.Settle < 0 || len(p.Actors) == 0 {
		return nil, fmt.Errorf("%w: %v measured after %v, with %v actors", ErrPlan, p.Window, p.Settle, p.Actors)
	}
	dir, err := TempDir(p.Dir)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	started, err := p.Mesh.Start(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w; what it has left is in %s", p.Mesh.Name(), err, dir)
	}
	c := started.(*meshCluster)
	defer func() { err = errors.Join(err, c.Close(), os.RemoveAll(dir)) }()
	awake := 0
	for _, n := range p.Actors {
		fmt.Fprintf(p.Progress, "waking %d actors\n", n-awake)
		if err := wake(ctx, c.config, awake, n); err != nil {
			return rests, err
		}
		awake = n
		if err := pause(ctx, p.Settle); err != nil {
			return rests, err
		}
		rest, err := c.rest(ctx, p.Window)
		if err != nil {
			return rests, err
		}
		rest.Actors = n
		rests = append(rests, rest)
	}
	return rests, nil
}

// wake writes to the actors from one number up to, but without, another.
func wake(ctx context.Context, conf mesh.ClientConfig, from, to int) error {
	if from == to {
		return nil
	}
	client, err := mesh.Dial(ctx, conf, kinds.All()...)
	if err != nil {
		return err
	}
	errs := make([]error, wakers)
	var wg sync.WaitGroup
	for i := range wakers {
		wg.Go(func() {
			for n := from + i; n < to && errs[i] == nil && ctx.Err() == nil; n += wakers {
				_, errs[i] = mesh.Call(ctx, mesh.Get[kinds.Counter](client, actorID(n)), (*kinds.Counter).Add, kinds.AddArg{N: 1})
			}
		})
	}
	wg.Wait()
	return errors.Join(ctx.Err(), errors.Join(errs...), client.Close())
}

// rest watches the nodes for a while.
func (c *meshCluster) rest(ctx context.Context, window time.Duration) (Rest, error) {
	before, err := c.Counters(ctx)
	if err != nil {
		return Rest{}, err
	}
	if err := pause(ctx, window); err != nil {
		return Rest{}, err
	}
	after, err := c.Counters(ctx)
	if err != nil {
		return Rest{}, err
	}
	r := Rest{Nodes: len(c.addrs), Window: window, CPU: (after.CPU - before.CPU).Seconds(), Fsyncs: after.Fsyncs - before.Fsyncs}
	for _, addr := range c.addrs {
		values, err := Scrape(ctx, &c.pages, "http://"+addr+"/metrics",
			"process_resident_memory_bytes", "go_memstats_heap_alloc_bytes", "mesh_store_bytes")
		if err != nil {
			return Rest{}, err
		}
		r.Resident += int64(values[0])
		r.Heap += int64(values[1])
		r.Store += int64(values[2])
	}
	return r, nil
}

// WriteRest writes the table, with what each actor adds to the row above.
func WriteRest(w io.Writer, rests []Rest) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "ACTORS\tCPU/NODE\tFSYNCS/S\tRSS/NODE\tHEAP/NODE\tDISK/NODE\tRSS/ACTOR\tHEAP/ACTOR\t")
	for i, r := range rests {
		rss, heap := "-", "-"
		if i > 0 {
			n := float64(r.Actors - rests[i-1].Actors)
			rss = fmt.Sprintf("%.0f B", float64(r.Resident-rests[i-1].Resident)/n)
			heap = fmt.Sprintf("%.0f B", float64(r.Heap-rests[i-1].Heap)/n)
		}
		nodes, seconds := float64(r.Nodes), r.Window.Seconds()
		fmt.Fprintf(table, "%d\t%.2f %%\t%.1f\t%.1f MB\t%.1f MB\t%.1f MB\t%s\t%s\t\n", r.Actors, 100*r.CPU/nodes/seconds, float64(r.Fsyncs)/seconds,
			float64(r.Resident)/nodes/1e6, float64(r.Heap)/nodes/1e6, float64(r.Store)/nodes/1e6, rss, heap)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\nCPU: of one core. An actor is awake on one node, and stored on all of its replicas.\n")
	return err
}
