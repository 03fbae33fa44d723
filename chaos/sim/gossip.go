package sim

import (
	"time"

	"actormesh/quorum"
)

// hint is what gossip says of a node.
type hint struct {
	id    quorum.NodeID
	addr  string
	epoch quorum.Epoch
}

// hinted is a node's handler of the network, which takes hints of gossip too.
type hinted interface {
	Hint(id quorum.NodeID, addr string, epoch quorum.Epoch)
}

// hint tells a process what gossip says, and reports whether there is one.
func (p *process) hint(h hint) bool {
	if p == nil || p.port == nil {
		return false
	}
	p.w.after(0, evMessage, p, func() {
		if !p.port.closed {
			p.port.conf.Handler.(hinted).Hint(h.id, h.addr, h.epoch)
		}
	})
	return true
}

// gossipPeriod is how often nodes hear of each other by gossip, about.
const gossipPeriod = time.Second

// spread has every node hear of those with which gossip gets through to it, where
// something about them has changed. Serf is not simulated, only what comes of it.
func (w *world) spread() {
	for _, to := range w.machines {
		for _, from := range w.machines {
			w.spreadBetween(from, to)
		}
	}
	w.after(w.between(gossipPeriod/2, gossipPeriod*3/2), evWorld, nil, w.spread)
}

func (w *world) spreadBetween(from, to *machine) {
	p, o := to.process, from.process
	if p == o || p == nil || p.port == nil {
		return
	}
	if from.silent+to.silent > 0 {
		w.count("gossip silenced")
	}
	route, back := [2]int{from.index, to.index}, [2]int{to.index, from.index}
	if o == nil || o.port == nil || from.silent+to.silent > 0 || w.net.isCut(route) || w.net.isCut(back) {
		delete(p.heard, from.index) // and it will be told anew
		return
	}
	h := hint{id: o.port.conf.Self, addr: o.port.addr}
	if o.view != nil {
		h.epoch = quorum.Epoch(o.view.view.Epoch)
	}
	if p.heard[from.index] != h {
		p.heard[from.index] = h
		w.count("hint of gossip")
		p.hint(h)
	}
}
