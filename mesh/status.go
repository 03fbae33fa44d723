package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"actormesh/mesh/core"
	"actormesh/quorum"
	"actormesh/ring"
)

// httpCalls is a node as the HTTP API calls through it.
type httpCalls struct{ *Node }

var _ httpCaller = httpCalls{}

func (n httpCalls) callHTTP(ctx context.Context, call *httpCall) httpAnswer {
	r := &request{
		kind: call.Kind, id: call.ID, method: call.Method, args: call.Body, json: true, wantJSON: true,
		deadline: n.env.About().Add(call.Timeout), principal: call.Principal, trace: []byte(call.Trace),
	}
	if call.Key != "" {
		r.requestID = quorum.RequestID{Key: string(rune(quorum.KeyOwn)) + call.Key}
	} else {
		r.requestID = n.session.begin(r.kind, r.id)
		defer n.session.end(r.kind, r.id, r.requestID)
	}
	a := n.route(ctx, r)
	return httpAnswer{Outcome: a.Outcome, Node: a.node}
}

func (n httpCalls) clusterID() string {
	if id := n.cluster.Load(); id != nil {
		return *id
	}
	return ""
}

func (n httpCalls) ready() error {
	f := n.control.facts()
	switch {
	case n.view.Load() == nil:
		return errors.New("the node belongs to no mesh yet")
	case !f.registered:
		return errors.New("no majority of voters has registered this start yet")
	case !f.quorum:
		return errors.New("the node does not hear a majority of the voters")
	case f.retiring:
		return errors.New("the node is giving up what it owns")
	}
	return nil
}

// operator is a node as the HTTP API describes and steers it.
type operator struct{ *Node }

var _ httpOperator = operator{}

func (n operator) status() Status {
	f := n.control.facts()
	s := Status{Node: n.conf.Name, Quorum: f.quorum && f.registered, Members: []MemberStatus{}}
	v := n.view.Load()
	if v == nil {
		return s
	}
	s.Cluster, s.Epoch, s.Replication = v.Cluster.String(), quorum.Epoch(v.Epoch), v.Replication
	owned := map[ring.NodeID]int{}
	for i := range v.Slots {
		owned[v.Slots[i].Owner()]++
	}
	for _, m := range v.Members {
		if m.ID == v.Coordinator {
			s.Coordinator = m.Name
		}
		s.Members = append(s.Members, MemberStatus{
			Name: m.Name, Disk: m.ID.String(), Addr: m.Addr, HTTP: m.HTTP, Zone: m.Zone,
			State: n.memberState(&m, &f), Voter: v.IsVoter(m.ID), Owned: owned[m.ID],
		})
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return strings.Compare(a.Name, b.Name) })
	s.Slots = SlotCounts{Total: len(v.Slots), Owned: owned[ring.NodeID(n.id)]}
	for _, slot := range n.slots() {
		if slot.Active {
			s.Slots.Active++
		}
	}
	return s
}

// memberState says what this node thinks of a member, in the words of gossip.
func (n operator) memberState(m *ring.Member, f *controlFacts) string {
	switch {
	case m.State == ring.Draining || m.State == ring.Leaving:
		return m.State.String()
	case m.ID == ring.NodeID(n.id):
		return "alive"
	case slices.Contains(f.unheard, quorum.NodeID(m.ID)) && m.State == ring.Down:
		return "dead"
	case slices.Contains(f.unheard, quorum.NodeID(m.ID)):
		return "suspect"
	}
	if p, ok := n.gossip.peer(m.Name); ok && p.id == quorum.NodeID(m.ID) && p.state != "alive" {
		return "suspect"
	}
	return "alive"
}

func (n operator) slots() []SlotStatus {
	v := n.view.Load()
	if v == nil {
		return nil
	}
	f := n.control.facts()
	infos := make([]core.SlotInfo, len(v.Slots))
	for _, l := range n.shards {
		l.ask(func(s *core.Shard, _ quorum.Instant) {
			for i := l.index; i < len(infos); i += len(n.shards) {
				infos[i], _ = s.Info(quorum.SlotID(i))
			}
		})
	}
	names := func(ids []ring.NodeID) []string {
		list := make([]string, len(ids))
		for i, id := range ids {
			m, _ := v.Member(id)
			list[i] = m.Name
		}
		return list
	}
	list := make([]SlotStatus, len(v.Slots))
	for i := range v.Slots {
		row := &v.Slots[i]
		owner, _ := v.Member(row.Owner())
		active := infos[i].Active
		if owner.ID != ring.NodeID(n.id) {
			_, active = slices.BinarySearch(f.active, quorum.SlotID(i))
		}
		from := make([][]string, len(row.From))
		for j, set := range row.From {
			from[j] = names(set)
		}
		list[i] = SlotStatus{
			Slot: quorum.SlotID(i), Epoch: quorum.Epoch(row.Epoch), Replicas: names(row.Replicas), Learners: names(row.Learners),
			From: from, Active: active, Last: infos[i].Last.LSN, Commit: infos[i].Commit,
		}
	}
	return list
}

func (n operator) kinds() []KindStatus {
	v := n.view.Load()
	if v == nil {
		return nil
	}
	found := map[string]KindStatus{}
	for i := range v.Members {
		hosted := map[string]KindStatus{}
		for _, text := range v.Members[i].Kinds {
			k := parseKind(text)
			k.Methods = append(hosted[k.Kind].Methods, k.Methods...)
			hosted[k.Kind] = k
		}
		for name, k := range hosted {
			if len(k.Methods) >= len(found[name].Methods) {
				found[name] = k
			}
		}
	}
	list := []KindStatus{}
	for _, k := range found {
		slices.SortFunc(k.Methods, func(a, b MethodStatus) int { return strings.Compare(a.Name, b.Name) })
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b KindStatus) int { return strings.Compare(a.Kind, b.Kind) })
	return list
}

// parseKind reads what kindNames wrote.
func parseKind(text string) KindStatus {
	name, methods, _ := strings.Cut(text, ":")
	k := KindStatus{Kind: name, Methods: []MethodStatus{}}
	for m := range strings.SplitSeq(methods, ",") {
		if m != "" {
			plain, read := strings.CutSuffix(m, "?")
			k.Methods = append(k.Methods, MethodStatus{Name: plain, Read: read})
		}
	}
	return k
}

// whereMethod asks an actor's owner where it lives. No handler has such a name.
const whereMethod = "?where"

// locatingMost bounds the actors that are looked up at a time: it takes a
// goroutine each, and a read of the store.
const locatingMost = 64

func (n operator) locate(ctx context.Context, kind, id string) (ActorStatus, core.Outcome) {
	r := &request{kind: kind, id: id, method: whereMethod, deadline: n.env.About().Add(n.conf.CallTimeout)}
	a := n.route(ctx, r)
	if a.Code != core.CodeOK {
		return ActorStatus{}, a.Outcome
	}
	var s ActorStatus
	if err := json.Unmarshal(a.Reply, &s); err != nil {
		return ActorStatus{}, core.Outcome{Code: core.CodeUnavailable, Detail: "the owner's answer: " + err.Error()}
	}
	return s, core.Outcome{}
}

// where answers a whereMethod at the owner.
func (n *Node) where(slot quorum.SlotID, r *request, reply func(answer)) {
	if v := n.view.Load(); v == nil || !hosted(v, r.kind) {
		reply(answered(core.CodeNoKind, "no member hosts the kind "+r.kind))
		return
	}
	select {
	case n.locating <- struct{}{}:
	default:
		reply(answered(core.CodeOverloaded, "too many actors are being looked up"))
		return
	}
	told := reply
	reply = func(a answer) {
		<-n.locating
		told(a)
	}
	actor := quorum.MakeActorKey(r.kind, r.id)
	n.shardOf(slot).do(func(s *core.Shard, _ quorum.Instant) {
		info, ok := s.Info(slot)
		if !ok || !info.Active {
			reply(answered(core.CodeUnavailable, "the slot is changing owners"))
			return
		}
		lsn, active := s.Find(slot, actor)
		n.spawn(func() {
			if !active {
				img, err := n.store.LoadActor(slot, actor)
				if err != nil {
					reply(answered(core.CodeUnavailable, err.Error()))
					return
				}
				lsn = img.Base.LSN
				if last := len(img.Entries); last > 0 {
					lsn = img.Entries[last-1].LSN
				}
			}
			b, err := json.Marshal(ActorStatus{
				Slot: slot, Owner: n.conf.Name, Epoch: info.Ballot.Epoch, Active: active, LSN: lsn,
			})
			if err != nil {
				panic("mesh: an ActorStatus that does not marshal: " + err.Error())
			}
			reply(answer{Outcome: core.Outcome{Reply: b}, node: n.conf.Name, json: true})
		})
	})
}

func (n operator) retire(ctx context.Context, forGood bool) error {
	retire := n.Node.Drain
	if forGood {
		retire = n.Node.Leave
	}
	if err := retire(ctx); err != nil {
		return err
	}
	n.cancel() // the HTTP server lets the answer to this request leave first
	return nil
}

// stats reads what the loops have counted.
func (n *Node) stats() nodeStats {
	f := n.control.facts()
	s := nodeStats{
		Epoch: uint64(n.epoch()), GossipMembers: n.gossip.alive(), StoreBytes: n.store.Metrics().DiskBytes,
		ViewsAdopted: f.viewsAdopted,
	}
	if v := n.view.Load(); v != nil {
		for i := range v.Slots {
			if v.Slots[i].Owner() == ring.NodeID(n.id) {
				s.SlotsOwned++
				if _, active := slices.BinarySearch(f.active, quorum.SlotID(i)); active {
					s.SlotsActive++
				}
			}
		}
	}
	for _, l := range n.shards {
		s.Activations += int(l.stats.activations.Load())
		s.ActivationsTotal += l.stats.activationsTotal.Load()
		s.DedupHits += l.stats.dedupHits.Load()
		s.FencedAppends += l.stats.fenced.Load()
		s.Folds += l.stats.folds.Load()
		s.LeasesLapsed += l.stats.lapsed.Load()
	}
	return s
}
