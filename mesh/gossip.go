package mesh

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// gossip finds nodes and suspects them: serf over memberlist, on the node's own
// UDP port. What it says is a hint, and decides nothing.
type gossip struct {
	node   *Node
	serf   *serf.Serf
	events chan serf.Event
	seeds  []string
	self   string // this node's address, as gossip tells it

	rejoining atomic.Bool
	saved     []string // addresses; only run looks at it

	mu    sync.Mutex
	known map[string]gossipPeer // by gossip's name: the node's
}

// gossipPeer is what gossip says of a node.
type gossipPeer struct {
	id    quorum.NodeID
	addr  string
	epoch quorum.Epoch
	state string // "alive", "suspect" is never told, "dead", "left"
}

// The tags of a gossip member.
const (
	tagID    = "id"
	tagEpoch = "e"
)

const (
	rejoinPeriod = 2 * time.Second // between attempts to find peers that gossip has lost
	tagPeriod    = time.Second     // between changes of this node's tags
	joinTimeout  = 5 * time.Second
)

func newGossip(n *Node, identity *transport.Identity) (*gossip, error) {
	port, err := n.net.NewGossip()
	if err != nil || port == nil {
		return nil, err
	}
	g := &gossip{node: n, events: make(chan serf.Event, 256), seeds: n.conf.Join, known: map[string]gossipPeer{}}
	logger := slog.NewLogLogger(n.logger.With("from", "gossip").Handler(), slog.LevelDebug)
	if !n.logger.Enabled(context.Background(), slog.LevelDebug) {
		logger = log.New(io.Discard, "", 0)
	}

	list := memberlist.DefaultLANConfig()
	list.Name = n.conf.Name
	list.Transport = port
	list.SecretKey = identity.GossipKey
	list.ProbeInterval = n.conf.ProbeInterval
	list.ProbeTimeout = n.conf.ProbeInterval / 2
	list.SuspicionMult = 3
	list.GossipInterval = n.conf.ProbeInterval
	list.TCPTimeout = joinTimeout
	list.DisableTcpPings = true // a stream that opens says less than a packet that comes back
	list.UDPBufferSize = transport.GossipPacketBytes
	list.DeadNodeReclaimTime = time.Second // a name comes back at another address
	list.EnableCompression = false         // packets are small, and a compressor is made for each
	list.RequireNodeNames = false          // a seed is an address
	list.Logger = logger
	host, portText, err := net.SplitHostPort(n.Addr())
	if err != nil {
		return nil, err
	}
	if list.AdvertiseAddr, err = resolveHost(n.ctx, host); err != nil {
		return nil, err
	}
	list.AdvertisePort, _ = strconv.Atoi(portText)
	g.self = net.JoinHostPort(list.AdvertiseAddr, portText)

	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName = n.conf.Name
	conf.MemberlistConfig = list
	conf.Tags = g.tags()
	conf.EventCh = g.events
	conf.EnableNameConflictResolution = false // the disk id decides, not an address
	conf.DisableCoordinates = true
	conf.ReconnectTimeout = 365 * 24 * time.Hour
	conf.TombstoneTimeout = time.Hour
	conf.ReconnectInterval = 5 * time.Second
	conf.LeavePropagateDelay = 0
	conf.Logger = logger
	conf.MsgpackUseNewTimeFormat = true
	list.MsgpackUseNewTimeFormat = true
	if g.serf, err = serf.Create(conf); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return g, nil
}

// resolveHost returns an IP address of a host, which may be one itself.
func resolveHost(ctx context.Context, host string) (string, error) {
	if net.ParseIP(host) != nil {
		return host, nil
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", fmt.Errorf("the advertised host: %w", err)
	}
	return ips[0], nil
}

// tags are all that gossip carries about a node.
func (g *gossip) tags() map[string]string {
	return map[string]string{
		tagID:    g.node.id.String(),
		tagEpoch: strconv.FormatUint(uint64(g.node.epoch()), 10),
	}
}

// run drains gossip's events, keeps the tags fresh, and looks for peers that are
// not there, for as long as the node lives.
func (g *gossip) run() {
	rejoin := time.NewTicker(rejoinPeriod)
	defer rejoin.Stop()
	retag := time.NewTicker(tagPeriod)
	defer retag.Stop()
	g.node.spawn(g.rejoin) // the first time at once
	told := g.node.epoch()
	for {
		select {
		case <-g.node.ctx.Done():
			return
		case e := <-g.events:
			g.event(e)
		case <-rejoin.C:
			g.node.spawn(g.rejoin)
		case <-retag.C:
			if epoch := g.node.epoch(); epoch != told {
				told = epoch
				if err := g.serf.SetTags(g.tags()); err != nil {
					g.node.logger.Debug("gossip tags", "err", err)
				}
			}
		}
	}
}

// event takes what gossip has noticed, and passes it on as a hint.
func (g *gossip) event(e serf.Event) {
	change, ok := e.(serf.MemberEvent)
	if !ok {
		return
	}
	state := map[serf.EventType]string{
		serf.EventMemberJoin: "alive", serf.EventMemberUpdate: "alive",
		serf.EventMemberFailed: "dead", serf.EventMemberLeave: "left", serf.EventMemberReap: "left",
	}[change.Type]
	for _, m := range change.Members {
		p, ok := peerOf(&m)
		if state == "" || !ok || p.id == g.node.id {
			continue
		}
		p.state = state
		g.mu.Lock()
		if g.known[m.Name] = p; change.Type == serf.EventMemberReap {
			delete(g.known, m.Name)
		}
		g.mu.Unlock()
		if state == "alive" {
			g.node.control.gossiped(p)
		}
	}
	g.save()
}

// peerOf reads the tags of a gossip member, and its address, which it says itself.
func peerOf(m *serf.Member) (gossipPeer, bool) {
	id, err := strconv.ParseUint(m.Tags[tagID], 16, 64)
	epoch, err2 := strconv.ParseUint(m.Tags[tagEpoch], 10, 64)
	ip, ok := netip.AddrFromSlice(m.Addr)
	ip = ip.Unmap()
	return gossipPeer{
		id:    quorum.NodeID(id),
		epoch: quorum.Epoch(epoch),
		addr:  netip.AddrPortFrom(ip, m.Port).String(),
	}, err == nil && err2 == nil && id != 0 && ok && !ip.IsUnspecified() && m.Port != 0
}

// peer returns what gossip says of a node.
func (g *gossip) peer(name string) (gossipPeer, bool) {
	if g == nil {
		return gossipPeer{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.known[name]
	return p, ok
}

// alive returns how many nodes gossip thinks alive, this one among them.
func (g *gossip) alive() int {
	if g == nil {
		return 1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 1
	for _, p := range g.known {
		if p.state == "alive" {
			n++
		}
	}
	return n
}

// save remembers where peers were last seen, so that a restarted node finds them
// without its seeds.
func (g *gossip) save() {
	addrs := g.addresses(false)
	if slices.Equal(addrs, g.saved) {
		return
	}
	if err := g.node.store.SavePeers(addrs); err != nil {
		g.node.fail(err)
		return
	}
	g.saved = addrs
}

// addresses returns where peers may be: the view's members, and those seen since
// this start; before there is a view, those seen before it as well. With missing
// set it adds the seeds, and leaves out those that gossip sees alive.
func (g *gossip) addresses(missing bool) []string {
	list, alive := map[string]bool{}, map[ring.NodeID]bool{ring.NodeID(g.node.id): true}
	g.mu.Lock()
	for _, p := range g.known {
		if p.state == "alive" {
			alive[ring.NodeID(p.id)] = true
		}
		if p.state != "alive" || !missing {
			list[p.addr] = true
		}
	}
	g.mu.Unlock()
	if v := g.node.view.Load(); v == nil {
		for _, addr := range g.node.store.Peers() {
			list[addr] = true
		}
	} else {
		for i := range v.Members {
			if m := &v.Members[i]; m.ID != ring.NodeID(g.node.id) && !(missing && alive[m.ID]) {
				list[m.Addr] = true
			}
		}
	}
	if missing {
		for _, s := range g.seeds {
			list[s] = true
		}
	}
	return slices.Sorted(maps.Keys(list))
}

// aliveAt returns the addresses of those that gossip sees alive, this node's among
// them.
func (g *gossip) aliveAt() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := map[string]bool{g.self: true}
	for _, p := range g.known {
		if p.state == "alive" {
			list[p.addr] = true
		}
	}
	return list
}

// rejoin joins peers that gossip does not see: memberlist forgets dead ones, and
// after a partition that was long enough nobody would look for them any more.
func (g *gossip) rejoin() {
	if !g.rejoining.CompareAndSwap(false, true) {
		return // the last attempt still waits for an answer
	}
	defer g.rejoining.Store(false)
	targets := g.targets()
	if len(targets) == 0 {
		return
	}
	if n, err := g.serf.Join(targets, true); n == 0 {
		g.node.logger.Debug("gossip reached none of the peers that it misses", "peers", strings.Join(targets, ","), "err", err)
	}
}

// targets returns a few of the addresses where peers may be that gossip does not
// see. Names are resolved anew each time.
func (g *gossip) targets() []string {
	addrs, alive := g.addresses(true), g.aliveAt()
	shuffle(g.node.env, addrs)
	var list []string
	for _, a := range addrs[:min(len(addrs), targetsMost)] {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			continue
		}
		ip, err := resolveHost(g.node.ctx, host)
		if target := net.JoinHostPort(ip, port); err == nil && !alive[target] {
			list = append(list, target)
		}
	}
	return list
}

const targetsMost = 8 // each may take a joinTimeout

// close ends gossip without a farewell: that the node stops is told by the view.
func (g *gossip) close() {
	drained := make(chan struct{})
	go func() { // serf may wait with an event that run does not take any more
		defer close(drained)
		for {
			select {
			case <-g.events:
			case <-g.serf.ShutdownCh():
				return
			}
		}
	}()
	if err := g.serf.Shutdown(); err != nil {
		g.node.logger.Debug("closing gossip", "err", err)
		return
	}
	<-drained
}
