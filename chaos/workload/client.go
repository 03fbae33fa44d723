package workload

import (
	"strconv"
	"time"

	"actormesh/chaos/script"
)

// Client makes the calls of one client of a plan, one after the other. It does
// not wait and does not call; whoever drives it does:
//
//	at, ok := c.Next()            // when the next call begins, or at once if that is over
//	attempts := c.Begin()         // to be made at the same time
//	... = c.End(attempt, outcome) // of each; what it returns is to be made then
//	c.Busy()                      // until all of them have ended
type Client struct {
	name  string
	calls []script.Call
	op    *Op
	via   []string // of tries that remain
	tries int
	open  int           // attempts that have not ended
	done  bool          // an answer is there
	now   time.Duration // when the last attempt ended
	last  time.Duration // when calls end: what is late then is dropped
	seen  map[script.Actor]int64
	token map[script.Actor]int64
}

// Clients returns the clients of a plan, in the order in which they first call.
func Clients(p *script.Plan) []*Client {
	var clients []*Client
	byName := map[string]*Client{}
	for _, call := range p.Calls {
		c := byName[call.Client]
		if c == nil {
			c = &Client{name: call.Client, last: p.Length() - p.Quiet(), seen: map[script.Actor]int64{}, token: map[script.Actor]int64{}}
			byName[call.Client] = c
			clients = append(clients, c)
		}
		c.calls = append(c.calls, call)
	}
	return clients
}

// Name returns the client's name.
func (c *Client) Name() string { return c.name }

// Busy reports whether an attempt has not ended.
func (c *Client) Busy() bool { return c.open > 0 }

// Next returns when the next call begins; ok is false if there is none. A client
// that is late when the run is over drops what it had to call before.
func (c *Client) Next() (at time.Duration, ok bool) {
	for len(c.calls) > 0 && c.now > max(c.last, c.calls[0].At) {
		c.calls = c.calls[1:]
	}
	if len(c.calls) == 0 {
		return 0, false
	}
	return c.calls[0].At, true
}

// Begin takes the next call and returns its first attempts: one, or those of a
// storm. The client must not be busy.
func (c *Client) Begin() []Attempt {
	call := &c.calls[0]
	c.calls = c.calls[1:]
	c.op = c.makeOp(call)
	c.via, c.tries, c.done = call.Then, 0, false
	attempts := make([]Attempt, len(call.Via))
	for i, node := range call.Via {
		attempts[i] = c.attempt(node, 0)
	}
	return attempts
}

func (c *Client) attempt(via string, pause time.Duration) Attempt {
	c.tries++
	c.open++
	return Attempt{Op: c.op, Try: c.tries, Via: via, Pause: pause}
}

// makeOp fills in what depends on the answers so far.
func (c *Client) makeOp(call *script.Call) *Op {
	op := &Op{
		Client: c.name, Actor: call.Actor, Method: call.Method, Keyless: call.Keyless, Reads: call.ReadOnly(),
		Within: call.Within, Arg: Arg{Op: call.ID},
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(call.Args[i], 10, 64)
		if err != nil {
			panic(err) // the script's parser has seen to it
		}
		return n
	}
	switch call.Actor.Kind {
	case script.Counter, script.Register, script.List:
		if len(call.Args) > 0 {
			op.Arg.N = number(0)
		}
		if call.Method == "cas" {
			op.Arg.Old = c.seen[call.Actor]
		}
	case script.Account:
		if len(call.Args) > 0 {
			op.Arg.Peer, op.Arg.N = call.Args[0], number(1)
		}
	case script.Lock:
		if op.Reads {
			break
		}
		op.Arg.Peer = c.name
		if call.Method != "acquire" {
			op.Arg.Token = c.token[call.Actor]
		}
		if len(call.Args) > 0 {
			ttl, err := time.ParseDuration(call.Args[0])
			if err != nil {
				panic(err) // the script's parser has seen to it
			}
			op.Arg.TTL = max(1, ttl.Milliseconds())
		}
	}
	return op
}

// The pace of repetitions.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// End takes how an attempt ended, and returns what to try next: through another
// node, with the same id, if there is no answer yet.
func (c *Client) End(a Attempt, o *Outcome) []Attempt {
	c.open--
	c.now = max(c.now, o.End)
	if o.Code.final() {
		c.done = true
		c.learn(a.Op, o)
	}
	if c.done || c.open > 0 || len(c.via) == 0 || c.now > c.last || !o.Code.refused() && o.Code != Unknown {
		return nil
	}
	node := c.via[0]
	c.via = c.via[1:]
	return []Attempt{c.attempt(node, min(lastPause, firstPause<<min(c.tries, 8)))}
}

// learn remembers what later calls depend on.
func (c *Client) learn(op *Op, o *Outcome) {
	switch {
	case op.Actor.Kind == script.Register:
		c.seen[op.Actor] = o.Reply.Value
	case op.Method == "acquire" && o.Code == OK:
		c.token[op.Actor] = o.Reply.Value
	}
}
