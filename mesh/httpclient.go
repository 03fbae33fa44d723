package mesh

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"actormesh/mesh/core"
)

// HTTPClient speaks the HTTP API, as the command line does. A Go program is
// better served by Dial. Its methods may be called at the same time.
type HTTPClient struct {
	addrs []string // with their scheme
	token string
	http  http.Client
}

// maxAnswerBytes bounds what a client reads of one answer: the slot table of
// 4096 slots is the largest.
const maxAnswerBytes = 16 << 20

// NewHTTPClient returns a client of the nodes at addrs, each HOST:PORT or a URL
// without a path, which are tried in that order. With conf it speaks HTTPS to a
// HOST:PORT. The token is shown as a bearer token, if it is not empty. The
// error is an ErrUsage.
func NewHTTPClient(addrs []string, conf *tls.Config, token string) (*HTTPClient, error) {
	scheme := "http://"
	if conf != nil {
		scheme = "https://"
	}
	c := &HTTPClient{token: token}
	for _, a := range addrs {
		if !strings.Contains(a, "://") {
			a = scheme + a
		}
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usagef("HTTP address %q: it is HOST:PORT", a)
		}
		if _, _, err := splitAddress(u.Host); err != nil {
			return nil, usagef("HTTP address %q: it is HOST:PORT: %v", a, err)
		}
		if token != "" && u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
			return nil, usagef("HTTP address %q: the token would travel in the clear; use https, with the cluster's certificates", a)
		}
		c.addrs = append(c.addrs, u.Scheme+"://"+u.Host)
	}
	if len(c.addrs) == 0 {
		return nil, usagef("no HTTP address to ask")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = conf
	transport.MaxResponseHeaderBytes = 64 << 10
	c.http.Transport = transport
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Close closes the connections that are idle.
func (c *HTTPClient) Close() { c.http.CloseIdleConnections() }

// Call calls a method of an actor. The argument is JSON, or empty for none, and
// so is the result. With a key the call takes effect once however often it is
// repeated, and a failed try is repeated at the next address; without one only
// a try that took no effect for certain. The error is a *Problem where a node,
// or this client, knows how the call ended.
func (c *HTTPClient) Call(ctx context.Context, kind, id, method string, arg []byte, key string) ([]byte, error) {
	path := actorsPath + url.PathEscape(kind) + "/" + url.PathEscape(id) + "/" + url.PathEscape(method)
	var last error
	for _, addr := range c.addrs {
		reply, err := c.call(ctx, addr+path, arg, key)
		if err == nil {
			return reply, nil
		}
		last = err
		if p := (*Problem)(nil); ctx.Err() != nil || !errors.As(err, &p) || !p.Retryable {
			return nil, last
		}
	}
	return nil, last
}

// call makes one try.
func (c *HTTPClient) call(ctx context.Context, target string, arg []byte, key string) ([]byte, error) {
	header := http.Header{}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	if deadline, ok := ctx.Deadline(); ok {
		// Less than this side waits: the node's answer says more than a
		// timeout here can.
		if d := time.Until(deadline) * 9 / 10; d > 0 {
			header.Set("Mesh-Timeout", min(d, maxCallTimeout).String())
		}
	}
	reply, sent, err := c.do(ctx, http.MethodPost, target, arg, header)
	if p := (*Problem)(nil); err == nil || errors.As(err, &p) {
		return reply, err
	}
	if stranger, ok := errors.AsType[*strangerError](err); ok && stranger.status < http.StatusInternalServerError {
		return nil, err // refused as a request, by what is no node: no call was made
	}
	if !sent {
		return nil, &Problem{Code: httpCodes[core.CodeUnavailable].code, Detail: err.Error(), Retryable: true, Outcome: outcomeNone}
	}
	p := &Problem{Code: httpCodes[core.CodeOutcomeUnknown].code, Retryable: key != "", Outcome: outcomeUnknown}
	p.Detail = fmt.Sprintf("the call was sent, and its answer was lost: %v", err)
	return nil, p
}

// Get reads a path such as /v1/status from the first node that answers.
func (c *HTTPClient) Get(ctx context.Context, path string) ([]byte, error) {
	var last error
	for _, addr := range c.addrs {
		body, _, err := c.do(ctx, http.MethodGet, addr+path, nil, nil)
		if err == nil {
			return body, nil
		}
		last = err
		if p := (*Problem)(nil); ctx.Err() != nil || errors.As(err, &p) && !p.Retryable {
			break
		}
	}
	return nil, last
}

// Post sends an order such as /v1/drain to the first address, and to no other.
func (c *HTTPClient) Post(ctx context.Context, path string) ([]byte, error) {
	body, _, err := c.do(ctx, http.MethodPost, c.addrs[0]+path, nil, nil)
	return body, err
}

// do sends one request; sent says whether any of it may have left.
func (c *HTTPClient) do(ctx context.Context, method, target string, body []byte, header http.Header) (reply []byte, sent bool, err error) {
	var connected atomic.Bool // set from the transport's goroutines
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, connected.Load(), noAnswer(req, err)
	}
	defer resp.Body.Close()
	reply, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, true, err
	case len(reply) > maxAnswerBytes:
		return nil, true, fmt.Errorf("the answer is larger than %d bytes", maxAnswerBytes)
	case resp.StatusCode == http.StatusOK:
		return reply, true, nil
	}
	return nil, true, decodeProblem(resp, reply)
}

// noAnswer says to whom a request did not get through.
func noAnswer(req *http.Request, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, of which the host is what matters
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no node serves HTTP at %s: %w", req.URL.Host, err)
	}
	return fmt.Errorf("no answer from %s: %w", req.URL.Host, err)
}

// strangerError is an answer that no node gave.
type strangerError struct {
	host   string
	status int
	text   string
}

// Error shows the answer.
func (e *strangerError) Error() string {
	return fmt.Sprintf("%s answered as no node does: %d %s: %s", e.host, e.status, http.StatusText(e.status), e.text)
}

// decodeProblem returns the *Problem that an answer is, or else a *strangerError.
func decodeProblem(resp *http.Response, body []byte) error {
	p := &Problem{}
	if resp.Header.Get("Content-Type") == "application/problem+json" && json.Unmarshal(body, p) == nil && p.Code != "" {
		return p
	}
	return &strangerError{host: resp.Request.URL.Host, status: resp.StatusCode, text: clip(strings.TrimSpace(string(body)))}
}
