package workload

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
)

// A mesh that keeps its promises is not found guilty of anything.
func TestCheckFindsNothing(t *testing.T) {
	r := fakeRun(t, fakeScript)
	for _, f := range Check(r) {
		t.Error(f)
	}
	for _, kind := range script.Kinds() {
		if !slices.ContainsFunc(r.Finals, func(f Final) bool { return f.Actor.Kind == kind && len(f.Journal.Entries) >= 5 }) {
			t.Errorf("hardly any %s was called", kind)
		}
	}
}

// find returns the last event that is as asked, and its index.
func find(t *testing.T, r *Run, is func(e *Event) bool) (*Event, int) {
	t.Helper()
	for i := len(r.History) - 1; i >= 0; i-- {
		if is(&r.History[i]) {
			return &r.History[i], i
		}
	}
	t.Fatal("the run has no such event")
	return nil, 0
}

func journalOf(t *testing.T, r *Run, a script.Actor) *Journal {
	t.Helper()
	i := slices.IndexFunc(r.Finals, func(f Final) bool { return f.Actor == a })
	return &r.Finals[i].Journal
}

func isOK(method string) func(e *Event) bool {
	return func(e *Event) bool { return e.Method == method && e.Code == OK && !e.Replayed }
}

// rewrite gives an actor another journal, and the state that follows from it.
func (j *Journal) rewrite(kind script.Kind, entries []Entry) {
	j.Entries, j.State = entries, initial(kind)
	for _, e := range entries {
		next, code := apply(j.State, e)
		if code == "" {
			j.State = next
		}
	}
}

var counter0 = script.Actor{Kind: script.Counter, ID: "0"}

// violation breaks one promise, and names the check that must find it.
type violation struct {
	name, check, want string
	breaks            func(t *testing.T, r *Run)
}

var violations = []violation{
	{"an error that no client expects", "answers", "did not expect", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("add"))
		e.Code = "key_reused"
	}},
	{"a handler that panics", "answers", "a handler failed", func(t *testing.T, r *Run) {
		e, _ := find(t, r, func(e *Event) bool { return e.Code == App })
		e.App = "panic"
	}},
	{"no fence", "answers", "the fence is none", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("get"))
		e.Reply.Fence = "1.2"
	}},
	{"two answers to one id", "answers", "two answers", func(t *testing.T, r *Run) {
		e, _ := find(t, r, func(e *Event) bool { return e.Replayed && e.Try > 1 && e.Actor.Kind == script.Counter })
		answer := *e
		answer.Try++
		answer.End++
		answer.Reply.Value++
		r.History = append(r.History, answer)
	}},
	{"an actor that nobody can read", "finals", "cannot be read", func(t *testing.T, r *Run) {
		r.Finals[0].Failed = "no majority"
	}},
	{"an actor that was not read", "finals", "was not read", func(t *testing.T, r *Run) {
		r.Finals = r.Finals[1:]
	}},
	{"an operation that is applied twice", "once", "was applied twice", func(t *testing.T, r *Run) {
		j := journalOf(t, r, counter0)
		again := j.Entries[0]
		again.Fence = "9.9.9"
		j.rewrite(script.Counter, append(j.Entries, again))
	}},
	{"an operation out of nowhere", "once", "nobody called", func(t *testing.T, r *Run) {
		j := journalOf(t, r, counter0)
		j.rewrite(script.Counter, append(j.Entries, Entry{Arg: Arg{Op: "ghost", N: 1}, Method: "add", Fence: "9.9.9"}))
	}},
	{"an operation with another argument", "once", "what was called", func(t *testing.T, r *Run) {
		j := journalOf(t, r, counter0)
		j.Entries[3].N++
		j.rewrite(script.Counter, j.Entries)
	}},
	{"a refusal that lied", "once", "which was refused", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("append"))
		for i := range r.History {
			if r.History[i].Arg.Op == e.Arg.Op {
				r.History[i].Outcome = Outcome{Start: e.Start, End: e.End, Code: Unavailable}
			}
		}
	}},
	{"a handler's error that left a trace", "once", "whose handler failed", func(t *testing.T, r *Run) {
		e, _ := find(t, r, func(e *Event) bool { return e.Code == App && e.Method == "cas" })
		j := journalOf(t, r, e.Actor)
		j.rewrite(script.Register, append(j.Entries, Entry{Arg: e.Arg, Method: "cas", Fence: "9.9.9"}))
	}},
	{"an answer that is lost", "acknowledged", "and is lost", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("write"))
		j := journalOf(t, r, e.Actor)
		j.rewrite(script.Register, slices.DeleteFunc(j.Entries, func(x Entry) bool { return x.Op == e.Arg.Op }))
	}},
	{"a transfer that never comes", "acknowledged", "never came", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("transfer"))
		j := journalOf(t, r, script.Actor{Kind: script.Account, ID: e.Arg.Peer})
		j.rewrite(script.Account, slices.DeleteFunc(j.Entries, func(x Entry) bool { return x.Op == e.Arg.Op }))
	}},
	{"a state that its journal does not explain", "journals", "its journal says", func(t *testing.T, r *Run) {
		journalOf(t, r, counter0).Value++
	}},
	{"a fence that goes back", "journals", "after one with fence", func(t *testing.T, r *Run) {
		j := journalOf(t, r, counter0)
		j.Entries[5].Fence = j.Entries[4].Fence
	}},
	{"a lock that two hold", "journals", "fail with held", func(t *testing.T, r *Run) {
		e, _ := find(t, r, func(e *Event) bool { return e.App == AppHeld })
		j := journalOf(t, r, e.Actor)
		i := slices.IndexFunc(j.Entries, func(x Entry) bool { return x.Method == "acquire" })
		stolen := j.Entries[i]
		stolen.Op, stolen.Peer, stolen.Fence = e.Arg.Op, e.Client, j.Entries[i].Fence+"0"
		j.Entries = slices.Insert(j.Entries, i+1, stolen)
	}},
	{"money that is lost", "bank", "should hold", func(t *testing.T, r *Run) {
		for i := range r.Finals {
			j := &r.Finals[i].Journal
			if at := slices.IndexFunc(j.Entries, func(x Entry) bool { return x.Method == "credit" }); at >= 0 {
				j.rewrite(script.Account, slices.Delete(j.Entries, at, at+1))
				return
			}
		}
	}},
	{"two owners in one epoch", "owners", "two nodes answer", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("get"))
		e.Owner = "n3"
	}},
	{"a fence of a read that goes back", "fences", "a lower fence", func(t *testing.T, r *Run) {
		e, _ := find(t, r, isOK("read"))
		e.Reply.Fence = "1.1.1"
	}},
	{"a read of what was before", "linearizable", "explains all answers", func(t *testing.T, r *Run) {
		e, at := find(t, r, isOK("get"))
		for i := range at {
			if old := &r.History[i]; old.Actor == e.Actor && old.Code == OK {
				e.Reply.State = old.Reply.State
				return
			}
		}
	}},
	{"a write that another overtook", "linearizable", "explains all answers", func(t *testing.T, r *Run) {
		e, at := find(t, r, isOK("append"))
		for i := range at {
			if old := &r.History[i]; old.Actor == e.Actor && isOK("append")(old) {
				old.Reply, e.Reply = e.Reply, old.Reply
				return
			}
		}
	}},
	{"a cas that should have failed", "linearizable", "explains all answers", func(t *testing.T, r *Run) {
		e, _ := find(t, r, func(e *Event) bool { return e.App == AppMismatch })
		e.Code, e.App = OK, ""
	}},
	{"a call that is not answered when all is over", "recovery", "it is not answered", func(t *testing.T, r *Run) {
		r.Plan.Checks = []script.Check{{What: "recovery", Within: time.Second}}
		e, at := find(t, r, func(e *Event) bool { return e.Code == OK && e.Try == 1 && e.Start > 13*time.Second })
		r.History[at].Outcome = Outcome{Start: e.Start, End: e.End, Code: Unknown}
		r.Bands = append(r.Bands, Band{Verb: Stall, Begin: e.End, End: e.End + time.Second}) // when it was over
	}},
	{"too few calls", "minimums", "9999 at least", func(t *testing.T, r *Run) {
		r.Plan.Checks = append(r.Plan.Checks, script.Check{What: "calls", Min: 9999})
	}},
	{"a fault that is over too late to see a recovery", "recovery", "no call reached", func(_ *testing.T, r *Run) {
		r.Bands[0].End = r.Plan.Length()
	}},
	{"too few kills", "minimums", "0 kill, 1 at least", func(t *testing.T, r *Run) { r.Bands = nil }},
	{"what the engine never saw", "minimums", "0 moves", func(t *testing.T, r *Run) { r.Saw["moves"] = 0 }},
	{"what an engine that sees all has no word of", "minimums", "0 moves", func(t *testing.T, r *Run) { r.Saw, r.SawAll = nil, true }},
}

// Each broken promise is found, by the check that is there for it.
func TestCheckFinds(t *testing.T) {
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r := fakeRun(t, fakeScript)
			v.breaks(t, r)
			found := Check(r)
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == v.check && strings.Contains(f.Text, v.want) }) {
				t.Errorf("found only %v", found)
			}
		})
	}
}

// A call that is not answered because the machine stands still is no broken promise.
func TestStall(t *testing.T) {
	r := fakeRun(t, fakeScript)
	r.Plan.Checks = []script.Check{{What: "recovery", Within: time.Second}}
	e, at := find(t, r, func(e *Event) bool { return e.Code == OK && e.Try == 1 && e.Start > 13*time.Second })
	r.History[at].Outcome = Outcome{Start: e.Start, End: e.End, Code: Unknown}
	stall := Band{Verb: Stall, Begin: e.Start - 800*time.Millisecond, End: e.Start - 500*time.Millisecond}
	faults := newChecker(r).count("faults")
	if found := Check(r); !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == "recovery" }) {
		t.Errorf("without a stall found %v", found)
	}
	r.Bands = append(r.Bands, stall)
	if found := Check(r); slices.ContainsFunc(found, func(f Finding) bool { return f.Check == "recovery" }) {
		t.Errorf("after a stall found %v", found)
	}
	if n := newChecker(r).count("faults"); n != faults {
		t.Errorf("with a stall there are %d faults, and without one %d", n, faults)
	}
}

// Every check has a violation that it must find.
func TestCheckFindsEverything(t *testing.T) {
	for _, check := range []string{
		"answers", "finals", "once", "acknowledged", "journals", "bank", "owners", "fences", "linearizable", "recovery", "minimums",
	} {
		if !slices.ContainsFunc(violations, func(v violation) bool { return v.check == check }) {
			t.Errorf("nothing violates %s", check)
		}
	}
}

func TestCheckTellsLittle(t *testing.T) {
	r := fakeRun(t, fakeScript)
	for i := range r.History {
		r.History[i].Code = "bad_request"
	}
	found := slices.DeleteFunc(Check(r), func(f Finding) bool { return f.Check != "answers" })
	if len(found) != maxFindings+1 || !strings.HasPrefix(found[maxFindings].Text, "and ") {
		t.Errorf("%d findings", len(found))
	}
}

func TestHistoryText(t *testing.T) {
	r := fakeRun(t, fakeScript)
	text := r.History.Text()
	again, err := ParseHistory(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Text(); got != text {
		t.Error("a history is read as another")
	}
	r.History = again
	for _, f := range Check(r) {
		t.Error(f)
	}
	for _, bad := range []string{"x", "1s 2s c1/1 n1 counter/0 add {} -> ok", "1s 2s c1/x n1 counter/0 add {} within 2s -> ok"} {
		if _, err := ParseHistory(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestVisualize(t *testing.T) {
	var b bytes.Buffer
	if err := Visualize(fakeRun(t, fakeScript), counter0, &b); err != nil || !strings.Contains(b.String(), "<html") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}
