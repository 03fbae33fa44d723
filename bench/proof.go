package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Proof is how it was seen that a system's durable calls are so: calls of one
// client, one after the other, so that none can share the fsync of another, and
// three counts of what they caused, of which no two come from the same side.
type Proof struct {
	System   string   `json:"system"`
	Workload Workload `json:"workload"`
	Nodes    int      `json:"nodes"` // processes that keep the data; 0 if they are not of this machine
	Calls    int      `json:"calls"`
	Said     uint64   `json:"fsyncs_said"`     // by the nodes; 0 if they do not count
	Syscalls *int     `json:"fsyncs_of_nodes"` // fsync and fdatasync of all nodes, as the kernel saw them; nil if nobody could look
	Flushes  uint64   `json:"device_flushes"`  // that the device completed, whoever asked
	Blind    string   `json:"blind,omitempty"` // why Syscalls is nil
}

// proofCalls is how many calls are watched.
const proofCalls = 100

// durable is the verdict: of each call something must have reached the device, and
// a majority of the nodes must have asked for it. A device that counts no flushes,
// or a kernel that nobody may watch, is no witness.
func (p *Proof) durable(d *Disk) string {
	switch {
	case d.Flushes == 0 && p.Syscalls == nil:
		return "nobody can tell"
	case d.Flushes > 0 && p.Flushes < uint64(p.Calls), p.Syscalls != nil && *p.Syscalls < p.Calls*(p.Nodes/2+1):
		return "NO"
	}
	return "yes"
}

// prove watches a few calls of a cell's workload.
func prove(ctx context.Context, c Cluster, cell Cell, dir string) (p Proof, err error) {
	client, err := c.Dial(ctx, cell.Via, 1)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	p = Proof{System: cell.System, Workload: cell.Workload, Nodes: len(c.PIDs()), Calls: proofCalls}
	requests := newRequests(cell.Workload, proofCalls)
	for range proofCalls / 10 { // connections are made, and actors awake
		if err := client.Do(ctx, 0, requests.next()); err != nil {
			return p, err
		}
	}
	watch, err := watchFsyncs(ctx, c.PIDs())
	if err != nil {
		p.Blind = err.Error()
	}
	before, err := read(ctx, c, dir)
	for i := 0; i < proofCalls && err == nil; i++ {
		err = client.Do(ctx, 0, requests.next())
	}
	after, late := read(ctx, c, dir)
	if watch != nil {
		n, unseen := watch.end()
		if p.Syscalls = &n; unseen != nil {
			p.Syscalls, p.Blind = nil, unseen.Error()
		}
	}
	p.Said, p.Flushes = after.Fsyncs-before.Fsyncs, after.flushes-before.flushes
	return p, errors.Join(err, late)
}

// writeProofs writes how durable calls were seen to be so.
func (r *Report) writeProofs(w io.Writer) error {
	if len(r.Proofs) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nIs it durable? What %d calls of one client caused, one call after the other:\n\n", proofCalls)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	row("SYSTEM", "WORKLOAD", "FSYNCS SAID", "SEEN BY STRACE", "DEVICE FLUSHES", "DURABLE")
	blind := ""
	for i := range r.Proofs {
		p := &r.Proofs[i]
		seen := "-"
		if p.Syscalls != nil {
			seen = fmt.Sprint(*p.Syscalls)
		} else {
			blind = p.Blind
		}
		row(p.System, string(p.Workload), fmt.Sprint(p.Said), seen, fmt.Sprint(p.Flushes), p.durable(&r.Disk))
	}
	if err := table.Flush(); err != nil || blind == "" {
		return err
	}
	_, err := fmt.Fprintf(w, "\nNot all processes were watched: %s\n", blind)
	return err
}
