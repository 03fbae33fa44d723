package local

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"actormesh/chaos/workload"
)

// Where waiting takes too long the machine stands still; two such times that are
// close are one.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{began: time.Now(), counts: map[string]int{}}
		late := map[int]time.Duration{
			10: 190 * time.Millisecond, 20: 500 * time.Millisecond, 30: 300 * time.Millisecond, 150: time.Second,
		}
		n := 0
		e.pulse(func(until time.Duration) bool {
			n++
			time.Sleep(until - e.since() + max(0, late[n]-pulsePeriod))
			return n < 200
		})
		if n := e.counts["machine stood still"]; n != 3 {
			t.Errorf("it stood still %d times", n)
		}
		var got []string
		for _, b := range e.bands {
			if b.Verb != workload.Stall {
				t.Errorf("a band of %s", b.Verb)
			}
			got = append(got, fmt.Sprint(b.Begin, "..", b.End))
		}
		if want := "[550ms..1.53s 3.91s..4.91s]"; fmt.Sprint(got) != want {
			t.Errorf("the bands are %v, want %s", got, want)
		}
	})
}
