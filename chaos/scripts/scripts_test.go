package scripts

import (
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
)

func parse(t *testing.T, name string) (string, *script.Script) {
	t.Helper()
	text, err := Text(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := script.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return text, s
}

// Every script says what it is for, calls all through its time, does something,
// and asks for calls and for recovery.
func TestScripts(t *testing.T) {
	names := Names()
	if len(names) < 25 {
		t.Errorf("%d scripts", len(names))
	}
	for _, name := range names {
		text, s := parse(t, name)
		if !strings.HasPrefix(text, "# ") {
			t.Errorf("%s does not say what it is for", name)
		}
		counts := map[string]bool{}
		for _, c := range s.Checks {
			counts[c.What] = true
		}
		if !counts["calls"] {
			t.Errorf("%s asks for no calls", name)
		}
		p := script.Expand(s, 1)
		if last := p.Calls[len(p.Calls)-1].At; last < p.Length()-p.Quiet()-time.Second {
			t.Errorf("%s: the last call is at %v of %v", name, last, p.Length())
		}
		if err := p.CheckEngine(script.Sim); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := script.Parse(p.Text())
		if err != nil || script.Expand(again, 1).Text() != p.Text() {
			t.Errorf("%s: its plan is not a script that expands to itself: %v", name, err)
		}
	}
	if _, err := Text("peace"); err == nil || !strings.Contains(err.Error(), "halves") {
		t.Errorf("a script that is not there gives %v", err)
	}
}

// The checks of a script can be met: it plans as many calls and faults as it asks for.
func TestScriptsCanPass(t *testing.T) {
	for _, name := range Names() {
		_, s := parse(t, name)
		for seed := range uint64(5) {
			p := script.Expand(s, seed)
			verbs, storms, attempts := map[string]int{}, 0, 0
			for _, f := range p.Faults {
				verbs[string(f.Verb)]++
				verbs["faults"]++
			}
			for _, c := range p.Calls {
				attempts += len(c.Via)
				if len(c.Via) > 1 {
					storms++
				}
			}
			for _, c := range s.Checks {
				got, known := verbs[c.What]
				switch c.What {
				case "calls":
					got, known = attempts, true
				case "ok":
					got, known = len(p.Calls), true
				case "storms":
					got, known = storms, true
				}
				if known && got < c.Min {
					t.Errorf("%s with seed %d: line %d asks for %d %s, and %d are planned", name, seed, c.Line, c.Min, c.What, got)
				}
			}
		}
	}
}
