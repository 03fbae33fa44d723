package mesh

import (
	"context"
	"errors"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
)

// TestAnswerAfterItsLease holds back what was true under a lease that has ended
// since: the process may have been paused.
func TestAnswerAfterItsLease(t *testing.T) {
	l := &shardLoop{node: &Node{env: machine{}}}
	for name, test := range map[string]struct {
		until quorum.Instant
		want  core.Code
	}{
		"under no lease":    {0, core.CodeOK},
		"in time":           {clockNow().Add(time.Hour), core.CodeOK},
		"when it has ended": {clockNow().Add(-time.Millisecond), core.CodeUnavailable},
	} {
		var got answer
		c := &core.Call{Waiter: &waiter{reply: func(a answer) { got = a }}}
		l.answer([]core.Finished{{Call: c, Outcome: core.Outcome{Until: test.until, Reply: []byte("read")}}})
		if got.Code != test.want || (string(got.Reply) == "read") != (test.want == core.CodeOK) {
			t.Errorf("%s: %+v", name, got.Outcome)
		}
	}
}

// afterTurn calls as a turn does that has seen an actor up to a record.
type afterTurn struct {
	*Node
	start *core.TurnStart
}

func (a afterTurn) invoke(ctx context.Context, inv *invocation) (*result, error) {
	return turns{a.Node}.call(ctx, a.start, inv)
}

// TestCallWaitsForWhatItsTurnSaw lets no call leave a turn that has seen what is not
// committed: it may tell of what never was.
func TestCallWaitsForWhatItsTurnSaw(t *testing.T) {
	m := newTestMesh(t)
	n := m.start("n1")
	add(t, n, "seen", 1)
	slot := quorum.SlotID(ring.SlotOf(len(n.view.Load().Slots), "", "pot", "seen"))
	from := func(seen quorum.LSN) afterTurn {
		return afterTurn{n, &core.TurnStart{Slot: slot, Seen: seen, Call: &core.Call{Deadline: clockNow().Add(time.Minute)}}}
	}
	add(t, from(1), "told", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Call(ctx, Get[pot](from(1<<40), "told"), (*pot).Add, 1); !errors.Is(err, ErrStopped) {
		t.Errorf("a call of a turn that has seen what nobody has written: %v", err)
	}
	if got := read(t, n, "told"); got != 1 {
		t.Errorf("the actor was told %d times", got)
	}
}
