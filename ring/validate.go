package ring

import (
	"errors"
	"fmt"
	"slices"
)

// ErrInvalid is wrapped by every error of Validate and Decode.
var ErrInvalid = errors.New("invalid view")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Validate checks every rule that a view must keep on its own, whatever came
// before it. The error wraps ErrInvalid.
func (v *View) Validate() error {
	switch {
	case v.Cluster == ClusterID{}:
		return invalid("no cluster id")
	case v.Epoch == 0:
		return invalid("epoch 0")
	case v.Replication < 1 || v.Replication > MaxReplication:
		return invalid("replication %d", v.Replication)
	case len(v.Members) == 0 || len(v.Members) > MaxMembers:
		return invalid("%d members", len(v.Members))
	case len(v.Voters) == 0 || len(v.Voters) > MaxVoters:
		return invalid("%d voters", len(v.Voters))
	case len(v.Slots) == 0 || len(v.Slots) > MaxSlots:
		return invalid("%d slots", len(v.Slots))
	}
	for i := range v.Members {
		if err := v.Members[i].validate(); err != nil {
			return err
		}
		if i > 0 && v.Members[i-1].ID >= v.Members[i].ID {
			return invalid("member %s is out of order", v.Members[i].ID)
		}
	}
	if err := v.validateSet(v.Voters); err != nil {
		return fmt.Errorf("voters: %w", err)
	}
	if !v.IsVoter(v.Coordinator) {
		return invalid("coordinator %s is no voter", v.Coordinator)
	}
	for i := range v.Slots {
		if err := v.validateRow(&v.Slots[i]); err != nil {
			return fmt.Errorf("slot %d: %w", i, err)
		}
	}
	return nil
}

func (m *Member) validate() error {
	switch {
	case m.ID == 0:
		return invalid("a member without an id")
	case m.Weight < 1 || m.Weight > MaxWeight:
		return invalid("member %s weighs %d", m.ID, m.Weight)
	case m.State > Leaving:
		return invalid("member %s has %s", m.ID, m.State)
	case len(m.Kinds) > maxKinds:
		return invalid("member %s hosts %d kinds", m.ID, len(m.Kinds))
	}
	for _, s := range [...]string{m.Name, m.Addr, m.HTTP, m.Zone} {
		if len(s) > maxStringBytes {
			return invalid("member %s: a string of %d bytes", m.ID, len(s))
		}
	}
	for i, kind := range m.Kinds {
		if kind == "" || len(kind) > maxStringBytes || i > 0 && m.Kinds[i-1] >= kind {
			return invalid("member %s: kind %.64q", m.ID, kind)
		}
	}
	return nil
}

func (v *View) validateRow(r *Row) error {
	switch {
	case r.Epoch == 0 || r.Epoch > v.Epoch:
		return invalid("slot epoch %d in view %d", r.Epoch, v.Epoch)
	case len(r.Replicas) == 0 || len(r.Replicas) > v.Replication:
		return invalid("%d replicas", len(r.Replicas))
	case len(r.Learners) > MaxReplication:
		return invalid("%d learners", len(r.Learners))
	case len(r.From) > maxFromSets:
		return invalid("%d earlier sets", len(r.From))
	}
	if err := v.validateSet(append(slices.Clone(r.Replicas), r.Learners...)); err != nil {
		return err
	}
	for i, set := range r.From {
		if len(set) == 0 || len(set) > MaxReplication {
			return invalid("an earlier set of %d", len(set))
		}
		if err := v.validateSet(set); err != nil {
			return fmt.Errorf("earlier set: %w", err)
		}
		same := func(other []NodeID) bool { return sameSet(set, other) }
		if same(r.Replicas) || slices.ContainsFunc(r.From[:i], same) {
			return invalid("a set is listed twice")
		}
	}
	return nil
}

// validateSet checks that ids are members and that none repeats.
func (v *View) validateSet(ids []NodeID) error {
	for i, id := range ids {
		if _, ok := v.index(id); !ok {
			return invalid("%s is no member", id)
		}
		if slices.Contains(ids[:i], id) {
			return invalid("%s is listed twice", id)
		}
	}
	return nil
}
