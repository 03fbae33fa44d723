package report

import (
	"cmp"
	"slices"
	"time"

	"actormesh/chaos/workload"
	"actormesh/ring"
)

// Bounds of how finely time is divided.
const (
	minBin  = 100 * time.Millisecond
	maxBins = 200
)

// binOf returns the time of one bin of a run.
func binOf(length time.Duration) time.Duration {
	bin := length/maxBins + minBin - 1
	return max(minBin, bin-bin%minBin)
}

// outcomes are how calls end, as far as the picture tells them apart.
type outcome int

const (
	answered outcome = iota
	refused
	unknown
	outcomes
)

func outcomeOf(e *workload.Event) outcome {
	switch {
	case e.Code == workload.OK || e.Code == workload.App:
		return answered
	case e.Code == workload.Unknown:
		return unknown
	}
	return refused
}

// rates returns for each outcome how many attempts ended so, a second, by bin.
func rates(h workload.History, length, bin time.Duration) [outcomes][]float64 {
	var out [outcomes][]float64
	n := int((length + bin - 1) / bin)
	for i := range out {
		out[i] = make([]float64, n)
	}
	for i := range h {
		e := &h[i]
		out[outcomeOf(e)][clampBin(e.End, bin, n)] += float64(time.Second) / float64(bin)
	}
	return out
}

func clampBin(at, bin time.Duration, n int) int { return max(0, min(n-1, int(at/bin))) }

// quantileSteps are the quantiles of latencies that are told; the last is the
// highest value.
var quantileSteps = [...]float64{0.5, 0.9, 1}

// quantiles returns those of the latencies of answers.
func quantiles(h workload.History, of func(*workload.Event) bool) [len(quantileSteps)]time.Duration {
	var all []time.Duration
	for i := range h {
		if e := &h[i]; outcomeOf(e) == answered && of(e) {
			all = append(all, e.End-e.Start)
		}
	}
	slices.Sort(all)
	var out [len(quantileSteps)]time.Duration
	for i, q := range quantileSteps {
		if len(all) > 0 {
			out[i] = all[min(len(all)-1, int(q*float64(len(all))))].Round(10 * time.Microsecond)
		}
	}
	return out
}

// latencies returns the quantiles of each bin's answers; a bin without answers has
// zeros.
func latencies(h workload.History, length, bin time.Duration) [][len(quantileSteps)]time.Duration {
	n := int((length + bin - 1) / bin)
	bins := make([]workload.History, n)
	for i := range h {
		at := clampBin(h[i].End, bin, n)
		bins[at] = append(bins[at], h[i])
	}
	out := make([][len(quantileSteps)]time.Duration, n)
	for i := range bins {
		out[i] = quantiles(bins[i], func(*workload.Event) bool { return true })
	}
	return out
}

// stay is a time in which a node owned a slot in one epoch, as answers tell.
type stay struct {
	slot  ring.SlotID
	epoch uint64
	owner string
	spans []span // in which it answered; one at least
}

// span is a time.
type span struct{ begin, end time.Duration }

func (s *stay) first() time.Duration { return s.spans[0].begin }
func (s *stay) last() time.Duration  { return s.spans[len(s.spans)-1].end }

// silenceOf returns how long a slot of a run is silent at least for that to show.
func silenceOf(length time.Duration) time.Duration { return max(2*time.Second, length/25) }

// spansOf joins times that are closer than a silence.
func spansOf(times []time.Duration, silence time.Duration) []span {
	slices.Sort(times)
	var out []span
	for _, t := range times {
		if n := len(out); n > 0 && t-out[n-1].end < silence {
			out[n-1].end = t
			continue
		}
		out = append(out, span{t, t})
	}
	return out
}

// stays returns who owned which slot, by slot and then by epoch.
func stays(r *workload.Run) []stay {
	type term struct {
		slot  ring.SlotID
		epoch uint64
	}
	owner, answers := map[term]string{}, map[term][]time.Duration{}
	for i := range r.History {
		e := &r.History[i]
		if slot, epoch, ok := workload.Term(r.Plan, e); ok {
			t := term{slot, epoch}
			owner[t], answers[t] = e.Owner, append(answers[t], e.End)
		}
	}
	var out []stay
	for t, times := range answers {
		out = append(out, stay{t.slot, t.epoch, owner[t], spansOf(times, silenceOf(r.Plan.Length()))})
	}
	slices.SortFunc(out, func(a, b stay) int { return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.epoch, b.epoch)) })
	return out
}

// lanes gives each band a lane in which it overlaps no other, and returns how many
// lanes there are. Shorter than wide, a band takes that much room, for its name.
func lanes(bands []workload.Band, wide func(workload.Band) time.Duration) ([]int, int) {
	var free []time.Duration // from when on each lane is
	out := make([]int, len(bands))
	for i, b := range bands {
		lane := slices.IndexFunc(free, func(t time.Duration) bool { return t <= b.Begin })
		if lane < 0 {
			lane = len(free)
			free = append(free, 0)
		}
		free[lane] = max(b.End, b.Begin+wide(b))
		out[i] = lane
	}
	return out, len(free)
}
