package script_test

import (
	"testing"

	"actormesh/chaos/script"
	"actormesh/chaos/scripts"
)

// What a script can do to a mesh, some script does.
func TestScriptsDoEverything(t *testing.T) {
	done := map[string]bool{}
	for _, name := range scripts.Names() {
		text, err := scripts.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := script.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(3) {
			for _, f := range script.Expand(s, seed).Faults {
				done[string(f.Verb)], done[string(f.Mode)], done[string(f.When)] = true, true, true
			}
		}
	}
	for _, v := range script.Verbs() {
		if v != script.Calm && !done[string(v)] {
			t.Errorf("no script has %s", v)
		}
	}
	for _, m := range script.Modes() {
		if !done[string(m)] {
			t.Errorf("no script has %s", m)
		}
	}
	for _, step := range script.Steps() {
		if !done[string(step)] {
			t.Errorf("no script waits for %s", step)
		}
	}
}
