package mesh

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/transport"
)

// serveFake serves a handler on a port of its own until the test ends.
func serveFake(t *testing.T, h http.Handler, conf *tls.Config, maxConns int) *httpServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startHTTP(listener, conf, h, maxConns, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.shutdown(ctx)
		if s.err != nil {
			t.Error(s.err)
		}
	})
	return s
}

// TestHTTPServerTooLarge sends 2 MiB over a real connection: the client must
// read the answer, and not a reset.
func TestHTTPServerTooLarge(t *testing.T) {
	_, h := newFakeHandler(t)
	s := serveFake(t, h, nil, 10)
	for range 20 {
		resp, err := http.Post("http://"+s.addr().String()+"/v1/actors/kv/a/put", "application/json", bytes.NewReader(make([]byte, 2<<20)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Fatalf("answered %s", resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHTTPServerKeepAlive sends raw requests, ids and all, over one connection.
func TestHTTPServerKeepAlive(t *testing.T) {
	f, h := newFakeHandler(t)
	s := serveFake(t, h, nil, 10)
	c, err := net.Dial("tcp", s.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for _, id := range []string{"..", "a%2F..%2Fb", "%2F", ".", "x"} {
		fmt.Fprintf(c, "POST /v1/actors/kv/%s/get HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", id)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || string(body) != `{"value":3}` || resp.Close {
			t.Errorf("%s: %s %q %v, close %v", id, resp.Status, body, err, resp.Close)
		}
	}
	if got := f.lastCall(t).ID; got != "x" {
		t.Errorf("the last id came as %q", got)
	}
}

// TestHTTPServerMaxConns closes a connection that is one too many, and takes
// others when one of the first is gone.
func TestHTTPServerMaxConns(t *testing.T) {
	_, h := newFakeHandler(t)
	s := serveFake(t, h, nil, 1)
	ask := func(c net.Conn) error {
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err
	}
	first := dial(t, s)
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial(t, s)); err == nil {
		t.Error("a second connection was served")
	}
	first.Close()
	for ask(dial(t, s)) != nil { // until the server has seen the end of the first
	}
}

func dial(t *testing.T, s *httpServer) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestHTTPServerShutdown lets a call under way end.
func TestHTTPServerShutdown(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	s := serveFake(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-end
		io.WriteString(w, "done")
	}), nil, 10)
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body) // what came says enough
		got <- string(body)
	}()
	<-began
	stopped := make(chan struct{})
	go func() {
		s.shutdown(context.Background())
		close(stopped)
	}()
	<-s.done // it takes no more
	close(end)
	if answer := <-got; answer != "done" {
		t.Errorf("answered %q", answer)
	}
	<-stopped
	http.DefaultClient.CloseIdleConnections()
}

// TestHTTPServerCertificates speaks TLS with certificates of a real CA.
func TestHTTPServerCertificates(t *testing.T) {
	dir, other := filepath.Join(t.TempDir(), "certs"), filepath.Join(t.TempDir(), "other")
	for _, err := range []error{
		InitCerts(dir), IssueNodeCert(dir, "n1", nil), IssueClientCert(dir, "alice", "client"), IssueClientCert(dir, "root", "admin"),
		InitCerts(other), IssueClientCert(other, "mallory", "admin"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := IssueClientCert(dir, "bob", "node"); !errors.Is(err, ErrUsage) {
		t.Errorf("a client of role node: %v", err)
	}
	id, err := transport.LoadIdentity(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	f, h := newFakeHandler(t)
	const token = "0123456789abcdef"
	var conf *tls.Config
	h.auth, conf = httpSecurity(id, token)
	s := serveFake(t, h, conf, 10)

	call := func(as, token string) error {
		conf, err := ClientTLS(dir, as)
		if err != nil {
			t.Fatal(err)
		}
		return callAndDrain(t, s, conf, token)
	}
	for _, c := range []struct{ as, token, calls, drains string }{
		{"alice", "", "", "forbidden"},
		{"root", "", "", ""},
		{"n1", "", "", "forbidden"},
		{"", token, "", "forbidden"},
		{"", "", "unauthenticated", "unauthenticated"},
		{"", token + "x", "unauthenticated", "unauthenticated"},
	} {
		err := call(c.as, c.token)
		if want := fmt.Sprintf("call %q drain %q", c.calls, c.drains); err.Error() != want {
			t.Errorf("as %q: %v, want %s", c.as, err, want)
		}
	}
	call("alice", "")
	if p := f.lastCall(t).Principal; p != "client/alice" {
		t.Errorf("principal %q", p)
	}
	stranger, err := transport.LoadIdentity(other, "mallory")
	if err != nil {
		t.Fatal(err)
	}
	if err := callAndDrain(t, s, stranger.HTTPClientTLS(), ""); strings.Contains(err.Error(), `""`) {
		t.Errorf("a certificate of another CA: %v", err)
	}
}

// callAndDrain tries both and tells the codes, empty for success.
func callAndDrain(t *testing.T, s *httpServer, conf *tls.Config, token string) error {
	c, err := NewHTTPClient([]string{s.addr().String()}, conf, token)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	code := func(err error) string {
		if p, ok := errors.AsType[*Problem](err); ok {
			return p.Code
		}
		if err != nil {
			return err.Error()
		}
		return ""
	}
	_, calls := c.Call(t.Context(), "kv", "a", "get", nil, "")
	_, drains := c.Post(t.Context(), "/v1/drain")
	return fmt.Errorf("call %q drain %q", code(calls), code(drains))
}

// TestHTTPServerHTTP2 speaks HTTP/2 where there is TLS.
func TestHTTPServerHTTP2(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if err := errors.Join(InitCerts(dir), IssueNodeCert(dir, "n1", nil)); err != nil {
		t.Fatal(err)
	}
	id, err := transport.LoadIdentity(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	_, h := newFakeHandler(t)
	_, conf := httpSecurity(id, "")
	s := serveFake(t, h, conf, 10)
	rt := &http.Transport{TLSClientConfig: id.HTTPClientTLS(), ForceAttemptHTTP2: true}
	defer rt.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.addr().String()+"/v1/actors/kv/a/put", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
}

// TestHTTPSecurityOfLoopback leaves a node without certificates open.
func TestHTTPSecurityOfLoopback(t *testing.T) {
	id, err := transport.LoopbackIdentity("n1", transport.RoleNode)
	if err != nil {
		t.Fatal(err)
	}
	if auth, conf := httpSecurity(id, ""); !auth.open || conf != nil {
		t.Errorf("%+v, %v", auth, conf)
	}
}

// TestHTTPServerCallEndsWithItsClient ends the context of a call whose client
// has gone.
func TestHTTPServerCallEndsWithItsClient(t *testing.T) {
	f, h := newFakeHandler(t)
	f.arrived = make(chan struct{})
	f.answer = httpAnswer{Outcome: core.Outcome{Code: core.CodeDeadline}}
	s := serveFake(t, h, nil, 10)
	c := dial(t, s)
	fmt.Fprintf(c, "POST /v1/actors/kv/a/get HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
	<-f.arrived
	c.Close() // shutdown, at the test's end, waits for the call
}
