package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Through resets, refusals and unknown outcomes every transfer takes effect
// once, and the checks say so.
func TestPour(t *testing.T) {
	b, l := newBank(""), smallLedger(t, 1000)
	p, s := b.serve(t), &stats{}
	if err := p.open(t.Context(), l.openings); err != nil {
		t.Fatal(err)
	}
	answers, err := p.transfer(t.Context(), l.transfers, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.verify(t.Context(), l.accounts(), l.balances()); err != nil {
		t.Error(err)
	}
	n, err := p.replay(t.Context(), l.transfers, answers)
	if err != nil || n != 100 {
		t.Errorf("replayed %d: %v", n, err)
	}
	if err := p.verify(t.Context(), l.accounts(), l.balances()); err != nil {
		t.Errorf("after the replay: %v", err)
	}
	r := s.summary()
	if r.done != 1000 || r.retries == 0 || r.gap == 0 || r.p50 > r.p99 || r.p99 > r.slowest {
		t.Errorf("summary %+v", r)
	}
	for _, kind := range []string{"unavailable", "outcome_unknown", "reset"} {
		if b.failures[kind] == 0 {
			t.Errorf("no %s was injected", kind)
		}
	}
}

// A mesh that breaks its promise is found out.
func TestVerifyFindsBugs(t *testing.T) {
	for bug, want := range map[string]string{
		"twice":  "",
		"made":   "were paid in",
		"astray": "balances are wrong",
	} {
		t.Run(bug, func(t *testing.T) {
			b, l := newBank(bug), smallLedger(t, 300)
			p := b.serve(t)
			opened := p.open(t.Context(), l.openings)
			if bug == "twice" {
				if opened == nil {
					t.Error("a deposit that counts twice is not seen")
				}
				return
			}
			if opened != nil {
				t.Fatal(opened)
			}
			if _, err := p.transfer(t.Context(), l.transfers, &stats{}, nil); err != nil {
				t.Fatal(err)
			}
			err := p.verify(t.Context(), l.accounts(), l.balances())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// Money that never arrives is waited for, and then told.
func TestSettleEnds(t *testing.T) {
	b, l := newBank("lost"), smallLedger(t, 300)
	p := b.serve(t)
	if err := p.open(t.Context(), l.openings); err != nil {
		t.Fatal(err)
	}
	if _, err := p.transfer(t.Context(), l.transfers, &stats{}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := p.verify(ctx, l.accounts(), l.balances()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A mesh that has forgotten a request, or answers it otherwise, is found out.
func TestReplayFindsBugs(t *testing.T) {
	b, l := newBank(""), smallLedger(t, 300)
	p := b.serve(t)
	if err := p.open(t.Context(), l.openings); err != nil {
		t.Fatal(err)
	}
	answers, err := p.transfer(t.Context(), l.transfers, &stats{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := slices.Clone(answers)
	wrong[10]++
	if _, err := p.replay(t.Context(), l.transfers, wrong); err == nil {
		t.Error("another answer passes for the first one")
	}
	b.mu.Lock() // a request that was cut off may still be at work
	delete(b.answered, l.transfers[20].request)
	b.mu.Unlock()
	if _, err := p.replay(t.Context(), l.transfers, answers); err == nil {
		t.Error("a forgotten request passes for a replay")
	}
}

func TestEach(t *testing.T) {
	boom := errors.New("boom")
	err := each(t.Context(), 4, 1000, nil, func(ctx context.Context, i int) error {
		if i == 10 {
			return boom
		}
		return nil
	})
	if err != boom {
		t.Errorf("got %v", err)
	}
	given := 0
	err = each(t.Context(), 4, 1000, func(_ context.Context, i int) error {
		if i == 5 {
			return boom
		}
		return nil
	}, func(_ context.Context, i int) error {
		if i >= 5 {
			given++
		}
		return nil
	})
	if err != boom || given > 1 {
		t.Errorf("a gate that fails lets %d through: %v", given, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := each(ctx, 4, 10, nil, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
