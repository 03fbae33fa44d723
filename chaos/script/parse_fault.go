package script

import (
	"slices"
	"strings"
	"time"
)

// parse reads what is done, and to whom.
func (f *Fault) parse(w *words) {
	f.Verb = Verb(w.next("what is done"))
	info, ok := f.Verb.info()
	if !ok {
		w.fail("there is no fault %q", clip(string(f.Verb)))
		return
	}
	switch info.shape {
	case bare:
	case nodesOnly:
		f.side(w)
	case sides, twoSides, three:
		f.sides(w, "|")
	case arrow:
		f.sides(w, ">")
	case link:
		f.parseLink(w)
	case restart, clock, disk:
		f.side(w)
		f.parseMode(w)
	case gossip:
		f.parseMode(w)
	}
	if f.Verb == Flap && w.take("every") {
		f.Period = value(w, "the time of a flap", "500ms", parseDuration)
	}
	if w.err == nil {
		f.checkShape(w, info.shape)
	}
}

// checkShape fails if the fault has not as many sides as its verb needs.
func (f *Fault) checkShape(w *words, s shape) {
	n := len(f.Sides)
	switch {
	case s == sides && n < 2:
		w.fail("%s needs two sides at least: %s n1 n2 | n3", f.Verb, f.Verb)
	case s == twoSides && n != 2:
		w.fail("%s needs two sides: %s n1 | n2 n3", f.Verb, f.Verb)
	case s == arrow && n != 2:
		w.fail("%s needs two sides: %s n1 > n2 n3", f.Verb, f.Verb)
	case s == three && n != 3:
		w.fail("%s needs three sides, those in the middle hear both: %s n1 n2 | n3 | n4 n5", f.Verb, f.Verb)
	case s == link && f.Link == (Link{}):
		w.fail("link needs what happens to packets: link loss 20%% repeat 5%% reorder 10%% delay 10ms..50ms rate 64kB/s")
	case f.Verb == Flap && f.Period < time.Millisecond:
		w.fail("how fast is written like: flap n1 | n2 every 500ms")
	}
	named := map[string]bool{}
	for _, side := range f.Sides {
		if len(side) == 0 && w.err == nil {
			w.fail("a side of %s is nobody", f.Verb)
		}
		for _, t := range side {
			if t.Kind == ByName && named[t.Name] {
				w.fail("%s is named twice", t.Name)
			}
			if n == 1 && t.Kind == Rest {
				w.fail("rest is all that no other side names, and there is no other")
			}
			named[t.Name] = named[t.Name] || t.Kind == ByName
		}
	}
}

func (f *Fault) side(w *words) {
	side := targets(w)
	if len(side) == 0 {
		w.fail("to which nodes is missing: n1, owner counter/3, replica counter/3 2, coordinator, any, all, ...")
	}
	f.Sides = append(f.Sides, side)
}

func (f *Fault) sides(w *words, between string) {
	f.side(w)
	for w.take(between) {
		f.side(w)
	}
}

// targets reads targets up to a word that is none.
func targets(w *words) []Target {
	var all []Target
	for len(w.w) > 0 {
		t, ok := target(w)
		if !ok {
			break
		}
		all = append(all, t)
	}
	return all
}

// target reads a target, if the next word begins one.
func target(w *words) (Target, bool) {
	if nodeNumber(w.peek()) > 0 {
		return Named(w.next("a node")), true
	}
	i := slices.IndexFunc(targetWords, func(t struct {
		word  string
		kind  TargetKind
		actor bool
	}) bool {
		return t.word == w.peek()
	})
	if i < 0 {
		return Target{}, false
	}
	word := w.next("a target")
	t := Target{Kind: targetWords[i].kind}
	if targetWords[i].actor {
		t.Actor = value(w, "the actor of "+word, "counter/3, counter/any or any", parseTargetActor)
	}
	if n, ok := parseInt(w.peek(), 1, maxReplicas-1); ok && t.Kind == ReplicaOf {
		w.next("which replica")
		t.Nth = n
	}
	return t, true
}

// parseTargetActor reads the actor of a target, which may be any one.
func parseTargetActor(word string) (Actor, bool) {
	if word == anyActor {
		return Actor{ID: anyActor}, true
	}
	return parseActor(word)
}

func (f *Fault) parseLink(w *words) {
	l := &f.Link
	for len(w.w) > 0 {
		switch {
		case w.take("loss"):
			l.Loss = share(w, "the loss")
		case w.take("repeat"):
			l.Repeat = share(w, "the repetition")
		case w.take("reorder"):
			l.Reorder = share(w, "the reordering")
		case w.take("delay"):
			l.Delay = value(w, "the delay", "10ms..50ms", parseSpan)
		case w.take("rate"):
			l.Rate = value(w, "the rate", "64kB/s", parseBytesRate)
		case w.take("between"):
			f.sides(w, "|")
			if len(f.Sides) < 2 {
				w.fail("between needs two sides: between n1 | n2 n3")
			}
		case w.take("from"):
			f.OneWay = true
			f.sides(w, ">")
			if len(f.Sides) != 2 {
				w.fail("from needs two sides: from n1 > n2 n3")
			}
		default:
			return
		}
	}
}

func (f *Fault) parseMode(w *words) {
	known := modes[f.Verb]
	if f.Verb == Restart && !slices.Contains(known, Mode(w.peek())) {
		return // with its own disk as it is
	}
	f.Mode = Mode(w.next("how"))
	if !slices.Contains(known, f.Mode) {
		list := make([]string, len(known))
		for i, m := range known {
			list[i] = string(m)
		}
		w.fail("%s knows no %q; it is one of %s", f.Verb, clip(string(f.Mode)), strings.Join(list, ", "))
		return
	}
	switch f.Mode {
	case OfNode:
		f.Of = f.other(w, "whose disk")
	case Drift:
		f.Drift = value(w, "the drift", "+0.9%", parseShare)
		if f.Drift <= -whole || f.Drift > whole {
			w.fail("the drift is %v, it is above -100%% and up to 100%%", f.Drift)
		}
	case Jump:
		f.Delay = value(w, "how far", "-5s", func(word string) (time.Duration, bool) {
			d, err := time.ParseDuration(word)
			return d, err == nil && d.Abs() <= maxTime
		})
	case Slow:
		f.Delay = value(w, "the time of an fsync", "50ms", parseDuration)
	case Suspect:
		f.side(w)
		if !w.take("by") {
			w.fail("who suspects is written like: gossip suspect n2 by n1")
		}
		f.Of = f.other(w, "who suspects")
	case Silence:
		f.side(w)
	}
}

// other reads the one other target that a fault names.
func (f *Fault) other(w *words, what string) Target {
	t, ok := target(w)
	if !ok || t.Kind == Rest || t.Kind == All {
		w.fail("%s is one node", what)
	}
	return t
}

// maxRequestBytes bounds the id of a request.
const maxRequestBytes = 64

// call reads "c1 counter/3 add 5 id=c1.7 via=n2 then=n3,n1 within=2s keyless".
func (p *parser) call(w *words, at time.Duration) {
	c := Call{Line: w.line, At: at, Within: defaultWithin}
	c.Client = w.next("the client")
	if !isWord(c.Client, maxActorIDBytes) {
		w.fail("%q is no name of a client", clip(c.Client))
	}
	c.Actor = value(w, "the actor", "counter/3", parseActor)
	c.Method = w.next("the method")
	m, ok := c.Actor.Kind.method(c.Method)
	if !ok {
		w.fail("a %s has no method %q", c.Actor.Kind, clip(c.Method))
		return
	}
	for _, what := range m.args {
		c.Args = append(c.Args, value(w, "the argument of "+c.Method, argExample[what], func(word string) (string, bool) {
			return word, goodArg(what, word)
		}))
	}
	for len(w.w) > 0 {
		name, text, _ := strings.Cut(w.next("an option"), "=")
		switch name {
		case "id":
			c.ID = text
		case "keyless":
			c.Keyless = true
		case "via":
			c.Via = strings.Split(text, ",")
		case "then":
			c.Then = strings.Split(text, ",")
		case "within":
			if c.Within, ok = parseDuration(text); !ok || c.Within == 0 {
				w.fail("within is %q, it is written like 2s", clip(text))
			}
		default:
			w.fail("a call has no option %q; it has id, keyless, via, then and within", clip(name))
		}
	}
	switch {
	case w.err != nil:
	case !isWord(c.ID, maxRequestBytes):
		w.fail("the id of a call is 1 to %d letters, digits and any of -_.: id=c1.7", maxRequestBytes)
	case len(m.args) > 0 && m.args[0] == argAccount && c.Args[0] == c.Actor.ID:
		w.fail("an account has nothing to give to itself")
	case len(c.Via) == 0:
		w.fail("through which node is written like: via=n2")
	case c.Keyless && len(c.Via)+len(c.Then) > 1 && !m.reads:
		w.fail("a call without a key can be made once only")
	}
	p.s.Calls = append(p.s.Calls, c)
}

var argExample = map[string]string{argNumber: "5", argValue: "17", argAccount: "3", argTime: "2s"}

func goodArg(what, word string) bool {
	switch what {
	case argNumber, argValue:
		_, ok := parseInt(word, 1, 1<<30)
		return ok
	case argTime:
		d, ok := parseDuration(word)
		return ok && d > 0
	}
	return isWord(word, maxActorIDBytes)
}
