package workload

import "testing"

// FuzzParseHistory asks that no text makes a panic, and that what is read is
// written and read again as the same.
func FuzzParseHistory(f *testing.F) {
	f.Add(`5.21s 5.2242s c3/2 n4 counter/0 add {"op":"c3.17","n":5} within 2s -> ok n2 {"value":41,"seq":9,"now":5222,"fence":"7.1.33"} replayed`)
	f.Add(`1s 2s c1/1 n1 lock/0 acquire {"op":"a","peer":"c1","ttl":9} keyless within 2s -> app:held - {"value":1,"seq":1,"now":2,"fence":"1.1.1"}`)
	f.Add(`1s 2s c1/1 n1 list/0 read {"op":"a"} within 2s -> unavailable "no \"majority\""`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHistory(text)
		if err != nil {
			return
		}
		written := h.Text()
		again, err := ParseHistory(written)
		if err != nil {
			t.Fatalf("%v:\n%s", err, written)
		}
		if got := again.Text(); got != written {
			t.Errorf("%q is read as %q", written, got)
		}
	})
}
