package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
	"actormesh/transport"
)

// fakeMembers is a mesh as a router sees it. Each handing over takes the next step
// of the script.
type fakeMembers struct {
	router
	mu      sync.Mutex
	current *ring.View
	changed chan struct{}
	steps   []func(ctx context.Context, owner ring.Member, r *request) (answer, bool)
	handed  []ring.NodeID // to whom
	ids     []quorum.RequestID
	behinds []quorum.Epoch
}

func newFakeMembers(self, owner ring.NodeID) *fakeMembers {
	f := &fakeMembers{current: ownedBy(1, owner), changed: make(chan struct{})}
	f.router = router{
		env: machine{}, self: self, done: make(chan struct{}), handOver: f.handOver,
		view: func() (*ring.View, <-chan struct{}) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.current, f.changed
		},
		behind: func(e quorum.Epoch) { f.behinds = append(f.behinds, e) },
	}
	return f
}

// ownedBy is a view of two members in which one owns the only slot.
func ownedBy(epoch ring.Epoch, owner ring.NodeID) *ring.View {
	return &ring.View{
		Epoch: epoch, Members: []ring.Member{{ID: 1, Name: "n1"}, {ID: 2, Name: "n2"}},
		Slots: []ring.Row{{Epoch: epoch, Replicas: []ring.NodeID{owner, 3 - owner}}},
	}
}

func (f *fakeMembers) adopt(v *ring.View) {
	f.mu.Lock()
	f.current = v
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	f.moved(v)
}

func (f *fakeMembers) handOver(ctx context.Context, owner ring.Member, _ quorum.SlotID, r *request) (answer, bool) {
	f.mu.Lock()
	f.handed, f.ids = append(f.handed, owner.ID), append(f.ids, r.requestID)
	step := f.steps[0]
	if len(f.steps) > 1 {
		f.steps = f.steps[1:]
	}
	f.mu.Unlock()
	return step(ctx, owner, r)
}

// says answers with a code, lost does not answer although it may have run, and
// hangs does so once the router gives up.
func says(code core.Code) func(context.Context, ring.Member, *request) (answer, bool) {
	return func(context.Context, ring.Member, *request) (answer, bool) {
		return answered(code, "as told"), false
	}
}

func lost(context.Context, ring.Member, *request) (answer, bool) {
	return answerOf(nil, fmt.Errorf("%w: gone", transport.ErrLost))
}

func notSent(context.Context, ring.Member, *request) (answer, bool) {
	return answerOf(nil, fmt.Errorf("%w: refused", transport.ErrNotSent))
}

func hangs(ctx context.Context, _ ring.Member, _ *request) (answer, bool) {
	<-ctx.Done()
	return answerOf(nil, fmt.Errorf("%w: %w", transport.ErrLost, ctx.Err()))
}

var testRequestID = quorum.RequestID{Key: "kmine"}

func testRequest(timeout time.Duration) *request {
	return &request{kind: "cart", id: "c1", method: "add", requestID: testRequestID, deadline: clockAbout().Add(timeout)}
}

// TestRouterOutcomes has every first event followed by every final answer: once a
// call may have run, no answer but that of the owner that has it may say that
// nothing happened.
func TestRouterOutcomes(t *testing.T) {
	firsts := map[string]struct {
		step func(context.Context, ring.Member, *request) (answer, bool)
		ran  bool // it may have
	}{
		"unavailable": {says(core.CodeUnavailable), false},
		"not sent":    {notSent, false},
		"lost":        {lost, true},
		"unknown":     {says(core.CodeOutcomeUnknown), true},
	}
	finals := []core.Code{
		core.CodeOK, core.CodeApp, core.CodeDeadline, core.CodeOverloaded, core.CodeNoMethod, core.CodeNoKind,
		core.CodeTooLarge, core.CodeCycle, core.CodeKeyReused, core.CodeStopped, core.CodeBadRequest,
	}
	for name, first := range firsts {
		for _, code := range finals {
			f := newFakeMembers(0, 1)
			f.steps = append(f.steps, first.step, first.step, says(code))
			a := f.route(t.Context(), testRequest(time.Minute))
			want := code
			if first.ran && !slices.Contains([]core.Code{core.CodeOK, core.CodeApp, core.CodeKeyReused}, code) {
				want = core.CodeOutcomeUnknown
			}
			if a.Code != want {
				t.Errorf("%s, then %d: %d %q, want %d", name, code, a.Code, a.Detail, want)
			}
			if len(f.handed) != 3 || f.ids[0] != testRequestID || f.ids[2] != testRequestID {
				t.Errorf("%s, then %d: handed over %d times, as %v", name, code, len(f.handed), f.ids)
			}
		}
	}
}

// TestRouterLate ends requests in every way but by an answer.
func TestRouterLate(t *testing.T) {
	for name, c := range map[string]struct {
		steps []func(context.Context, ring.Member, *request) (answer, bool)
		end   string // what ends it
		want  core.Code
	}{
		"unavailable all the time":    {append(steps(), says(core.CodeUnavailable)), "", core.CodeUnavailable},
		"lost once, then unavailable": {append(steps(), lost, says(core.CodeUnavailable)), "", core.CodeOutcomeUnknown},
		"unknown once, then not sent": {append(steps(), says(core.CodeOutcomeUnknown), notSent), "", core.CodeOutcomeUnknown},
		"hangs":                       {append(steps(), hangs), "", core.CodeOutcomeUnknown},
		"hangs, caller gives up":      {append(steps(), hangs), "ctx", core.CodeOutcomeUnknown},
		"unavailable, caller gives up": {append(steps(), says(core.CodeUnavailable)),
			"ctx", core.CodeUnavailable},
		"unavailable, end of node": {append(steps(), says(core.CodeUnavailable)), "done", core.CodeUnavailable},
		"lost, end of node":        {append(steps(), lost), "done", core.CodeOutcomeUnknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeMembers(0, 1)
			done := make(chan struct{})
			f.done, f.steps = done, c.steps
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Second, func() {
				switch c.end {
				case "ctx":
					cancel()
				case "done":
					close(done)
				}
			})
			began := time.Now()
			a := f.route(ctx, testRequest(3*time.Second))
			if a.Code != c.want {
				t.Errorf("%s: %d %q, want %d", name, a.Code, a.Detail, c.want)
			}
			want := 3 * time.Second
			if c.end != "" {
				want = time.Second
			}
			if took := time.Since(began).Round(time.Second); took != want {
				t.Errorf("%s: ended after %v, want %v", name, took, want)
			}
			if f.busy() {
				t.Errorf("%s: an attempt was left behind", name)
			}
		})
	}
}

func steps() []func(context.Context, ring.Member, *request) (answer, bool) { return nil }

func TestRouterDeadlineBeforeAnything(t *testing.T) {
	f := newFakeMembers(0, 1)
	if a := f.route(t.Context(), testRequest(-time.Second)); a.Code != core.CodeDeadline || len(f.handed) > 0 {
		t.Errorf("%d %q, handed over to %v", a.Code, a.Detail, f.handed)
	}
}

// TestRouterFollowsMove has a request wait at an owner that is not heard of any
// more; a view names another, which has what the first one committed.
func TestRouterFollowsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(0, 1)
		f.steps = append(f.steps, hangs, says(core.CodeOK))
		time.AfterFunc(time.Second, func() { f.adopt(ownedBy(2, 1)) })       // the owner stays
		time.AfterFunc(2*time.Second, func() { f.adopt(ownedBy(3, 2)) })     // and goes
		time.AfterFunc(2500*time.Millisecond, func() { f.moved(f.current) }) // too late to matter
		began := time.Now()
		a := f.route(t.Context(), testRequest(time.Minute))
		if took := time.Since(began).Round(time.Second); a.Code != core.CodeOK || took != 2*time.Second || !slices.Equal(f.handed, []ring.NodeID{1, 2}) {
			t.Errorf("%d %q after %v, handed over to %v", a.Code, a.Detail, took, f.handed)
		}
	})
}

// TestRouterMovedBeforeBegin adopts a view between the look at it and the handing
// over.
func TestRouterMovedBeforeBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(0, 1)
		view := f.view
		looks := 0
		f.view = func() (*ring.View, <-chan struct{}) {
			v, changed := view()
			if looks++; looks == 1 {
				f.adopt(ownedBy(2, 2))
			}
			return v, changed
		}
		f.steps = append(f.steps, hangs, says(core.CodeOK))
		began := time.Now()
		a := f.route(t.Context(), testRequest(time.Minute))
		if took := time.Since(began); a.Code != core.CodeOK || took > time.Second {
			t.Errorf("%d %q after %v", a.Code, a.Detail, took)
		}
	})
}

// TestRouterNewView does not wait out its pause when a view comes, and asks for
// the one of which an owner knows.
func TestRouterNewView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(0, 1)
		f.current = nil
		f.steps = append(f.steps, func(context.Context, ring.Member, *request) (answer, bool) {
			a := answered(core.CodeUnavailable, "not here")
			a.epoch = 7
			return a, false
		}, says(core.CodeOK))
		time.AfterFunc(time.Second, func() { f.adopt(ownedBy(3, 1)) })
		a := f.route(t.Context(), testRequest(time.Minute))
		if a.Code != core.CodeOK || !slices.Equal(f.behinds, []quorum.Epoch{7}) {
			t.Errorf("%d %q, asked for the views %v", a.Code, a.Detail, f.behinds)
		}
	})
}

// TestRouterResultNotTold does not ask again for a result that has no JSON form.
func TestRouterResultNotTold(t *testing.T) {
	f := newFakeMembers(0, 1)
	f.steps = append(f.steps, func(context.Context, ring.Member, *request) (answer, bool) {
		a := answered(core.CodeOutcomeUnknown, "no JSON")
		a.Fence = quorum.Position{Ballot: quorum.Ballot{Epoch: 1, Boot: 1}, LSN: 9}
		return a, false
	})
	if a := f.route(t.Context(), testRequest(time.Minute)); a.Code != core.CodeOutcomeUnknown || len(f.handed) != 1 || a.Fence.LSN != 9 {
		t.Errorf("%d %q, fence %v, handed over %d times", a.Code, a.Detail, a.Fence, len(f.handed))
	}
}

// TestOwnersTime gives the owner less time than the caller has, but most of it.
func TestOwnersTime(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute} {
		r := testRequest(timeout)
		got := r.ownersTime(clockAbout())
		if got >= timeout || got < timeout/2 || timeout-got > 2*answerMargin {
			t.Errorf("of %v the owner has %v", timeout, got)
		}
	}
}

func TestAnswerOf(t *testing.T) {
	for _, c := range []struct {
		err     error
		code    core.Code
		unknown bool
	}{
		{fmt.Errorf("%w: %w", transport.ErrNotSent, transport.ErrClosed), core.CodeUnavailable, false},
		{fmt.Errorf("%w: %w", transport.ErrLost, context.DeadlineExceeded), core.CodeOutcomeUnknown, true},
		{errors.New("something else"), core.CodeOutcomeUnknown, true},
	} {
		if a, unknown := answerOf(nil, c.err); a.Code != c.code || unknown != c.unknown {
			t.Errorf("%v: %d, unknown %t", c.err, a.Code, unknown)
		}
	}
	reply := &transport.Reply{Code: uint8(core.CodeOK), Result: []byte("r"), Node: "n1", Epoch: 3, JSON: true, Replayed: true, LSN: 5}
	a, unknown := answerOf(reply, nil)
	if unknown || a.Code != core.CodeOK || string(a.Reply) != "r" || a.node != "n1" || a.epoch != 3 || !a.json || !a.Replayed || a.LSN != 5 {
		t.Errorf("%+v, unknown %t", a, unknown)
	}
}

// TestSessionLowMarks begins and ends requests at random, and compares with a
// dumb count: an actor is told exactly which of its answers are not wanted.
func TestSessionLowMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := newSession(machine{})
	type open struct {
		actor string
		id    quorum.RequestID
	}
	var running []open
	last := uint64(0)
	for range 20_000 {
		if len(running) > 0 && rng.IntN(100) < 50 {
			i := rng.IntN(len(running))
			s.end("cart", running[i].actor, running[i].id)
			running = slices.Delete(running, i, i+1)
			continue
		}
		actor := fmt.Sprint(rng.IntN(4))
		id := s.begin("cart", actor)
		if id.Session != s.id || id.Number != last+1 {
			t.Fatalf("number %d follows %d", id.Number, last)
		}
		last = id.Number
		low := id.Number
		for _, o := range running {
			if o.actor == actor {
				low = min(low, o.id.Number)
			}
		}
		if id.Low != low {
			t.Fatalf("request %d to %s: low mark %d, want %d", id.Number, actor, id.Low, low)
		}
		running = append(running, open{actor, id})
	}
	for _, o := range running {
		s.end("cart", o.actor, o.id)
	}
	if len(s.open) != 0 {
		t.Errorf("%d actors are remembered for nothing", len(s.open))
	}
}

func TestBadRequestID(t *testing.T) {
	session := quorum.SessionID{1}
	for _, c := range []struct {
		id           quorum.RequestID
		client, node bool // may send it
	}{
		{quorum.RequestID{}, true, true},
		{quorum.RequestID{Session: session, Number: 4, Low: 2}, true, true},
		{quorum.RequestID{Key: "kmine"}, true, true},
		{quorum.RequestID{Key: "k"}, false, true},
		{quorum.RequestID{Key: "k\n"}, false, true},
		{quorum.RequestID{Key: "t0123456789abcdef"}, false, true},
		{quorum.RequestID{Source: "\x00cart\x00c1", Number: 1}, false, true},
		{quorum.RequestID{Session: session, Number: 1, Key: "kmine"}, false, false},
		{quorum.RequestID{Session: session, Number: 1, Source: "\x00cart\x00c1"}, false, false},
		{quorum.RequestID{Key: "kmine", Source: "\x00cart\x00c1"}, false, false},
	} {
		for role, may := range map[transport.Role]bool{transport.RoleClient: c.client, transport.RoleNode: c.node} {
			if detail := badRequestID(&c.id, role); (detail == "") != may {
				t.Errorf("%+v of a %s: %q", c.id, role, detail)
			}
		}
	}
}
