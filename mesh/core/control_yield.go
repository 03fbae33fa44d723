package core

import (
	"fmt"
	"time"

	"actormesh/quorum"
)

// A node that cannot do its work as it should gives up what it owns and
// coordinates, as for a drain, until it can: others take over in good order,
// where a crash would make them wait.

// maxSkew is how far a node's wall clock may be off those of its peers. Nothing
// is ordered by wall clocks; but turns are told the time, and keys and timers
// expire by it.
const maxSkew = time.Minute

// yielding is why a node gives up ownership for a while. Empty texts are no
// reasons.
type yielding struct {
	shell string // what the shell has found: of the disk
	clock string
}

func (y *yielding) why() string {
	if y.shell != "" {
		return y.shell
	}
	return y.clock
}

func (c *Control) yielding() bool { return c.retire.yield.why() != "" }

// Yield gives up ownership for a reason, until it is called with an empty one.
func (c *Control) Yield(now quorum.Instant, why string) {
	c.retire.yield.shell = why
	c.yieldChanged(now)
	c.settle(now)
}

func (c *Control) yieldChanged(now quorum.Instant) {
	c.joining.at = now
	c.tickJoining(now)
}

// judgeClock looks whether this node's wall clock is the one that is wrong: it
// is, if it is far off those of so many peers that they are a majority of the
// nodes heard, this one among them.
func (c *Control) judgeClock(now quorum.Instant) {
	heard, off := 1, 0
	var worst time.Duration
	for _, p := range c.everybody() {
		if p.gone != 0 || p.silent || p.boot == 0 {
			continue
		}
		heard++
		if p.skew.Abs() > maxSkew {
			off++
			worst = max(worst, p.skew.Abs())
		}
	}
	y := &c.retire.yield
	wrong := off >= quorum.Majority(heard)
	if wrong == (y.clock != "") {
		return
	}
	y.clock = ""
	if wrong {
		y.clock = fmt.Sprintf("the wall clock is %v off those of %d peers", worst.Round(time.Second), off)
	}
	c.yieldChanged(now)
}
