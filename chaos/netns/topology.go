//go:build linux

package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"actormesh/chaos/script"
)

// network is a switch, and the places that are connected to it.
type network struct {
	hub *namespace

	mu     sync.Mutex
	places []*place
	cuts   map[script.Pair]int // by how many faults
	links  []*impairment
	shaped map[string]string // what each port has been told of slow links
}

// place is where the processes of one node are.
type place struct {
	node   string // two places may have one
	number int    // from 1
	addr   netip.Addr
	space  *namespace
}

// port is the switch's end of the cable to a place.
func (p *place) port() string { return fmt.Sprintf("p%d", p.number) }

// maxPlaces is how many addresses there are.
const maxPlaces = 1 << 8

// address returns the address of a place.
func address(number int) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, 0, byte(number)}) }

// The ports that processes listen on. Each has an address of its own.
const (
	meshPort = 7001
	httpPort = 8001
)

const hubSetup = `link set lo up
link add switch type bridge forward_delay 0
link set switch up
`

// newNetwork makes a switch without places.
func newNetwork() (*network, error) {
	hub, err := newNamespace()
	if err != nil {
		return nil, err
	}
	n := &network{hub: hub, cuts: map[script.Pair]int{}, shaped: map[string]string{}}
	if _, err := hub.run(hubSetup, "ip", "-batch", "-"); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// add makes a place, with a cable to the switch.
func (n *network) add(node string) (*place, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	number := len(n.places) + 1
	if number >= maxPlaces {
		return nil, fmt.Errorf("more than %d places", maxPlaces-1)
	}
	space, err := newNamespace()
	if err != nil {
		return nil, err
	}
	p := &place{node: node, number: number, addr: address(number), space: space}
	n.places = append(n.places, p)
	cable := fmt.Sprintf(`link add %[1]s type veth peer name eth0 netns %[2]s
link set %[1]s master switch
link set %[1]s up
`, p.port(), space.path())
	if _, err := n.hub.run(cable, "ip", "-batch", "-"); err != nil {
		return nil, err
	}
	// Linux takes 127.0.0.0/8 for this host's, unless it is told that it may be
	// routed, and that only one address of it is here.
	err = space.do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/route_localnet", []byte("1"), 0o644)
	})
	if err != nil {
		return nil, err
	}
	inside := fmt.Sprintf(`link set lo up
addr del 127.0.0.1/8 dev lo
addr add 127.0.0.1/32 dev lo
addr add %v/24 dev eth0
link set eth0 up
`, p.addr)
	_, err = space.run(inside, "ip", "-batch", "-")
	return p, err
}

// close gives the network up. It is gone when the last process in it has ended.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.places {
		p.space.close()
	}
	n.hub.close()
}

// dial connects to an address from within its own place, so that nothing that is
// done to the network is in the way.
func (n *network) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	at := slices.IndexFunc(n.places, func(p *place) bool { return p.addr == to.Addr() })
	if at < 0 {
		n.mu.Unlock()
		return nil, fmt.Errorf("nobody has the address %v", to)
	}
	p := n.places[at]
	n.mu.Unlock()
	err = p.space.do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
