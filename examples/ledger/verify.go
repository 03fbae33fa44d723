package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"actormesh/chaos/cluster"
)

// settleTimeout bounds how long credits, which are sent after the debit that
// they belong to, may still be on their way when the last transfer is
// acknowledged.
const settleTimeout = 20 * time.Second

// verify compares every balance, read through every node, with what it must be.
func (p *pour) verify(ctx context.Context, accounts []string, want map[string]int64) error {
	if err := p.settle(ctx, accounts, total(want)); err != nil {
		return err
	}
	var errs []error
	for _, addr := range p.addrs {
		got, err := p.balances(ctx, addr, accounts)
		if err == nil {
			err = compare(accounts, got, want)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("through %s: %w", addr, err))
		}
	}
	return errors.Join(errs...)
}

// settle waits until no money is on its way. More than there may be ends it at
// once: money that was made twice never goes away.
func (p *pour) settle(ctx context.Context, accounts []string, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		got, err := p.balances(ctx, p.addrs[0], accounts)
		sum := total(got)
		switch {
		case err != nil:
			return err
		case sum == want:
			return nil
		case sum > want:
			return fmt.Errorf("%s units are in the accounts, %s were paid in", thousands(sum), thousands(want))
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s of %s units are still on their way: %w", thousands(want-sum), thousands(want), ctx.Err())
		case <-timer.C:
		}
	}
}

// maxShown is how many wrong balances are told one by one.
const maxShown = 5

func compare(accounts []string, got, want map[string]int64) error {
	var errs []error
	wrong := 0
	for _, a := range accounts {
		if got[a] == want[a] {
			continue
		}
		if wrong++; wrong <= maxShown {
			errs = append(errs, fmt.Errorf("%s holds %d, must hold %d", a, got[a], want[a]))
		}
	}
	if wrong > 0 {
		errs = append(errs, fmt.Errorf("%d of %d balances are wrong", wrong, len(accounts)))
	}
	return errors.Join(errs...)
}

// busiest returns the node that owns the most accounts, and how many, among
// those that run.
func (p *pour) busiest(ctx context.Context, c *cluster.Cluster, accounts []string, not *cluster.Node) (*cluster.Node, int, error) {
	owners := make([]*cluster.Node, len(accounts))
	err := each(ctx, p.clients, len(accounts), nil, func(ctx context.Context, i int) (err error) {
		owners[i], err = c.Owner(ctx, "account", accounts[i])
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	owned := map[*cluster.Node]int{}
	for _, n := range owners {
		owned[n]++
	}
	var best *cluster.Node
	for _, n := range c.Nodes {
		if n != not && n.Running() && (best == nil || owned[n] > owned[best]) {
			best = n
		}
	}
	return best, owned[best], nil
}
