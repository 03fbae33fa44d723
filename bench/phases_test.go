package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// TestPhases counts calls where they end, and each phase for itself.
func TestPhases(t *testing.T) {
	var fails atomic.Bool
	var calls [3]atomic.Int64 // that were begun in each
	p := &phases{loop: loop{workload: KVPut, clients: 4}}
	p.client = clientFunc(func(_ context.Context, _ int, r Request) error {
		if r.Workload != KVPut || len(r.Value) != ValueBytes {
			t.Errorf("%+v", r)
		}
		calls[p.now.Load()].Add(1)
		time.Sleep(time.Millisecond) // the work, not a wait for something
		if fails.Load() {
			return errors.New("no")
		}
		return nil
	})
	p.begin(t.Context(), 3)
	until := func(phase int) {
		for calls[phase].Load() < 20 {
			time.Sleep(time.Millisecond)
		}
	}
	until(0)
	p.next()
	until(1)
	fails.Store(true)
	p.next()
	until(2)
	p.end()
	for phase := range 2 {
		s, err := p.of(phase)
		if err != nil || s.Calls < 12 || s.Calls > calls[phase].Load()+4 || s.MaxUs < 1000 || s.Seconds != p.took[phase].Seconds() {
			t.Errorf("phase %d: %+v, %v; %d calls were begun", phase, s, err, calls[phase].Load())
		}
	}
	if s, err := p.of(2); err == nil && s.Calls > 4 || s.Errors == 0 || s.FirstError != "no" {
		t.Errorf("%+v, %v", s, err)
	}
}
