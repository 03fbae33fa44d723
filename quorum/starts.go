package quorum

import (
	"cmp"
	"fmt"
	"slices"

	"actormesh/quorum/mutant"
)

// A start table holds, for every member, the newest start that is known of it.
// Tables are merged on the way from one set of voters to the next, in any
// order and any number of times, so the starts of one node form a lattice: a
// higher boot is above a lower one, and two nonces of one boot, which only two
// copies of one data directory can have, have their join in the boot with nonce
// 0, which is nobody's: then neither copy may go on.

// RegisteredStart is an entry of a voter's start table.
type RegisteredStart struct {
	Start
	// Late says that the voter had accepted a value for the next view before it
	// took this start, so that the next view may not carry it.
	Late bool
}

// join returns the lowest start of the node that is neither below s nor below t.
func (s Start) join(t Start) Start {
	switch {
	case s.Boot < t.Boot:
		return t
	case s.Boot == t.Boot && s.Nonce != t.Nonce:
		return Start{s.Node, s.Boot, 0}
	}
	return s
}

// rules out reports whether whoever knows of s must refuse the start t of the
// same node.
func (s Start) rulesOut(t Start) bool {
	return t.Boot < s.Boot && !mutant.On(mutant.OldBootVotes) ||
		t.Boot == s.Boot && t.Nonce != s.Nonce && !mutant.On(mutant.CopyVotes)
}

// String returns "node.boot", and the nonce after it.
func (s Start) String() string { return fmt.Sprintf("%s.%d/%x", s.Node, s.Boot, uint64(s.Nonce)) }

func findStart(list []Start, id NodeID) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(s Start, id NodeID) int { return cmp.Compare(s.Node, id) })
}

// joinStart merges one start into a sorted list.
func joinStart(list []Start, s Start) []Start {
	i, found := findStart(list, s.Node)
	if !found {
		return slices.Insert(list, i, s)
	}
	list[i] = list[i].join(s)
	return list
}

func joinStarts(list, more []Start) []Start {
	for _, s := range more {
		list = joinStart(list, s)
	}
	return list
}

// restrictStarts returns what known has of the nodes of members, joined with
// what members has of them.
func restrictStarts(members, known []Start) []Start {
	list := slices.Clone(members)
	for i, s := range list {
		if j, found := findStart(known, s.Node); found {
			list[i] = s.join(known[j])
		}
	}
	return list
}

// startOf returns the table's start of a node.
func (t *RegisterState) startOf(id NodeID) (RegisteredStart, bool) {
	i, found := t.findStart(id)
	if !found {
		return RegisteredStart{}, false
	}
	return t.Starts[i], true
}

func (t *RegisterState) findStart(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(t.Starts, id, func(s RegisteredStart, id NodeID) int {
		return cmp.Compare(s.Node, id)
	})
}

// table returns the start table without the marks.
func (t *RegisterState) table() []Start {
	list := make([]Start, len(t.Starts))
	for i, s := range t.Starts {
		list[i] = s.Start
	}
	return list
}

// coveredBy reports whether every start of the table is in list, or a higher one.
func (t *RegisterState) coveredBy(list []Start) bool {
	for _, s := range t.Starts {
		i, found := findStart(list, s.Node)
		if !found || list[i].join(s.Start) != list[i] {
			return false
		}
	}
	return true
}

// joinTable merges what list has of the members into the table. late marks
// what changes.
func (t *RegisterState) joinTable(list []Start, late bool) {
	for i, s := range t.Starts {
		j, found := findStart(list, s.Node)
		if !found {
			continue
		}
		if joined := s.join(list[j]); joined != s.Start {
			t.Starts[i] = RegisteredStart{joined, late}
		}
	}
}

// handOver makes the table that of the members of the next view: what the view
// carries, and what this voter knows beyond that.
func (t *RegisterState) handOver(view *Decree) {
	known := t.table()
	t.Starts = make([]RegisteredStart, len(view.Starts))
	for i, s := range view.Starts {
		if j, found := findStart(known, s.Node); found && known[j].Boot > s.Boot {
			s = known[j]
		}
		t.Starts[i] = RegisteredStart{Start: s}
	}
}
