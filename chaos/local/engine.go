package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// Options say how a plan is run.
type Options struct {
	Binary string   // the program of every node: its command start hosts the workload's kinds
	Args   []string // further flags of start
	Dir    string   // where data directories and logs go; exists
	// Dial opens the connections of clients; nil for the usual way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Result is what a run has shown.
type Result struct {
	workload.Run
	Findings []workload.Finding // what is wrong; empty if nothing is
}

// Times that the engine gives to what it waits for.
const (
	foundingTime = 60 * time.Second
	drainTimeout = 20 * time.Second
	finalTime    = 20 * time.Second
)

// Run runs a plan. The error says that it cannot be run; what is wrong with the
// mesh is in the result.
func Run(ctx context.Context, plan *script.Plan, o Options) (*Result, error) {
	if err := plan.CheckEngine(script.Local); err != nil {
		return nil, err
	}
	o.Args = append(slices.Clone(o.Args), "--advertise", relayHost)
	return RunOn(ctx, trap(newRelay(plan.Seed), plan), plan, o)
}

// RunOn runs a plan, all of whose faults the ground can do, and closes the ground.
func RunOn(ctx context.Context, ground Ground, plan *script.Plan, o Options) (result *Result, err error) {
	e, err := layOut(ground, plan, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.found(ctx); err != nil {
		return nil, err
	}
	e.live(ctx)
	r := &Result{Run: workload.Run{Plan: plan, Saw: ground.Saw()}}
	until := e.since() + finalTime
	for _, a := range workload.Actors(plan) {
		r.Finals = append(r.Finals, e.final(ctx, a, until))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r.History, r.Bands, r.Findings = e.history, e.bands, e.findings
	for name, n := range e.counts {
		r.Saw[name] = n
	}
	r.Findings = append(r.Findings, workload.Check(&r.Run)...)
	return r, nil
}

// engine is one run.
type engine struct {
	plan    *script.Plan
	options Options
	cluster *cluster.Cluster
	ground  Ground
	hosts   map[string]*host // by name
	began   time.Time
	running sync.WaitGroup // what watches processes
	cloning sync.Mutex     // held while a node is added to the cluster

	mu       sync.Mutex
	over     bool // processes may end now
	active   []*active
	history  workload.History
	bands    []workload.Band
	counts   map[string]int
	findings []workload.Finding
}

// layOut makes all places of processes, and starts none.
func layOut(ground Ground, plan *script.Plan, o Options) (*engine, error) {
	c, err := cluster.New(cluster.Config{Binary: o.Binary, Dir: o.Dir})
	if err != nil {
		return nil, errors.Join(err, ground.Close())
	}
	if o.Dial != nil {
		c.Client.DialBy(o.Dial)
	}
	e := &engine{plan: plan, options: o, cluster: c, ground: ground, hosts: map[string]*host{}, counts: map[string]int{}}
	var seeds []string
	for i, name := range plan.Names() {
		address, err := e.addHost(name)
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		if i < plan.Nodes {
			seeds = append(seeds, address)
		}
	}
	for i, name := range plan.Names() {
		n := e.hosts[name].node
		n.Args = append(n.Args, "--join", strings.Join(seeds, ","))
		if i < plan.Nodes {
			n.Args = append(n.Args, "--expect", strconv.Itoa(plan.Nodes))
		}
	}
	return e, nil
}

// addHost makes a place for the processes of a node, and returns its address.
func (e *engine) addHost(name string) (string, error) {
	args := append(slices.Clone(e.options.Args), "--slots", strconv.Itoa(e.plan.Slots), "--replication", strconv.Itoa(e.plan.Replication))
	if e.plan.Voters > 0 {
		args = append(args, "--voters", strconv.Itoa(e.plan.Voters))
	}
	for _, s := range e.plan.Settings {
		args = append(args, "--"+s.Name, s.Value)
	}
	n, err := e.cluster.Add(e.options.Binary, args...)
	if err != nil {
		return "", err
	}
	n.Name = name
	e.hosts[name] = &host{e: e, node: n}
	return e.ground.Place(n)
}

// close ends all processes, and the ground.
func (e *engine) close() error {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	err := e.cluster.Close()
	e.running.Wait()
	return errors.Join(err, e.ground.Close())
}

// found starts the founders, and waits until every slot is served by as many
// replicas as it is to have.
func (e *engine) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foundingTime)
	defer cancel()
	var founders []*cluster.Node
	for _, name := range e.plan.Names()[:e.plan.Nodes] {
		if err := e.hosts[name].start(); err != nil {
			return err
		}
		founders = append(founders, e.hosts[name].node)
	}
	if err := e.cluster.WaitReady(ctx, founders...); err != nil {
		return err
	}
	for _, n := range founders {
		err := cluster.Until(ctx, func(ctx context.Context) error {
			slots, err := e.cluster.Slots(ctx, n)
			if err != nil {
				return err
			}
			for _, s := range slots {
				if !s.Active || len(s.From) > 0 || len(s.Replicas) < min(e.plan.Replication, e.plan.Nodes) {
					return fmt.Errorf("slot %d is not whole: %+v", s.Slot, s)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// since returns the time of the run.
func (e *engine) since() time.Duration { return time.Since(e.began) }

// sleep waits until a time of the run, and reports whether the run still goes on.
func (e *engine) sleep(ctx context.Context, until time.Duration) bool {
	timer := time.NewTimer(until - e.since())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// live runs the plan's time: faults and calls.
func (e *engine) live(ctx context.Context) {
	e.began = time.Now()
	beating, stop := context.WithCancel(ctx)
	var wg, pulse sync.WaitGroup
	pulse.Go(func() {
		e.pulse(func(until time.Duration) bool { return e.sleep(beating, until) })
	})
	for _, c := range workload.Clients(e.plan) {
		wg.Go(func() { e.drive(ctx, c) })
	}
	for i := range e.plan.Faults {
		wg.Go(func() { e.fault(ctx, &e.plan.Faults[i]) })
	}
	e.sleep(ctx, e.plan.Length())
	wg.Wait()
	stop()
	pulse.Wait()
}

func (e *engine) count(what string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[what] += n
}

func (e *engine) find(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.findings = append(e.findings, workload.Finding{Check: "processes", Text: fmt.Sprintf(format, args...)})
}

// copyDir replaces a directory by a copy of another, of which there may be none.
func copyDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
