package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client speaks the HTTP interface of the mesh as a stranger's program would,
// with nothing but what is documented.
type Client struct {
	http   http.Client
	scheme string
}

// NewClient returns a client that keeps up to connections open to each node. If
// conf is not nil it speaks TLS.
func NewClient(connections int, conf *tls.Config) *Client {
	c := &Client{scheme: "http://", http: http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: connections,
		DisableCompression:  true,
		TLSClientConfig:     conf,
	}}}
	if conf != nil {
		c.scheme = "https://"
	}
	return c
}

// DialBy has the client open its connections with dial.
func (c *Client) DialBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.http.Transport.(*http.Transport).DialContext = dial
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call is one call of an actor.
type Call struct {
	Kind, ID, Method string
	Arg              any           // encoded as JSON; nil for none
	Key              string        // Idempotency-Key; empty for none
	Timeout          time.Duration // Mesh-Timeout; 0 for the node's default
}

func (c Call) path() string {
	return "/v1/actors/" + url.PathEscape(c.Kind) + "/" + url.PathEscape(c.ID) + "/" + url.PathEscape(c.Method)
}

// Answer is a call's result.
type Answer struct {
	Body     json.RawMessage
	Node     string // the owner that answered
	Fence    string // epoch.boot.lsn
	Replayed bool   // the first answer to this key, again
}

// Problem is an error that the mesh answered with.
type Problem struct {
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
	Code       string        `json:"code"`
	Detail     string        `json:"detail"`
	Retryable  bool          `json:"retryable"`
	Outcome    string        `json:"outcome"` // "none" or "unknown"
	App        *AppProblem   `json:"app"`
}

// AppProblem is the error of an actor's own code.
type AppProblem struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Details json.RawMessage `json:"details"`
}

// Error returns status, code and detail.
func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// maxBodyBytes bounds what is read of one answer.
const maxBodyBytes = 8 << 20

// Do calls an actor once, through the node at addr. An error that is a *Problem
// is the mesh's answer; with any other the outcome is unknown.
func (c *Client) Do(ctx context.Context, addr string, call Call) (Answer, error) {
	var body io.Reader = http.NoBody
	if call.Arg != nil {
		text, err := json.Marshal(call.Arg)
		if err != nil {
			return Answer{}, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.scheme+addr+call.path(), body)
	if err != nil {
		return Answer{}, err
	}
	if call.Key != "" {
		// Not as net/http spells it: it would send the request again, behind our
		// back, where a connection ends that it had been sent on.
		req.Header["idempotency-key"] = []string{call.Key}
	}
	if call.Timeout > 0 {
		req.Header.Set("Mesh-Timeout", call.Timeout.String())
	}
	text, header, err := c.send(req)
	return Answer{
		Body:     text,
		Node:     header.Get("Mesh-Node"),
		Fence:    header.Get("Mesh-Fence"),
		Replayed: header.Get("Mesh-Replayed") == "true",
	}, err
}

// Get fetches a document, such as /v1/status, into out.
func (c *Client) Get(ctx context.Context, addr, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.scheme+addr+path, http.NoBody)
	if err != nil {
		return err
	}
	text, _, err := c.send(req)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// Post sends an order, such as /v1/leave.
func (c *Client) Post(ctx context.Context, addr, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.scheme+addr+path, http.NoBody)
	if err != nil {
		return err
	}
	_, _, err = c.send(req)
	return err
}

// send returns the body of a 200, and the mesh's problem for anything else. The
// header is never nil.
func (c *Client) send(req *http.Request) ([]byte, http.Header, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, http.Header{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes))
	if err != nil {
		return nil, resp.Header, err
	}
	if resp.StatusCode == http.StatusOK {
		return text, resp.Header, nil
	}
	return nil, resp.Header, decodeProblem(resp, text)
}

func decodeProblem(resp *http.Response, text []byte) error {
	if t := resp.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/problem+json") {
		return fmt.Errorf("%s is no problem document: %q, %.100q", resp.Status, t, text)
	}
	p := &Problem{Status: resp.StatusCode}
	if err := json.Unmarshal(text, p); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}

// Final reports whether err, or its absence, ends a call: asking again could
// bring nothing new. A problem that is retryable, an unknown outcome, and an
// answer that never came are not final.
func Final(err error) bool {
	if err == nil {
		return true
	}
	var p *Problem
	return errors.As(err, &p) && !p.Retryable && p.Outcome != "unknown"
}

// pauseAfter returns how long to wait after a failed try. Who is overloaded is
// given the time that it asks for; whoever is only away is asked again sooner
// than Retry-After says, as this client is there to see how long that takes.
func pauseAfter(err error, pause time.Duration) time.Duration {
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusTooManyRequests {
		return max(pause, min(p.RetryAfter, time.Second))
	}
	return pause
}

// The pace of retries. A node that is down answers at once, so that there is a
// pause between two tries, and none so long that it would show.
const (
	attemptTimeout = 3 * time.Second
	firstPause     = 5 * time.Millisecond
	lastPause      = 100 * time.Millisecond
)

// Persist calls an actor through the nodes at addrs in turn, beginning with the
// one at index first, until an answer is final or ctx ends. Every try has the
// same key, without which only reads may be asked again. It returns how many
// tries it took.
func (c *Client) Persist(ctx context.Context, addrs []string, first int, call Call) (Answer, int, error) {
	if call.Timeout == 0 {
		call.Timeout = attemptTimeout
	}
	pause := firstPause
	var last error // that is not the end of ctx
	for tries := 1; ; tries++ {
		addr := addrs[(first+tries-1)%len(addrs)]
		attempt, cancel := context.WithTimeout(ctx, call.Timeout+time.Second)
		answer, err := c.Do(attempt, addr, call)
		cancel()
		if Final(err) {
			return answer, tries, err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		timer := time.NewTimer(pauseAfter(err, pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return Answer{}, tries, fmt.Errorf("%w after %d tries, the last of which: %w", ctx.Err(), tries, last)
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}
