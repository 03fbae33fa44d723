package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The page of the hazards, and where in it the mutants stand.
const (
	pageName   = "docs/HAZARDS.md"
	tableBegin = "<!-- mutants: written by make mutants-write -->\n"
	tableEnd   = "<!-- end of the mutants -->\n"
)

const notCaught = "–"

// tableHead is above the rows, one for each mutant.
const tableHead = "| mutant | for | what it breaks | where | tests | simulator | explorer |\n|---|---|---|---|---|---|---|\n"

// renderTable returns the table of all mutants: those that were examined now, and of
// the others the rows that the page has.
func renderTable(all []planted, results []result, page string) string {
	now := map[string]string{}
	for i := range results {
		now[results[i].mutant.Name] = renderRow(&results[i])
	}
	for line := range strings.Lines(page) {
		if parts := strings.Split(line, "`"); strings.HasPrefix(line, "| `") && now[parts[1]] == "" {
			now[parts[1]] = line
		}
	}
	var b strings.Builder
	b.WriteString(tableHead)
	for _, m := range all {
		b.WriteString(now[m.Name])
	}
	return b.String()
}

func renderRow(r *result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |", r.mutant.Name, strings.Join(r.mutant.Hazards, ", "), r.mutant.Breaks,
		strings.Join(r.mutant.Where, "`, `"))
	for _, f := range r.by {
		if f == nil {
			b.WriteString(" " + notCaught + " |")
		} else {
			fmt.Fprintf(&b, " `%s`, %.1f s |", f.where(), f.took.Seconds())
		}
	}
	return b.String() + "\n"
}

// hazardMutants returns what the last column says of each hazard.
func hazardMutants(mutants []planted) map[string]string {
	cells := map[string]string{}
	for _, m := range mutants {
		for _, h := range m.Hazards {
			if cells[h] != "" {
				cells[h] += ", "
			}
			cells[h] += "`" + m.Name + "`"
		}
	}
	return cells
}

// editPage returns the page with this table of mutants, and with the mutants of
// each hazard in the last column of its row.
func editPage(page, table string, mutants []planted) (string, error) {
	head, rest, ok := strings.Cut(page, tableBegin)
	_, tail, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		return "", fmt.Errorf("%s has no place for the mutants", pageName)
	}
	cells := hazardMutants(mutants)
	var b strings.Builder
	for line := range strings.Lines(head) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if i := strings.LastIndex(strings.TrimSuffix(line, " |\n"), " | "); i >= 0 && cells[id] != "" {
			line = line[:i] + " | " + cells[id] + " |\n"
		}
		b.WriteString(line)
	}
	return b.String() + tableBegin + table + tableEnd + tail, nil
}

func writePage(root string, all []planted, results []result) error {
	name := filepath.Join(root, pageName)
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	edited, err := editPage(string(page), renderTable(all, results, string(page)), all)
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(edited), 0o644)
}
