package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

// node is what the command line needs of a *mesh.Node.
type node interface {
	Addr() string
	HTTPAddr() string
	Drain(context.Context) error
	Close() error
	Done() <-chan struct{} // closed when the node has ended
	Err() error            // why it ended; nil after a drain or a leave
}

// startOptions are the flags of start that are not a field of mesh.Config as
// they stand.
type startOptions struct {
	config            mesh.Config
	leaseSet          func() bool
	logFormat, level  string
	endsWithItsParent bool
	chaos             bool
}

func (a *app) startCommand() *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "start --name NAME --data DIR (--expect N | --join HOST:PORT,... | both)",
		Short: "Run a node",
		Long: `Run a node until SIGTERM or SIGINT, which drain it; a second one ends it at once.

The first start of a node says how it comes to a mesh: --expect N founds one of N
nodes, when no seed has one yet; --join only joins. A node that has been in a
mesh needs neither. Without --certs a node listens on loopback only.`,
		Args: cobra.NoArgs,
	}
	o.leaseSet = func() bool { return cmd.Flags().Changed("lease") }
	o.addFlags(cmd)
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.runStart(&o) })
	return cmd
}

func (o *startOptions) addFlags(cmd *cobra.Command) {
	f, c := cmd.Flags(), &o.config
	f.SortFlags = false
	f.StringVar(&c.Name, "name", "", "the node's name, its own in the mesh")
	f.StringVar(&c.DataDir, "data", "", "the directory that holds all that the node remembers")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:7001", "HOST:PORT (UDP) for the other nodes")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:8001", "HOST:PORT of the HTTP API; \"\" for none")
	f.StringVar(&c.Advertise, "advertise", "", "the host by which others reach this node (default: that of --listen)")
	f.IntVar(&c.Expect, "expect", 0, "found a mesh of so many nodes if there is none yet; 1: alone")
	f.StringSliceVar(&c.Join, "join", nil, "HOST:PORT,... of members to join through")
	f.StringVar(&c.Zone, "zone", "", "what fails together with this node, such as its rack")
	f.StringVar(&c.CertsDir, "certs", "", "the directory with ca.crt, gossip.key, NAME.crt and NAME.key")
	f.StringVar(&c.Token, "token", "", "a bearer token that HTTP clients may show; best given as MESHNODE_TOKEN")
	f.DurationVar(&c.Lease, "lease", 500*time.Millisecond, "how long a replica's lease lasts; 0 for none")
	f.IntVar(&c.Slots, "slots", 256, "slots of a mesh that this node founds")
	f.IntVar(&c.Replication, "replication", 3, "replicas of each slot in a mesh that this node founds")
	f.IntVar(&c.Voters, "voters", 0, "the most voters (default 5, or 7 over 7 zones)")
	f.DurationVar(&c.Heartbeat, "heartbeat", 0, "time between heartbeats (default a fifth of --lease)")
	f.Float64Var(&c.Drift, "drift", 0.01, "the most by which this clock's rate is off, as a part of 1")
	f.DurationVar(&c.ProbeInterval, "probe-interval", 200*time.Millisecond, "time between gossip probes")
	f.DurationVar(&c.DeadGrace, "dead-grace", time.Minute, "how long a dead member keeps its replicas")
	f.DurationVar(&c.IdleTimeout, "idle-timeout", 10*time.Minute, "how long an actor stays in memory without a call")
	f.DurationVar(&c.CallTimeout, "call-timeout", 10*time.Second, "the deadline of a call that names none")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", 30*time.Second, "the longest wait for others to take over")
	f.DurationVar(&c.Retention, "retention", time.Hour, "how long the answer to an Idempotency-Key is kept")
	f.IntVar(&c.FoldRecords, "fold-records", 64, "records of an actor that are folded into its base")
	f.IntVar(&c.FoldBytes, "fold-bytes", 256<<10, "bytes of records that are folded into its base")
	f.Uint64Var(&c.DiskReserve, "disk-reserve", 64<<20, "bytes of free disk below which the node gives up ownership")
	f.IntVar(&c.MaxValueBytes, "max-value-bytes", 1<<20, "the most of an argument, a reply, a struct or a value")
	f.IntVar(&c.MaxKeyBytes, "max-key-bytes", 1<<10, "the most of an ordered key")
	f.IntVar(&c.MaxRecordBytes, "max-record-bytes", 4<<20, "the most of one turn's record")
	f.IntVar(&c.MaxEffects, "max-effects", 1024, "the most sends and timers of one turn")
	f.IntVar(&c.MaxHTTPConns, "max-http-conns", 4096, "the most HTTP connections at a time")
	f.StringVar(&o.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal, else json")
	f.StringVar(&o.level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.chaos, "chaos", false, "host the actors that chaos runs call as well")
	f.BoolVar(&o.endsWithItsParent, "until-eof", false, "drain when standard input ends as well")
}

// runStart runs a node until it ends, or is told to.
func (a *app) runStart(o *startOptions) error {
	c := o.config
	if o.leaseSet() && c.Lease == 0 {
		c.Lease = -1 // in a Config zero is the default
	}
	log, err := newLogger(a.stderr, o.logFormat, o.level)
	if err != nil {
		return fmt.Errorf("%w: %w", mesh.ErrUsage, err)
	}
	c.Logger = log
	stop := a.signals
	if o.endsWithItsParent {
		ended := make(chan struct{})
		defer close(ended)
		stop = withEOF(a.signals, a.stdin, ended)
	}
	start := a.start
	if o.chaos {
		start = startChaosNode
	}
	n, err := startUntil(stop, start, c)
	if n == nil || err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, servingLine(c.Name, n.Addr(), n.HTTPAddr()))
	select {
	case <-n.Done():
		return n.Err()
	case s := <-stop:
		log.Info("draining; a second signal ends the node at once", "signal", s.String())
		return drain(stop, n, c.DrainTimeout, log)
	}
}

// startUntil starts a node. It returns none, and no error, when it is told to
// stop first.
func startUntil(stop <-chan os.Signal, start func(context.Context, mesh.Config) (node, error), c mesh.Config) (node, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type started struct {
		node node
		err  error
	}
	result := make(chan started, 1)
	go func() {
		n, err := start(ctx, c)
		result <- started{n, err}
	}()
	select {
	case r := <-result:
		return r.node, r.err
	case <-stop:
	}
	cancel()
	select {
	case r := <-result:
		if r.err != nil {
			return nil, nil // most likely that of ctx; nothing runs
		}
		return nil, r.node.Close()
	case <-stop:
		return nil, errSecondSignal
	}
}

var errSecondSignal = errors.New("ended at once by a second signal")

// drain lets others take over, and closes the node in any case.
func drain(stop <-chan os.Signal, n node, timeout time.Duration, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	closed := make(chan error, 1)
	go func() {
		if err := n.Drain(ctx); err != nil {
			log.Warn("the node ends before others have taken over", "err", err)
		}
		closed <- n.Close()
	}()
	select {
	case err := <-closed:
		return err
	case <-stop:
		return errSecondSignal
	}
}

// withEOF adds the end of r to signals, until ended: who started this program
// holds the other end, and is gone.
func withEOF(signals <-chan os.Signal, r io.Reader, ended <-chan struct{}) <-chan os.Signal {
	eof := make(chan struct{})
	go func() {
		io.Copy(io.Discard, r) // any error is an end as well
		close(eof)
	}()
	both := make(chan os.Signal, 2) // as many as anybody waits for
	go func() {
		for range cap(both) {
			select {
			case s := <-signals:
				both <- s
			case <-eof:
				both <- os.Interrupt
				eof = nil // it is a signal once
			case <-ended:
				return
			}
		}
	}()
	return both
}

// servingLine is what start prints when the node serves.
func servingLine(name, addr, http string) string {
	if http == "" {
		return fmt.Sprintf("serving name=%s addr=%s", name, addr)
	}
	return fmt.Sprintf("serving name=%s addr=%s http=%s", name, addr, http)
}
