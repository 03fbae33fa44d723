package core

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	shardSeed  = flag.Uint64("shard.seed", 0, "run only this seed of TestShardRandom")
	shardSeeds = flag.Uint64("shard.seeds", 60, "how many seeds TestShardRandom runs")
	shardTrace = flag.Bool("shard.trace", false, "say what happens")
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// TestShardRandom runs worlds from seeds, under faults of all kinds, and checks
// each. To run one again:
//
//	go test ./mesh/core -run TestShardRandom -shard.seed N -shard.trace
func TestShardRandom(t *testing.T) {
	seen := map[string]int{}
	first, last := uint64(1), *shardSeeds
	if *shardSeed > 0 {
		first, last = *shardSeed, *shardSeed
	}
	for seed := first; seed <= last; seed++ {
		if !runWorld(t, seed, seen) {
			return
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%8d %s", seen[what], what)
	}
	if first == last {
		return
	}
	for _, what := range rareEvents {
		if seen[what] == 0 {
			t.Errorf("no run has reached %q", what)
		}
	}
}

// TestShardReplays runs a seed twice: whatever happens, happens again. Otherwise a
// failure could not be looked at.
func TestShardReplays(t *testing.T) {
	for seed := uint64(1); seed <= 16; seed++ {
		conf := confOf(seed)
		worlds := [2]*world{newWorldOf(t, seed, conf), newWorldOf(t, seed, conf)}
		for at := time.Duration(0); at < conf.faults; at += 10 * time.Millisecond {
			var now [2]string
			for i, w := range worlds {
				w.run(at)
				now[i] = fmt.Sprint(w.events, " events, ", w.seen)
			}
			if now[0] != now[1] {
				t.Fatalf("seed %d, at %v: %s, and the second time %s", seed, at, now[0], now[1])
			}
		}
		if worlds[0].seen["lost"] == 0 {
			t.Errorf("seed %d: no owner was lost", seed)
		}
	}
}

// rareEvents are what the seeds together must reach, for otherwise the checks
// prove little.
var rareEvents = []string{
	"abandoned", "await", "crash of an owner", "crash with writes under way", "cut", "dead letter refused",
	"dead letter too_large", "dedup hit after a failover", "delivery to repeat", "discard", "dropped", "end cycle",
	"end deadline", "end key reused", "end overloaded", "end too large", "end unavailable", "end unknown", "failover",
	"first answer again", "fold", "fold superseded", "install", "key reused", "kept activations", "lapsed", "learner promoted",
	"lease refused", "lookup found", "lost", "move", "nested", "note", "pause", "quiesced", "read of the log",
	"reads", "repeated", "result of an abandoned turn", "send repeated", "slow disk", "snapshot taken",
	"too late to leave", "unknown to a client",
}

// confOf draws what a run is like.
func confOf(seed uint64) worldConf {
	rng := rand.New(rand.NewPCG(seed, 3))
	pick := func(list ...int) int { return list[rng.IntN(len(list))] }
	conf := worldConf{
		nodes: pick(3, 4, 5), slots: pick(1, 2, 3), actors: pick(3, 6), clients: pick(2, 4, 6), replicas: 3,
		idle:    time.Duration(pick(30, 150, 400)) * time.Millisecond,
		mailbox: pick(0, 0, 0, 2),
		faults:  3 * time.Second,
	}
	conf.shard = ShardConfig{
		Lease:        time.Duration(pick(0, 200, 500)) * time.Millisecond,
		FoldRecords:  pick(2, 4, 8),
		MaxUnfolded:  pick(0, 0, 1, 2),
		KeepEntries:  pick(2, 8, 40),
		LaggardBytes: pick(3<<10, 1<<20),
		RecordBytes:  12 << 10,
		MaxCalls:     pick(0, 0, 0, 6),
		MaxActive:    pick(0, 0, 2),
	}
	conf.shard = conf.shard.withDefaults()
	return conf
}

// broken is what a world that breaks off panics with.
type broken string

func runWorld(t *testing.T, seed uint64, seen map[string]int) (ok bool) {
	conf := confOf(seed)
	w := newWorldOf(t, seed, conf)
	defer func() {
		p := recover()
		if b, isBroken := p.(broken); isBroken {
			t.Errorf("seed %d, at %v: %s", seed, w.time, b)
			return
		}
		if p != nil {
			t.Errorf("seed %d, at %v: panic", seed, w.time)
			panic(p)
		}
	}()
	w.run(conf.faults + settleTime + calmTime + sleepTime)
	w.verdict()
	for what, n := range w.seen {
		seen[what] += n
	}
	return true
}

func newWorldOf(t *testing.T, seed uint64, conf worldConf) *world {
	w := newWorld(seed, conf, func(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) })
	if *shardTrace {
		w.trace = func(format string, args ...any) { t.Logf(format, args...) }
	}
	return w
}
