package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// ClientConfig says how a Client runs. Identity has no default.
type ClientConfig struct {
	// Identity may be of any role.
	Identity *Identity
	// Listen is the HOST:PORT of the UDP socket. If empty, a free port on all
	// addresses, or on 127.0.0.1 for a loopback identity.
	Listen string
	// Cluster is the id of the only cluster to speak with; empty for any.
	Cluster string
	// Logger takes what operators should know. If nil, slog.Default().
	Logger *slog.Logger
	Limits Limits
}

// Client calls nodes and is none. It has one connection to each address that
// was called, with all calls on one stream.
type Client struct {
	ep *endpoint

	mu     sync.Mutex
	routes map[string]*route // by address
}

// maxClientRoutes bounds the addresses that a Client remembers.
const maxClientRoutes = 1024

// NewClient opens a UDP socket. It connects to nobody yet.
func NewClient(conf ClientConfig) (*Client, error) {
	if conf.Identity == nil {
		return nil, errors.New("transport: a ClientConfig needs an Identity")
	}
	listen := "0.0.0.0:0"
	if conf.Identity.Loopback {
		listen = "127.0.0.1:0"
	}
	log := conf.Logger
	if log == nil {
		log = slog.Default()
	}
	hello := Hello{Cluster: conf.Cluster, Name: conf.Identity.Name}
	ep, err := newEndpoint(cmp.Or(conf.Listen, listen), conf.Identity, conf.Limits.withDefaults(), log, nil, func() Hello { return hello })
	if err != nil {
		return nil, err
	}
	return &Client{ep: ep, routes: map[string]*route{}}, nil
}

// Close ends all connections; calls in flight fail with ErrLost. It can be
// called more than once.
func (c *Client) Close() error { return c.ep.close() }

func (c *Client) route(addr string) (*route, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.routes[addr]
	if r == nil {
		if len(c.routes) >= maxClientRoutes {
			return nil, fmt.Errorf("%w: calls to %d addresses", ErrQueueFull, maxClientRoutes)
		}
		r = newRoute(c.ep, addr, "", 0, classHelloOnce)
		c.routes[addr] = r
	}
	return r, nil
}

// Call sends a call to the node at the HOST:PORT and awaits the reply, with
// errors as those of Transport.Call.
func (c *Client) Call(ctx context.Context, addr string, call *Call) (*Reply, error) {
	r, err := c.route(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return r.call(ctx, call)
}

// Ask puts a question to the node at the HOST:PORT. A client may ask the kinds
// in Config.ClientKinds only.
func (c *Client) Ask(ctx context.Context, addr string, q Control) (Control, error) {
	r, err := c.route(addr)
	if err != nil {
		return Control{}, err
	}
	l, err := r.await(ctx)
	if err != nil {
		return Control{}, err
	}
	return l.ask(ctx, q)
}

// Forget closes the connection to an address that is no longer a node's.
func (c *Client) Forget(addr string) {
	c.mu.Lock()
	r := c.routes[addr]
	delete(c.routes, addr)
	c.mu.Unlock()
	if r != nil {
		r.close()
	}
}
