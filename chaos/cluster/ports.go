package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports lie below the range from which systems take the ports of outgoing
// connections: a node that is down for a while finds its own still free.
const (
	firstPort  = 10_000
	lastPort   = 32_000
	blockPorts = 32
)

// Ports is a block of loopback ports that belongs to this process until Close,
// also against other processes that use this package at the same time.
type Ports struct {
	lock net.Listener // on the block's first port: whoever has it has the block
	next int
	end  int
}

// ReservePorts finds a block of which every port is free, for TCP and UDP.
func ReservePorts() (*Ports, error) {
	blocks := (lastPort - firstPort) / blockPorts
	start := rand.IntN(blocks)
	for i := range blocks {
		base := firstPort + (start+i)%blocks*blockPorts
		lock, err := net.Listen("tcp", loopback(base))
		if err != nil {
			continue
		}
		if !allFree(base+1, base+blockPorts) {
			lock.Close()
			continue
		}
		return &Ports{lock: lock, next: base + 1, end: base + blockPorts}, nil
	}
	return nil, errors.New("no block of free ports on loopback")
}

// Take returns the next address of the block, "127.0.0.1:port".
func (p *Ports) Take() (string, error) {
	if p.next == p.end {
		return "", fmt.Errorf("all %d ports of the block are taken", blockPorts-1)
	}
	p.next++
	return loopback(p.next - 1), nil
}

// Close gives the block back.
func (p *Ports) Close() error { return p.lock.Close() }

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func allFree(from, to int) bool {
	for port := from; port < to; port++ {
		tcp, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return false
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", loopback(port))
		if err != nil {
			return false
		}
		udp.Close()
	}
	return true
}
