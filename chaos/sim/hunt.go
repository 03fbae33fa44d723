package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// Hunt runs wild scripts, seed after seed, until one shows something wrong.
type Hunt struct {
	From    uint64 // the first seed
	Seeds   int    // how many; 0 for no bound
	Workers int    // how many run at a time; 0 for one a core
	Twice   bool   // run each seed again, and compare

	// Progress, if not nil, is called every second or so.
	Progress func(*Found)
}

// Found is what a hunt has seen so far.
type Found struct {
	Runs    int
	Next    uint64 // the first seed that was not begun
	Virtual time.Duration
	Elapsed time.Duration
	Saw     map[string]int // by what it is: how often
	Failed  *Result        // the first run that failed, nil for none
}

// Table writes what the hunt has seen, how often.
func (f *Found) Table(w io.Writer) error {
	var err error
	for _, what := range slices.Sorted(maps.Keys(f.Saw)) {
		_, e := fmt.Fprintf(w, "%10d %s\n", f.Saw[what], what)
		err = errors.Join(err, e)
	}
	rate := float64(f.Runs) / max(f.Elapsed.Seconds(), 1e-9)
	_, e := fmt.Fprintf(w, "%d runs, %v of virtual time in %v: %.1f runs a second, each of %v\n", f.Runs, f.Virtual.Round(time.Second),
		f.Elapsed.Round(time.Millisecond), rate, (f.Virtual / time.Duration(max(f.Runs, 1))).Round(time.Second))
	return errors.Join(err, e)
}

// Rare is how many runs must have shown each of the faults and events that a hunt
// is for at least once.
const Rare = 400

// Missing returns the faults and rare events of which the hunt has seen none.
func (f *Found) Missing() []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(what string) bool { return f.Saw[what] > 0 })
}

// wanted are the faults, and the events that they are to bring about. What is not
// seen was not tested.
var wanted = []string{
	"fault calm", "fault clock drift", "fault clock jump", "fault cut", "fault cut-one-way", "fault disk eio",
	"fault disk flip", "fault disk full", "fault disk misdirect", "fault disk slow", "fault disk torn", "fault drain",
	"fault gossip silence", "fault gossip suspect", "fault join", "fault kill", "fault leave", "fault link", "fault pause", "fault power-loss",
	"fault restart", "fault restart empty",

	"crash after an fsync", "crash at a send", "crash before a write", "crash before an fsync", "pause within a step", "pause as a read leaves",
	"unsynced batch lost", "fsync failed", "disk full", "bit flipped", "write misdirected", "damage found", "directory wiped",
	"message cut", "message delayed", "message lost", "message on a slow link", "message reordered", "message repeated",
	"hint of gossip", "gossip silenced", "false hint", "earlier start refused", "process stopped", "crash within a stop",
	"snapshot cut short", "snapshot aborted", "snapshot taken", "part of a snapshot sent again", "part of a snapshot lost",
	"snapshot timed out", "node gone by drain", "node gone by leave", "process ended",

	"append or seal refused", "fetch", "log cut", "log discarded", "log read for a laggard", "logs differ", "lease lapsed",
	"owner changed", "coordinator changed", "voters changed", "replica set changed", "slot quiesced", "learner caught up",
	"snapshot installed", "fold", "key looked up", "dedup hit", "dedup hit after a failover", "delivery of a send",
	"activation loaded", "deactivation", "turn abandoned", "read under a lease", "read by a quorum",
	"call ok", "call app", "call deadline", "call outcome_unknown", "call unavailable", "call unreachable",
}

// pebbleEvery is how often a run is over Pebble in the place of the model.
const pebbleEvery = 10

// WildOptions returns how the wild script of a seed is run.
func WildOptions(seed uint64) Options {
	return Options{Seed: seed, Pebble: seed%pebbleEvery == 0}
}

// Run hunts until the context ends, the seeds are used up, or a run has failed.
func (h *Hunt) Run(ctx context.Context) (*Found, error) {
	workers := h.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	began := time.Now()
	found := &Found{Next: h.From, Saw: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failure error
	told := began
	work := func() {
		defer wg.Done()
		for {
			mu.Lock()
			over := ctx.Err() != nil || found.Failed != nil || failure != nil || h.Seeds > 0 && found.Next >= h.From+uint64(h.Seeds)
			seed := found.Next
			if !over {
				found.Next++
			}
			mu.Unlock()
			if over {
				return
			}
			r, err := h.run(seed)
			mu.Lock()
			switch {
			case err != nil:
				failure = err
			default:
				found.add(r, time.Since(began))
			}
			if h.Progress != nil && time.Since(told) > time.Second {
				told = time.Now()
				h.Progress(found)
			}
			mu.Unlock()
		}
	}
	for range workers {
		wg.Add(1)
		go work()
	}
	wg.Wait()
	return found, failure
}

func (f *Found) add(r *Result, elapsed time.Duration) {
	f.Runs++
	f.Virtual += r.Virtual
	f.Elapsed = elapsed
	for what, n := range r.Saw {
		f.Saw[what] += n
	}
	if len(r.Findings) > 0 && (f.Failed == nil || r.Seed < f.Failed.Seed) {
		f.Failed = r
	}
}

// run runs the script of a seed.
func (h *Hunt) run(seed uint64) (*Result, error) {
	plan := script.Expand(Wild(seed), seed)
	o := WildOptions(seed)
	r, err := Run(plan, o)
	if err != nil || !h.Twice || o.Pebble || len(r.Findings) > 0 {
		return r, err
	}
	again, err := Run(plan, o)
	if err == nil && (again.Hash != r.Hash || again.Events != r.Events) {
		err = fmt.Errorf("seed %d: two runs of it differ: %v, and %v", seed, r, again)
	}
	return r, err
}

// sort returns what a finding is about, without its numbers: what is left of two that
// show the same is the same.
func sort(f workload.Finding) string {
	words := strings.FieldsFunc(f.Text, func(r rune) bool { return !unicode.IsLetter(r) })
	long := slices.DeleteFunc(words, func(w string) bool { return len(w) < 3 })
	return f.Check + " " + strings.Join(long[:min(len(long), 3)], " ")
}

// Shrink returns a smaller plan that shows the same as a run that failed, with the
// same options, having made at most so many attempts.
func Shrink(failed *Result, o Options, attempts int) (*script.Plan, *Result) {
	last, what := failed, sort(failed.Findings[0])
	o.Trace, o.Progress = nil, nil
	plan := failed.Plan
	smallest, _ := script.Shrink(plan, func(p *script.Plan) bool {
		r, err := Run(p, o)
		if err != nil || !slices.ContainsFunc(r.Findings, func(f workload.Finding) bool { return sort(f) == what }) {
			return false
		}
		last = r
		return true
	}, attempts)
	return smallest, last
}
