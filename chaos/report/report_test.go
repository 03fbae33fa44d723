package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
	"actormesh/ring"
)

// sample is a run as one would be: two nodes fail in turn, and what they owned
// moves.
func sample(t testing.TB) *workload.Run {
	t.Helper()
	s, err := script.Parse("nodes 5\ntime 30s\nsettle 10s\nslots 16\nworkload counter actors=12 clients=8 rate=80/s\n" +
		"workload list actors=4 rate=20/s\ncheck calls >= 100")
	if err != nil {
		t.Fatal(err)
	}
	r := &workload.Run{Plan: script.Expand(s, 7), Saw: map[string]int{"fenced append": 12}}
	down := func(at time.Duration) bool {
		return at > 5*time.Second && at < 6500*time.Millisecond || at > 14*time.Second && at < 16*time.Second
	}
	for i := range r.Plan.Calls {
		call := &r.Plan.Calls[i]
		epoch := 3
		slot := ring.SlotOf(16, "", workload.HostName(call.Actor.Kind), call.Actor.ID)
		for at, e := range []time.Duration{6 * time.Second, 15 * time.Second, 24 * time.Second} {
			if call.At > e && slot%4 != 0 {
				epoch = 4 + at
			}
		}
		owner := fmt.Sprintf("n%d", (int(slot)+epoch)%5+1)
		ms := time.Duration(2+(i*7919)%13) * time.Millisecond
		o := workload.Outcome{
			Start: call.At, End: call.At + ms, Code: workload.OK, Owner: owner,
			Reply: workload.Reply{Fence: fmt.Sprintf("%d.1.%d", epoch, i+1)},
		}
		switch {
		case down(call.At) && i%3 == 0:
			o.Code, o.End, o.Reply, o.Owner = workload.Unknown, call.At+900*time.Millisecond, workload.Reply{}, ""
		case down(call.At) && i%3 == 1:
			o.Code, o.Reply, o.Owner = workload.Unavailable, workload.Reply{}, ""
		case down(call.At):
			o.End += 400 * time.Millisecond
		}
		op := &workload.Op{Client: call.Client, Actor: call.Actor, Method: call.Method, Reads: call.ReadOnly(), Within: call.Within,
			Arg: workload.Arg{Op: call.ID}}
		r.History = append(r.History, workload.Event{Attempt: workload.Attempt{Op: op, Try: 1, Via: call.Via[0]}, Outcome: o})
	}
	for _, b := range []struct {
		verb       script.Verb
		text       string
		begin, end float64
	}{
		{script.Kill, "kill n2", 5, 8}, {script.Join, "join n6", 9, 9}, {script.Cut, "cut n1 | n2 n3 n4 n5", 14, 20},
		{script.Disk, "disk n3 slow 50ms", 15, 22}, {script.Pause, "pause n4", 16, 17.5}, {script.Pause, "pause n5", 17.6, 19},
		{script.Clock, "clock n3 drift +0.9%", 3, 28}, {script.Kill, "kill n1 n2 n3 n4 n5", 28, 29.5},
	} {
		r.Bands = append(r.Bands, workload.Band{
			Verb: b.verb, Text: b.text,
			Begin: time.Duration(b.begin * float64(time.Second)), End: time.Duration(b.end * float64(time.Second)),
		})
	}
	return r
}

func newReport(t testing.TB) *Report {
	return &Report{Name: "sample", Engine: script.Sim, Run: sample(t), Replay: "meshnode chaos run sample --on sim --seed 7"}
}

func TestVerdict(t *testing.T) {
	r := newReport(t)
	var b strings.Builder
	if err := r.Verdict(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PASS  sample on sim, seed 7, 5 nodes, 40s\n",
		"saw fenced append  12\n",
		"  14s..20s  cut n1 | n2 n3 n4 n5\n",
		"again: meshnode chaos run sample --on sim --seed 7\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the verdict lacks %q:\n%s", want, b.String())
		}
	}
	r.Findings = []workload.Finding{{Check: "bank", Text: "one\ntwo"}}
	b.Reset()
	if err := r.Verdict(&b); err != nil || !strings.HasPrefix(b.String(), "FAIL") || !strings.Contains(b.String(), "bank: one\n    two\n") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

// One run gives one picture, and it is a picture.
func TestTimeline(t *testing.T) {
	r := newReport(t)
	var svg, svg2, img, img2 bytes.Buffer
	for w, write := range map[io.Writer]func(io.Writer) error{&svg: r.SVG, &img: r.PNG} {
		if err := write(w); err != nil {
			t.Fatal(err)
		}
	}
	again := newReport(t)
	if err := errors.Join(again.SVG(&svg2), again.PNG(&img2)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(svg.Bytes(), svg2.Bytes()) || !bytes.Equal(img.Bytes(), img2.Bytes()) {
		t.Error("one run gives two pictures")
	}
	if dir := os.Getenv("ACTORMESH_TIMELINE"); dir != "" {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "t.svg"), svg.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, "t.png"), img.Bytes(), 0o644)); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"PASS", "sample on sim, seed 7", "kill n2", "slot 12", "unknown"} {
		if !strings.Contains(svg.String(), want) {
			t.Errorf("the SVG lacks %q", want)
		}
	}
	for d := xml.NewDecoder(&svg); ; {
		_, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	picture, err := png.Decode(&img)
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X < 1000 || size.Y < 500 {
		t.Errorf("the PNG has the size %v", size)
	}
}

// A run in which nothing was called and nothing was done has a report too.
func TestEmptyRun(t *testing.T) {
	r := Report{Name: "nothing", Engine: script.Local, Run: &workload.Run{Plan: &script.Plan{Header: script.Header{Nodes: 1, Time: time.Second}}}}
	if err := errors.Join(r.SVG(io.Discard), r.PNG(io.Discard), r.Verdict(io.Discard)); err != nil {
		t.Error(err)
	}
}

func TestSave(t *testing.T) {
	r := newReport(t)
	r.Findings = []workload.Finding{{Check: "linearizable", Actor: script.Actor{Kind: script.Counter, ID: "3"}}}
	r.Run.Finals = []workload.Final{{Actor: r.Findings[0].Actor}}
	dir := filepath.Join(t.TempDir(), "a", "b")
	files, err := r.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || len(text) == 0 {
			t.Errorf("%s: %v, %d bytes", f, err, len(text))
		}
		names = append(names, filepath.Base(f))
	}
	want := "verdict.txt plan.chaos history.txt run.json timeline.svg timeline.png linear-counter-3.html"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
	if _, err := r.Save(files[0]); err == nil {
		t.Error("a report is saved below a file")
	}
}

// A report that was saved is the same when it is read again.
func TestLoad(t *testing.T) {
	r := newReport(t)
	r.Findings = workload.Check(r.Run)
	dir := t.TempDir()
	if _, err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var before, after strings.Builder
	if err := errors.Join(r.Verdict(&before), again.Verdict(&after)); err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`line \d+`) // of the script, and of the plan
	if a, b := numbers.ReplaceAllString(before.String(), ""), numbers.ReplaceAllString(after.String(), ""); a != b || r.Passed() {
		t.Errorf("%s\nis read as\n%s", a, b)
	}
	for _, name := range []string{"plan.chaos", "history.txt", "run.json"} {
		file := filepath.Join(dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("what"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a broken %s gives the error %v", name, err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent")); err == nil {
		t.Error("a report is read that is not there")
	}
}

func TestLanes(t *testing.T) {
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	bands := []workload.Band{{Begin: s(0), End: s(5)}, {Begin: s(1), End: s(2)}, {Begin: s(2.5), End: s(3)}, {Begin: s(4), End: s(6)}, {Begin: s(5), End: s(5)}}
	of, n := lanes(bands, func(workload.Band) time.Duration { return s(1) })
	if fmt.Sprint(of) != "[0 1 1 1 0]" || n != 2 {
		t.Errorf("%v of %d lanes", of, n)
	}
}

// An owner that is silent for long shows as one.
func TestSpans(t *testing.T) {
	ms := func(all ...int) (times []time.Duration) {
		for _, n := range all {
			times = append(times, time.Duration(n)*time.Millisecond)
		}
		return times
	}
	s := stay{spans: spansOf(ms(5100, 100, 900, 1500, 4000, 4400), time.Second)}
	if got := fmt.Sprint(s.spans); got != "[{100000000 1500000000} {4000000000 5100000000}]" || s.first() != 100*time.Millisecond || s.last() != 5100*time.Millisecond {
		t.Errorf("%s, from %v to %v", got, s.first(), s.last())
	}
}

// The ticks of a scale of square roots stand apart.
func TestRootTicks(t *testing.T) {
	for high, want := range map[float64]string{0.5: "0", 1: "0 1", 60: "0 1 5 10 20 50", 790: "0 10 50 100 200 500"} {
		var labels []string
		last := -1.0
		for _, tick := range rootTicks(0, high) {
			at := rootScale{}.Normalize(0, high, tick.Value)
			if at > 1 || at-last < 0.1 {
				t.Errorf("up to %v the tick %s is at %v, after one at %v", high, tick.Label, at, last)
			}
			labels, last = append(labels, tick.Label), at
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("up to %v the ticks are %s, want %s", high, got, want)
		}
	}
}

func TestSeries(t *testing.T) {
	h := workload.History{}
	add := func(end time.Duration, code workload.Code, took time.Duration) {
		h = append(h, workload.Event{Outcome: workload.Outcome{Start: end - took, End: end, Code: code}})
	}
	add(50*time.Millisecond, workload.OK, 10*time.Millisecond)
	add(60*time.Millisecond, workload.App, 30*time.Millisecond)
	add(150*time.Millisecond, workload.Unavailable, time.Millisecond)
	add(time.Hour, workload.Unknown, time.Second)
	got := rates(h, 300*time.Millisecond, 100*time.Millisecond)
	if fmt.Sprint(got) != "[[20 0 0] [0 10 0] [0 0 10]]" {
		t.Errorf("rates: %v", got)
	}
	if q := latencies(h, 300*time.Millisecond, 100*time.Millisecond); q[0][0] != 30*time.Millisecond || q[1][2] != 0 {
		t.Errorf("latencies: %v", q)
	}
	for _, length := range []time.Duration{0, time.Second, time.Minute, time.Hour} {
		if bin := binOf(length); bin < minBin || bin%minBin != 0 || length/bin > maxBins {
			t.Errorf("a run of %v has bins of %v", length, bin)
		}
	}
}
