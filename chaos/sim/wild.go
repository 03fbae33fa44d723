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

// wildFaults are what a wild script draws from. All of them leave a majority of
// disks as it was.
var wildFaults = []string{
	"kill any", "kill owner any", "kill coordinator", "kill all", "power-loss any", "power-loss all",
	"pause any", "pause owner any", "pause coordinator",
	"cut any | rest", "cut half | rest", "cut minority | rest", "cut owner any | rest", "cut-one-way any > rest",
	"cut-one-way rest > any", "link loss 20% repeat 5% reorder 10% delay 0s..20ms", "link delay 20ms..150ms",
	"link loss 50% between any | rest", "link rate 64kB/s", "link loss 60% delay 5ms..10ms from any > rest", "disk any slow 50ms", "disk any slow 400ms", "disk any eio", "disk any torn",
	"clock any drift 0.9%", "clock any drift -0.9%", "clock any jump 3s", "clock any jump -3s",
	"drain any", "restart any", "gossip suspect any by any", "calm",
}

func wildText(rng *rand.Rand) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }

	nodes := 3 + 2*rng.IntN(2)
	if rng.IntN(4) == 0 {
		nodes++
	}
	line("nodes %d", nodes)
	line("spare %d", rng.IntN(2))
	line("slots %d", 4<<rng.IntN(3))
	line("time 60s\nsettle 20s")
	line("set fold-records %s", pick("2", "4", "8", "64"))
	line("set idle-timeout %s", pick("1s", "5s", "60s"))
	line("set dead-grace %s", pick("3s", "10s", "60s"))
	if rng.IntN(3) == 0 {
		line("set lease %s", pick("-1ns", "200ms", "2s"))
	}
	for _, w := range []string{
		"counter clients=3 actors=%d rate=10/s storm=5%% keyless=10%% tries=3 within=1s",
		"register clients=2 actors=%d rate=5/s tries=2 within=1s",
		"account clients=2 actors=%d rate=5/s tries=2",
		"list clients=2 actors=%d rate=5/s tries=2 within=500ms",
		"lock clients=2 actors=%d rate=4/s",
	} {
		line("workload "+w, 2+rng.IntN(3))
	}
	faults := append([]string(nil), wildFaults...)
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	gap := pick("300ms..2s", "1s..4s", "2s..8s")
	line("random every %s for 200ms..%s from 1s until 45s of %s", gap, pick("1s", "3s", "10s"), strings.Join(faults[:4+rng.IntN(8)], ", "))
	line("check recovery 20s")
	return b.String()
}
