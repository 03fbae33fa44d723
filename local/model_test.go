package local

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"actormesh/chaos/sim/disk"
	"actormesh/quorum"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// newFS returns an empty disk: Pebble's, or the model's in TestOverModel.
var newFS = func() vfs.FS { return vfs.NewMem() }

// TestOverModel repeats the tests that say nothing of Pebble over the model of a
// disk. It is what a simulator trusts.
func TestOverModel(t *testing.T) {
	var counts disk.Counts
	pebbles := newFS
	newFS = func() vfs.FS { return disk.New(&counts) }
	defer func() { newFS = pebbles }()
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"Identity", TestIdentity},
		{"OpenRefuses", TestOpenRefuses},
		{"LogSurvivesReopen", TestLogSurvivesReopen},
		{"TruncateAndDiscard", TestTruncateAndDiscard},
		{"AppendRefusesLongActor", TestAppendRefusesLongActor},
		{"Metrics", TestMetrics},
		{"FoldEqualsApply", TestFoldEqualsApply},
		{"FoldFreesWhatItCovers", TestFoldFreesWhatItCovers},
		{"FoldKeys", TestFoldKeys},
		{"Pending", TestPending},
		{"OwnKeysExpire", TestOwnKeysExpire},
		{"OwnKeysExpireInTurns", TestOwnKeysExpireInTurns},
		{"FoldSuperseded", TestFoldSuperseded},
		{"StoreStaysBounded", TestStoreStaysBounded},
		{"FoldOfAGoneLog", TestFoldOfAGoneLog},
		{"Snapshot", TestSnapshot},
		{"SnapshotIsOneInstant", TestSnapshotIsOneInstant},
		{"EmptySnapshot", TestEmptySnapshot},
		{"StagingRefuses", TestStagingRefuses},
		{"StagingRefusesBadContent", TestStagingRefusesBadContent},
		{"LeftoversAreRemoved", TestLeftoversAreRemoved},
		{"ScanRefuses", TestScanRefuses},
		{"ReadFindsDamage", TestReadFindsDamage},
	} {
		t.Run(c.name, c.test)
	}
}

// TestCrashOverModel is TestCrash over the model: it crashes between two steps, or
// where a sync has failed (H05, H23).
func TestCrashOverModel(t *testing.T) {
	var counts disk.Counts
	var seen crashCounts
	for seed := *firstSeed; seed < *firstSeed+10**seeds; seed++ {
		crashModelSeed(t, seed, &counts, &seen)
	}
	t.Logf("%+v %+v", counts, seen)
	if seen.inDoubt == 0 || seen.installs == 0 || counts.LostBatches == 0 || counts.FailedSyncs == 0 {
		t.Error("the runs did not come to what they are for")
	}
}

func crashModelSeed(t *testing.T, seed uint64, counts *disk.Counts, seen *crashCounts) {
	r := rand.New(rand.NewPCG(seed, 11))
	d := disk.New(counts)
	donor := must(Open("data", testOptions(disk.New(counts), seed)))(t)
	defer mustClose(t, donor)
	possible, boot := []*model{newModel()}, quorum.Boot(0)
	for round := range 6 {
		c := &crashRun{t: t, r: r, donor: donor, states: possible, mayFail: true}
		o := testOptions(d, seed+uint64(round))
		o.Retention = math.MaxInt64
		c.s = must(Open("data", o))(t)
		if c.s.Identity().Boot <= boot {
			t.Fatalf("seed %d round %d: boot %d after %d", seed, round, c.s.Identity().Boot, boot)
		}
		boot = c.s.Identity().Boot
		got := renderStore(t, c.s)
		i := slices.IndexFunc(possible, func(m *model) bool { return m.render() == got })
		if i < 0 {
			t.Fatalf("seed %d round %d: the store holds\n%s, and none of %d states, the first\n%s",
				seed, round, got, len(possible), possible[0].render())
		}
		c.adopt(possible[i])
		if r.IntN(2) == 0 {
			d.FailSync(1 + r.IntN(20))
		}
		c.run(20)
		seen.installs += c.installs
		possible = c.states[c.acked.Load() : c.started.Load()+1]
		if len(possible) > 1 {
			seen.inDoubt++
		}
		d = d.Crash(r)
		mustClose(t, c.s)
	}
}
