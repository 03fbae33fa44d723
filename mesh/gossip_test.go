package mesh

import (
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/serf/serf"

	"actormesh/local"
	"actormesh/ring"
)

func TestGossipPeerOf(t *testing.T) {
	tags := map[string]string{tagID: "00000000000000ab", tagEpoch: "7"}
	for name, c := range map[string]struct {
		m    serf.Member
		addr string // empty: refused
	}{
		"IPv4":           {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 7001, Tags: tags}, "10.0.0.1:7001"},
		"IPv4 in 16":     {serf.Member{Addr: net.ParseIP("10.0.0.1"), Port: 7001, Tags: tags}, "10.0.0.1:7001"},
		"IPv6":           {serf.Member{Addr: net.ParseIP("fd00::1"), Port: 7001, Tags: tags}, "[fd00::1]:7001"},
		"no address":     {serf.Member{Port: 7001, Tags: tags}, ""},
		"odd address":    {serf.Member{Addr: net.IP{1, 2, 3}, Port: 7001, Tags: tags}, ""},
		"unspecified":    {serf.Member{Addr: net.IPv4zero, Port: 7001, Tags: tags}, ""},
		"no port":        {serf.Member{Addr: net.IP{10, 0, 0, 1}, Tags: tags}, ""},
		"no tags":        {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 7001}, ""},
		"id 0":           {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 1, Tags: map[string]string{tagID: "0", tagEpoch: "7"}}, ""},
		"id is no id":    {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 1, Tags: map[string]string{tagID: "xyz", tagEpoch: "7"}}, ""},
		"epoch below 0":  {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 1, Tags: map[string]string{tagID: "1", tagEpoch: "-7"}}, ""},
		"epoch too high": {serf.Member{Addr: net.IP{10, 0, 0, 1}, Port: 1, Tags: map[string]string{tagID: "1", tagEpoch: "18446744073709551616"}}, ""},
	} {
		p, ok := peerOf(&c.m)
		if ok != (c.addr != "") || ok && (p.addr != c.addr || p.id != 0xab || p.epoch != 7) {
			t.Errorf("%s: %+v, %t", name, p, ok)
		}
	}
}

// testGossip is gossip without serf, of node 1 at 10.0.0.1:7001.
func testGossip(t *testing.T) *gossip {
	store, err := local.Open("store", local.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &Node{id: 1, env: machine{}, store: store, ctx: t.Context(), viewChanged: make(chan struct{}), conf: Config{Name: "n1"}}
	n.control = newControlLoop(n)
	return &gossip{node: n, self: "10.0.0.1:7001", known: map[string]gossipPeer{}}
}

// TestGossipAddresses goes through the life of a node: what it remembers, and whom
// it looks for.
func TestGossipAddresses(t *testing.T) {
	g := testGossip(t)
	g.seeds = []string{"10.0.0.1:7001", "10.0.0.2:7001", "localhost:7009"}
	saved := func(want ...string) {
		t.Helper()
		g.save()
		if got := g.node.store.Peers(); !slices.Equal(got, want) {
			t.Errorf("remembered %v, want %v", got, want)
		}
	}
	looksFor := func(want ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(g.targets()))
		for i, a := range got {
			if a == "[::1]:7009" { // as the machine resolves it
				got[i] = "127.0.0.1:7009"
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("looks for %v, want %v", got, want)
		}
	}
	member := func(id ring.NodeID, addr string) ring.Member {
		return ring.Member{ID: id, Name: id.String(), Addr: addr}
	}
	heard := func(what serf.EventType, name, id string, ip net.IP) {
		tags := map[string]string{tagID: id, tagEpoch: "1"}
		g.event(serf.MemberEvent{Type: what, Members: []serf.Member{{Name: name, Addr: ip, Port: 7001, Tags: tags}}})
	}

	if err := g.node.store.SavePeers([]string{"10.0.0.8:7001"}); err != nil {
		t.Fatal(err)
	}
	looksFor("10.0.0.2:7001", "10.0.0.8:7001", "127.0.0.1:7009") // not for itself
	saved("10.0.0.8:7001")

	heard(serf.EventMemberJoin, "n1", "1", net.IP{10, 0, 0, 1})
	heard(serf.EventMemberJoin, "n2", "2", net.IP{10, 0, 0, 2})
	heard(serf.EventMemberJoin, "n?", "2", nil)
	looksFor("10.0.0.8:7001", "127.0.0.1:7009")
	saved("10.0.0.2:7001", "10.0.0.8:7001")
	if len(g.node.control.queue) != 1 || g.alive() != 2 {
		t.Errorf("%d hints, %d alive", len(g.node.control.queue), g.alive())
	}

	// The view knows better than what was remembered, and n3 goes by a host's name.
	g.node.setView(&ring.View{Epoch: 1, Members: []ring.Member{member(1, "10.0.0.1:7001"), member(2, "10.0.0.2:7001"), member(3, "localhost:7003")}})
	looksFor("127.0.0.1:7003", "127.0.0.1:7009")
	heard(serf.EventMemberJoin, "n3", "3", net.IP{10, 0, 0, 3})
	looksFor("127.0.0.1:7009")
	saved("10.0.0.2:7001", "10.0.0.3:7001", "localhost:7003")

	heard(serf.EventMemberFailed, "n2", "2", net.IP{10, 0, 0, 2})
	looksFor("10.0.0.2:7001", "127.0.0.1:7009")
	if p, ok := g.peer("n2"); !ok || p.state != "dead" || g.alive() != 2 {
		t.Errorf("%+v, %d alive", p, g.alive())
	}
	// It is forgotten when gossip and the view have.
	heard(serf.EventMemberReap, "n2", "2", net.IP{10, 0, 0, 2})
	g.node.setView(&ring.View{Epoch: 2, Members: []ring.Member{member(1, "10.0.0.1:7001"), member(3, "localhost:7003")}})
	if _, ok := g.peer("n2"); ok {
		t.Error("n2 is still known")
	}
	saved("10.0.0.3:7001", "localhost:7003")
	g.seeds = nil
	looksFor()
}
