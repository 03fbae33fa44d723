package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// callTimeout bounds a call by HTTP; the node's own timeout is shorter.
const callTimeout = 15 * time.Second

// maxProblemBytes bounds what is read of an answer that is none.
const maxProblemBytes = 4 << 10

// httpCaller calls by HTTP. It is no http.Client: like other load generators it
// has a connection for each caller and writes requests that it knows, so that
// what is measured is the mesh.
type httpCaller struct{ conns []*httpConn }

// httpConn is one connection, made at the first call, and to the next node after
// a failure.
type httpConn struct {
	addrs []string
	at    int         // which of them
	tls   *tls.Config // nil for none
	conn  net.Conn    // nil if there is none now
	r     *bufio.Reader
	out   []byte // of the request before
}

func newHTTPCaller(addrs []string, conf *tls.Config, clients int) *httpCaller {
	c := &httpCaller{conns: make([]*httpConn, clients)}
	for i := range c.conns {
		c.conns[i] = &httpConn{addrs: addrs, at: i % len(addrs), tls: conf}
	}
	return c
}

// Do implements Client.
func (c *httpCaller) Do(ctx context.Context, client int, r Request) error {
	conn := c.conns[client]
	err := conn.roundTrip(ctx, r)
	if err != nil {
		conn.close() // where its answer ends is not known
		conn.at = (conn.at + 1) % len(conn.addrs)
	}
	return err
}

// Close implements Client.
func (c *httpCaller) Close() error {
	for _, conn := range c.conns {
		conn.close()
	}
	return nil
}

func (c *httpConn) close() {
	if c.conn != nil {
		c.conn.Close() // nothing is lost that matters
		c.conn = nil
	}
}

func (c *httpConn) roundTrip(ctx context.Context, r Request) error {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
	}
	until := time.Now().Add(callTimeout)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(until) {
		until = sooner
	}
	if err := c.conn.SetDeadline(until); err != nil {
		return err
	}
	c.out = appendRequest(c.out[:0], c.addrs[c.at], r)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes)) // as much as there is
		return fmt.Errorf("%s: %s", resp.Status, problem)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.Close {
		err = errors.New("the node does not keep the connection alive")
	}
	return err
}

func (c *httpConn) dial(ctx context.Context) (err error) {
	if c.tls == nil {
		c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", c.addrs[c.at])
	} else {
		c.conn, err = (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", c.addrs[c.at])
	}
	if err != nil {
		c.conn = nil // a nil of another type is not nil
		return err
	}
	c.r = bufio.NewReader(c.conn)
	return nil
}

// appendRequest appends a request as it goes over the wire.
func appendRequest(b []byte, host string, r Request) []byte {
	kind, method, arg := "counter", "add", `{"n":1}`
	switch r.Workload {
	case KVPut:
		kind, method, arg = "kv", "put", `{"key":"`+valueKey+`","value":`+r.Value+`}`
	case KVLarge:
		kind, method, arg = "kv", "put", `{"key":"`+largeKey+`","value":`+r.Value+`}`
	case KVGet:
		kind, method, arg = "kv", "get", `{"key":"`+valueKey+`"}`
	case CounterGet, CounterWake:
		method, arg = "get", ""
	case Transfer:
		kind, method = "account", "transfer"
		arg = fmt.Sprintf(`{"to":%q,"amount":%d}`, actorID(r.To), transferred)
	case deposit:
		kind, method, arg = "account", "deposit", fmt.Sprintf(`{"amount":%d}`, firstDeposit)
	}
	b = append(b, "POST /v1/actors/"...)
	b = append(b, kind...)
	b = append(b, "/bench-"...)
	b = strconv.AppendInt(b, int64(r.Key), 10)
	b = append(append(b, '/'), method...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(arg)), 10)
	return append(append(b, "\r\n\r\n"...), arg...)
}
