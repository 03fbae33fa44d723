//go:build linux

package netns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"actormesh/chaos/script"
)

// queueTime is how long a packet waits for a slow link before it is dropped.
const queueTime = time.Second

// burstBytes is what a link takes at once: a packet of the largest size.
const burstBytes = 2000

// rate returns the bytes a second that may go from one node to another, as the
// slowest of the links allows; 0 for no limit.
func (n *network) rate(from, to string) int64 {
	var rate int64
	for _, l := range n.links {
		here := l.all && from != to || slices.Contains(l.pairs, script.Pair{From: from, To: to})
		if here && l.Rate > 0 && (rate == 0 || l.Rate < rate) {
			rate = l.Rate
		}
	}
	return rate
}

// buckets returns what the switch's port to a place is told of slow links: for each
// place from which there is one a class, with a token bucket and a queue. Packets
// of no class are not held up.
func (n *network) buckets(to *place) string {
	var b strings.Builder
	for _, from := range n.places {
		rate := n.rate(from.node, to.node)
		if rate == 0 {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "qdisc add dev %s root handle 1: htb\n", to.port())
		}
		fmt.Fprintf(&b, "class add dev %s parent 1: classid 1:%x htb rate %dbps burst %d cburst %[4]d quantum %[4]d\n",
			to.port(), from.number, rate, burstBytes)
		fmt.Fprintf(&b, "qdisc add dev %s parent 1:%x bfifo limit %d\n",
			to.port(), from.number, max(burstBytes, int64(queueTime.Seconds()*float64(rate))))
	}
	return b.String()
}
