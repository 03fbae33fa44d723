package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"actormesh/chaos/cluster"
)

// RecoveryPlan says how it is measured how long a node takes to come back.
type RecoveryPlan struct {
	MeshSetup
	Records []int // in the mesh when nodes are killed, from fewer to more
}

// Of the records of a recovery, so many are one actor's: fewer than are folded into
// one, so that a node finds as many as were written.
const actorRecords = 10

// How records are written.
const (
	recordWriters = 256
	writeTimeout  = 10 * time.Minute
)

func (p *RecoveryPlan) check() error {
	if err := rising(p.Records); err != nil {
		return err
	}
	return p.MeshSetup.check()
}

// rising checks a list of numbers, each above the one before.
func rising(list []int) error {
	if len(list) == 0 {
		return fmt.Errorf("%w: there is nothing to measure", ErrPlan)
	}
	for i, n := range list {
		if n < 0 || i > 0 && n <= list[i-1] {
			return fmt.Errorf("%w: %d comes after %v", ErrPlan, n, list[:i])
		}
	}
	return nil
}

// Recovery fills one mesh with more and more records, and kills one node of it at a
// time, and then all of them at once. Each is started again, and what counts is the
// time from there.
func Recovery(ctx context.Context, p RecoveryPlan) (*Study, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	study := &Study{
		Name: "recovery",
		How: fmt.Sprintf("SIGKILL, and a start with what is on disk: records of %d bytes, each on %d nodes, %d of them an actor's; serves is until the started nodes are ready, whole until they own their shares and every slot is served with all replicas",
			ValueBytes, min(p.Mesh.Nodes, 3), actorRecords),
		Columns: []Column{{"SERVES", "serves-ns"}, {"WHOLE", "whole-ns"}, {"DISK/NODE", "disk-B"}},
	}
	return p.conduct(ctx, study, []System{&p.Mesh}, func(dir string) error {
		return with(ctx, &p.Mesh, filepath.Join(dir, p.Mesh.Name()), func(c Cluster) error {
			mesh := c.(*meshCluster)
			written := 0
			for _, n := range p.Records {
				p.say("writing %d records", n-written)
				if err := p.write(ctx, mesh, written, n); err != nil {
					return err
				}
				written = n
				if err := p.kills(ctx, study, mesh.processes, n); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// kills kills each node once for a repetition, as far as there are such many, so
// that it has not just been started, and then all nodes.
func (p *RecoveryPlan) kills(ctx context.Context, study *Study, c *cluster.Cluster, records int) error {
	for rep := range p.Reps {
		n := rep % len(c.Nodes)
		if err := p.kill(ctx, study, c, c.Nodes[n:n+1], records); err != nil {
			return err
		}
	}
	for range p.Reps {
		if err := p.kill(ctx, study, c, c.Nodes, records); err != nil {
			return err
		}
	}
	return nil
}

// kill kills some nodes, and measures how they come back.
func (p *RecoveryPlan) kill(ctx context.Context, study *Study, c *cluster.Cluster, victims []*cluster.Node, records int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	if err := errors.Join(each(victims, (*cluster.Node).Kill)...); err != nil {
		return err
	}
	if len(victims) < len(c.Nodes) { // the others take over, and are not in its way when it comes back
		if err := waitTaken(ctx, c, victims[0]); err != nil {
			return err
		}
	}
	var disk int64
	for _, n := range victims {
		size, err := dirBytes(n.Data)
		if err != nil {
			return err
		}
		disk += size
	}
	started := time.Now()
	if err := errors.Join(each(victims, (*cluster.Node).Start)...); err != nil {
		return err
	}
	if err := c.WaitReady(ctx, victims...); err != nil {
		return err
	}
	serves := time.Since(started)
	if err := c.WaitShared(ctx); err != nil {
		return err
	}
	whole := time.Since(started)
	study.add(p.Mesh.Name(), fmt.Sprintf("records=%d/killed=%d", records, len(victims)), Values{
		"serves-ns": float64(serves), "whole-ns": float64(whole), "disk-B": float64(disk) / float64(len(victims)),
	})
	p.say("%d records, %d of %d killed: ready after %v, whole after %v", records, len(victims), len(c.Nodes),
		serves.Round(time.Millisecond), whole.Round(time.Millisecond))
	return nil
}

// each does the same to all nodes at a time.
func each(nodes []*cluster.Node, do func(*cluster.Node) error) []error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errs
}

// waitTaken waits until the other nodes serve all slots without one.
func waitTaken(ctx context.Context, c *cluster.Cluster, without *cluster.Node) error {
	for _, n := range c.Nodes {
		if n == without {
			continue
		}
		err := cluster.Until(ctx, func(ctx context.Context) error {
			slots, err := c.Slots(ctx, n)
			if err != nil {
				return err
			}
			for _, s := range slots {
				if s.Replicas[0] == without.Name || !s.Active {
					return fmt.Errorf("slot %d is %s's, active: %v", s.Slot, s.Replicas[0], s.Active)
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

// dirBytes returns how large the files under a directory are together.
func dirBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// write writes the records from one number up to, but without, another.
func (p *RecoveryPlan) write(ctx context.Context, c Cluster, from, to int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	client, err := c.Dial(ctx, p.Via, recordWriters)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return write(ctx, client, KVPut, recordWriters, from, to, func(n int) int { return n / actorRecords })
}
