package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/sim/disk"
	"actormesh/chaos/workload"
	"actormesh/local"
	"actormesh/mesh"
	"actormesh/quorum"
)

// machine is where a node lives: it has a clock and a disk, which outlast the
// processes that run on it.
type machine struct {
	w     *world
	index int // in world.machines
	name  string
	addr  string
	conf  mesh.Config
	clock clock
	disk  storage

	process *process // nil while none runs
	lives   int
	wanted  bool // that a process runs
	leaving bool // it was told to, once
	left    bool // the mesh, for good
	torn    bool // crashes come in the middle of a sync
	foreign bool // its directory is a copy, was copied, or was set back
	full    int  // faults that leave the disk no room
	dying   int  // faults that have an fsync fail
	silent  int  // faults that keep gossip from it
}

// clock is a machine's: base at the true time since, from when on it goes at rate.
type clock struct {
	base  quorum.Instant
	since time.Duration
	rate  float64 // 0 while it stands still
	ahead time.Duration
}

// storage is a machine's disk, with how long it takes.
type storage struct {
	w       *world
	counts  *disk.Counts
	disk    *disk.Disk
	earlier *disk.Disk // as it was at the start before, for one that is rolled back
	slow    time.Duration
	pebble  bool
	stores  []*local.Store // over Pebble, which has goroutines to end
}

func (w *world) addMachine(name string, pebble bool) *machine {
	i := len(w.machines)
	m := &machine{w: w, index: i, name: name, addr: fmt.Sprintf("127.0.0.1:%d", 7001+i)}
	// Clocks differ in what they show, and by their rate within the bound.
	m.clock = clock{
		base: quorum.Instant(w.rng.Int64N(int64(time.Hour))) + 1, rate: 1 + (2*w.rng.Float64()-1)*0.9*quorum.MaxDrift,
		ahead: w.between(0, 20*time.Millisecond),
	}
	m.disk = storage{w: w, counts: &w.disks, pebble: pebble}
	m.disk.disk = m.disk.fresh()
	w.machines = append(w.machines, m)
	return m
}

func (m *machine) now() quorum.Instant {
	return m.clock.base + quorum.Instant(float64(m.w.time-m.clock.since)*m.clock.rate)
}

func (m *machine) wall() int64 { return epoch + int64(m.now()-m.clock.base) + int64(m.clock.ahead) }

// epoch is when all runs begin, in ns since 1970.
const epoch = 1_700_000_000_000_000_000

// trueTime returns when the clock will show a time, and false if it stands still.
func (m *machine) trueTime(at quorum.Instant) (time.Duration, bool) {
	if m.clock.rate == 0 {
		return 0, false
	}
	return m.clock.since + time.Duration(float64(at-m.clock.base)/m.clock.rate) + 1, true
}

// setRate has the clock go on at another rate.
func (m *machine) setRate(rate float64) {
	now := m.now()
	m.clock.ahead += time.Duration(now - m.clock.base) // wall time goes on from where it is
	m.clock.base, m.clock.since, m.clock.rate = now, m.w.time, rate
	if m.process != nil {
		m.process.clockChanged()
	}
}

// start starts a process on the machine, unless one runs.
func (m *machine) start() {
	if m.process != nil || m.left {
		return
	}
	w := m.w
	m.wanted = true
	p := w.newProcess(m)
	m.process = p
	w.tracef("%s: start %d", m.name, m.lives)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.begin(func() {
		conf := m.conf
		conf.Environment = p
		node, err := mesh.Start(ctx, conf, workload.Hosts()...)
		cancel()
		if err == nil {
			w.count("start")
			p.node = node
			if p.then != nil { // it was told to stop as it began to serve
				err = node.Close()
			} else {
				p.Wait(0, node.Done(), nil, nil)
				err = node.Err()
			}
		}
		m.ended(p, err)
	})
}

// crash ends the machine's process at once, and takes from the disk what a crash
// takes.
func (m *machine) crash() {
	p := m.process
	if p == nil {
		return
	}
	m.w.tracef("%s: crash", m.name)
	m.w.count("crash")
	m.process = nil
	p.end()
	m.w.gone(p)
	m.disk.disk = m.disk.disk.Crash(m.w.rng)
	m.disk.close()
}

// fresh returns an empty disk.
func (s *storage) fresh() *disk.Disk {
	if s.pebble {
		return disk.NewPebble(s.counts)
	}
	return disk.New(s.counts)
}

// open opens the store in the machine's directory.
func (s *storage) open(p *process, dir string, options local.Options) (*local.Store, error) {
	s.earlier = s.disk.Clone()
	options.FS, options.Engine, options.Entropy = s.disk, s.disk.Engine(), entropy{p.rng}
	store, err := local.Open(dir, options)
	if s.pebble && err == nil {
		s.stores = append(s.stores, store)
	}
	return store, err
}

// close ends the goroutines of the stores that were opened on the disk. The disk of
// a store that has crashed is nobody's any more.
func (s *storage) close() {
	for _, store := range s.stores {
		func() {
			defer func() { _ = recover() }() // a crash left iterators open, and Pebble says so
			_ = store.Close()
		}()
	}
	s.stores = nil
}

// latency draws how long a commit takes, before and after what it writes can be
// read.
func (s *storage) latency() (before, after time.Duration) {
	before, after = s.w.between(5*time.Microsecond, 50*time.Microsecond), s.w.between(100*time.Microsecond, time.Millisecond)
	if s.w.chance(500) {
		after += s.w.between(0, 20*time.Millisecond)
	}
	if s.slow > 0 {
		s.w.count("slow fsync")
		after += s.slow
	}
	return before, after
}

// entropy is random bytes of the world's.
type entropy struct{ rng *rand.Rand }

func (e entropy) Read(b []byte) (int, error) {
	var word [8]byte
	for i := 0; i < len(b); i += copy(b[i:], word[:]) {
		binary.LittleEndian.PutUint64(word[:], e.rng.Uint64())
	}
	return len(b), nil
}

// configure makes the machines' configuration from a plan's header.
func (m *machine) configure(h *script.Header, seeds []string) error {
	m.conf = mesh.Config{
		Name: m.name, DataDir: "data", Listen: m.addr, Slots: h.Slots, Replication: h.Replication, Voters: h.Voters,
		Logger: slog.New(slog.DiscardHandler), Shards: 1 + m.w.rng.IntN(3),
	}
	if m.w.trace != nil {
		m.conf.Logger = slog.New(&logHandler{m: m})
	}
	for _, s := range seeds {
		if s != m.addr {
			m.conf.Join = append(m.conf.Join, s)
		}
	}
	if m.index < h.Nodes {
		m.conf.Expect = h.Nodes
	}
	for _, s := range h.Settings {
		if err := set(&m.conf, s); err != nil {
			return err
		}
	}
	return nil
}

// set sets what a flag of a node sets.
func set(c *mesh.Config, s script.Setting) error {
	times := map[string]*time.Duration{
		"lease": &c.Lease, "heartbeat": &c.Heartbeat, "probe-interval": &c.ProbeInterval, "dead-grace": &c.DeadGrace,
		"idle-timeout": &c.IdleTimeout, "call-timeout": &c.CallTimeout, "drain-timeout": &c.DrainTimeout, "retention": &c.Retention,
	}
	numbers := map[string]*int{
		"fold-records": &c.FoldRecords, "fold-bytes": &c.FoldBytes, "max-value-bytes": &c.MaxValueBytes,
		"max-key-bytes": &c.MaxKeyBytes, "max-record-bytes": &c.MaxRecordBytes, "max-effects": &c.MaxEffects,
	}
	var err error
	switch {
	case times[s.Name] != nil:
		*times[s.Name], err = time.ParseDuration(s.Value)
	case numbers[s.Name] != nil:
		*numbers[s.Name], err = strconv.Atoi(s.Value)
	case s.Name == "drift":
		c.Drift, err = strconv.ParseFloat(s.Value, 64)
	case s.Name == "disk-reserve":
		c.DiskReserve, err = strconv.ParseUint(s.Value, 10, 64)
	default:
		err = errors.New("unknown")
	}
	if err != nil {
		return &script.Error{Line: s.Line, Text: fmt.Sprintf("setting %s %s: %v", s.Name, s.Value, err)}
	}
	return nil
}

// logHandler puts a node's log into the trace.
type logHandler struct {
	m     *machine
	attrs string
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message + h.attrs
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	h.m.w.tracef("%s: %s", h.m.name, text)
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	text := h.attrs
	for _, a := range attrs {
		if a.Key != "node" {
			text += " " + a.String()
		}
	}
	return &logHandler{h.m, text}
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }
