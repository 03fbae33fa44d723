package script

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults of what a script does not say.
const (
	defaultNodes       = 3
	defaultSlots       = 16
	defaultReplication = 3
	defaultTime        = 30 * time.Second
	defaultSettle      = 20 * time.Second
)

// maxErrors is how many errors Parse tells of.
const maxErrors = 20

// Parse reads a script. The error joins an *Error for each line that is wrong.
func Parse(text string) (*Script, error) {
	if len(text) > maxBytes {
		return nil, errorf(0, "the script has %d bytes, %d at most", len(text), maxBytes)
	}
	p := parser{s: &Script{Header: Header{
		Nodes: defaultNodes, Slots: defaultSlots, Replication: defaultReplication, Time: defaultTime, Settle: defaultSettle,
	}}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		w := newWords(n, line)
		if len(w.w) > 0 {
			p.statement(w)
		}
		if w.err == nil {
			w.end()
		}
		p.report(w.err)
	}
	if len(p.errs) == 0 {
		p.validate()
	}
	if len(p.errs) > maxErrors {
		p.errs = append(p.errs[:maxErrors:maxErrors], errors.New("and more"))
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.s, nil
}

type parser struct {
	s    *Script
	seen map[string]int // statements that may stand once, and their lines
	errs []error
}

func (p *parser) report(err *Error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// statement reads one line.
func (p *parser) statement(w *words) {
	s := p.s
	word := w.next("a statement")
	switch word {
	case "seed", "nodes", "spare", "slots", "replication", "voters", "time", "settle":
		p.once(w, word)
	}
	switch word {
	case "seed":
		s.Seed = value(w, "the seed", "42", parseSeed)
	case "nodes":
		s.Nodes = w.number("the number of nodes", 1, maxNodes)
	case "spare":
		s.Spare = w.number("the number of spare nodes", 0, maxNodes)
	case "slots":
		s.Slots = w.number("the number of slots", 1, maxSlots)
	case "replication":
		s.Replication = w.number("the number of replicas", 1, maxReplicas)
	case "voters":
		s.Voters = w.number("the number of voters", 0, maxReplicas)
	case "time":
		s.Time = value(w, "the time", "60s", parseDuration)
	case "settle":
		s.Settle = value(w, "the time to settle", "20s", parseDuration)
	case "set":
		p.setting(w)
	case "workload":
		p.workload(w)
	case "at":
		p.at(w)
	case "random":
		p.random(w)
	case "check":
		p.check(w)
	default:
		w.fail("%q begins no statement; those are seed, nodes, spare, slots, replication, voters, time, settle, set, "+
			"workload, at, random and check", clip(word))
	}
}

func parseSeed(word string) (uint64, bool) {
	n, err := strconv.ParseUint(word, 10, 64)
	return n, err == nil
}

// once fails if the statement stood before.
func (p *parser) once(w *words, statement string) {
	if line, ok := p.seen[statement]; ok {
		w.fail("%s is already said in line %d", statement, line)
	}
	if p.seen == nil {
		p.seen = map[string]int{}
	}
	p.seen[statement] = w.line
}

// settings are the flags of a node that a script may set, and whether each is a
// time. Where a mesh is large or small is said by statements of their own.
var settings = map[string]bool{
	"lease": true, "heartbeat": true, "probe-interval": true, "dead-grace": true, "idle-timeout": true,
	"call-timeout": true, "drain-timeout": true, "retention": true,
	"drift": false, "fold-records": false, "fold-bytes": false, "disk-reserve": false,
	"max-value-bytes": false, "max-key-bytes": false, "max-record-bytes": false, "max-effects": false,
}

func (p *parser) setting(w *words) {
	name := w.next("the name of a setting")
	isTime, known := settings[name]
	if !known {
		w.fail("there is no setting %q; it is the name of a flag of meshnode start", clip(name))
		return
	}
	p.once(w, "set "+name)
	text := w.next("the value")
	_, err := time.ParseDuration(text)
	if !isTime {
		_, err = strconv.ParseFloat(text, 64)
	}
	if err != nil || len(text) > maxQuoted {
		w.fail("%s is %q, which is no value of it", name, clip(text))
	}
	p.s.Settings = append(p.s.Settings, Setting{w.line, name, text})
}

// Defaults of a workload.
const (
	defaultClients = 4
	defaultActors  = 4
	defaultRate    = 10
	defaultReads   = whole * 3 / 10
	defaultTries   = 3
	defaultWithin  = 2 * time.Second
)

func (p *parser) workload(w *words) {
	load := Workload{
		Line: w.line, Clients: defaultClients, Actors: defaultActors, Rate: defaultRate,
		Until: -1, Reads: defaultReads, Tries: defaultTries, Within: defaultWithin,
	}
	load.Kind = value(w, "the kind", "counter", func(word string) (Kind, bool) {
		return Kind(word), slices.Contains(Kinds(), Kind(word))
	})
	for len(w.w) > 0 {
		name, text, ok := strings.Cut(w.next("an option"), "=")
		if !ok {
			w.fail("%q is no option, which is written NAME=VALUE", clip(name))
			break
		}
		o := &words{line: w.line, w: []string{text}}
		load.option(o, name)
		if o.err != nil {
			w.fail("%s", o.err.Text)
		}
	}
	p.s.Workloads = append(p.s.Workloads, load)
}

func (l *Workload) option(w *words, name string) {
	switch name {
	case "clients":
		l.Clients = w.number(name, 1, maxClients)
	case "actors":
		l.Actors = w.number(name, 1, maxActors)
	case "rate":
		l.Rate = value(w, name, "50/s", parseRate)
	case "from":
		l.From = value(w, name, "5s", parseDuration)
	case "until":
		l.Until = value(w, name, "5s", parseDuration)
	case "reads":
		l.Reads = share(w, name)
	case "storm":
		l.Storm = share(w, name)
	case "keyless":
		l.Keyless = share(w, name)
	case "tries":
		l.Tries = w.number(name, 1, maxNodes)
	case "within":
		l.Within = value(w, name, "2s", parseDuration)
	default:
		w.fail("a workload has no option %q; it has clients, actors, rate, from, until, reads, storm, keyless, tries and within", clip(name))
	}
}

// share reads a part of a whole.
func share(w *words, what string) Share {
	s := value(w, what, "20%", parseShare)
	if s < 0 || s > whole {
		w.fail("%s is %v, it is from 0%% to 100%%", what, s)
	}
	return s
}

func (p *parser) check(w *words) {
	c := Check{Line: w.line, What: w.next("what is checked")}
	if c.What == checkRecovery {
		c.Within = value(w, "the time of recovery", "10s", parseDuration)
		p.s.Checks = append(p.s.Checks, c)
		return
	}
	if c.What == "saw" {
		c.Saw, c.What = true, w.next("the name of a counter")
		for len(w.w) > 0 && w.peek() != ">=" {
			c.What += " " + w.next("the name of a counter")
		}
	} else if !slices.Contains(CheckNames(), c.What) && !slices.Contains(Verbs(), Verb(c.What)) {
		w.fail("nothing counts %q; it is recovery, a verb, saw NAME, or one of %s", clip(c.What), strings.Join(CheckNames(), ", "))
	}
	if !w.take(">=") {
		w.fail("a check is written like: check calls >= 500")
	}
	c.Min = w.number("the minimum", 0, maxCalls)
	p.s.Checks = append(p.s.Checks, c)
}

// at reads a fault or a call, with its time.
func (p *parser) at(w *words) {
	when := w.next("the time")
	from, to, two := strings.Cut(when, "..")
	at, ok := parseDuration(from)
	until, ok2 := at, true
	if two {
		until, ok2 = parseDuration(to)
	}
	if !ok || !ok2 || until < at {
		w.fail("the time is %q, it is written like 5s or 5s..20s", clip(when))
		return
	}
	if w.take("call") {
		if two {
			w.fail("a call has one time")
		}
		p.call(w, at)
		return
	}
	f := Fault{Line: w.line, At: at}
	if w.take("when") {
		f.Window = until - at
		f.When = value(w, "the step", "seal", func(word string) (Step, bool) { return Step(word), slices.Contains(Steps(), Step(word)) })
		if f.Window == 0 {
			w.fail("for how long %s is waited for is written like: at 5s..20s when %s", f.When, f.When)
		}
	} else {
		f.For = until - at
	}
	f.parse(w)
	if w.take("for") {
		if f.For > 0 {
			w.fail("the end is said twice")
		}
		f.For = value(w, "how long", "3s", parseDuration)
	}
	if f.For > 0 && w.err == nil && !f.lasts() {
		w.fail("%s is done at once: it has no end", f.text())
	}
	p.s.Faults = append(p.s.Faults, f)
}

// random reads "every 1s..4s for 1s..2s from 5s until 45s of FAULT, FAULT *2, ...".
func (p *parser) random(w *words) {
	r := Random{Line: w.line, Until: -1}
	for len(w.w) > 0 && w.peek() != "of" {
		switch word := w.next("a word"); word {
		case "every":
			r.Every = value(w, "the time between", "1s..4s", parseSpan)
		case "for":
			r.For = value(w, "how long", "1s..4s", parseSpan)
		case "from":
			r.From = value(w, "the first time", "5s", parseDuration)
		case "until":
			r.Until = value(w, "the last time", "45s", parseDuration)
		default:
			w.fail("%q is neither every, for, from, until nor of", clip(word))
		}
	}
	w.take("of")
	if w.err == nil && r.Every.Min <= 0 {
		w.fail("how often is written like: random every 1s..4s of kill any, pause any")
	}
	for _, phrase := range splitPhrases(w.w) {
		f := Fault{Line: w.line}
		part := &words{line: w.line, w: phrase}
		f.parse(part)
		weight := 1
		if times, ok := strings.CutPrefix(part.peek(), "*"); ok && part.err == nil {
			part.next("the weight")
			if weight, ok = parseInt(times, 1, 100); !ok {
				part.fail("a weight is written like *3")
			}
		}
		part.end()
		if part.err != nil {
			w.fail("%s", part.err.Text)
			return
		}
		for range weight {
			r.Of = append(r.Of, f)
		}
	}
	w.w = nil
	p.s.Random = append(p.s.Random, r)
}

// splitPhrases splits words at the commas that end them.
func splitPhrases(w []string) [][]string {
	phrases := [][]string{nil}
	for _, word := range w {
		text, comma := strings.CutSuffix(word, ",")
		last := len(phrases) - 1
		if text != "" {
			phrases[last] = append(phrases[last], text)
		}
		if comma {
			phrases = append(phrases, nil)
		}
	}
	return phrases
}
