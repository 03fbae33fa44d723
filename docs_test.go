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

// hazardRows returns two columns, guards and tests, of each row. The mutants are
// looked at where they are run: in chaos/mutants.
func hazardRows(text string) map[string][2]string {
	rows := map[string][2]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if id, ok := strings.CutPrefix(cells[0], "| "); ok && len(cells) == 6 {
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
			problems = append(problems, "there is no "+g[1])
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

// exists reports whether there is a file, or with "file:name" a file that
// declares the name: a function, a variable, a target.
func exists(guard string) bool {
	file, name, named := strings.Cut(guard, ":")
	text, err := os.ReadFile(file)
	if err != nil || !named {
		return err == nil
	}
	return regexp.MustCompile(`(?m)^(func (\(.*\) )?|var |const |type |\t)?` + regexp.QuoteMeta(name) + `\b`).Match(text)
}

func TestExists(t *testing.T) {
	for guard, want := range map[string]bool{
		"docs_test.go": true, "docs_test.go:exists": true, "Makefile:dead": true, "docs_test.go:hazards": true,
		"docs_tests.go": false, "docs_test.go:exist": false, "docs_test.go:name": false,
	} {
		if exists(guard) != want {
			t.Errorf("%s: there is %t", guard, !want)
		}
	}
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
		{"`gone.go`", "`TestThere`", "no gone.go"},
		{"`guard.go`", "`A.cfg`", "no test is named"},
		{"`guard.go`", "`TestThere`, `TestGone`", "no test and no run TestGone"},
		{"`guard.go`", "`TestThere`, `B.cfg`", "no test and no run B.cfg"},
	} {
		rows := hazardRows("| id | a | b | c | d | e |\n| H01 | x | y | " + test.guard + " | " + test.proof + " | z |\n")
		got := strings.Join(checkHazard(rows["H01"], tests, there), "; ")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("guard %s, tests %s: found %q, want %q", test.guard, test.proof, got, test.want)
		}
	}
}
