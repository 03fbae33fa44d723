package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// With two of three nodes frozen nothing is acknowledged, and whoever asks is
// told so in time. When they go on, so do the calls.
func TestE2EPausedMajority(t *testing.T) {
	m := start(t, 3, "")
	alive := m.Nodes[0]
	ids := []string{m.ownedBy(m.Nodes[0]), m.ownedBy(m.Nodes[1]), m.ownedBy(m.Nodes[2])}
	for _, id := range ids {
		m.add(id, "before", 1)
	}
	for _, n := range m.others(alive) {
		m.must(n.Stop())
	}
	m.must(errors.Join(refused(t, m, alive, ids)...))
	for _, n := range m.others(alive) {
		m.must(n.Continue())
	}
	resumed := time.Now()
	for _, id := range ids {
		m.add(id, "after", 1, alive)
	}
	if took := time.Since(resumed); took > resumeLimit {
		t.Errorf("calls worked again %v after SIGCONT, %v at most", took, resumeLimit)
	}
	for _, id := range ids {
		// The calls in between may have taken effect late, where their outcome
		// was said to be unknown. Repeated with their keys, they have it once.
		for i := range triesWhilePaused {
			m.add(id, fmt.Sprint("paused-", i), 1)
		}
		for _, n := range m.Nodes {
			if got := m.get(id, n); got != 2+triesWhilePaused {
				t.Errorf("%s is %d through %s, want %d", id, got, n.Name, 2+triesWhilePaused)
			}
		}
	}
}

const (
	triesWhilePaused = 3
	pausedTimeout    = 2 * time.Second
	resumeLimit      = 5 * time.Second
	lateLimit        = 2 * time.Second // by which an answer may miss its timeout on a busy machine
)

// refused calls every actor while there is no majority, all at the same time.
func refused(t *testing.T, m *mesh, alive *cluster.Node, ids []string) []error {
	var wg sync.WaitGroup
	errs := make([]error, len(ids)*triesWhilePaused*2)
	for i := range errs {
		wg.Go(func() {
			id, try := ids[i%len(ids)], i/len(ids)/2
			call := cluster.Call{Kind: "counter", ID: id, Method: "get", Timeout: pausedTimeout}
			if i/len(ids)%2 == 0 {
				call.Method, call.Arg, call.Key = "add", addArg{1}, fmt.Sprint("paused-", try)
			}
			errs[i] = refusedInTime(t.Context(), m, alive, call)
		})
	}
	wg.Wait()
	return errs
}

func refusedInTime(ctx context.Context, m *mesh, alive *cluster.Node, call cluster.Call) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := m.Client.Do(ctx, alive.HTTP, call)
	took := time.Since(began)
	if call.Method == "get" && err == nil && took < pausedTimeout {
		return readUnderLease(answer, call)
	}
	p, err := problem(err)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w (%s)", call.ID, call.Method, err, answer.Body)
	case p.Status != 503 && p.Status != 504:
		return fmt.Errorf("%s %s: got %v, want 503 or 504", call.ID, call.Method, p)
	case took > call.Timeout+lateLimit:
		return fmt.Errorf("%s %s: %v came after %v, the timeout was %v", call.ID, call.Method, p, took, call.Timeout)
	}
	return nil
}

// readUnderLease allows what leases allow: for as long as they last the owner
// may answer a read. Nobody can have changed the actor by then.
func readUnderLease(answer cluster.Answer, call cluster.Call) error {
	v, err := decodeValue(answer)
	if err == nil && v != 1 {
		err = fmt.Errorf("%s is %d without a majority, and was 1 with it", call.ID, v)
	}
	return err
}

// An owner that sleeps through the end of its lease, and through the rule of its
// successor, wakes up and answers nothing from what it remembers.
func TestE2EPausedOwner(t *testing.T) {
	m := start(t, 3, "")
	owner := m.Nodes[1]
	id := m.ownedBy(owner)
	m.add(id, "first", 5)
	m.get(id, owner)

	m.must(owner.Stop())
	if got := m.add(id, "second", 1, m.others(owner)...); got != 6 {
		t.Fatalf("the new owner answers %d, want 6", got)
	}
	// The kernel takes these for the sleeper, who finds them when it wakes up.
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = askSleeper(t.Context(), m, owner, id, i) })
	}
	m.must(owner.Continue())
	wg.Wait()
	m.must(errors.Join(errs...))

	for i := range errs {
		if i%2 == 0 {
			m.add(id, fmt.Sprint("sleeper-", i), 1)
		}
	}
	for _, n := range m.Nodes {
		if got := m.get(id, n); got != 14 {
			t.Errorf("the total is %d through %s, want 14", got, n.Name)
		}
	}
}

// askSleeper writes or reads. An answer must know of the successor's write.
func askSleeper(ctx context.Context, m *mesh, owner *cluster.Node, id string, i int) error {
	call := cluster.Call{Kind: "counter", ID: id, Method: "get", Timeout: 5 * time.Second}
	if i%2 == 0 {
		call.Method, call.Arg, call.Key = "add", addArg{1}, fmt.Sprint("sleeper-", i)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := m.Client.Do(ctx, owner.HTTP, call)
	if err != nil {
		_, err = problem(err)
		return err
	}
	v, err := decodeValue(answer)
	if err == nil && v < 6 {
		err = fmt.Errorf("the old owner answers %s with %d, from before its sleep", call.Method, v)
	}
	return err
}
