package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"actormesh/chaos/script"
)

// Wild returns the script of a seed: a mesh, clients and faults of all kinds,
// drawn from it.
func Wild(seed uint64) *script.Script {
	text := wildText(rand.New(rand.NewPCG(seed, 0x77696c64)))
	s, err := script.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("sim: a script of its own is wrong: %v\n%s", err, text))
	}
	return s
}

// wildFaults are what a wild script draws from. All of them leave the disks as they
// were.
var wildFaults = []string{
	"kill any", "kill owner any", "kill coordinator", "kill all", "power-loss any", "power-loss all",
	"pause any", "pause owner any", "pause coordinator",
	"cut any | rest", "cut half | rest", "cut minority | rest", "cut owner any | rest", "cut-one-way any > rest",
	"cut-one-way rest > any", "link loss 20% repeat 5% reorder 10% delay 0s..20ms", "link delay 20ms..150ms",
	"link loss 50% between any | rest", "link rate 64kB/s", "link loss 60% delay 5ms..10ms from any > rest",
	"disk any slow 50ms", "disk any slow 400ms", "disk any eio", "disk any full", "disk any torn",
	"clock any drift 0.9%", "clock any drift -0.9%", "clock any jump 3s", "clock any jump -3s",
	"drain any", "restart any", "gossip suspect any by any", "gossip silence any", "calm",
}

// wildLosses take one disk from the mesh, and it must be given time to replace it:
// a script has one at most. A directory that is copied, or set back, is not among
// them: with other faults at the same time a start on it may be let in, as
// quorum.Register says.
var wildLosses = []string{
	"7s disk any flip", "15s disk any misdirect", "9s restart any empty", "10s leave any",
}

// wildSnapshots are done to those between whom a snapshot is on its way.
var wildSnapshots = []string{
	"kill giver for 1s", "kill taker for 1s", "kill coordinator for 2s", "cut giver | taker for 3s", "cut giver | rest for 6s",
	"pause giver for 2s", "pause taker for 2s", "link loss 60% between giver | taker for 4s", "restart giver", "restart taker",
}

func wildText(rng *rand.Rand) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }

	nodes := 3 + 2*rng.IntN(2)
	if rng.IntN(4) == 0 {
		nodes++
	}
	spare := rng.IntN(2)
	busy := rng.IntN(6) == 0 // one slot with a long log, which is folded away from under who lags
	if busy {
		nodes, spare = 3, 2
	}
	line("nodes %d", nodes)
	line("spare %d", spare)
	if busy {
		line("slots 1\nset fold-records 2\nworkload counter clients=12 actors=8 rate=150/s until=20s within=1s")
	} else {
		line("slots %d\nset fold-records %s", 4<<rng.IntN(3), pick("2", "4", "8", "64"))
	}
	line("time 40s\nsettle 16s")
	line("set idle-timeout %s", pick("1s", "5s", "60s"))
	line("set dead-grace %s", pick("2s", "5s", "60s"))
	for _, w := range []string{
		"counter clients=3 actors=%d rate=6/s storm=5%% keyless=10%% tries=3 within=1s",
		"register clients=2 actors=%d rate=3/s tries=2 within=1s",
		"account clients=2 actors=%d rate=3/s tries=2",
		"list clients=2 actors=%d rate=3/s tries=2 within=500ms",
		"lock clients=2 actors=%d rate=2/s",
	} {
		if !busy || !strings.HasPrefix(w, "counter") {
			line("workload "+w, 2+rng.IntN(3))
		}
	}
	if spare > 0 {
		line("at %ds join n%d", 2+rng.IntN(15), nodes+1)
	}
	if busy {
		line("at %ds join n%d\nat %ds restart any empty\nat %ds leave any", 12+rng.IntN(8), nodes+2, 12+rng.IntN(7), 24+rng.IntN(8))
		line("at 8s..20s when snapshot %s\nat 20s..33s when snapshot %s", pick(wildSnapshots...), pick(wildSnapshots...))
	}
	if !busy && rng.IntN(3) == 0 {
		line("at %s", pick(wildLosses...))
	}
	line("set lease %s", pick("500ms", "500ms", "500ms", "-1ns", "200ms", "2s"))
	faults := append([]string(nil), wildFaults...)
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	gap := pick("300ms..2s", "1s..4s", "2s..8s")
	line("random every %s for 200ms..%s from 1s until 30s of %s", gap, pick("1s", "3s", "10s"), strings.Join(faults[:4+rng.IntN(8)], ", "))
	line("check recovery 10s")
	return b.String()
}
