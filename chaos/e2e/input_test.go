package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/cluster"
)

// Whatever is sent to a node, it answers what is documented, and goes on.
func TestE2EInputs(t *testing.T) {
	m := start(t, 1, "")
	n := m.Nodes[0]
	m.add("kept", "k", 7)
	m.must(refusesReusedKey(t.Context(), m, n))
	const add = "/v1/actors/counter/x/add"
	big := `{"n":1,"pad":"` + strings.Repeat("x", 2<<20) + `"}`
	for _, test := range []struct {
		name, path, body string
		header           [2]string
		status           int
		code             string
	}{
		{name: "not JSON", path: add, body: `{"n":`, status: 400, code: "bad_request"},
		{name: "JSON of another type", path: add, body: `{"n":"one"}`, status: 400, code: "bad_request"},
		{name: "two values", path: add, body: `{"n":1}{"n":1}`, status: 400, code: "bad_request"},
		{name: "not UTF-8", path: add, body: "\xff\xfe", status: 400, code: "bad_request"},
		{name: "deep JSON", path: add, body: strings.Repeat("[", 100_000), status: 400, code: "bad_request"},
		{name: "a number out of range", path: add, body: `{"n":1e400}`, status: 400, code: "bad_request"},
		{name: "2 MiB", path: add, body: big, status: 413, code: "too_large"},
		{name: "unknown kind", path: "/v1/actors/nothing/x/add", body: `{}`, status: 404, code: "no_kind"},
		{name: "unknown method", path: "/v1/actors/counter/x/nothing", body: `{}`, status: 404, code: "no_method"},
		{name: "bad kind", path: "/v1/actors/Counter/x/add", body: `{}`, status: 400, code: "bad_request"},
		{name: "empty id", path: "/v1/actors/counter//add", body: `{}`, status: 400, code: "bad_request"},
		{name: "id with a zero", path: "/v1/actors/counter/a%00b/add", body: `{"n":1}`, status: 400, code: "bad_request"},
		{name: "id with a line feed", path: "/v1/actors/counter/a%0Ab/add", body: `{"n":1}`, status: 400, code: "bad_request"},
		{name: "id that is not UTF-8", path: "/v1/actors/counter/%ff/add", body: `{"n":1}`, status: 400, code: "bad_request"},
		{name: "id of 256 bytes", path: "/v1/actors/counter/" + strings.Repeat("a", 256) + "/add", body: `{"n":1}`, status: 400, code: "bad_request"},
		{name: "id of 255 bytes", path: "/v1/actors/counter/" + strings.Repeat("a", 255) + "/add", body: `{"n":1}`, status: 200},
		{name: "id with a slash", path: "/v1/actors/counter/a%2Fb/add", body: `{"n":1}`, status: 200},
		{name: "id of dots", path: "/v1/actors/counter/../add", body: `{"n":1}`, status: 200},
		{name: "id in Greek", path: "/v1/actors/counter/%CE%B1/add", body: `{"n":1}`, status: 200},
		{name: "too many parts", path: add + "/more", body: `{"n":1}`, status: 404},
		{name: "key too long", path: add, body: `{"n":1}`, header: [2]string{"Idempotency-Key", strings.Repeat("k", 129)}, status: 400, code: "bad_request"},
		{name: "timeout that is none", path: add, body: `{"n":1}`, header: [2]string{"Mesh-Timeout", "soon"}, status: 400, code: "bad_request"},
		{name: "negative timeout", path: add, body: `{"n":1}`, header: [2]string{"Mesh-Timeout", "-1s"}, status: 400, code: "bad_request"},
		{name: "no such slot", path: "GET /v1/slots/300", status: 404},
		{name: "no such document", path: "GET /v1/nothing", status: 404},
		{name: "GET of a call", path: "GET " + add, status: 405},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, code, err := send(t.Context(), n, test.path, test.body, test.header)
			if err != nil || status != test.status || test.code != "" && code != test.code {
				t.Errorf("got %d %s, %v; want %d %s", status, code, err, test.status, test.code)
			}
		})
	}
	if got := m.get("kept"); got != 7 || !n.Running() {
		t.Errorf("the counter is %d, want 7; the node runs: %v", got, n.Running())
	}
	if got := m.get("x"); got != 0 {
		t.Errorf("what was refused has counted: %d", got)
	}
}

// send posts a body, or gets where the path says so, and returns the status and
// the problem's code. The path goes out as it is.
func send(ctx context.Context, n *cluster.Node, path, body string, header [2]string) (int, string, error) {
	method := http.MethodPost
	if p, get := strings.CutPrefix(path, "GET "); get {
		method, path = http.MethodGet, p
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.HTTP+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if header[0] != "" {
		req.Header.Set(header[0], header[1])
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var p cluster.Problem
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp.StatusCode, "", err
	}
	if t := resp.Header.Get("Content-Type"); t != "application/problem+json" {
		return resp.StatusCode, "", fmt.Errorf("the error is %q", t)
	}
	err = json.Unmarshal(text, &p)
	if err == nil && (p.Code == "" || p.Detail == "" || p.Outcome == "") {
		err = fmt.Errorf("the problem leaves something out: %s", text)
	}
	return resp.StatusCode, p.Code, err
}

func refusesReusedKey(ctx context.Context, m *mesh, n *cluster.Node) error {
	for _, call := range []cluster.Call{
		{Kind: "counter", ID: "kept", Method: "add", Arg: addArg{8}, Key: "k"},
		{Kind: "counter", ID: "kept", Method: "add", Key: "k"},
	} {
		_, err := m.Client.Do(ctx, n.HTTP, call)
		p, err := problem(err)
		if err != nil {
			return err
		}
		if p.Status != 409 || p.Code != "key_reused" {
			return fmt.Errorf("a reused key gets %v", p)
		}
	}
	answer, err := m.Client.Do(ctx, n.HTTP, cluster.Call{Kind: "counter", ID: "kept", Method: "add", Arg: addArg{7}, Key: "k"})
	if err == nil && !answer.Replayed {
		err = fmt.Errorf("a repeated key is not replayed: %s", answer.Body)
	}
	return err
}

// Noise on both ports changes nothing.
func TestE2ENoise(t *testing.T) {
	m := start(t, 2, "")
	m.add("kept", "k", 7)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range m.Nodes {
		m.must(noiseUDP(n, rng))
		m.must(noiseTCP(n, rng))
	}
	for _, n := range m.Nodes {
		if got := m.get("kept", n); got != 7 || !n.Running() {
			t.Errorf("the counter is %d through %s, want 7; it runs: %v", got, n.Name, n.Running())
		}
	}
	m.add("kept", "k2", 1)
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	m.must(m.WaitShared(ctx))
}

// noiseUDP sends packets of every first byte, QUIC's and gossip's among them,
// and of every size.
func noiseUDP(n *cluster.Node, rng *rand.Rand) error {
	conn, err := net.Dial("udp", n.Listen)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range 2048 {
		packet := randomBytes(rng, 1+rng.IntN(1400))
		packet[0] = byte(i)
		if _, err := conn.Write(packet); err != nil {
			return err
		}
	}
	return nil
}

// noiseTCP talks to the HTTP port in ways that are not HTTP. How the node ends
// each conversation is its own affair, if it ends it.
func noiseTCP(n *cluster.Node, rng *rand.Rand) error {
	for _, text := range [][]byte{
		randomBytes(rng, 4096),
		[]byte("GET / HTTP/9.9\r\n\r\n"),
		[]byte("POST /v1/actors/counter/x/add HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
		[]byte("POST /v1/actors/counter/x/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"),
		bytes.Repeat([]byte("X-A: b\r\n"), 200_000),
		[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	} {
		conn, err := net.Dial("tcp", n.HTTP)
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(callTimeout))
		if _, err := conn.Write(text); err == nil {
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		}
		conn.Close()
	}
	return nil
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
