package quorum

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	registerSeed  = flag.Int64("register.seed", -1, "run only this seed of TestRegisterRandomSchedules and TestRegisterCopies")
	registerSeeds = flag.Uint64("register.seeds", 400, "how many seeds TestRegisterRandomSchedules and TestRegisterCopies run")
)

// registerRange returns the first seed to run and the one after the last.
func registerRange(first uint64) (from, to uint64) {
	if *registerSeed >= 0 {
		return uint64(*registerSeed), uint64(*registerSeed) + 1
	}
	return first, first + *registerSeeds
}

// registerChaos drives a network by one seed: messages are lost, repeated and
// reordered, processes crash with what they had not saved, voters change, and
// several nodes propose at once.
type registerChaos struct {
	*registerNet
	t     *testing.T
	rng   *rand.Rand
	sets  [][]NodeID // voter sets that may be proposed
	stats RegisterStats
	rolls func(*registerChaos) // a fault of the test's own, or nil
	check func(*registerChaos)
}

func newRegisterChaos(t *testing.T, seed uint64, nodes int, sets [][]NodeID) *registerChaos {
	c := &registerChaos{t: t, rng: rand.New(rand.NewPCG(seed, 7)), sets: sets, check: func(*registerChaos) {}}
	c.registerNet = newRegisterNet(func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: %s", seed, fmt.Sprintf(format, args...))
	})
	for id := range nodes {
		c.add(NodeID(id + 1))
	}
	c.found(sets[c.rng.IntN(len(sets))], c.procs...)
	return c
}

func (c *registerChaos) step() {
	p := c.procs[c.rng.IntN(len(c.procs))]
	switch dice := c.rng.IntN(100); {
	case dice < 55 && len(c.mail) > 0:
		i := c.rng.IntN(len(c.mail))
		switch c.rng.IntN(10) {
		case 0:
			c.mail = slices.Delete(c.mail, i, i+1)
		case 1:
			c.deliver(i, true)
		default:
			c.deliver(i, false)
		}
	case dice < 75:
		c.persist(p)
	case dice < 85:
		c.advance(time.Duration(c.rng.IntN(60)) * time.Millisecond)
	case dice < 94 && c.running(p):
		next := c.next(p, c.sets[c.rng.IntN(len(c.sets))], fmt.Sprintf("by %d at %d", p.node, c.now))
		_ = p.reg.Propose(c.now, next) // refused at times: the checks are on what is decided
		c.drain(p)
	case dice < 95 && c.running(p):
		p.reg.Withdraw()
		c.drain(p)
	case dice < 97:
		c.stop(p)
	case dice < 99 && c.rolls != nil:
		c.rolls(c)
	default:
		if p.reg == nil {
			c.start(p)
		}
	}
	c.checkCoordinators()
	c.check(c)
}

func (c *registerChaos) stop(p *registerProc) {
	if p.reg == nil {
		return
	}
	c.count(p)
	c.crash(p)
}

func (c *registerChaos) count(p *registerProc) {
	s := p.reg.Stats()
	c.stats.Rounds += s.Rounds
	c.stats.Nacks += s.Nacks
	c.stats.Withdrawn += s.Withdrawn
	c.stats.Finished += s.Finished
	c.stats.Driven += s.Driven
	c.stats.Late += s.Late
	c.stats.Takeover += s.Takeover
}

// checkCoordinators is NoSplitBrain: a body names its proposer, and two nodes
// that name different ones are in different epochs.
func (c *registerChaos) checkCoordinators() {
	for i, p := range c.procs {
		for _, q := range c.procs[:i] {
			if p.reg == nil || q.reg == nil {
				continue
			}
			if v, w := p.reg.View(), q.reg.View(); v.Version == w.Version && !sameDecree(v, w) {
				c.broken("NoSplitBrain: %s and %s", renderDecree(v), renderDecree(w))
			}
		}
	}
}

// heal lets everybody run, and checks that they agree soon.
func (c *registerChaos) heal() {
	for _, p := range c.procs {
		if p.reg == nil {
			c.start(p)
		}
	}
	c.run(3*time.Second, c.rng)
	newest := c.procs[0].reg.View()
	for _, p := range c.procs[1:] {
		if v := p.reg.View(); v.Version.Compare(newest.Version) > 0 {
			newest = v
		}
	}
	for _, p := range c.procs {
		// Whoever is no voter is told by heartbeats, which are not here.
		p.reg.Step(c.now, newest.Voters[0], RegisterMessage{Kind: RegisterLearn, Version: newest.Version, View: *newest})
		c.drain(p)
	}
	c.run(3*time.Second, c.rng)
	before := c.procs[0].reg.View().Version
	for _, p := range c.procs {
		if !p.registered && p.refused == nil {
			c.broken("%s is not registered after the network healed: %s", p.name(), renderState(&p.reg.state))
		}
		if p.reg.Proposing() || !p.reg.state.Accepted.IsZero() {
			c.broken("%s still has something undecided: %s", p.name(), renderState(&p.reg.state))
		}
		if p.refused == nil && p.reg.View().Version != before && c.procs[0].refused == nil {
			c.broken("%s is at %s, not %s", p.name(), p.reg.View().Version, before)
		}
		c.count(p)
	}
}

func TestRegisterRandomSchedules(t *testing.T) {
	sets := [][]NodeID{{1, 2, 3}, {2, 3, 4}, {1, 2}, {3}, {1, 2, 3, 4, 5}, {3, 4, 5, 1}, {5, 4, 3}}
	var total RegisterStats
	epochs := Epoch(0)
	from, to := registerRange(0)
	for seed := from; seed < to; seed++ {
		c := newRegisterChaos(t, seed, 5, sets)
		c.run(time.Duration(c.rng.IntN(2))*50*time.Millisecond, c.rng)
		for range 1000 {
			c.step()
		}
		c.heal()
		total.Rounds += c.stats.Rounds
		total.Nacks += c.stats.Nacks
		total.Withdrawn += c.stats.Withdrawn
		total.Finished += c.stats.Finished
		total.Driven += c.stats.Driven
		total.Late += c.stats.Late
		total.Takeover += c.stats.Takeover
		epochs += c.procs[0].reg.View().Epoch
	}
	t.Logf("%d views, %+v", epochs, total)
	if to-from > 1 && (total.Nacks == 0 || total.Withdrawn == 0 || total.Finished == 0 || total.Driven == 0 || total.Late == 0 || total.Takeover == 0 || epochs < 400) {
		t.Errorf("a rare event was not reached: %d views, %+v", epochs, total)
	}
}

// TestRegisterCopies runs node 1 from copies of its disk and from disks that
// were rolled back. At no time are two processes of one boot both registered,
// and what is decided stays so. The voter sets are such that no half of the
// others is a majority with node 1; see the argument in register.go.
func TestRegisterCopies(t *testing.T) {
	sets := [][]NodeID{{1, 2}, {1, 2, 3, 4}, {2, 3, 4}, {4, 3, 1, 5}, {5}, {3, 4}, {5, 1}}
	copies, refusals, both, joins := 0, 0, 0, 0
	// Seed 360 is one that catches a voter which accepts less than it knows.
	from, to := registerRange(260)
	for seed := from; seed < to; seed++ {
		c := newRegisterChaos(t, seed, 5, sets)
		older := []*RegisterState{}
		boots := []Boot{}
		c.rolls = func(c *registerChaos) {
			p := c.procs[0]
			switch {
			case c.rng.IntN(2) == 0:
				older, boots = append(older, p.disk.clone()), append(boots, p.boot)
			case len(older) == 0:
			case c.rng.IntN(3) == 0: // a rollback
				i := c.rng.IntN(len(older))
				c.stop(p)
				p.disk, p.boot = older[i].clone(), boots[i]
				c.start(p)
				copies++
			case len(c.procs) < 8: // a copy that runs beside it
				i := c.rng.IntN(len(older))
				q := &registerProc{node: 1, copied: true, disk: older[i].clone(), boot: boots[i]}
				c.procs = append(c.procs, q)
				c.start(q)
				copies++
			}
		}
		c.check = func(c *registerChaos) {
			for i, p := range c.procs {
				if p.node != 1 || p.reg == nil {
					continue
				}
				if s, found := p.reg.state.startOf(1); found && s.Nonce == 0 {
					joins++
				}
				for _, q := range c.procs[:i] {
					if q.node != 1 || q.reg == nil || q.boot != p.boot {
						continue
					}
					if len(p.reg.registration.taken) > 0 && len(q.reg.registration.taken) > 0 {
						both++
					}
					if p.registered && q.registered {
						c.broken("two processes of boot %d are registered: %s and %s", p.boot,
							renderState(&p.reg.state), renderState(&q.reg.state))
					}
				}
			}
		}
		for range 1200 {
			c.step()
		}
		for _, p := range c.procs {
			if p.refused != nil {
				refusals++
			}
		}
	}
	t.Logf("%d copies, %d refusals, %d times both had a voter, %d joins of two nonces", copies, refusals, both, joins)
	if to-from > 1 && (copies == 0 || refusals == 0 || both == 0) {
		t.Errorf("a rare event was not reached: %d copies, %d refusals, %d times both had a voter", copies, refusals, both)
	}
}
