package workload

import (
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/script"
)

func clientsOf(t *testing.T, text string) []*Client {
	t.Helper()
	s, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return Clients(script.Expand(s, 1))
}

func names(attempts []Attempt) string {
	var out []string
	for _, a := range attempts {
		out = append(out, a.Arg.Op+"@"+a.Via)
	}
	return strings.Join(out, " ")
}

// A storm is made at once, and only when nobody has answered does the client try
// the other nodes, one after the other, with the same id.
func TestClientTries(t *testing.T) {
	c := clientsOf(t, "at 1s call a counter/0 add 5 id=x via=n1,n2 then=n3,n1\nat 2s call a counter/0 get id=y via=n1")[0]
	if at, ok := c.Next(); !ok || at.Seconds() != 1 {
		t.Errorf("the first call is at %v, %v", at, ok)
	}
	storm := c.Begin()
	if names(storm) != "x@n1 x@n2" || storm[0].Key() != "x" {
		t.Fatalf("the storm is %s", names(storm))
	}
	if next := c.End(storm[0], &Outcome{Code: Unavailable}); len(next) > 0 || !c.Busy() {
		t.Errorf("one of two attempts has ended, and the client tries %s", names(next))
	}
	second := c.End(storm[1], &Outcome{Code: Unknown})
	if names(second) != "x@n3" || second[0].Try != 3 || second[0].Pause <= 0 {
		t.Fatalf("after the storm the client tries %s", names(second))
	}
	third := c.End(second[0], &Outcome{Code: Overloaded})
	if names(third) != "x@n1" || third[0].Pause <= second[0].Pause {
		t.Fatalf("then the client tries %s", names(third))
	}
	if next := c.End(third[0], &Outcome{Code: Unreachable}); len(next) > 0 || c.Busy() {
		t.Errorf("after its last try the client tries %s", names(next))
	}
	read := c.Begin()
	if read[0].Key() != "" || names(read) != "y@n1" {
		t.Errorf("the read is %s with the key %q", names(read), read[0].Key())
	}
	c.End(read[0], &Outcome{Code: OK})
	if _, ok := c.Next(); ok || c.Busy() {
		t.Error("there is more than two calls")
	}
}

// An answer ends an operation, and so does an error that no retry mends.
func TestClientStops(t *testing.T) {
	for _, code := range []Code{OK, App, "key_reused"} {
		c := clientsOf(t, "at 1s call a counter/0 add 5 id=x via=n1,n2 then=n3")[0]
		storm := c.Begin()
		c.End(storm[0], &Outcome{Code: code})
		if next := c.End(storm[1], &Outcome{Code: code}); len(next) > 0 {
			t.Errorf("after %s the client tries %s", code, names(next))
		}
	}
}

// A client that is late drops what it had to call before the end.
func TestClientEnds(t *testing.T) {
	c := clientsOf(t, "time 4s\nsettle 4s\nat 1s call a counter/0 add 5 id=x via=n1 then=n2\nat 2s call a counter/0 get id=y via=n1\n"+
		"at 8s call a counter/0 get id=z via=n1")[0]
	late := c.Begin()[0]
	if next := c.End(late, &Outcome{Code: Unavailable, End: 7500 * time.Millisecond}); len(next) > 0 {
		t.Errorf("when the run is over the client still tries %s", names(next))
	}
	if at, ok := c.Next(); !ok || at != 8*time.Second {
		t.Errorf("the next call is at %v, %v", at, ok)
	}
}

// What a client says depends on what it was told.
func TestClientLearns(t *testing.T) {
	c := clientsOf(t, "at 1s call a register/0 read id=r1 via=n1\nat 2s call a register/0 cas 5 id=r2 via=n1\n"+
		"at 3s call a register/1 cas 6 id=r3 via=n1\nat 4s call a lock/0 acquire 2s id=l1 via=n1\nat 5s call a lock/0 release id=l2 via=n1\n"+
		"at 6s call a account/0 transfer 3 4 id=t via=n1 keyless")[0]
	var args []Arg
	for range 6 {
		a := c.Begin()[0]
		args = append(args, a.Arg)
		c.End(a, &Outcome{Code: OK, Reply: Reply{State: State{Value: 17}}})
		if a.Arg.Op == "t" && a.Key() != "" {
			t.Errorf("a call without a key has the key %q", a.Key())
		}
	}
	want := []Arg{
		{Op: "r1"}, {Op: "r2", N: 5, Old: 17}, {Op: "r3", N: 6},
		{Op: "l1", Peer: "a", TTL: 2000}, {Op: "l2", Peer: "a", Token: 17}, {Op: "t", N: 4, Peer: "3"},
	}
	if !slices.Equal(args, want) {
		t.Errorf("the arguments are %+v\nwant %+v", args, want)
	}
}

func TestAnswers(t *testing.T) {
	o := Answer{Code: OK, Body: []byte(`{"value":3,"seq":2,"now":1,"fence":"1.2.3"}`), Owner: "n2"}.Outcome(1, 2)
	if o.Code != OK || o.Reply.Value != 3 || o.Reply.Seq != 2 || o.Owner != "n2" || o.Start != 1 || o.End != 2 {
		t.Errorf("read as %+v", o)
	}
	for _, body := range []string{"", "3", `{"value":"x"}`, `{"balance":3}`} {
		if o := (Answer{Code: OK, Body: []byte(body)}).Outcome(1, 2); o.Code != codeGarbled {
			t.Errorf("%q is read as %+v", body, o)
		}
	}
	for _, bad := range []string{"", "1", "1.2", "1.2.3.4", "1.2.x", "1..3"} {
		if _, ok := fence(bad); ok {
			t.Errorf("%q is read as a fence", bad)
		}
	}
}
