package actormesh_test

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

const hazards = 30

// TestHazards holds docs/HAZARDS.md to what exists: every hazard has a guard in
// a file, and a test or a run of the specification that fails without it.
func TestHazards(t *testing.T) {
	text, err := os.ReadFile("docs/HAZARDS.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	rows := hazardRows(string(text))
	for i := range hazards {
		id := fmt.Sprintf("H%02d", i+1)
		cells, ok := rows[id]
		if !ok {
			t.Errorf("%s is not there", id)
			continue
		}
		for _, problem := range checkHazard(cells, tests, exists) {
			t.Errorf("%s: %s", id, problem)
		}
	}
}

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	isTest = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	asTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
)

// hazardRows returns the last two columns, guards and tests, of each row.
func hazardRows(text string) map[string][2]string {
	rows := map[string][2]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if id, ok := strings.CutPrefix(cells[0], "| "); ok && len(cells) == 5 {
			rows[id] = [2]string{cells[3], cells[4]}
		}
	}
	return rows
}

func checkHazard(cells [2]string, tests map[string]bool, exists func(string) bool) []string {
	var problems []string
	guards, proofs := quoted.FindAllStringSubmatch(cells[0], -1), quoted.FindAllStringSubmatch(cells[1], -1)
	if len(guards) == 0 {
		problems = append(problems, "no guard is named")
	}
	for _, g := range guards {
		if !exists(g[1]) {
			problems = append(problems, "there is no file "+g[1])
		}
	}
	named := 0
	for _, p := range proofs {
		switch {
		case isTest.MatchString(p[1]) && tests[p[1]]:
			named++
		case path.Ext(p[1]) != ".cfg" || !exists("docs/spec/"+p[1]):
			problems = append(problems, "there is no test and no run "+p[1])
		}
	}
	if named == 0 {
		problems = append(problems, "no test is named")
	}
	return problems
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// testNames returns the tests, fuzz targets and benchmarks of the repository.
func testNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, s := range readSources(t, ".") {
		if s.isTest() {
			for _, m := range asTest.FindAllStringSubmatch(s.text, -1) {
				names[m[1]] = true
			}
		}
	}
	return names
}

// TestHazardRules plants a gap of each kind in the page.
func TestHazardRules(t *testing.T) {
	tests := map[string]bool{"TestThere": true}
	there := func(name string) bool { return name == "guard.go" || name == "docs/spec/A.cfg" }
	for _, test := range []struct{ guard, proof, want string }{
		{"`guard.go`", "`TestThere`; `A.cfg`", ""},
		{"", "`TestThere`", "no guard is named"},
		{"`gone.go`", "`TestThere`", "no file gone.go"},
		{"`guard.go`", "`A.cfg`", "no test is named"},
		{"`guard.go`", "`TestThere`, `TestGone`", "no test and no run TestGone"},
		{"`guard.go`", "`TestThere`, `B.cfg`", "no test and no run B.cfg"},
	} {
		rows := hazardRows("| id | a | b | c | d |\n| H01 | x | y | " + test.guard + " | " + test.proof + " |\n")
		got := strings.Join(checkHazard(rows["H01"], tests, there), "; ")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("guard %s, tests %s: found %q, want %q", test.guard, test.proof, got, test.want)
		}
	}
}
