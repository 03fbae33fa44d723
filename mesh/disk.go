package mesh

import (
	"fmt"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// diskPeriod is how often a node looks how full its disk is.
const diskPeriod = time.Second

// watchDisk gives up ownership before the disk is full: a write that fails ends
// the node.
func (n *Node) watchDisk() {
	for n.ctx.Err() == nil {
		free, err := n.store.FreeBytes()
		if err != nil {
			n.logger.Warn("the free space of the disk cannot be read", "err", err)
		} else {
			n.judgeDisk(free)
		}
		n.env.Wait(n.env.About().Add(diskPeriod), n.ctx.Done(), nil, nil)
	}
}

func (n *Node) judgeDisk(free uint64) {
	full := free < n.conf.DiskReserve || n.diskFull.Load() && free < 2*n.conf.DiskReserve
	if full == n.diskFull.Swap(full) {
		return
	}
	why := ""
	if full {
		why = fmt.Sprintf("only %d MiB of disk are free, and %d are kept in reserve", free>>20, n.conf.DiskReserve>>20)
	}
	n.control.do(func(c *core.Control, now quorum.Instant) { c.Yield(now, why) })
}
