package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeAPI serves documents, and tells calls back.
func fakeAPI(t *testing.T) (addr string) {
	t.Helper()
	documents := map[string]string{
		"/v1/status": `{"cluster":"c0ffee","node":"n1","epoch":12,"coordinator":"n2","quorum":true,"replication":3,
			"slots":{"total":256,"active":250,"owned":128},"members":[
			{"name":"n1","disk":"00000000000000aa","addr":"127.0.0.1:7001","http":"127.0.0.1:8001","state":"alive","zone":"a","voter":true,"owned":128},
			{"name":"n2","disk":"00000000000000bb","addr":"127.0.0.1:7002","http":"","state":"suspect","zone":"","voter":false,"owned":128}]}`,
		"/v1/slots": `[{"slot":0,"epoch":7,"replicas":["n1","n2"],"learners":[],"from":[],"active":true,"last":40,"commit":39},
			{"slot":1,"epoch":9,"replicas":["n2","n1"],"learners":["n3"],"from":[["n1"],["n3","n1"]],"active":false,"last":0,"commit":0}]`,
		"/v1/kinds": `[{"kind":"counter","methods":[{"name":"add","read":false},{"name":"get","read":true}]}]`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case documents[r.URL.Path] != "" && r.Method == "GET":
			io.WriteString(w, documents[r.URL.Path])
		case r.URL.Path == "/v1/drain" && r.Method == "POST":
			io.WriteString(w, "{\"drained\":true}\n")
		case strings.HasSuffix(r.URL.Path, "/withdraw"):
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			io.WriteString(w, `{"status":422,"code":"insufficient_funds","detail":"5 is less than 7","outcome":"none"}`)
		case r.Method == "POST":
			body, _ := io.ReadAll(r.Body) // what came says enough
			fmt.Fprintf(w, `{"path":%q,"body":%q,"key":%q}`, r.URL.EscapedPath(), body, r.Header.Get("Idempotency-Key"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestCall(t *testing.T) {
	addr := fakeAPI(t)
	for _, c := range []struct {
		args  []string
		stdin string
		want  string
	}{
		{[]string{"counter", "visits", "add", `{"n":1}`}, "", `{"path":"/v1/actors/counter/visits/add","body":"{\"n\":1}","key":""}`},
		{[]string{"counter", "a/..", "get"}, "", `{"path":"/v1/actors/counter/a%2F../get","body":"","key":""}`},
		{[]string{"counter", "visits", "add", "-", "--once", "k1"}, `{"n":2}`, `{"path":"/v1/actors/counter/visits/add","body":"{\"n\":2}","key":"k1"}`},
	} {
		r := newRig()
		r.stdin = strings.NewReader(c.stdin)
		if code := r.run(append([]string{"call", "--http", addr}, c.args...)...); code != exitOK || r.out.String() != c.want+"\n" {
			t.Errorf("call %q: exit %d, %q %q", c.args, code, r.out.String(), r.err.String())
		}
	}
}

func TestCallThatFails(t *testing.T) {
	r := newRig()
	code := r.run("call", "account", "alice", "withdraw", `{"amount":7}`, "--http", fakeAPI(t))
	if want := "meshnode: insufficient_funds: 5 is less than 7\n"; code != exitFailure || r.err.String() != want || r.out.Len() > 0 {
		t.Errorf("exit %d, %q, want %q", code, r.err.String(), want)
	}
}

func TestCallTooLarge(t *testing.T) {
	r := newRig()
	r.stdin = strings.NewReader(strings.Repeat(" ", maxArgumentBytes+1))
	if code := r.run("call", "kv", "a", "put", "-", "--http", fakeAPI(t)); code != exitFailure {
		t.Errorf("exit %d", code)
	}
}

func TestViews(t *testing.T) {
	addr := fakeAPI(t)
	for command, want := range map[string]string{
		"status": `
cluster      c0ffee
node         n1
epoch        12
coordinator  n2
quorum       yes
slots        256, of which 250 active; n1 owns 128
members      2
replicas     2 of each slot, for want of members; it should be 3
`,
		"members": `
NAME  STATE    ADDR            HTTP            ZONE  VOTER  OWNED  DISK
n1    alive    127.0.0.1:7001  127.0.0.1:8001  a     yes    128    00000000000000aa
n2 *  suspect  127.0.0.1:7002  -               -     no     128    00000000000000bb
`,
		"slots": `
SLOT  EPOCH  REPLICAS  LEARNERS  FROM      ACTIVE  LAST  COMMIT
0     7      n1,n2     -         -         yes     40    39
1     9      n2,n1     n3        n1 n3,n1  no      0     0
`,
		"kinds": `
KIND     METHOD  READS ONLY
counter  add     no
counter  get     yes
`,
	} {
		r := newRig()
		if code := r.run(command, "--http", addr); code != exitOK || r.out.String() != want[1:] {
			t.Errorf("%s: exit %d %s\n%s", command, code, r.err.String(), r.out.String())
		}
		if code := r.run(command, "--json", "--http", addr); code != exitOK || !strings.ContainsAny(r.out.String()[:1], "{[") {
			t.Errorf("%s --json: exit %d, %q", command, code, r.out.String())
		}
	}
}

func TestDrain(t *testing.T) {
	r := newRig()
	if code := r.run("drain", "--http", fakeAPI(t)); code != exitOK || r.out.String() != "{\"drained\":true}\n" {
		t.Errorf("exit %d, %q %q", code, r.out.String(), r.err.String())
	}
}
