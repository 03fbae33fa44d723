package explore

import (
	"fmt"

	"actormesh/quorum"
)

// check holds a world to the invariants of docs/spec/SlotLog.tla.
func (c *slotLog) check(v *view) string {
	if what := c.checkFacts(v.facts); what != "" {
		return what
	}
	for i := range c.size {
		l := v.looks[i].(*slotLook)
		if what := c.checkNode(l, v.facts); what != "" {
			return what
		}
		for k := range i {
			if what := c.checkLogs(l, v.looks[k].(*slotLook)); what != "" {
				return what
			}
		}
	}
	return c.checkFound(v)
}

// checkFacts compares what owners have said. What a ballot knows to be committed
// agrees with what any other does (CommittedAgree), and is in the log of every
// higher ballot that is active, below its barrier (Durability, AckedKept, Fenced).
func (c *slotLog) checkFacts(facts []any) string {
	for i := range facts {
		f := facts[i].(*slotFact)
		for k := range facts {
			g := facts[k].(*slotFact)
			n := min(len(f.log), len(g.log))
			switch {
			case f.barrier || i == k:
			case !g.barrier && f.log[n-1].hash != g.log[n-1].hash:
				return fmt.Sprintf("CommittedAgree: %v and %v at %d", f.ballot, g.ballot, n)
			case g.barrier && f.ballot.Less(g.ballot) && len(f.log) >= len(g.log):
				return fmt.Sprintf("Fenced: %v commits %d, %v is active from %d on", f.ballot, len(f.log), g.ballot, len(g.log))
			case g.barrier && f.ballot.Less(g.ballot) && f.log[n-1].hash != g.log[n-1].hash:
				return fmt.Sprintf("Durability: %v has committed %d, %v is active without", f.ballot, len(f.log), g.ballot)
			}
		}
	}
	return ""
}

// checkNode asks that what a node holds to be committed, some owner does.
func (c *slotLog) checkNode(l *slotLook, facts []any) string {
	if l.commit == 0 {
		return ""
	}
	if l.commit > quorum.LSN(len(l.log)) {
		return fmt.Sprintf("%s: commit %d of %d", nodeName(l.node), l.commit, len(l.log))
	}
	for _, f := range facts {
		f := f.(*slotFact)
		if !f.barrier && quorum.LSN(len(f.log)) >= l.commit && f.log[l.commit-1].hash == l.log[l.commit-1].hash {
			return ""
		}
	}
	return fmt.Sprintf("CommittedAgree: %s holds %d to be committed, no owner does", nodeName(l.node), l.commit)
}

// checkLogs: one record for each (ballot, lsn), with one past. (LogMatching)
func (c *slotLog) checkLogs(l, k *slotLook) string {
	for i := range min(len(l.log), len(k.log)) {
		if l.log[i].ballot == k.log[i].ballot && l.log[i].hash != k.log[i].hash {
			return fmt.Sprintf("LogMatching: %s and %s at %d", nodeName(l.node), nodeName(k.node), i+1)
		}
	}
	return ""
}

// checkFound: whoever seals the newest row next, finds all that was ever
// committed. (Found)
func (c *slotLog) checkFound(v *view) string {
	var longest *slotFact
	for _, f := range v.facts {
		if f := f.(*slotFact); !f.barrier && (longest == nil || len(f.log) > len(longest.log)) {
			longest = f
		}
	}
	if longest == nil {
		return ""
	}
	epoch := quorum.Epoch(2*v.globals[slotTop] + 1)
	if v.globals[slotCleared]>>v.globals[slotTop]&1 == 1 {
		epoch++
	}
	row := c.row(epoch, v.globals[slotCleared])
	for q := range 1 << c.size {
		if !majorities(q, &row) {
			continue
		}
		var best []place
		for i := range c.size {
			if disk := v.looks[i].(*slotLook).disk; q>>i&1 == 1 && higher(disk, best) {
				best = disk
			}
		}
		if n := len(longest.log); len(best) < n || best[n-1].hash != longest.log[n-1].hash {
			return fmt.Sprintf("Found: %v has committed %d, and the nodes %0*b, which may seal, do not show it", longest.ballot, n, c.size, q)
		}
	}
	return ""
}

// majorities reports whether the nodes q have a majority of each of the row's sets.
func majorities(q int, row *quorum.Row) bool {
	for i := range len(row.From) + 1 {
		set := row.Replicas
		if i > 0 {
			set = row.From[i-1]
		}
		n := 0
		for _, id := range set {
			n += q >> (id - 1) & 1
		}
		if n <= len(set)/2 { // counted here, not by the code that is looked at
			return false
		}
	}
	return true
}

// higher reports whether a is the log that a new owner takes rather than b.
func higher(a, b []place) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) > len(b)
	}
	p := quorum.Position{Ballot: a[len(a)-1].ballot, LSN: quorum.LSN(len(a))}
	return p.Compare(quorum.Position{Ballot: b[len(b)-1].ballot, LSN: quorum.LSN(len(b))}) > 0
}
