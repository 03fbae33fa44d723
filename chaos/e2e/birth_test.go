package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"actormesh/chaos/cluster"
)

const births = 20

// Three nodes that are told to expect three, started at the same moment, make
// one cluster of three, each time.
func TestE2EBirths(t *testing.T) {
	for i := range births {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			m := layOut(t, cluster.Config{Nodes: 3, Together: true})
			m.must(m.Start())
			m.ready(m.Nodes...)
			first := m.status(m.Nodes[0])
			for _, n := range m.Nodes {
				s := m.status(n)
				if s.Cluster == "" || s.Cluster != first.Cluster || len(s.Members) != 3 {
					t.Errorf("%s is in cluster %q of %d members; n1 is in %q", n.Name, s.Cluster, len(s.Members), first.Cluster)
				}
			}
			m.add("born", "k", 1, m.Nodes[2])
			if got := m.get("born", m.Nodes[0]); got != 1 {
				t.Errorf("the counter is %d, want 1", got)
			}
		})
	}
}

// An empty disk with neither --expect nor --join is a mistake of the operator,
// never a second cluster.
func TestE2EEmptyDiskIsAUsageError(t *testing.T) {
	m := layOut(t, cluster.Config{Nodes: 1})
	n := m.Nodes[0]
	n.Args = nil
	m.must(n.Start())
	if code := m.exits(n); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	m.must(says(n, "--join"))
}

// A node whose seeds do not answer waits for them; it founds nothing.
func TestE2EJoinNeverFounds(t *testing.T) {
	m := layOut(t, cluster.Config{Nodes: 2})
	joiner := m.Nodes[1]
	m.must(joiner.Start())
	m.until(readyTimeout, func(ctx context.Context) error {
		err := m.Client.Get(ctx, joiner.HTTP, "/healthz", nil)
		if !joiner.Running() {
			return fmt.Errorf("%w: %s has exited", cluster.ErrHopeless, joiner.Name)
		}
		return err
	})
	if err := m.Client.Get(t.Context(), joiner.HTTP, "/readyz", nil); err == nil {
		t.Error("a node that joined nobody is ready")
	}
	m.must(m.Nodes[0].Start())
	m.ready(m.Nodes...)
	if s := m.status(joiner); len(s.Members) != 2 {
		t.Errorf("%d members after the seed came, want 2", len(s.Members))
	}
}

// fill starts three nodes and writes one counter for each, which must outlive
// what the test does to a disk.
func fill(t *testing.T) (m *mesh, ids []string) {
	m = start(t, 3, "")
	for _, n := range m.Nodes {
		id := m.ownedBy(n)
		m.add(id, "fill", 7)
		ids = append(ids, id)
	}
	return m, ids
}

func (m *mesh) intact(ids []string, through ...*cluster.Node) {
	m.t.Helper()
	for _, id := range ids {
		if got := m.get(id, through...); got != 7 {
			m.t.Errorf("%s is %d, want 7", id, got)
		}
	}
}

// Of two processes on copies of one disk at most one takes part, and the other
// stops and says why.
func TestE2ECopiedDisk(t *testing.T) {
	m, ids := fill(t)
	victim := m.Nodes[2]
	twin, err := m.Add(meshnode, victim.Args...)
	m.must(err)
	m.must(victim.Kill())
	m.must(victim.CopyData(twin.Data))
	m.must(victim.Start())
	m.ready(victim)
	twin.Name = victim.Name
	m.must(twin.Start())
	if code := m.exits(twin); code != 1 {
		t.Errorf("the copy's exit code is %d, want 1", code)
	}
	m.must(says(twin, "copied", "copy"))
	m.ready(victim)
	m.intact(ids, victim)
}

// A disk that was set back to an earlier copy stops with a message, instead of
// forgetting what it promised.
func TestE2ERolledBackDisk(t *testing.T) {
	m, ids := fill(t)
	victim := m.Nodes[2]
	m.must(victim.Kill())
	backup := victim.Data + ".backup"
	m.must(victim.CopyData(backup))
	m.must(victim.Start())
	m.ready(victim)
	for _, id := range ids {
		m.add(id, "later", 0, victim)
	}
	m.must(victim.Kill())
	m.must(replaceData(victim, backup))
	m.must(victim.Start())
	if code := m.exits(victim); code != 1 {
		t.Errorf("the exit code is %d, want 1", code)
	}
	m.must(says(victim, "rolled back", "earlier", "copied"))
	m.intact(ids, m.others(victim)...)
}

// A wiped disk under an old name is a new member: it comes back empty-handed,
// and is given copies.
func TestE2EWipedDisk(t *testing.T) {
	m, ids := fill(t)
	victim := m.Nodes[2]
	old := diskOf(m.status(m.Nodes[0]), victim.Name)
	m.must(victim.Kill())
	m.must(os.RemoveAll(victim.Data))
	m.must(victim.Start())
	m.ready(victim)
	m.until(readyTimeout, func(ctx context.Context) error {
		s, err := m.Status(ctx, m.Nodes[0])
		if disk := diskOf(s, victim.Name); err == nil && (disk == "" || disk == old) {
			err = fmt.Errorf("%s has the disk %q, and had %q", victim.Name, disk, old)
		}
		return err
	})
	m.intact(ids, victim)
}

// diskOf returns the disk of the newest member of this name.
func diskOf(s cluster.Status, name string) string {
	disk := ""
	for _, m := range s.Members {
		if m.Name == name && (disk == "" || m.State == "alive") {
			disk = m.Disk
		}
	}
	return disk
}

// A disk that belongs to one cluster is never let into another.
func TestE2EForeignDisk(t *testing.T) {
	home, _ := fill(t)
	stranger := home.Nodes[2]
	away := start(t, 1, "")
	away.add("x", "k", 1)
	home.must(home.Kill())
	stranger.Args = []string{"--join", away.Nodes[0].Listen}
	home.must(stranger.Start())
	home.until(readyTimeout, func(context.Context) error { return says(stranger, "another cluster", "other cluster") })
	if err := home.Client.Get(t.Context(), stranger.HTTP, "/readyz", nil); err == nil {
		t.Error("the stranger is ready")
	}
	if s := away.status(away.Nodes[0]); len(s.Members) != 1 {
		t.Errorf("the other cluster has %d members now", len(s.Members))
	}
	if got := away.get("x"); got != 1 {
		t.Errorf("its counter is %d, want 1", got)
	}
}
