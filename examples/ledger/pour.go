package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"actormesh/chaos/cluster"
)

// pour is the clients' side: calls of accounts through all nodes.
type pour struct {
	client  *cluster.Client
	addrs   []string
	clients int
}

type amountArg struct {
	Amount int64 `json:"amount"`
}

type transferArg struct {
	To     string `json:"to"`
	Amount int64  `json:"amount"`
}

type balanceReply struct {
	Balance int64 `json:"balance"`
}

// account calls a method of an account, beginning with one of the nodes, until
// there is a final answer.
func (p *pour) account(ctx context.Context, first int, id, method, key string, arg any) (int64, cluster.Answer, int, error) {
	answer, tries, err := p.client.Persist(ctx, p.addrs, first, cluster.Call{
		Kind: "account", ID: id, Method: method, Arg: arg, Key: key,
	})
	if err != nil {
		return 0, answer, tries, fmt.Errorf("%s of %s, request %q: %w", method, id, key, err)
	}
	var reply balanceReply
	if err := json.Unmarshal(answer.Body, &reply); err != nil {
		return 0, answer, tries, fmt.Errorf("%s of %s answers %q: %w", method, id, answer.Body, err)
	}
	return reply.Balance, answer, tries, nil
}

func (p *pour) open(ctx context.Context, openings []opening) error {
	return each(ctx, p.clients, len(openings), nil, func(ctx context.Context, i int) error {
		o := openings[i]
		balance, _, _, err := p.account(ctx, i, o.account, "deposit", o.request, amountArg{o.amount})
		if err == nil && balance != o.amount {
			err = fmt.Errorf("%s holds %d after its first deposit, of %d", o.account, balance, o.amount)
		}
		return err
	})
}

// transfer pours the transfers in, and returns what each was answered: the
// balance that it left with the payer. The gate, asked before each, may hold
// them all up.
func (p *pour) transfer(ctx context.Context, transfers []transfer, s *stats, gate func(context.Context, int) error) ([]int64, error) {
	answers := make([]int64, len(transfers))
	err := each(ctx, p.clients, len(transfers), gate, func(ctx context.Context, i int) error {
		t := transfers[i]
		start := time.Now()
		s.begin(start)
		balance, _, tries, err := p.account(ctx, i, t.from, "transfer", t.request, transferArg{t.to, t.amount})
		if err != nil {
			return err
		}
		now := time.Now()
		s.succeed(now, now.Sub(start), tries)
		answers[i] = balance
		return nil
	})
	return answers, err
}

// replay repeats every tenth transfer, each of which must get its first answer,
// and returns how many these were.
func (p *pour) replay(ctx context.Context, transfers []transfer, answers []int64) (int, error) {
	const step = 10
	n := (len(transfers) + step - 1) / step
	return n, each(ctx, p.clients, n, nil, func(ctx context.Context, i int) error {
		t, first := transfers[i*step], answers[i*step]
		balance, answer, _, err := p.account(ctx, i, t.from, "transfer", t.request, transferArg{t.to, t.amount})
		if err == nil && (!answer.Replayed || balance != first) {
			err = fmt.Errorf("transfer %s, repeated: balance %d, said to be a replay: %v; the first answer was %d",
				t.request, balance, answer.Replayed, first)
		}
		return err
	})
}

// balances reads every account through one node.
func (p *pour) balances(ctx context.Context, addr string, accounts []string) (map[string]int64, error) {
	through := pour{client: p.client, addrs: []string{addr}, clients: p.clients}
	var mu sync.Mutex
	read := make(map[string]int64, len(accounts))
	err := each(ctx, p.clients, len(accounts), nil, func(ctx context.Context, i int) error {
		balance, _, _, err := through.account(ctx, 0, accounts[i], "balance", "", nil)
		mu.Lock()
		defer mu.Unlock()
		read[accounts[i]] = balance
		return err
	})
	return read, err
}

// each does items 0 to n-1 by so many workers, in order as far as there is one.
// The first error ends it. The gate, if there is one, is asked before each item
// is given out.
func each(ctx context.Context, workers, n int, gate func(context.Context, int) error, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	items := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range items {
				if err := do(ctx, i); err != nil {
					cancel(err) // only the first cause counts
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		if gate != nil {
			if err := gate(ctx, i); err != nil {
				cancel(err)
			}
		}
		select {
		case items <- i:
		case <-ctx.Done():
		}
	}
	close(items)
	wg.Wait()
	return context.Cause(ctx)
}
