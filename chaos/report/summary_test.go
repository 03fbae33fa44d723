package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// A summary has passed if all has that could be run, and something has.
func TestSummary(t *testing.T) {
	good, bad := newReport(t), newReport(t)
	bad.Findings = []workload.Finding{{Check: "bank", Text: "one"}}
	rows := map[string]Row{"unfit": {Name: "unfit", Needs: "sim, netns"}, "waiting": {Name: "waiting"}}
	for name, r := range map[string]*Report{"good": good, "bad": bad} {
		row := Row{Name: name}
		row.Fill(r, 51*time.Second)
		rows[name] = row
	}
	rows["dead"] = Row{Name: "dead", Failed: errors.New("no port\nand no hope")}
	for _, test := range []struct {
		rows   string
		passed bool
		total  string
		says   string
	}{
		{"good unfit", true, "1 passed, 1 not on local", "unfit not on local: needs sim, netns"},
		{"unfit", false, "1 not on local", ""},
		{"good bad", false, "1 passed, 1 failed", "bad FAIL 51 3750"},
		{"good waiting", false, "1 passed, 1 not run", "waiting not run"},
		{"good dead", false, "1 passed, 1 could not be run", "dead ERROR: no port"},
	} {
		s := Summary{Engine: script.Local}
		for name := range strings.FieldsSeq(test.rows) {
			s.Rows = append(s.Rows, rows[name])
		}
		var b strings.Builder
		if err := s.Table(&b); err != nil {
			t.Fatal(err)
		}
		table := strings.Join(strings.Fields(b.String()), " ")
		if s.Passed() != test.passed || s.Total() != test.total || !strings.Contains(table, test.says) || !strings.HasSuffix(table, test.total) {
			t.Errorf("%s: passed is %v, in all %q, and the table is\n%s", test.rows, s.Passed(), s.Total(), b.String())
		}
	}
	row := rows["bad"]
	if got := row.Text(); !strings.HasPrefix(got, "1 findings; ") || !strings.Contains(got, "8 faults") {
		t.Errorf("a run is told as %q", got)
	}
}
