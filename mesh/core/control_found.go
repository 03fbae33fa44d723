package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"actormesh/quorum"
	"actormesh/ring"
)

// A founding's messages travel in ControlFound, what each node brings is the
// member that it is to be and the shape of the table that it was configured
// for, and the view is ring.Found's.

const (
	settleAlone = 50 * time.Millisecond
	settleSeeds = 500 * time.Millisecond // for a seed to answer with a view, or for more candidates
)

// foundingBody is what a node brings to a founding.
type foundingBody struct {
	Member      ring.Member
	Slots       int
	Replication int
}

func (f *foundingBody) encode() []byte {
	w := newWriter()
	w.member(&f.Member)
	w.uint(uint64(f.Slots))
	w.uint(uint64(f.Replication))
	return w
}

func decodeFoundingBody(b []byte) (f foundingBody, err error) {
	r := newReader(b)
	f.Member = r.member()
	f.Slots = int(r.uint(ring.MaxSlots))
	f.Replication = int(r.uint(ring.MaxReplication))
	return f, r.end()
}

func (c *Control) newFounding(now quorum.Instant, saved *quorum.FoundState) (*quorum.Founding, error) {
	body := foundingBody{c.cfg.Member, c.cfg.Slots, c.cfg.Replication}
	settle := settleSeeds
	if len(c.cfg.Seeds) == 0 && c.cfg.Expect == 1 {
		settle = settleAlone
	}
	self := quorum.Candidate{Start: c.cfg.Start, Name: c.cfg.Member.Name, Body: body.encode()}
	if n := len(self.Body); n > quorum.MaxCandidateBytes {
		return nil, fmt.Errorf("what this node says of itself and its kinds takes %d bytes, and a founding takes %d: found "+
			"the mesh with fewer kinds", n, quorum.MaxCandidateBytes)
	}
	return quorum.NewFounding(now, self, c.cfg.Expect, settle, saved), nil
}

// stepFound takes a founding's message: whoever has a view answers with it.
func (c *Control) stepFound(now quorum.Instant, from quorum.NodeID, m quorum.FoundMessage) {
	if c.founding != nil {
		c.founding.Step(now, from, m)
		return
	}
	if body, err := decodeFoundingBody(m.From.Body); err == nil && quorum.NodeID(body.Member.ID) == from && c.view != nil {
		c.foundAt(now, &body.Member)
		kind, answer := c.answerView()
		c.send(from, kind, answer)
	}
}

func (c *Control) takeFounding(now quorum.Instant) bool {
	if c.founding == nil {
		return false
	}
	for _, k := range c.founding.Known() {
		if body, err := decodeFoundingBody(k.Body); err == nil && quorum.NodeID(body.Member.ID) == k.Start.Node {
			c.foundAt(now, &body.Member)
		}
	}
	f := c.founding.Ready()
	if f.Save != nil {
		c.saving.found = f.Save.AppendTo(nil)
		c.save(0, f.Seq)
	}
	for i := range f.Sends {
		c.send(f.Sends[i].To, ControlFound, f.Sends[i].Message.AppendTo(nil))
	}
	switch {
	case f.Blocked != nil:
		c.stop(f.Blocked)
	case f.Founded != nil:
		view, err := foundingView(f.Founded)
		if err != nil {
			c.stop(err)
			return false
		}
		c.founding = nil
		c.register.Adopt(now, *view)
		return true
	}
	return false
}

// foundingView returns the first view of a founding set: the same for all of
// the set, as each brings the same to all.
func foundingView(set []quorum.Candidate) (*quorum.Decree, error) {
	var members []ring.Member
	var starts []quorum.Start
	var shape foundingBody
	for i, candidate := range set {
		body, err := decodeFoundingBody(candidate.Body)
		if err != nil {
			return nil, fmt.Errorf("what %s brings to the founding: %w", candidate.Name, err)
		}
		if i == 0 {
			shape = body
		}
		if quorum.NodeID(body.Member.ID) != candidate.Start.Node {
			return nil, fmt.Errorf("%w: %s brings another member to the founding", ErrControl, candidate.Name)
		}
		members = append(members, body.Member)
		starts = append(starts, candidate.Start)
	}
	view, err := ring.Found(members, shape.Slots, shape.Replication, foundingVoters(members))
	if err != nil {
		return nil, err
	}
	return &quorum.Decree{
		Version: quorum.Version{Incarnation: uint32(view.Incarnation), Epoch: quorum.Epoch(view.Epoch)},
		Voters:  toQuorum(view.Voters), Starts: starts, Body: view.Encode(),
	}, nil
}

// foundingVoters returns an odd number of members, spread over zones.
func foundingVoters(members []ring.Member) []ring.NodeID {
	zones := map[string]int{}
	ranked := slices.SortedFunc(slices.Values(members), func(a, b ring.Member) int { return cmp.Compare(a.ID, b.ID) })
	inZone := make(map[ring.NodeID]int, len(ranked))
	for _, m := range ranked {
		inZone[m.ID] = zones[m.Zone]
		zones[m.Zone]++
	}
	slices.SortStableFunc(ranked, func(a, b ring.Member) int { return inZone[a.ID] - inZone[b.ID] })
	wanted := ring.VotersWanted(len(zones), 0)
	wanted = min(wanted, len(ranked)-1+len(ranked)%2)
	var voters []ring.NodeID
	for _, m := range ranked[:wanted] {
		voters = append(voters, m.ID)
	}
	return voters
}
