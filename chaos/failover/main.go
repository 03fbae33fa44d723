// Command failover measures what a crash costs those who wait: three processes
// with defaults, load on actors of one of them, SIGKILL for that one, and the
// longest time that any of its actors went without a success.
//
//	make failover
//
// It prints each round and the median. It has no threshold of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"actormesh/chaos/cluster"
)

func main() {
	binary := flag.String("meshnode", "bin/meshnode", "the program to run")
	rounds := flag.Int("rounds", 5, "how many crashes")
	actors := flag.Int("actors", 32, "how many of the victim's actors are called, each by a client of its own")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *actors < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary, *rounds, *actors)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// Bounds of one round. The load runs for a while before the crash, and until
// every actor has been called so many times after it.
const (
	stepTimeout = 60 * time.Second
	callsBefore = 20
	callsAfter  = 20
)

func run(ctx context.Context, binary string, rounds, actors int) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "actormesh-failover-")
	if err != nil {
		return err
	}
	c, err := cluster.New(cluster.Config{Binary: binary, Dir: dir, Nodes: 3})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, c.Close()); err != nil {
			err = fmt.Errorf("%w\nthe nodes' logs and data are in %s", err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if err := c.Start(); err != nil {
		return err
	}
	var gaps []time.Duration
	for i := range rounds {
		gap, err := round(ctx, c, c.Nodes[i%len(c.Nodes)], i, actors)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
	}
	slices.Sort(gaps)
	fmt.Printf("longest gap of an actor whose owner is killed: median %v of %d, worst %v\n",
		gaps[len(gaps)/2].Round(time.Millisecond), rounds, gaps[len(gaps)-1].Round(time.Millisecond))
	return nil
}

// round crashes one node under load, starts it again, and returns the longest
// gap of its actors.
func round(ctx context.Context, c *cluster.Cluster, victim *cluster.Node, number, actors int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := c.WaitReady(ctx, c.Nodes...); err != nil {
		return 0, err
	}
	if err := c.WaitShared(ctx); err != nil {
		return 0, err
	}
	ids, err := ownedBy(ctx, c, victim, actors)
	if err != nil {
		return 0, err
	}
	var warm, wg sync.WaitGroup
	warm.Add(len(ids))
	killed := make(chan struct{})
	gaps, errs := make([]time.Duration, len(ids)), make([]error, len(ids)+1)
	for i, id := range ids {
		wg.Go(func() {
			l := load{client: c.Client, addrs: c.Addrs(), id: id, session: fmt.Sprint(number), warm: warm.Done}
			gaps[i], errs[i] = l.run(ctx, killed)
		})
	}
	warm.Wait()
	errs[len(ids)] = victim.Kill()
	close(killed)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	gap := slices.Max(gaps)
	fmt.Printf("kill -9 %s: the longest gap of %d of its actors was %v\n", victim.Name, len(ids), gap.Round(time.Millisecond))
	return gap, victim.Start()
}

// maxLooked bounds how many actors are asked for their owner.
const maxLooked = 10_000

func ownedBy(ctx context.Context, c *cluster.Cluster, n *cluster.Node, actors int) ([]string, error) {
	var ids []string
	for i := 0; i < maxLooked && len(ids) < actors; i++ {
		id := fmt.Sprint("failover-", i)
		owner, err := c.Owner(ctx, "counter", id)
		if err != nil {
			return nil, err
		}
		if owner == n {
			ids = append(ids, id)
		}
	}
	if len(ids) < actors {
		return nil, fmt.Errorf("%s owns %d of %d actors, %d wanted", n.Name, len(ids), maxLooked, actors)
	}
	return ids, nil
}

// load is one client that adds to one counter, one call after the other.
type load struct {
	client  *cluster.Client
	addrs   []string
	id      string
	session string // makes the keys of this round its own
	warm    func() // called once, after the first calls or at the end
}

// run returns the longest time between two successes, from the first calls to
// the last ones after the crash.
func (l *load) run(ctx context.Context, killed <-chan struct{}) (time.Duration, error) {
	var warmOnce sync.Once
	defer warmOnce.Do(l.warm)
	var gap time.Duration
	last := time.Time{}
	after := 0
	for i := 0; after < callsAfter; i++ {
		_, _, err := l.client.Persist(ctx, l.addrs, i, cluster.Call{
			Kind: "counter", ID: l.id, Method: "add", Arg: map[string]int{"n": 1}, Key: fmt.Sprintf("%s-%d", l.session, i),
		})
		if err != nil {
			return 0, err
		}
		now := time.Now()
		if !last.IsZero() {
			gap = max(gap, now.Sub(last))
		}
		last = now
		if i == callsBefore {
			warmOnce.Do(l.warm)
		}
		select {
		case <-killed:
			after++
		default:
		}
	}
	return gap, nil
}
