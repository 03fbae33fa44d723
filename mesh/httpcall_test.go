package mesh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// countingReader counts what is read of an endless body.
type countingReader struct{ n int }

func (c *countingReader) Read(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}

func TestHTTPBodyLimit(t *testing.T) {
	const limit = 1 << 20
	for _, c := range []struct {
		bytes   int
		chunked bool // the client does not say how long it is
		status  int
	}{
		{1, false, 200}, {limit, false, 200}, {limit + 1, false, 413}, {2 << 20, false, 413},
		{1, true, 200}, {511, true, 200}, {512, true, 200}, {limit, true, 200}, {limit + 1, true, 413}, {2 << 20, true, 413},
	} {
		f, h := newFakeHandler(t)
		req := httptest.NewRequest("POST", "http://127.0.0.1/v1/actors/kv/a/put", strings.NewReader(strings.Repeat("x", c.bytes)))
		if c.chunked {
			req.ContentLength = -1
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != c.status {
			t.Fatalf("%d bytes, chunked %v: %d %s", c.bytes, c.chunked, w.Code, w.Body)
		}
		if c.status == 413 {
			if p := problemIn(t, w); p.Code != "too_large" || p.Outcome != "none" || len(f.calls) != 0 {
				t.Errorf("%d bytes: %+v", c.bytes, p)
			}
		} else if n := len(f.lastCall(t).Body); n != c.bytes {
			t.Errorf("%d of %d bytes came", n, c.bytes)
		}
	}
}

func TestHTTPEndlessBody(t *testing.T) {
	_, h := newFakeHandler(t)
	body := &countingReader{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/v1/actors/kv/a/put", body))
	if w.Code != 413 || body.n > 8<<20 {
		t.Errorf("%d, after %d bytes", w.Code, body.n)
	}
}

// TestHTTPExpect reads nothing of a body that a client has not sent yet.
func TestHTTPExpect(t *testing.T) {
	_, h := newFakeHandler(t)
	body := &countingReader{}
	req := httptest.NewRequest("POST", "http://127.0.0.1/v1/actors/kv/a/put", body)
	req.ContentLength = 2 << 20
	req.Header.Set("Expect", "100-continue")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != 413 || body.n != 0 {
		t.Errorf("%d, after %d bytes", w.Code, body.n)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestHTTPBodyBreaksOff(t *testing.T) {
	for err, status := range map[error]int{
		io.ErrUnexpectedEOF:                 400,
		errors.New("reset"):                 400,
		os.ErrDeadlineExceeded:              408,
		http.ErrBodyReadAfterClose:          400,
		&http.MaxBytesError{Limit: 1 << 10}: 400,
	} {
		f, h := newFakeHandler(t)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/v1/actors/kv/a/put", failingReader{err}))
		if w.Code != status || len(f.calls) != 0 {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

// TestHTTPLargeReply sends a reply beyond what net/http counts by itself.
func TestHTTPLargeReply(t *testing.T) {
	f, h := newFakeHandler(t)
	f.answer.Reply = bytes.Repeat([]byte("7"), 1<<20)
	w := ask(h, "POST", "/v1/actors/kv/a/get", "")
	if w.Header().Get("Content-Length") != "1048576" || !bytes.Equal(w.Body.Bytes(), f.answer.Reply) {
		t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
	}
}

func TestFormatFence(t *testing.T) {
	top := ^uint64(0)
	for _, p := range []quorum.Position{
		{},
		{Ballot: quorum.Ballot{Epoch: 1, Boot: 22}, LSN: 333},
		{Ballot: quorum.Ballot{Epoch: quorum.Epoch(top), Boot: quorum.Boot(top)}, LSN: quorum.LSN(top)},
	} {
		if got := formatFence(p); got != p.String() {
			t.Errorf("%q, want %q", got, p)
		}
	}
}

// nullBackend answers at once and remembers nothing.
type nullBackend struct {
	fakeBackend
	answer httpAnswer
}

func (n *nullBackend) callHTTP(context.Context, *httpCall) httpAnswer { return n.answer }

type nullWriter struct{ header http.Header }

func (n *nullWriter) Header() http.Header         { return n.header }
func (n *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (n *nullWriter) WriteHeader(int)             {}

// BenchmarkHTTPCall is the handler's own cost: no network, no node.
func BenchmarkHTTPCall(b *testing.B) {
	n := &nullBackend{answer: httpAnswer{Node: "n2", Outcome: core.Outcome{
		Reply: []byte(`{"value":3}`), Fence: quorum.Position{Ballot: quorum.Ballot{Epoch: 7, Boot: 2}, LSN: 41}, LSN: 41,
	}}}
	h := newHTTPHandler(httpConfig{caller: n, operator: n, metrics: newMetrics(func() nodeStats { return nodeStats{} }),
		auth: httpAuth{open: true}, callTimeout: 1e9, maxArgBytes: 1 << 20})
	req := httptest.NewRequest("POST", "http://127.0.0.1:8001/v1/actors/counter/visits/add", http.NoBody)
	req.Header.Set("Idempotency-Key", "k-1")
	w := &nullWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, req)
	}
}
