package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"actormesh/chaos/cluster"
)

const (
	idleActors  = 32
	idleClients = 8
	idleOps     = 100 // of each client
)

// Actors that are called now and then are put to sleep all the time. Their
// timeout is kept, no call is lost between two activations, and what they knew
// they know again.
func TestE2EIdle(t *testing.T) {
	m := layOut(t, cluster.Config{Nodes: 1, Args: []string{"--idle-timeout", "3ms"}})
	m.must(m.Start())
	m.ready(m.Nodes...)
	var wg sync.WaitGroup
	errs := make([]error, idleClients)
	var mu sync.Mutex
	want := map[string]int64{}
	for c := range idleClients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(c)))
			for range idleOps {
				id := fmt.Sprint("idle-", rng.IntN(idleActors))
				call := cluster.Call{Kind: "counter", ID: id, Method: "add", Arg: addArg{1}}
				if _, err := m.Client.Do(t.Context(), m.Nodes[0].HTTP, call); err != nil {
					errs[c] = err
					return
				}
				mu.Lock()
				want[id]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	m.must(errors.Join(errs...))
	for id, n := range want {
		m.until(readyTimeout, func(ctx context.Context) error { return asleep(ctx, m, id) })
		if got := m.get(id); got != n {
			t.Errorf("%s is %d after its sleep, want %d", id, got, n)
		}
	}
}

func asleep(ctx context.Context, m *mesh, id string) error {
	var where struct{ Active bool }
	err := m.Client.Get(ctx, m.Nodes[0].HTTP, "/v1/actors/counter/"+id, &where)
	if err == nil && where.Active {
		err = fmt.Errorf("%s is active", id)
	}
	return err
}
