package script

import (
	"fmt"
	"strings"
)

// Plan is a script in which nothing is left to chance: all that is done to the
// mesh, and all that clients call, each in the order of its time.
type Plan struct {
	Header
	Faults []Fault
	Calls  []Call
}

// Text returns the plan as a script, which expands to this plan whatever the
// seed.
func (p *Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nnodes %d\nspare %d\nslots %d\nreplication %d\n", p.Seed, p.Nodes, p.Spare, p.Slots, p.Replication)
	if p.Voters > 0 {
		fmt.Fprintf(&b, "voters %d\n", p.Voters)
	}
	fmt.Fprintf(&b, "time %v\nsettle %v\n", p.Time, p.Settle)
	for _, s := range p.Settings {
		fmt.Fprintf(&b, "set %s %s\n", s.Name, s.Value)
	}
	for _, c := range p.Checks {
		fmt.Fprintln(&b, c.text())
	}
	for i := range p.Faults {
		fmt.Fprintln(&b, p.Faults[i].line())
	}
	for i := range p.Calls {
		fmt.Fprintln(&b, p.Calls[i].line())
	}
	return b.String()
}

func (c *Check) text() string {
	switch {
	case c.What == checkRecovery:
		return "check recovery " + c.Within.String()
	case c.Saw:
		return fmt.Sprintf("check saw %s >= %d", c.What, c.Min)
	}
	return fmt.Sprintf("check %s >= %d", c.What, c.Min)
}

// line returns the call as a line of a script.
func (c *Call) line() string {
	words := append([]string{"at", c.At.String(), "call", c.Client, c.Actor.String(), c.Method}, c.Args...)
	words = append(words, "id="+c.ID)
	if c.Keyless {
		words = append(words, "keyless")
	}
	words = append(words, "via="+strings.Join(c.Via, ","))
	if len(c.Then) > 0 {
		words = append(words, "then="+strings.Join(c.Then, ","))
	}
	return strings.Join(append(words, "within="+c.Within.String()), " ")
}
