package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// TestPage holds docs/HAZARDS.md to the mutants that there are: each hazard names
// its own, at least one, and each mutant has a row that says who catches it.
func TestPage(t *testing.T) {
	mutants, err := readMutants(root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, pageName))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range checkPage(string(page), mutants) {
		t.Error(problem)
	}
}

// checkPage returns what is wrong with the page.
func checkPage(page string, mutants []planted) (problems []string) {
	head, rest, _ := strings.Cut(page, tableBegin)
	table, _, ok := strings.Cut(rest, tableEnd)
	if !ok {
		return []string{"there is no table of the mutants"}
	}
	rows := tableRows(head)
	cells := hazardMutants(mutants)
	for id, cell := range cells {
		if row := rows[id]; len(row) == 0 || row[len(row)-1] != cell {
			problems = append(problems, id+": its mutants are "+cell)
		}
	}
	for id, row := range rows {
		if strings.HasPrefix(id, "H") && cells[id] == "" {
			problems = append(problems, id+": it has no mutant: "+row[len(row)-1])
		}
	}
	rows = tableRows(table)
	for i := range mutants {
		m := &mutants[i]
		row := rows["`"+m.Name+"`"]
		delete(rows, "`"+m.Name+"`")
		if problem := checkRow(m, row); problem != "" {
			problems = append(problems, m.Name+": "+problem)
		}
	}
	for name := range rows {
		if strings.HasPrefix(name, "`") {
			problems = append(problems, name+" is no mutant")
		}
	}
	return problems
}

func checkRow(m *planted, row []string) string {
	if len(row) != 7 {
		return "it has no row of seven cells"
	}
	caught := false
	for _, cell := range row {
		if cell == "" {
			return "a cell is empty"
		}
	}
	for _, cell := range row[4:] {
		caught = caught || cell != notCaught
	}
	where := "`" + strings.Join(m.Where, "`, `") + "`"
	switch {
	case !caught:
		return "nobody catches it"
	case row[1] != strings.Join(m.Hazards, ", ") || row[2] != m.Breaks || row[3] != where:
		return "its row is not what the source says: make mutants-write"
	}
	return ""
}

// tableRows returns the cells of the rows of all tables, by the first.
func tableRows(text string) map[string][]string {
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") && strings.HasSuffix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows[cells[0]] = cells
		}
	}
	return rows
}

// TestPageRules plants a gap of each kind in a page.
func TestPageRules(t *testing.T) {
	low := planted{Const: "Low", Name: "low", Hazards: []string{"H01"}, Breaks: "b", Where: []string{"a.go"}}
	const good = "| id | x | mutants |\n| H01 | x | `low` |\n" + tableBegin + tableHead +
		"| `low` | H01 | b | `a.go` | `TestX`, 0.1 s | – | – |\n" + tableEnd
	for _, test := range []struct{ old, new, want string }{
		{"", "", ""},
		{tableEnd, "", "no table"},
		{"| `low` |\n<", "| `high` |\n<", "H01: its mutants are `low`"},
		{"| H01 | x | `low` |\n", "| H01 | x | `low` |\n| H02 | x | none |\n", "H02: it has no mutant"},
		{"`TestX`, 0.1 s", "–", "nobody catches it"},
		{"`TestX`, 0.1 s", "", "a cell is empty"},
		{"| b |", "| c |", "not what the source says"},
		{"| – | – |\n", "| – |\n", "no row of seven"},
		{tableEnd, "| `gone` | H01 | b | `a.go` | `TestX`, 0.1 s | – | – |\n" + tableEnd, "`gone` is no mutant"},
	} {
		got := strings.Join(checkPage(strings.Replace(good, test.old, test.new, 1), []planted{low}), "; ")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%q for %q: found %q, want %q", test.new, test.old, got, test.want)
		}
	}
}

// TestEditPage writes a page that the checks are content with: the row of a mutant
// that was run is new, that of another one is kept.
func TestEditPage(t *testing.T) {
	low := planted{Const: "Low", Name: "low", Hazards: []string{"H01"}, Breaks: "b", Where: []string{"a.go"}}
	high := planted{Const: "High", Name: "high", Hazards: []string{"H01", "H02"}, Breaks: "c", Where: []string{"b.go"}}
	const kept = "| `high` | H01, H02 | c | `b.go` | `ring TestY`, 0.1 s | – | – |\n"
	before := "| H01 | x | old |\n| H02 | x | old |\nbefore\n" + tableBegin + tableHead + kept + "| `low` | old |\n" + tableEnd + "after\n"
	r := result{mutant: &low}
	r.by[simulator] = &failure{catcher: &catcher{dir: "quorum", seed: "seed"}, test: "TestX", seed: "7"}
	all := []planted{low, high}
	page, err := editPage(before, renderTable(all, []result{r}, before), all)
	if err != nil {
		t.Fatal(err)
	}
	if problems := checkPage(page, all); len(problems) > 0 || !strings.HasSuffix(page, kept+tableEnd+"after\n") ||
		!strings.Contains(page, "`quorum TestX -seed=7`, 0.0 s") {
		t.Errorf("%v in\n%s", problems, page)
	}
}
