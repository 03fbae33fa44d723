package script

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

func workloadActor(kind Kind, n int) Actor { return Actor{kind, strconv.Itoa(n)} }

// caller makes the calls of workloads.
type caller struct {
	s       *Script
	rng     *rand.Rand
	clients int             // of the workloads before
	value   int             // that was used last
	of      map[Actor]int   // calls
	ids     map[string]bool // that the script's own calls have
	moves   []move
}

// move is a node that comes or goes.
type move struct {
	at    time.Duration
	node  string
	comes bool
}

// joinTime is how long a node that joins is given before it is called.
const joinTime = 3 * time.Second

func newCaller(s *Script) *caller {
	c := &caller{s: s, of: map[Actor]int{}, ids: map[string]bool{}}
	for i := range s.Calls {
		c.of[s.Calls[i].Actor]++
		c.ids[s.Calls[i].ID] = true
	}
	for i := range s.Faults {
		f := &s.Faults[i]
		for _, side := range f.Sides {
			for _, t := range side {
				if t.Kind != ByName {
					continue
				}
				switch f.Verb {
				case Join, Restart:
					c.moves = append(c.moves, move{f.At + joinTime, t.Name, true})
				case Leave, Drain:
					c.moves = append(c.moves, move{f.At, t.Name, false})
				}
			}
		}
	}
	slices.SortStableFunc(c.moves, func(a, b move) int { return cmp.Compare(a.at, b.at) })
	return c
}

// nodes returns those that clients know of at the time, in a random order.
func (c *caller) nodes(at time.Duration) []string {
	nodes := c.s.Names()[:c.s.Nodes]
	for _, m := range c.moves {
		if m.at > at {
			break
		}
		nodes = slices.DeleteFunc(nodes, func(n string) bool { return n == m.node })
		if m.comes {
			nodes = append(nodes, m.node)
		}
	}
	if len(nodes) == 0 {
		nodes = c.s.Names()[:1]
	}
	c.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return nodes
}

func (c *caller) calls(l *Workload) []Call {
	calls := make([]Call, l.calls())
	numbers := make([]int, l.Clients)
	pace := time.Second / time.Duration(l.Rate)
	for i := range calls {
		at := l.From + time.Duration(i)*time.Second/time.Duration(l.Rate) + time.Duration(c.rng.Int64N(int64(pace)))
		client := i % l.Clients
		name := "c" + strconv.Itoa(c.clients+client+1)
		call := Call{Line: l.Line, At: at.Truncate(time.Microsecond), Client: name, Within: l.Within}
		for call.ID == "" || c.ids[call.ID] {
			numbers[client]++
			call.ID = name + "." + strconv.Itoa(numbers[client])
		}
		c.choose(&call, l)
		calls[i] = call
	}
	c.clients += l.Clients
	return calls
}

// choose draws what is called, and through which nodes.
func (c *caller) choose(call *Call, l *Workload) {
	n := c.rng.IntN(l.Actors)
	for c.of[workloadActor(l.Kind, n)] >= maxActorCalls {
		n = (n + 1) % l.Actors
	}
	call.Actor = workloadActor(l.Kind, n)
	c.of[call.Actor]++
	m := c.method(l.Kind, c.chance(l.Reads))
	if m.name == "pay" && n == l.Actors-1 {
		m, _ = l.Kind.method("transfer")
	}
	call.Method = m.name
	for _, what := range m.args {
		call.Args = append(call.Args, c.arg(what, l, n, m.name == "pay"))
	}
	storm, keyless := c.chance(l.Storm), c.chance(l.Keyless)
	nodes, via, tries := c.nodes(call.At), 1, l.Tries
	switch {
	case m.reads:
	case keyless:
		call.Keyless, tries = true, 1
	case storm:
		via = min(stormNodes, len(nodes))
	}
	call.Via = nodes[:via:via]
	for i := 1; i < tries; i++ {
		call.Then = append(call.Then, nodes[i%len(nodes)])
	}
}

// stormNodes is through how many nodes a call is made at once.
const stormNodes = 3

func (c *caller) chance(s Share) bool { return Share(c.rng.IntN(int(whole))) < s }

// method draws a method that reads, or one that writes.
func (c *caller) method(kind Kind, reads bool) method {
	var weighted []method
	for _, m := range kindMethods[kind] {
		for range m.weight {
			if m.reads == reads {
				weighted = append(weighted, m)
			}
		}
	}
	return weighted[c.rng.IntN(len(weighted))]
}

// lockTimes are for how long locks are taken.
var lockTimes = []string{"500ms", "1s", "2s", "4s"}

const maxAmount = 9

// arg draws an argument. Accounts pay only those behind them: two that pay each
// other wait for each other, and end at their deadline.
func (c *caller) arg(what string, l *Workload, actor int, pays bool) string {
	switch what {
	case argNumber:
		return strconv.Itoa(1 + c.rng.IntN(maxAmount))
	case argValue:
		c.value++
		return strconv.Itoa(c.value)
	case argAccount:
		if pays {
			return strconv.Itoa(actor + 1 + c.rng.IntN(l.Actors-1-actor))
		}
		return strconv.Itoa((actor + 1 + c.rng.IntN(l.Actors-1)) % l.Actors)
	}
	return lockTimes[c.rng.IntN(len(lockTimes))]
}
