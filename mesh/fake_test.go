package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// fakeMesh runs turns of real kinds, one at a time, in the memory of a test. It is
// a Caller. Calls take effect at once, and sends when Deliver is called.
type fakeMesh struct {
	t      testing.TB
	kinds  *kindSet
	actors map[quorum.ActorKey]*fakeActor
	outbox []fakeSend
	wall   time.Time
	mono   quorum.Instant
	boot   quorum.Boot
	limits turnLimits
	logged bytes.Buffer
	logger *slog.Logger

	last     core.TurnResult                 // of the last turn that ended
	requests []quorum.RequestID              // of all calls that turns made
	running  func(*turn)                     // sees each turn before it runs
	broken   error                           // of the store
	refuse   func(inv *invocation) error     // ends a call before it reaches its actor
	answers  map[quorum.RequestID]*fakeReply // first answers
}

type fakeReply struct {
	hash   uint64
	result core.TurnResult
}

type fakeActor struct {
	inst   instance
	loaded bool
	state  []byte
	keys   map[string][]byte // the store
	turns  uint64
}

type fakeSend struct {
	from quorum.ActorKey
	quorum.Send
}

var testLimits = turnLimits{valueBytes: 1 << 20, keyBytes: 1 << 10, recordBytes: 4 << 20, effects: 1024}

func newFakeMesh(t testing.TB, hosts ...HostOption) *fakeMesh {
	t.Helper()
	kinds, err := newKindSet(hosts)
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeMesh{
		t: t, kinds: kinds, actors: map[quorum.ActorKey]*fakeActor{}, wall: time.Unix(1_700_000_000, 0), boot: 1,
		limits: testLimits, answers: map[quorum.RequestID]*fakeReply{},
	}
	m.logger = slog.New(slog.NewTextHandler(io.Writer(&m.logged), nil))
	return m
}

func (m *fakeMesh) actor(key quorum.ActorKey) *fakeActor {
	a := m.actors[key]
	if a == nil {
		a = &fakeActor{keys: map[string][]byte{}}
		m.actors[key] = a
	}
	return a
}

// Restart forgets all instances, as if every node had been killed.
func (m *fakeMesh) Restart() {
	m.boot++
	for _, a := range m.actors {
		a.inst.drop()
		a.loaded, a.turns = false, 0
	}
}

// Advance moves the wall clock.
func (m *fakeMesh) Advance(d time.Duration) { m.wall = m.wall.Add(d) }

// NewFakeMesh is for the tests of the kinds, which are in a package of their own.
var NewFakeMesh = newFakeMesh

func (m *fakeMesh) kindFor(t reflect.Type) (string, error) { return m.kinds.kindFor(t) }
func (m *fakeMesh) log() *slog.Logger                      { return m.logger }

func (m *fakeMesh) clock() (quorum.Instant, int64) { return m.mono, m.wall.UnixNano() }

func (m *fakeMesh) getKey(_ quorum.SlotID, actor quorum.ActorKey, key []byte) ([]byte, bool, error) {
	v, ok := m.actor(actor).keys[string(key)]
	return v, ok, m.broken
}

func (m *fakeMesh) scanKeys(_ quorum.SlotID, actor quorum.ActorKey, from, to []byte, limit int, fn func(key, value []byte) bool) error {
	keys := m.actor(actor).keys
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if k < string(from) || to != nil && k >= string(to) {
			continue
		}
		if limit--; limit < 0 || !fn([]byte(k), keys[k]) {
			break
		}
	}
	return m.broken
}

func (m *fakeMesh) invoke(ctx context.Context, inv *invocation) (*result, error) {
	id := inv.request
	if inv.once != "" {
		id = quorum.RequestID{Key: string(rune(quorum.KeyOwn)) + inv.once}
	}
	return m.run(ctx, inv, id, false)
}

func (m *fakeMesh) call(ctx context.Context, _ *core.TurnStart, inv *invocation) (*result, error) {
	m.requests = append(m.requests, inv.request)
	if m.refuse != nil {
		if err := m.refuse(inv); err != nil {
			return nil, err
		}
	}
	return m.run(ctx, inv, inv.request, false)
}

func (m *fakeMesh) run(_ context.Context, inv *invocation, id quorum.RequestID, isJSON bool) (*result, error) {
	k := m.kinds.byName[inv.kind]
	if k == nil {
		return nil, fail(errNoKind, inv.kind)
	}
	method := k.methods[inv.method]
	if method == nil {
		return nil, fail(errNoMethod, inv.method)
	}
	arg, hash, size, err := method.decodeArg(inv.args, isJSON, m.limits.valueBytes)
	if err != nil {
		return nil, err
	}
	key := quorum.MakeActorKey(inv.kind, inv.id)
	memory := quorum.RequestID{Key: id.Key + "@" + string(key)}
	if first := m.answers[memory]; id.Key != "" && first != nil && !method.readOnly {
		if first.hash != hash {
			return nil, fail(errKeyReused, id.Key)
		}
		return m.answer(&first.result, inv, true)
	}
	c := &core.Call{Actor: key, Method: method.name, ReadOnly: method.readOnly, Arg: arg, ArgHash: hash, ArgBytes: size,
		Request: id, Chain: inv.chain, Internal: inv.internal, Deadline: m.mono.Add(10 * time.Second)}
	r := m.turn(k, method, c)
	m.last = r
	if id.Key != "" && r.Code == core.CodeOK {
		m.answers[memory] = &fakeReply{hash, r}
	}
	return m.answer(&r, inv, false)
}

func (m *fakeMesh) answer(r *core.TurnResult, inv *invocation, replayed bool) (*result, error) {
	o := core.Outcome{Code: r.Code, Detail: r.Detail, App: r.Err}
	if r.Err != nil {
		o.Code = core.CodeApp
	}
	if err := outcomeError(&o, inv.op()); err != nil {
		return nil, err
	}
	return &result{reply: r.Reply, replayed: replayed}, nil
}

// turn runs one turn, and commits it.
func (m *fakeMesh) turn(k *kind, method *method, c *core.Call) core.TurnResult {
	a := m.actor(c.Actor)
	a.turns++
	start := &core.TurnStart{Call: c, Wall: m.wall.UnixNano(), Load: !a.loaded,
		Fence: core.Fence{Ballot: quorum.Ballot{Epoch: 1, Boot: m.boot}, Turn: a.turns}}
	if start.Load {
		start.State = a.state
	}
	t := newTurn(k, method, &a.inst, start, m, m.limits)
	if m.running != nil {
		m.running(t)
	}
	r := t.run()
	a.loaded = r.Err == nil && r.Code == core.CodeOK
	if !a.loaded {
		return r
	}
	if !r.Unchanged && !method.readOnly {
		a.state = r.State
	}
	for _, w := range r.Writes {
		if w.Delete {
			delete(a.keys, string(w.Key))
		} else {
			a.keys[string(w.Key)] = w.Value
		}
	}
	for _, s := range r.Sends {
		m.outbox = append(m.outbox, fakeSend{c.Actor, s})
	}
	return r
}

// Deliver runs the sends on their way, and those that they lead to.
func (m *fakeMesh) Deliver() {
	m.t.Helper()
	for i := uint64(1); len(m.outbox) > 0; i++ {
		s := m.outbox[0]
		m.outbox = m.outbox[1:]
		_, kind, id := s.Target.Split()
		inv := &invocation{kind: kind, id: id, method: s.Method, args: s.Args}
		if _, err := m.run(context.Background(), inv, quorum.RequestID{Source: s.from, Number: i}, s.JSON); err != nil {
			m.t.Fatalf("send to %s %s: %v", s.Target, s.Method, err)
		}
	}
}

// JSON calls a method as HTTP does. The answer is the result, or "code: message"
// of an error.
func (m *fakeMesh) JSON(kind, id, method, body string) string {
	inv := &invocation{kind: kind, id: id, method: method, args: []byte(body)}
	res, err := m.run(context.Background(), inv, quorum.RequestID{}, true)
	if err != nil {
		return "error " + strings.TrimPrefix(err.Error(), "mesh: ")
	}
	out, err := m.kinds.byName[kind].methods[method].replyJSON(res.reply)
	if err != nil {
		return fmt.Sprintf("no result: %v", err)
	}
	return string(out)
}
