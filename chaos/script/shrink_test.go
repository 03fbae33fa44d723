package script

import (
	"testing"
	"time"
)

// guilty fails if a kill of n2 comes before a pause, and a certain call is made.
func guilty(p *Plan) bool {
	killed, paused, called := false, false, false
	for i := range p.Faults {
		f := &p.Faults[i]
		if f.Verb == Kill && f.Sides[0][0].Name == "n2" && f.For >= 100*time.Millisecond {
			killed = true
		}
		paused = paused || killed && f.Verb == Pause
	}
	for i := range p.Calls {
		called = called || p.Calls[i].ID == "c2.5"
	}
	return paused && called
}

func TestShrink(t *testing.T) {
	s := mustParse(t, "nodes 5\nspare 1\ntime 60s\nworkload counter rate=20/s\nat 3s..9s kill n2\nat 20s join n6\n"+
		"random every 1s of kill any, pause any, cut half | rest\n")
	p := Expand(s, 1)
	if !guilty(p) {
		t.Fatal("the plan does not fail")
	}
	asked := 0
	small, n := Shrink(p, func(p *Plan) bool {
		asked++
		if asked%16 == 0 {
			checkRoundTrip(t, p)
		}
		return guilty(p)
	}, 2000)
	if n != asked || !guilty(small) {
		t.Fatalf("asked %d times, says %d; the result fails: %v", asked, n, guilty(small))
	}
	if len(small.Faults) != 2 || len(small.Calls) != 1 || small.Nodes > 3 || small.Spare != 0 {
		t.Errorf("after %d tries:\n%s", n, small.Text())
	}
	if small.Faults[0].For > 200*time.Millisecond || small.Time > time.Second {
		t.Errorf("it still takes %v:\n%s", small.Time, small.Text())
	}
}

func TestShrinkIsBounded(t *testing.T) {
	p := Expand(mustParse(t, sample), 1)
	asked := 0
	if _, n := Shrink(p, func(*Plan) bool { asked++; return true }, 7); n != 7 || asked != 7 {
		t.Errorf("asked %d times, says %d, want 7", asked, n)
	}
	if same, n := Shrink(p, func(*Plan) bool { return false }, 50); same != p || n != 50 {
		t.Errorf("a plan of which no part fails is shrunk after %d tries", n)
	}
}
