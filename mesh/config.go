package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"actormesh/local"
)

// ErrUsage is what errors.Is finds in an error about how a node was started: a
// Config that cannot work, or an empty disk with neither Expect nor Join. The
// error's text says what to change.
var ErrUsage = errors.New("usage")

// usageError is an ErrUsage whose text is only what to change.
type usageError string

func (e usageError) Error() string        { return string(e) }
func (e usageError) Is(target error) bool { return target == ErrUsage }

// usagef returns an error that is an ErrUsage.
func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// Config says how a node runs. The zero value of a field means its default;
// only Name and DataDir have none.
type Config struct {
	// Name is the node's name: 1 to 63 letters, digits, '-' and '.', beginning
	// with a letter or a digit. No two members of a mesh share one.
	Name string

	// DataDir is the directory that holds all that the node remembers. It is
	// made if it does not exist. One process at a time uses it.
	DataDir string

	// Listen is the HOST:PORT of the node's UDP port, for QUIC and gossip; port
	// 0 takes a free one. If empty, 127.0.0.1:7001. Without CertsDir the host
	// must be a loopback address.
	Listen string

	// HTTP is the HOST:PORT of the HTTP API; port 0 takes a free one. If empty,
	// the node serves no HTTP. Without CertsDir the host must be a loopback
	// address.
	HTTP string

	// Advertise is the host name or address, without a port, by which others
	// reach this node's two ports. If empty, the hosts of Listen and HTTP,
	// which must then not be 0.0.0.0 or [::].
	Advertise string

	// Expect founds a mesh of that many nodes when no seed has one yet; 1 is a
	// mesh of this node alone. If zero, the node never founds one. At most 64.
	Expect int

	// Join lists seeds, each the HOST:PORT of a member's Listen. If empty, the
	// node waits to be found, or is alone.
	Join []string

	// Zone names what fails together with this node: a rack, a data centre.
	// Replicas are spread over zones. If empty, all such nodes are one zone.
	Zone string

	// CertsDir holds ca.crt, gossip.key, NAME.crt and NAME.key. If empty, the
	// node speaks without a cluster's certificates, and on loopback only.
	CertsDir string

	// Token is what a client of the HTTP API may show, as a bearer token, in
	// the place of a client certificate. It has the role "client". If empty, no
	// token is accepted. At least 16 bytes. Only with CertsDir.
	Token string

	// Logger takes the node's log. If nil, slog.Default().
	Logger *slog.Logger

	// Slots is the number of slots of a mesh that this node founds. If zero,
	// 256. At most 4096, and fixed when the mesh is founded.
	Slots int

	// Replication is the number of replicas of each slot in a mesh that this
	// node founds. If zero, 3. At most 7.
	Replication int

	// Voters is the most voters of the view register. If zero, 5, or 7 where
	// the members span 7 zones. Odd, at most 7.
	Voters int

	// Lease is how long a replica's lease lasts: how long a dead owner can hold
	// up its successor. If zero, 500 ms; at least 20 ms. Negative turns leases
	// off, and every read asks a majority.
	Lease time.Duration

	// Heartbeat is the time between heartbeats to nodes that share a slot. If
	// zero, a fifth of Lease, or 100 ms without leases.
	Heartbeat time.Duration

	// Drift bounds how far the rate of this machine's clock is off, as a part
	// of 1. If zero, 0.01. Less than 0.2.
	Drift float64

	// ProbeInterval is the time between gossip probes. If zero, 200 ms.
	ProbeInterval time.Duration

	// DeadGrace is how long a dead member keeps its replicas and its vote
	// before others replace it. If zero, 60 s.
	DeadGrace time.Duration

	// IdleTimeout is how long an actor stays in memory without a call, where
	// its kind does not say otherwise. If zero, 10 min.
	IdleTimeout time.Duration

	// CallTimeout is the deadline of a call that names none. If zero, 10 s. At
	// most 10 min.
	CallTimeout time.Duration

	// DrainTimeout bounds how long a node that stops waits for others to take
	// over. If zero, 30 s.
	DrainTimeout time.Duration

	// Retention is how long the answer to a client's own key is kept. If zero,
	// 1 h.
	Retention time.Duration

	// FoldRecords and FoldBytes are how many records of an actor, or bytes of
	// them, are folded into its base. If zero, 64 and 256 KiB.
	FoldRecords int
	FoldBytes   int

	// DiskReserve is how much disk must be free, in bytes. With less the node
	// gives up what it owns and refuses calls, before the disk is full; it takes
	// part again when twice as much is free. If zero, 64 MiB.
	DiskReserve uint64

	// MaxValueBytes is the most that an argument, a reply, an actor's struct or
	// the value of an ordered key takes. If zero, 1 MiB. At most 4 MiB.
	MaxValueBytes int

	// MaxKeyBytes is the most that an ordered key takes. If zero, 1 KiB.
	MaxKeyBytes int

	// MaxRecordBytes is the most that one turn's record takes. If zero, 4 MiB.
	// At least MaxValueBytes, at most 4 MiB: a message between nodes takes 8.
	MaxRecordBytes int

	// MaxEffects is the most sends and timers of one turn. If zero, 1024.
	MaxEffects int

	// MaxHTTPConns is the most HTTP connections at a time; more are closed. If
	// zero, 4096.
	MaxHTTPConns int

	// Shards is the number of loops among which the node's slots are divided. If
	// zero, one for two cores, and 8 at most.
	Shards int

	// Environment is what the node runs on. If nil, this machine; only
	// simulators have another.
	Environment Environment

	store local.Options // what tests set of the store; the fields above have the last word
}

// The bounds of what a Config may say.
const (
	maxExpect      = 64
	maxSlots       = 4096
	maxReplication = 7
	maxVoters      = 7
	minLease       = 20 * time.Millisecond
	maxCallTimeout = 10 * time.Minute
	maxDrift       = 0.2
	maxShards      = 8
	minTokenBytes  = 16
	maxValueBytes  = 4 << 20
	maxRecordBytes = 4 << 20
)

var (
	nodeNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)
	zonePattern     = regexp.MustCompile(`^[A-Za-z0-9_.-]{0,63}$`)
)

// withDefaults returns c with every field that is zero at its default. The
// error is an ErrUsage.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Listen, "127.0.0.1:7001")
	if c.Environment == nil {
		c.Environment = machine{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	setDefault(&c.Slots, 256)
	setDefault(&c.Replication, 3)
	setDefault(&c.Lease, 500*time.Millisecond)
	setDefault(&c.Heartbeat, max(c.Lease/5, 0))
	setDefault(&c.Heartbeat, 100*time.Millisecond)
	setDefault(&c.Drift, 0.01)
	setDefault(&c.ProbeInterval, 200*time.Millisecond)
	setDefault(&c.DeadGrace, 60*time.Second)
	setDefault(&c.IdleTimeout, 10*time.Minute)
	setDefault(&c.CallTimeout, 10*time.Second)
	setDefault(&c.DrainTimeout, 30*time.Second)
	setDefault(&c.Retention, time.Hour)
	setDefault(&c.FoldRecords, 64)
	setDefault(&c.FoldBytes, 256<<10)
	setDefault(&c.DiskReserve, 64<<20)
	setDefault(&c.MaxValueBytes, 1<<20)
	setDefault(&c.MaxKeyBytes, 1<<10)
	setDefault(&c.MaxRecordBytes, 4<<20)
	setDefault(&c.MaxEffects, 1024)
	setDefault(&c.MaxHTTPConns, 4096)
	setDefault(&c.Shards, min(max(runtime.GOMAXPROCS(0)/2, 1), maxShards))
	return c, c.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate checks a Config whose defaults are filled in.
func (c *Config) validate() error {
	switch {
	case c.Name == "":
		return usagef("a node needs a name: say --name n1")
	case !nodeNamePattern.MatchString(c.Name):
		return usagef("name %q: a name is 1 to 63 letters, digits, '-' and '.', and begins with a letter or a digit", c.Name)
	case c.DataDir == "":
		return usagef("a node needs a directory to remember in: say --data DIR")
	case !zonePattern.MatchString(c.Zone):
		return usagef("zone %q: a zone is at most 63 letters, digits, '-', '_' and '.'", c.Zone)
	case c.Token != "" && c.CertsDir == "":
		return usagef("a token without certificates would travel in the clear: give --certs DIR as well")
	case c.Token != "" && len(c.Token) < minTokenBytes:
		return usagef("the token is %d bytes, it needs at least %d", len(c.Token), minTokenBytes)
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	return c.validateNumbers()
}

func (c *Config) validateAddresses() error {
	if err := c.validateListener("--listen", c.Listen); err != nil {
		return err
	}
	if c.HTTP != "" {
		if err := c.validateListener("--http", c.HTTP); err != nil {
			return err
		}
	}
	for _, seed := range c.Join {
		host, port, err := splitAddress(seed)
		if err != nil || host == "" || port == 0 {
			return usagef("--join %q: a seed is HOST:PORT, the --listen of a member", seed)
		}
	}
	return nil
}

// validateListener checks an address to listen on. Without certificates
// anybody who reaches a port may do anything, so it must be a loopback one.
func (c *Config) validateListener(flag, address string) error {
	host, _, err := splitAddress(address)
	if err != nil {
		return usagef("%s %q: an address is HOST:PORT: %v", flag, address, err)
	}
	if c.CertsDir == "" && !isLoopbackHost(host) {
		return usagef("%s %s is not a loopback address, and without certificates anybody who reaches it could read and "+
			"change everything: make some with `meshnode certs init` and `meshnode certs node %s`, and give --certs DIR; "+
			"or listen on 127.0.0.1", flag, address, c.Name)
	}
	if ip, err := netip.ParseAddr(host); c.Advertise == "" && (host == "" || err == nil && ip.IsUnspecified()) {
		return usagef("%s %s says where to listen, but not where others reach this node: give --advertise HOST", flag, address)
	}
	return nil
}

func (c *Config) validateNumbers() error {
	for _, n := range []struct {
		flag          string
		value, lo, hi int
	}{
		{"expect", c.Expect, 0, maxExpect},
		{"slots", c.Slots, 1, maxSlots},
		{"replication", c.Replication, 1, maxReplication},
		{"voters", c.Voters, 0, maxVoters},
		{"fold-records", c.FoldRecords, 1, 1 << 20},
		{"fold-bytes", c.FoldBytes, 1, 1 << 30},
		{"max-value-bytes", c.MaxValueBytes, 1, maxValueBytes},
		{"max-key-bytes", c.MaxKeyBytes, 1, 64 << 10},
		{"max-record-bytes", c.MaxRecordBytes, c.MaxValueBytes, maxRecordBytes},
		{"max-effects", c.MaxEffects, 1, 1 << 16},
		{"max-http-conns", c.MaxHTTPConns, 1, 1 << 20},
	} {
		if n.value < n.lo || n.value > n.hi {
			return usagef("%s is %d, it must be from %d to %d", n.flag, n.value, n.lo, n.hi)
		}
	}
	if c.Voters != 0 && c.Voters%2 == 0 {
		return usagef("voters is %d, it must be odd: an even number tolerates no more failures than one less", c.Voters)
	}
	return c.validateTimes()
}

func (c *Config) validateTimes() error {
	switch {
	case c.Lease > 0 && (c.Lease < minLease || c.Lease > time.Minute):
		return usagef("lease is %v, it must be from %v to %v, or 0 for none", c.Lease, minLease, time.Minute)
	case c.Lease > 0 && c.Heartbeat > c.Lease/2:
		return usagef("heartbeat is %v, it must be at most half of the lease of %v, or every lost one lapses it", c.Heartbeat, c.Lease)
	case c.Drift < 0 || c.Drift >= maxDrift:
		return usagef("drift is %v, it must be from 0 to %v", c.Drift, maxDrift)
	}
	for _, t := range []struct {
		flag   string
		value  time.Duration
		lo, hi time.Duration
	}{
		{"heartbeat", c.Heartbeat, time.Millisecond, time.Minute},
		{"probe-interval", c.ProbeInterval, 10 * time.Millisecond, time.Minute},
		{"dead-grace", c.DeadGrace, time.Second, 30 * 24 * time.Hour},
		{"idle-timeout", c.IdleTimeout, time.Millisecond, 365 * 24 * time.Hour},
		{"call-timeout", c.CallTimeout, time.Millisecond, maxCallTimeout},
		{"drain-timeout", c.DrainTimeout, time.Second, time.Hour},
		{"retention", c.Retention, time.Second, 365 * 24 * time.Hour},
	} {
		if t.value < t.lo || t.value > t.hi {
			return usagef("%s is %v, it must be from %v to %v", t.flag, t.value, t.lo, t.hi)
		}
	}
	return nil
}

// advertised returns the address that others are told of a port: listen is what
// was configured, and bound what the system gave.
func (c *Config) advertised(listen, bound string) string {
	_, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if c.Advertise != "" {
		return net.JoinHostPort(c.Advertise, port)
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" || host == "" {
		return bound
	}
	return net.JoinHostPort(host, port)
}

// splitAddress splits HOST:PORT; the host may be empty.
func splitAddress(address string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number up to 65535", digits)
	}
	return host, uint16(n), nil
}

// isLoopbackHost reports whether host names this machine only. A name other
// than localhost may resolve to anything, so it does not.
func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
