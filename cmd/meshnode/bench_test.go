package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"actormesh/bench"
)

// benchServer answers what bench asks of a node that runs.
func benchServer(t *testing.T) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/status":
			io.WriteString(w, `{"members":[{"name":"n1","addr":"127.0.0.1:1"}]}`)
		case "/metrics":
			io.WriteString(w, "mesh_fsync_seconds_count 7\nprocess_cpu_seconds_total 1.5\n")
		default:
			io.WriteString(w, `{"value":1}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestBench(t *testing.T) {
	r, file, page := newRig(), filepath.Join(t.TempDir(), "report.json"), filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("<!-- workloads, written by a command: begin -->\n<!-- workloads, written by a command: end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code := r.run("bench", "--http", benchServer(t), "--via", "http", "--clients", "2", "--seconds", "0.1",
		"--warmup-seconds", "0", "--reps", "2", "--workloads", "counter.add", "--dir", t.TempDir(), "--json", file, "--doc", page)
	if code != exitOK || !strings.Contains(r.out.String(), "counter.add  mesh/http        2") {
		t.Fatalf("exit %d: %s\n%s", code, r.err.String(), r.out.String())
	}
	if !strings.Contains(r.err.String(), "2/2") {
		t.Errorf("progress: %s", r.err.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := os.ReadFile(page); err != nil || !strings.Contains(string(shown), "  counter.add  mesh/http        2") {
		t.Errorf("%v: the page is\n%s", err, shown)
	}
	var report bench.Report
	if err := json.Unmarshal(text, &report); err != nil || len(report.Results) != 1 || len(report.Results[0].Samples) != 2 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestBenchIsStopped(t *testing.T) {
	r := newRig()
	r.signals <- os.Interrupt
	code := r.run("bench", "--http", benchServer(t), "--via", "http", "--seconds", "3600", "--dir", t.TempDir())
	if code != exitFailure || !strings.Contains(r.err.String(), "ended by a signal") {
		t.Errorf("exit %d: %s", code, r.err.String())
	}
}

func TestBenchUsage(t *testing.T) {
	for args, says := range map[string]string{
		"--workloads kv.burn":       "kv.burn",
		"--clients 0":               "0 clients",
		"--via pigeon":              "pigeon",
		"--nodes 0":                 "--nodes",
		"--nodes 99":                "--nodes",
		"--reps 0":                  "0 repetitions",
		"--seconds 0":               "0s measured",
		"--as me":                   "--http",
		"--systems other":           "other",
		"--rate 0":                  "0 calls per second",
		"failover --nodes 2":        "--nodes",
		"failover --clients 0":      "0 clients",
		"join --via pigeon":         "pigeon",
		"join --clients 0":          "0 clients",
		"recovery --nodes 1":        "--nodes",
		"recovery --records 5,5":    "5 comes after [5]",
		"rest --nodes 0":            "--nodes",
		"rest --actors 2,1":         "1 comes after [2]",
		"rest --window 0":           "0s measured",
		"scale --workloads kv.burn": "kv.burn",
		"scale --slots 16":          "sizes [16]",
	} {
		r := newRig()
		code := r.run(append([]string{"bench"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(r.err.String(), says) {
			t.Errorf("%s: exit %d: %s", args, code, r.err.String())
		}
	}
}
