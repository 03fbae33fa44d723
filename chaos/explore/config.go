package explore

import (
	"fmt"
	"slices"

	"actormesh/quorum"
)

// Config is one configuration that can be searched.
type Config struct {
	Name   string
	About  string
	bound  int // of messages in the network; 0 for a set that grows
	model  model
	states int // to be searched if nothing else is said; 0 for MaxStates
}

// The nodes of the configurations.
const (
	nodeA quorum.NodeID = iota + 1
	nodeB
	nodeC
	nodeD
	nodeE
)

func nodes(ids ...quorum.NodeID) []quorum.NodeID { return ids }

var (
	abc   = nodes(nodeA, nodeB, nodeC)
	abcde = nodes(nodeA, nodeB, nodeC, nodeD, nodeE)
	bcd   = nodes(nodeB, nodeC, nodeD)

	// The owner changes; the set changes; one replica is replaced.
	handover = [][]quorum.NodeID{abc, nodes(nodeB, nodeC, nodeA)}
	move     = [][]quorum.NodeID{abc, bcd}
	repair   = [][]quorum.NodeID{abc, nodes(nodeA, nodeB, nodeD)}
	back     = [][]quorum.NodeID{abc, nodes(nodeB, nodeC, nodeA), abc}
	pair     = [][]quorum.NodeID{nodes(nodeA, nodeB), nodes(nodeB, nodeA)}
	shift    = [][]quorum.NodeID{abc, bcd, nodes(nodeC, nodeD, nodeA)}

	duel   = []proposal{{nodeA, 1, abc}, {nodeB, 1, abc}}
	fickle = []proposal{{nodeA, 1, abc}, {nodeA, 1, nodes(nodeA, nodeB)}, {nodeB, 1, abc}}
)

// Configs returns the configurations, in the order in which they are run.
func Configs() []Config {
	return slices.Concat(slotConfigs(), registerConfigs(), leaseConfigs(), recordConfigs())
}

func slotConfigs() []Config {
	return []Config{
		{"slot-handover", "slot log: the owner moves from a to b; a record; no crash", 0,
			&slotLog{plan: handover, size: 3, records: 1, settled: true}, 0},
		{"slot-restart", "slot log: the owner moves from a to b; a record; one restart of any node", 0,
			&slotLog{plan: handover, size: 3, records: 1, settled: true, crashes: 1, victims: abc}, 0},
		{"slot-restarts", "slot log: the owner moves from a to b; two restarts of any nodes", 0,
			&slotLog{plan: handover, size: 3, settled: true, crashes: 2, victims: abc}, 0},
		{"slot-writes", "slot log: the owner moves; a record; writes end in steps of their own", 0,
			&slotLog{plan: handover, size: 3, records: 1, settled: true, async: true}, 0},
		{"slot-lost-writes", "slot log: the owner moves; writes end in steps of their own, and a restart loses those under way", 0,
			&slotLog{plan: handover, size: 3, settled: true, async: true, crashes: 1, victims: abc}, 0},
		{"slot-cold", "slot log: from an empty log, the owner moves while the first one begins", 0,
			&slotLog{plan: handover, size: 3, ticks: 1}, 0},
		{"slot-lossy", "slot log: the owner moves; at most 3 messages in flight, each may be lost or repeated, and ticks repeat them", 3,
			&slotLog{plan: handover, size: 3, settled: true, ticks: 2}, 0},
		{"slot-move", "slot log: the set moves from abc to bcd, with from until b reports", 0,
			&slotLog{plan: move, size: 4, settled: true}, 0},
		{"slot-move-cold", "slot log: the set moves from abc to bcd while a begins on an empty log", 0,
			&slotLog{plan: move, size: 4}, 0},
		{"slot-move-record", "slot log: the set moves from abc to bcd, with from; a record", 0,
			&slotLog{plan: move, size: 4, records: 1, settled: true}, 0},
		{"slot-repair", "slot log: d replaces c, the owner is kept; one restart of any node", 0,
			&slotLog{plan: repair, size: 4, settled: true, crashes: 1, victims: nodes(nodeA, nodeB, nodeC, nodeD)}, 0},
		{"slot-back", "slot log: the owner moves from a to b and back to a, which may not have noticed", 0,
			&slotLog{plan: back, size: 3, settled: true}, 0},
		{"slot-pair", "slot log: two replicas, the owner moves; a record, and one restart of any node", 0,
			&slotLog{plan: pair, size: 2, records: 1, settled: true, crashes: 1, victims: abc}, 0},
		{"slot-shift", "slot log: the set changes twice, abc to bcd to cda", 0,
			&slotLog{plan: shift, size: 4, settled: true}, 3_000_000},
	}
}

func registerConfigs() []Config {
	return []Config{
		{"register-duel", "view register: 3 voters, a and b propose, 2 rounds, a voter may finish what it accepted", 0,
			&viewRegister{size: 3, voters: abc, choices: duel, epochs: 2, rounds: 2, ticks: 1}, 0},
		{"register-fickle", "view register: 3 voters; a may take back what it proposed, and propose other voters; b proposes", 0,
			&viewRegister{size: 3, voters: abc, choices: fickle, epochs: 2, rounds: 2, fickle: true}, 0},
		{"register-restart", "view register: 3 voters, a and b propose, one restart of any node, which registers anew", 0,
			&viewRegister{size: 3, voters: abc, choices: duel, epochs: 2, rounds: 1, crashes: 1, victims: abc}, 0},
		{"register-pair", "view register: 2 voters, both propose, 2 rounds, one restart of either", 0,
			&viewRegister{size: 2, voters: nodes(nodeA, nodeB), choices: []proposal{{nodeA, 1, pair[0]}, {nodeB, 1, pair[0]}}, epochs: 2, rounds: 2, ticks: 1, crashes: 1, victims: abc}, 0},
		{"register-restart-c", "view register: 3 voters, a and b propose, one restart of c", 0,
			&viewRegister{size: 3, voters: abc, choices: duel, epochs: 2, rounds: 1, crashes: 1, victims: nodes(nodeC)}, 0},
		{"register-five", "view register: 5 voters, a and b propose; c, d and e only vote, and are alike", 0,
			&viewRegister{size: 5, voters: abcde, choices: []proposal{{nodeA, 1, abcde}, {nodeB, 1, abcde}}, epochs: 2, rounds: 1}, 0},
		{"register-writes", "view register: 3 voters, a and b propose, writes end in steps of their own", 0,
			&viewRegister{size: 3, voters: abc, choices: duel, epochs: 2, rounds: 1, async: true}, 0},
		{"register-lost-writes", "view register: 3 voters, a proposes, a restart loses the write under way", 0,
			&viewRegister{size: 3, voters: abc, choices: duel[:1], epochs: 2, rounds: 2, async: true, crashes: 1, victims: abc, ticks: 1}, 4_000_000},
		{"register-lossy", "view register: 3 voters, a and b propose, at most 3 messages in flight", 3,
			&viewRegister{size: 3, voters: abc, choices: duel, epochs: 2, rounds: 1, ticks: 1}, 0},
		{"voters", "view register: a proposes the voters bcd instead of abc, then d proposes once more", 0,
			&viewRegister{size: 4, voters: abc, choices: []proposal{{nodeA, 1, bcd}, {nodeD, 2, bcd}}, epochs: 3, rounds: 1}, 0},
		{"voters-duel", "view register: a proposes the voters bcd, b proposes abc; then d or a proposes", 0,
			&viewRegister{size: 4, voters: abc, choices: []proposal{{nodeA, 1, bcd}, {nodeB, 1, abc}, {nodeD, 2, bcd}, {nodeA, 2, abc}}, epochs: 3, rounds: 1}, 0},
	}
}

// Clocks of 2 to 4 units a tick, of which true time has 3.
var (
	exact   = [][]uint32{{3}, {3}, {3}}
	drifted = [][]uint32{{2}, {4}, {4}}
	wander  = [][]uint32{{2, 4}, {2, 4}, {2, 4}}
	stopped = [][]uint32{{0, 3}, {3}, {3}}
)

// leases returns a model of leases in which the owner moves from a to b, and the
// first owner's clock is as slow, and the others' as fast, as may be.
func leases(change func(*leaseLog)) *leaseLog {
	c := &leaseLog{
		slotLog: slotLog{plan: handover, size: 3, settled: true, term: 8 * unit, learn: nodes(nodeA, nodeB)},
		rates:   drifted, beats: nodes(nodeA),
	}
	change(c)
	return c
}

func leaseConfigs() []Config {
	return []Config{
		{"lease-ticking", "leases: the owner moves from a to b; all clocks are right", 0,
			leases(func(c *leaseLog) { c.rates = exact }), 0},
		{"lease-drift", "leases: the owner's clock is as slow as may be, the others as fast", 0,
			leases(func(*leaseLog) {}), 0},
		{"lease-wander", "leases: any clock is slow or fast at any tick", 0,
			leases(func(c *leaseLog) { c.rates = wander }), 0},
		{"lease-fenced", "leases: the owner's clock may stop; the log must be safe all the same", 0,
			leases(func(c *leaseLog) { c.rates, c.fenced = stopped, true }), 0},
		{"lease-answers", "leases: answers to heartbeats are late, too", 0,
			leases(func(c *leaseLog) { c.delays = true }), 0},
		{"lease-away", "leases: c has not heard of the slot when the first owner is active", 0,
			leases(func(c *leaseLog) { c.away = nodes(nodeC) }), 0},
		{"lease-read", "leases: a read; pauses between asking, running and answering", 0,
			leases(func(c *leaseLog) { c.reads = 1 }), 0},
		{"lease-restart-a", "leases: one restart of the owner", 0,
			leases(func(c *leaseLog) { c.crashes, c.victims = 1, nodes(nodeA) }), 3_000_000},
		{"lease-restart-c", "leases: one restart of a replica", 0,
			leases(func(c *leaseLog) { c.crashes, c.victims = 1, nodes(nodeC) }), 0},
		{"lease-restart-b", "leases: one restart of the next owner", 0,
			leases(func(c *leaseLog) { c.crashes, c.victims = 1, nodes(nodeB) }), 3_000_000},
		{"lease-back", "leases: the owner moves from a to b and back", 0,
			leases(func(c *leaseLog) { c.plan = back }), 3_000_000},
		{"lease-both", "leases: from a to b and back, and b holds leases too", 0,
			leases(func(c *leaseLog) { c.plan, c.beats, c.rates = back, nodes(nodeA, nodeB), [][]uint32{{2}, {2}, {4}} }), 3_000_000},
		{"lease-writes", "leases: writes end in steps of their own", 0,
			leases(func(c *leaseLog) { c.async = true }), 0},
	}
}

// The requests of a client that counts its calls, of clients with their own
// keys, and of an actor that sends.
var (
	sessionPut  = sending(sessionRequest("call 1", 1, 1, 1))
	sessionDrop = dropping(sessionRequest("call 2", 1, 2, 2))
	otherClient = sessionRequest("another's call 1", 2, 1, 1)
	keyPut      = keyRequest("tea")
	keyFails    = failing(keyRequest("milk"))
	sendPut     = sending(sentRequest(1, -1))
	sendDrop    = dropping(sentRequest(2, 0)) // to be used after sendPut, which is the first
)

func sending(r request) request  { r.sends = true; return r }
func dropping(r request) request { r.drops = true; return r }
func failing(r request) request  { r.fails = true; return r }

func recordConfigs() []Config {
	return []Config{
		{"record-session", "records: two calls of a session and one with an own key; folds, loads, a move of the owner", 0,
			&recordLog{requests: []request{sessionPut, sessionDrop, keyPut}, moves: 1, reloads: 1}, 0},
		{"record-sends", "records: two sends of a source, and an own key whose answer is an error", 0,
			&recordLog{requests: []request{sendPut, sendDrop, keyFails}, moves: 1, reloads: 1}, 0},
		{"record-snapshot", "records: a call, an own key and a send; a move of the owner and a snapshot", 0,
			&recordLog{requests: []request{sendPut, sessionPut, keyPut}, moves: 1, snaps: 1}, 0},
		{"record-moves", "records: a call and a send; two moves of the owner", 0,
			&recordLog{requests: []request{sendPut, sessionPut}, moves: 2, reloads: 1}, 0},
		{"record-retention", "records: two sessions and an own key; the retention passes", 0,
			&recordLog{requests: []request{sessionPut, otherClient, keyPut}, ticks: 1, reloads: 1}, 0},
	}
}

// Mutants returns configurations with a planted bug each, in which a search must
// find a violation.
func Mutants() []Config {
	slot := func(bug Bug, about string, c slotLog) Config {
		c.size, c.settled, c.bug = 4, true, bug
		return Config{"slot-" + string(bug), about, 0, &c, 0}
	}
	register := func(bug Bug, about string, c viewRegister) Config {
		c.size, c.voters, c.bug, c.epochs = 3, abc, bug, 2
		return Config{"register-" + string(bug), about, 0, &c, 0}
	}
	lease := func(bug Bug, about string, change func(*leaseLog)) Config {
		return Config{"lease-" + string(bug), about, 0, leases(func(c *leaseLog) { c.bug = bug; change(c) }), 0}
	}
	record := func(bug Bug, about string, requests ...request) Config {
		return Config{"record-" + string(bug), about, 0, &recordLog{requests: requests, moves: 1, reloads: 1, bug: bug}, 0}
	}
	return []Config{
		record(BugLostAnswers, "a fold leaves out answers to own keys", keyPut),
		record(BugLostMarks, "a fold leaves out the marks of sends", sendPut),
		record(BugFoldEarly, "a fold takes what is not committed", sessionPut),
		record(BugUndelete, "a fold leaves keys that were deleted", sessionPut, sessionDrop),
		lease(BugAmnesia, "a restarted node grants and promises at once", func(c *leaseLog) { c.crashes, c.victims = 1, nodes(nodeC) }),
		lease(BugMargin, "the owner counts the whole lease, as if no clock drifted", func(*leaseLog) {}),
		lease(BugArrival, "the owner counts a lease from when the answer came", func(c *leaseLog) { c.delays = true }),
		lease(BugAhead, "a heartbeat names an epoch that the slot has not adopted", func(*leaseLog) {}),
		lease(BugStopped, "the owner's clock stands still", func(c *leaseLog) { c.rates = [][]uint32{{0}, {3}, {3}} }),
		lease(BugEarly, "the clock is read before the request comes", func(c *leaseLog) { c.reads = 1 }),
		lease(BugLate, "the lease is not looked at when the answer leaves", func(c *leaseLog) { c.reads = 1 }),
		slot(BugLowAppend, "a replica takes an append below its promise", slotLog{plan: handover, records: 1}),
		slot(BugNewOnly, "views list no earlier sets", slotLog{plan: move, records: 1}),
		slot(BugOnlyLast, "views list only the last earlier set", slotLog{plan: shift, records: 1}),
		slot(BugEarlyClear, "from is dropped before the owner is active", slotLog{plan: move, records: 1}),
		slot(BugStaleReport, "from is dropped on the report of an earlier row's owner", slotLog{plan: shift}),
		slot(BugSameBoot, "a restarted node uses its boot again", slotLog{plan: handover, records: 1, async: true, crashes: 1, victims: abc}),
		slot(BugNoSync, "a restarted node has lost its last record", slotLog{plan: handover, records: 1, crashes: 1, victims: abc}),
		slot(BugForget, "a restarted node has lost its promise", slotLog{plan: handover, records: 1, crashes: 1, victims: abc}),
		slot(BugEarlyAck, "the end of a write is reported when it begins", slotLog{plan: handover, records: 1, async: true}),
		register(BugForget, "a restarted voter has lost its promise, and that it restarted", viewRegister{choices: duel, rounds: 1, crashes: 1, victims: nodes(nodeC)}),
		register(BugIgnore, "a proposer ignores what was accepted", viewRegister{choices: duel, rounds: 2}),
		register(BugNoSync, "a restarted voter has lost what it accepted, and that it restarted", viewRegister{choices: duel, rounds: 1, crashes: 1, victims: nodes(nodeC)}),
		register(BugEarlyAck, "the end of a write is reported when it begins", viewRegister{choices: duel, rounds: 1, async: true}),
	}
}

// Find returns the configuration, or the one with a planted bug, of the name.
func Find(name string) (Config, error) {
	for _, c := range slices.Concat(Configs(), Mutants()) {
		if c.Name == name {
			return c, nil
		}
	}
	return Config{}, fmt.Errorf("there is no configuration %q", name)
}

// Run searches the configuration, up to its own bound if limits have none.
// progress, if not nil, is called after each level of depth.
func (c *Config) Run(limits Limits, progress func(*Result)) *Result {
	s := newSearch(c.model, c.bound)
	s.result.Name, s.result.About = c.Name, c.About
	if limits.States == 0 {
		limits.States = c.states
	}
	return s.run(limits, progress)
}
