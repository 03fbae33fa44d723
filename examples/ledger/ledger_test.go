package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadLedger(t *testing.T) {
	l, err := readLedger(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(l.openings) != 200 || len(l.transfers) != 10_000 {
		t.Errorf("%d openings, %d transfers", len(l.openings), len(l.transfers))
	}
	if sum := total(l.balances()); sum != 200*100_000 {
		t.Errorf("the transfers make or lose money: %d", sum)
	}
}

// Files whose result would depend on the order of their rows are refused, and so
// are broken ones.
func TestReadLedgerRefuses(t *testing.T) {
	const opens, moves = "request,account,amount\no1,a,10\no2,b,10\n", "request,from,to,amount\n"
	for _, test := range []struct{ name, openings, transfers, want string }{
		{"good", opens, moves + "t1,a,b,10\n", ""},
		{"overdraft", opens, moves + "t1,b,a,5\nt2,a,b,12\n", "may not have the money"},
		{"request twice", opens, moves + "t1,a,b,1\nt1,b,a,1\n", "there twice"},
		{"request of an opening", opens, moves + "o1,a,b,1\n", "there twice"},
		{"to itself", opens, moves + "t1,a,a,1\n", "twice the same"},
		{"unknown account", opens, moves + "t1,a,c,1\n", "unknown account"},
		{"account twice", opens + "o3,a,1\n", moves, "there twice"},
		{"amount", opens, moves + "t1,a,b,-1\n", "transfers.csv:2"},
		{"header", opens, "t1,a,b,1\n", "first line"},
		{"columns", opens, moves + "t1,a,b\n", "wrong number of fields"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"openings.csv": test.openings, "transfers.csv": test.transfers} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := readLedger(dir)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestStats(t *testing.T) {
	var s stats
	at := time.Unix(1000, 0)
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	s.begin(second(0))
	s.begin(second(1))
	s.succeed(second(2), 2*time.Second, 1)
	s.succeed(second(5), 4*time.Second, 3) // a gap of 3 s
	s.begin(second(60))                    // nobody was waiting for 55 s: no gap
	s.succeed(second(61), time.Second, 1)
	r := s.summary()
	want := summary{done: 3, retries: 2, gap: 3 * time.Second, p50: 2 * time.Second, p99: 4 * time.Second, slowest: 4 * time.Second}
	if r != want {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
	if p := percentile(nil, 99); p != 0 {
		t.Errorf("of nothing: %v", p)
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: true, start: time.Now()}
	s.progress("half")
	s.progress("more")
	s.say("done")
	if got, want := out.String(), "   0.0s  half\r\x1b[K   0.0s  more\r\x1b[K   0.0s  done\n"; got != want {
		t.Errorf("on a terminal %q, want %q", got, want)
	}
	out.Reset()
	s = &screen{out: &out, start: time.Now()}
	s.progress("half")
	s.progress("too soon")
	s.say("done")
	if got, want := out.String(), "   0.0s  half\n   0.0s  done\n"; got != want {
		t.Errorf("in a file %q, want %q", got, want)
	}
	if got := bar(1, 2); got != strings.Repeat("█", 12)+strings.Repeat("░", 12) {
		t.Errorf("half a bar is %s", got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -20_000_000: "-20,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		1500 * time.Microsecond: "1.5 ms", 42 * time.Millisecond: "42 ms", 1234 * time.Millisecond: "1.23 s",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
