package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestSave writes a report to all places, and reads it again.
func TestSave(t *testing.T) {
	dir, report := t.TempDir(), testReport()
	o := Output{
		JSON: filepath.Join(dir, "json"), Benchstat: filepath.Join(dir, "benchstat"),
		Plots: filepath.Join(dir, "plots"), Doc: filepath.Join(dir, "page.md"), Part: "calls",
	}
	begin, end := fmt.Sprintf(docBegin, "calls"), fmt.Sprintf(docEnd, "calls")
	other := fmt.Sprintf(docBegin, "other") + "x\n" + fmt.Sprintf(docEnd, "other")
	page := "before\n" + other + begin + "old\n" + end + "after\n"
	if err := os.WriteFile(o.Doc, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := report.Save(o, "new  \n"); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var again Report
	if err := json.Unmarshal([]byte(read(o.JSON)), &again); err != nil || !reflect.DeepEqual(&again, report) {
		t.Errorf("%v: %+v", err, again)
	}
	if got := strings.Count(read(o.Benchstat), "\nBenchmark"); got != 7 {
		t.Errorf("%d lines for benchstat", got)
	}
	if got, want := read(o.Doc), "before\n"+other+begin+"```\nnew\n```\n"+end+"after\n"; got != want {
		t.Errorf("the page is %q, want %q", got, want)
	}
	if err := os.WriteFile(o.Doc, []byte("no place\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report.Save(o, "new\n"); err == nil || read(o.Doc) != "no place\n" {
		t.Errorf("%v: %q", err, read(o.Doc))
	}
}

// TestPlots draws what was measured under several loads, and nothing else.
func TestPlots(t *testing.T) {
	dir := t.TempDir()
	names, err := testReport().WritePlots(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"cost", "latency", "scaling"} {
		want = append(want, filepath.Join(dir, "kv.put-"+name+".png"), filepath.Join(dir, "kv.put-"+name+".svg"))
	}
	if !slices.Equal(names, want) {
		t.Fatalf("drawn: %v", names)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if filepath.Ext(name) == ".svg" {
			var svg struct {
				XMLName xml.Name `xml:"svg"`
			}
			if b, err := io.ReadAll(f); err != nil || xml.Unmarshal(b, &svg) != nil || !bytes.Contains(b, []byte(">mesh/go</text>")) {
				t.Errorf("%s: %.200s, %v", name, b, err)
			}
			continue
		}
		if conf, err := png.DecodeConfig(f); err != nil || conf.Width != 768 || conf.Height != 480 {
			t.Errorf("%s: %+v, %v", name, conf, err)
		}
	}
}

func TestTicks(t *testing.T) {
	var labels []string
	for _, tick := range (scale{}).Ticks(15, 5000) {
		labels = append(labels, tick.Label)
	}
	if got, want := strings.Join(labels, " "), "20 50 100 200 500 1k 2k 5k"; got != want {
		t.Errorf("ticks %q, want %q", got, want)
	}
}

// TestCurves gives a system one colour in all pictures.
func TestCurves(t *testing.T) {
	report := testReport()
	puts, adds := report.curves(KVPut), report.curves(CounterAdd)
	if len(puts) != 2 || len(puts[0].results) != 2 || len(adds) != 1 || adds[0].colour != puts[1].colour || puts[0].colour == puts[1].colour {
		t.Errorf("%+v\n%+v", puts, adds)
	}
}

// TestColours has more systems than colours, of which no picture shows all.
func TestColours(t *testing.T) {
	r := &Report{}
	add := func(w Workload, systems string) {
		for _, s := range systems {
			r.Results = append(r.Results, Result{Cell: Cell{System: string(s), Via: "go", Workload: w, Clients: 1}, Samples: []Sample{{Rate: 1}}})
		}
	}
	add(KVPut, "abcdefgh")
	add(KVGet, "abxyz")
	for _, w := range []Workload{KVPut, KVGet} {
		seen := map[color.Color]string{}
		for _, c := range r.curves(w) {
			if other, taken := seen[c.colour]; taken {
				t.Errorf("%s: %s and %s are both %v", w, c.label, other, c.colour)
			}
			seen[c.colour] = c.label
		}
	}
}
