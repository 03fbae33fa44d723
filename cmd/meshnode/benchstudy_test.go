package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchStudies makes each study once, of real nodes and as small as can be.
func TestBenchStudies(t *testing.T) {
	t.Setenv(childVar, realChild)
	for name, test := range map[string]struct {
		args string
		rows []string // as settings; none for failover, whose rows are systems
	}{
		"failover": {"--clients 4 --before 100ms --after 0s --attempt 1s --via http", []string{""}},
		"join":     {"--clients 4 --actors 20 --window 100ms", []string{"phase=before", "phase=during", "phase=after"}},
		"recovery": {"--records 30,60", []string{"records=30/killed=1", "records=30/killed=3", "records=60/killed=1", "records=60/killed=3"}},
		"rest":     {"--actors 0,30 --settle 0s --window 100ms", []string{"actors=0", "actors=30"}},
		"scale": {"--slots 16,32 --actors 5,30 --clients 4 --settle 0s --warmup 0s --window 100ms", []string{
			"workload=counter.add/slots=16/actors=5", "workload=counter.add/slots=32/actors=5", "workload=counter.add/slots=16/actors=30",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := newRig(), t.TempDir()
			r.executable = os.Args[0]
			file, stat := filepath.Join(dir, "json"), filepath.Join(dir, "benchstat")
			args := append([]string{"bench", name}, strings.Fields(test.args)...)
			code := r.run(append(args, "--reps", "1", "--dir", dir, "--json", file, "--benchstat", stat)...)
			if code != exitOK {
				t.Fatalf("exit %d: %s\n%s", code, r.err.String(), r.out.String())
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var found struct {
				Columns []struct{ Unit string }
				Rows    []struct {
					System, Setting string
					Samples         []map[string]float64
				}
			}
			if err := json.Unmarshal(text, &found); err != nil || len(found.Rows) != len(test.rows) {
				t.Fatalf("%v: %s", err, text)
			}
			lines, err := os.ReadFile(stat)
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range found.Rows {
				if row.Setting != test.rows[i] || len(row.Samples) != 1 || len(row.Samples[0]) < len(found.Columns)-2 {
					t.Errorf("%+v", row)
				}
				if !strings.Contains(r.out.String(), row.System) || !strings.Contains(string(lines), "/system="+row.System) {
					t.Errorf("%s is not in\n%s\nor not in\n%s", row.System, r.out.String(), lines)
				}
				if got, ok := row.Samples[0]["awake"]; ok && !strings.HasSuffix(row.Setting, fmt.Sprintf("/actors=%v", got)) {
					t.Errorf("%s: %v are awake", row.Setting, got)
				}
				for unit, v := range row.Samples[0] {
					if v < 0 && !strings.Contains(unit, "/actor") { // the collector may have come between
						t.Errorf("%s: %v %s", row.Setting, v, unit)
					}
				}
			}
			if strings.Count(string(lines), "\nBenchmark") != len(test.rows) {
				t.Errorf("for benchstat:\n%s", lines)
			}
		})
	}
}
