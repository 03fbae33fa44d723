package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// ClientConfig says how a Client finds a mesh. The zero value of a field means
// its default; only Seeds has none.
type ClientConfig struct {
	// Seeds lists members, each by the HOST:PORT of its Listen. One that answers
	// is enough.
	Seeds []string

	// CertsDir holds ca.crt, and NAME.crt and NAME.key of the client. If empty,
	// the client speaks without a cluster's certificates, and on loopback only.
	CertsDir string

	// Name is the client's name, as its certificate has it. If empty, "client".
	Name string

	// CallTimeout is the deadline of a call whose context has none. If zero,
	// 10 s.
	CallTimeout time.Duration

	// Logger takes the client's log. If nil, slog.Default().
	Logger *slog.Logger
}

// Client calls the actors of a mesh and is no member of it. It knows the view,
// calls owners directly, and follows them when they move.
type Client struct {
	conf    ClientConfig
	kinds   *kindSet
	wire    *transport.Client
	router  router
	session *session

	mu      sync.Mutex
	view    *ring.View
	changed chan struct{}   // closed and replaced when view changes
	asked   map[string]bool // addresses whose answer is awaited

	refresh chan struct{}  // one value: the view may be old
	asks    sync.WaitGroup // of run
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

var _ Caller = (*Client)(nil)

const (
	viewTimeout   = time.Second            // for one member's view
	viewPatience  = 50 * time.Millisecond  // until another member is asked as well: this one may be gone
	viewPoll      = 250 * time.Millisecond // while calls are under way: their owner may be gone
	viewPause     = 10 * time.Millisecond  // between requests for views, at least
	defaultClient = "client"
)

// Dial connects to a mesh and returns when it knows the view. hosts name the
// kinds that mesh.Get is to find by their types; the client hosts nothing. ctx
// bounds Dial alone.
func Dial(ctx context.Context, conf ClientConfig, hosts ...HostOption) (*Client, error) {
	if len(conf.Seeds) == 0 {
		return nil, usagef("a client needs at least one seed: the HOST:PORT of a member")
	}
	setDefault(&conf.Name, defaultClient)
	setDefault(&conf.CallTimeout, 10*time.Second)
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	kinds, err := newKindSet(hosts)
	if err != nil {
		return nil, err
	}
	var identity *transport.Identity
	if conf.CertsDir == "" {
		identity, err = transport.LoopbackIdentity(conf.Name, transport.RoleClient)
	} else {
		identity, err = transport.LoadIdentity(conf.CertsDir, conf.Name)
	}
	if err != nil {
		return nil, err
	}
	wire, err := transport.NewClient(transport.ClientConfig{Identity: identity, Logger: conf.Logger})
	if err != nil {
		return nil, err
	}
	c := &Client{
		conf: conf, kinds: kinds, wire: wire, session: newSession(machine{}),
		changed: make(chan struct{}), asked: map[string]bool{}, refresh: make(chan struct{}, 1), done: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.router = router{env: machine{}, done: c.ctx.Done(), view: c.currentView, behind: func(quorum.Epoch) { c.wantView() }, handOver: c.handOver}
	if err := c.firstView(ctx); err != nil {
		c.cancel()
		return nil, errors.Join(err, wire.Close())
	}
	go c.run()
	return c, nil
}

// Close ends the client. Calls under way fail with ErrUnavailable, or with
// ErrOutcomeUnknown where they were handed over.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	return c.wire.Close()
}

// firstView asks the seeds in turn until one has a view.
func (c *Client) firstView(ctx context.Context) error {
	var last error
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		for _, seed := range c.conf.Seeds {
			v, err := c.askView(ctx, seed)
			if err == nil && v != nil {
				c.setView(v)
				return nil
			}
			if err == nil {
				err = errors.New("it belongs to no mesh yet")
			}
			last = fmt.Errorf("seed %s: %w", seed, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-time.After(pause):
		}
	}
}

// askView asks a node for a view that is newer than the client's; nil if it has
// none.
func (c *Client) askView(ctx context.Context, addr string) (*ring.View, error) {
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	have, _ := c.currentView()
	reply, err := c.wire.Ask(ctx, addr, viewQuestion(have))
	if err != nil || len(reply.Body) == 0 {
		return nil, err
	}
	return ring.Decode(reply.Body)
}

// viewQuestion asks for a view that is newer than have.
func viewQuestion(have *ring.View) transport.Control {
	body := make([]byte, 12)
	if have != nil {
		binary.BigEndian.PutUint32(body, uint32(have.Incarnation))
		binary.BigEndian.PutUint64(body[4:], uint64(have.Epoch))
	}
	return transport.Control{Kind: askView, Body: body}
}

// viewAnswer answers a viewQuestion with v, which may be nil.
func viewAnswer(question transport.Control, v *ring.View) transport.Control {
	a := transport.Control{Kind: askView}
	if v == nil || len(question.Body) != 12 {
		return a
	}
	incarnation := ring.Incarnation(binary.BigEndian.Uint32(question.Body))
	epoch := ring.Epoch(binary.BigEndian.Uint64(question.Body[4:]))
	if v.Incarnation > incarnation || v.Incarnation == incarnation && v.Epoch > epoch {
		a.Body = v.Encode()
	}
	return a
}

func (c *Client) currentView() (*ring.View, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view, c.changed
}

// setView takes a view if it is newer.
func (c *Client) setView(v *ring.View) {
	c.mu.Lock()
	old := c.view
	newer := old == nil || v.Cluster == old.Cluster && len(v.Slots) == len(old.Slots) &&
		(v.Incarnation > old.Incarnation || v.Incarnation == old.Incarnation && v.Epoch > old.Epoch)
	if newer {
		c.view = v
		close(c.changed)
		c.changed = make(chan struct{})
	}
	c.mu.Unlock()
	if newer {
		c.router.moved(v)
	}
	if newer && old != nil {
		c.forget(old, v)
	}
}

// forget closes the connections to addresses that a view names no more.
func (c *Client) forget(old, v *ring.View) {
	for i := range old.Members {
		addr := old.Members[i].Addr
		if !slices.Contains(c.conf.Seeds, addr) && !slices.ContainsFunc(v.Members, func(m ring.Member) bool { return m.Addr == addr }) {
			c.wire.Forget(addr)
		}
	}
}

func (c *Client) wantView() {
	select {
	case c.refresh <- struct{}{}:
	default:
	}
}

// run keeps the view fresh: at once when an answer says that it is old, and from
// time to time while calls wait.
func (c *Client) run() {
	defer close(c.done)
	defer c.asks.Wait()
	poll := time.NewTicker(viewPoll)
	defer poll.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.refresh:
		case <-poll.C:
			if !c.router.busy() {
				continue
			}
		}
		c.look(c.someMembers())
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(viewPause):
		}
	}
}

// look asks members for a newer view until one has answered. A member that takes
// long, as one does that is gone, holds up nobody: the next is asked meanwhile, and
// it is not asked again before its time is over.
func (c *Client) look(addrs []string) {
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		c.mu.Lock()
		waits := c.asked[addr]
		c.asked[addr] = true
		c.mu.Unlock()
		if waits {
			continue
		}
		c.asks.Go(func() { answers <- c.ask(addr) })
		select {
		case err := <-answers: // of this one or of one before
			if err == nil {
				return
			}
		case <-time.After(viewPatience):
		case <-c.ctx.Done():
			return
		}
	}
}

// ask asks one member, which look has marked as asked.
func (c *Client) ask(addr string) error {
	v, err := c.askView(c.ctx, addr)
	if v != nil {
		c.setView(v)
	}
	if err != nil {
		c.conf.Logger.Debug("asking for a view", "addr", addr, "err", err)
	}
	c.mu.Lock()
	delete(c.asked, addr)
	c.mu.Unlock()
	return err
}

// someMembers returns the addresses of a few nodes to ask, some of them alive.
func (c *Client) someMembers() []string {
	v, _ := c.currentView()
	var up, rest []string
	for _, m := range v.Members {
		if m.State == ring.Up {
			up = append(up, m.Addr)
		} else {
			rest = append(rest, m.Addr)
		}
	}
	shuffle(machine{}, up)
	shuffle(machine{}, rest)
	list := slices.Concat(up, rest, c.conf.Seeds)
	return list[:min(len(list), 4)]
}

// handOver is the router's.
func (c *Client) handOver(ctx context.Context, owner ring.Member, _ quorum.SlotID, r *request) (answer, bool) {
	v, _ := c.currentView()
	a, unknown := answerOf(c.wire.Call(ctx, owner.Addr, r.callOf(quorum.Epoch(v.Epoch), clockAbout())))
	if unknown || !final(&a) {
		c.wantView()
	}
	return a, unknown
}

// invoke implements Caller.
func (c *Client) invoke(ctx context.Context, inv *invocation) (*result, error) {
	return invoke(ctx, machine{}, inv, c.session, c.conf.CallTimeout, c.route)
}

func (c *Client) route(ctx context.Context, r *request) answer {
	if detail := badName(r.kind, r.id); detail != "" {
		return answered(core.CodeBadRequest, detail)
	}
	return c.router.route(ctx, r)
}

// kindFor implements Caller.
func (c *Client) kindFor(t reflect.Type) (string, error) { return c.kinds.kindFor(t) }
