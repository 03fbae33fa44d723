//go:build linux

package netns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"actormesh/chaos/script"
)

// impairment is a fault of links.
type impairment struct {
	script.Link
	pairs []script.Pair
	all   bool // directions, and not only the pairs
}

// tableSetup is the switch's table before there are faults. What is counted outlasts
// them.
const tableSetup = `table bridge chaos {
	set cut { type ipv4_addr . ipv4_addr; }
	counter cut { }
	counter lost { }
	counter slowed { }
	chain forward { type filter hook forward priority 0; }
}
`

// filter readies the switch for cuts and losses.
func (n *network) filter() error {
	_, err := n.hub.run(tableSetup, "nft", "-f", "-")
	return err
}

// between does what a fault says to packets in these directions, until it is undone.
func (n *network) between(f *script.Fault, pairs []script.Pair) (undo func() error, err error) {
	if f.Verb != script.LinkFault {
		return n.change(
			func() { n.count(pairs, 1) },
			func() { n.count(pairs, -1) })
	}
	i := &impairment{f.Link, pairs, len(f.Sides) == 0}
	return n.change(
		func() { n.links = append(n.links, i) },
		func() { n.links = slices.DeleteFunc(n.links, func(other *impairment) bool { return other == i }) })
}

// change makes a change to what is done to packets, and returns what takes it back.
func (n *network) change(do, takeBack func()) (undo func() error, err error) {
	apply := func(change func()) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		change()
		return n.apply()
	}
	if err := apply(do); err != nil {
		return nil, err
	}
	return func() error { return apply(takeBack) }, nil
}

// count counts the faults that cut each direction.
func (n *network) count(pairs []script.Pair, by int) {
	for _, p := range pairs {
		if n.cuts[p] += by; n.cuts[p] == 0 {
			delete(n.cuts, p)
		}
	}
}

// apply tells the kernel what is done to packets. Slow links come first, as the
// table sends packets to their classes.
func (n *network) apply() error {
	for _, p := range n.places {
		text := n.buckets(p)
		was := n.shaped[p.port()]
		if text == was {
			continue
		}
		n.shaped[p.port()] = text
		if was != "" {
			text = fmt.Sprintf("qdisc del dev %s root\n", p.port()) + text
		}
		if _, err := n.hub.run(text, "tc", "-batch", "-"); err != nil {
			return err
		}
	}
	_, err := n.hub.run(n.table(), "nft", "-f", "-")
	return err
}

// table returns what the switch's table is to be, in one transaction.
func (n *network) table() string {
	var cut []script.Pair
	for p := range n.cuts {
		cut = append(cut, p)
	}
	var b strings.Builder
	b.WriteString("flush chain bridge chaos forward\nflush set bridge chaos cut\n")
	if pairs := n.addresses(cut, false); pairs != "" {
		fmt.Fprintf(&b, "add element bridge chaos cut { %s }\n", pairs)
	}
	rule := func(text string) { fmt.Fprintf(&b, "add rule bridge chaos forward %s\n", text) }
	rule("ip saddr . ip daddr @cut counter name cut drop")
	for _, l := range n.links {
		if pairs := n.addresses(l.pairs, l.all); l.Loss > 0 && pairs != "" {
			rule(fmt.Sprintf("ip saddr . ip daddr { %s } numgen random mod 10000 < %d counter name lost drop", pairs, l.Loss))
		}
	}
	for _, from := range n.places {
		for _, to := range n.places {
			if n.rate(from.node, to.node) > 0 {
				rule(fmt.Sprintf("ip saddr %v ip daddr %v counter name slowed meta priority set 1:%x", from.addr, to.addr, from.number))
			}
		}
	}
	return b.String()
}

// addresses returns the pairs of addresses between the places of pairs of nodes, or
// of all, in order and separated by commas.
func (n *network) addresses(pairs []script.Pair, all bool) string {
	var out []string
	for _, from := range n.places {
		for _, to := range n.places {
			if all && from.node != to.node || slices.Contains(pairs, script.Pair{From: from.node, To: to.node}) {
				out = append(out, fmt.Sprintf("%v . %v", from.addr, to.addr))
			}
		}
	}
	return strings.Join(out, ", ")
}

// saw returns how many packets have suffered what.
func (n *network) saw() (map[string]int, error) {
	text, err := n.hub.run("", "nft", "list", "counters", "table", "bridge", "chaos")
	if err != nil {
		return nil, err
	}
	words := map[string]string{"cut": "packet cut off", "lost": "packet lost", "slowed": "packet on a slow link"}
	saw := map[string]int{}
	what := ""
	fields := strings.Fields(text)
	for i := range len(fields) - 1 {
		switch fields[i] {
		case "counter":
			what = words[strings.Trim(fields[i+1], `"`)]
		case "packets":
			count, err := strconv.Atoi(fields[i+1])
			if err != nil {
				return nil, err
			}
			if count > 0 {
				saw[what] = count
			}
		}
	}
	return saw, nil
}
