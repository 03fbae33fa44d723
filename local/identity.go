package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// Identity says whose disk this is, and which start of it.
type Identity struct {
	Disk    quorum.NodeID
	Boot    quorum.Boot  // counts the starts, this one included
	Nonce   quorum.Nonce // drawn for this start
	Name    string       // empty until it is set
	Cluster [16]byte     // zero until it is set
	Left    bool         // the node has left its cluster for good
}

// The second byte of identity keys.
const (
	fieldDisk     = 'd'
	fieldBoot     = 'b'
	fieldName     = 'n'
	fieldCluster  = 'c'
	fieldLeft     = 'l'
	fieldRegister = 'r'
	fieldPeers    = 'p'
	fieldResetKey = 'k'
)

func identityKey(field byte) []byte { return []byte{keyIdentity, field} }

// startIdentity makes or loads the identity and makes the new boot durable.
func (s *Store) startIdentity(empty bool, entropy io.Reader) error {
	load := s.loadIdentity
	if empty {
		load = func() error { return s.drawIdentity(entropy) }
	}
	if err := load(); err != nil {
		return err
	}
	var nonce [8]byte
	if _, err := io.ReadFull(entropy, nonce[:]); err != nil {
		return err
	}
	s.id.Nonce = quorum.Nonce(binary.BigEndian.Uint64(nonce[:]))
	if s.id.Boot == 0 || !mutant.On(mutant.BootUncounted) {
		s.id.Boot++
	}
	b := s.NewBatch()
	defer b.Close()
	if empty {
		b.set([]byte{keyFormat}, []byte(storeFormat))
		b.set(identityKey(fieldDisk), binary.BigEndian.AppendUint64(nil, uint64(s.id.Disk)))
		b.set(identityKey(fieldResetKey), s.resetKey[:])
	}
	b.set(identityKey(fieldBoot), binary.BigEndian.AppendUint64(nil, uint64(s.id.Boot)))
	return s.Commit(b, true)
}

func (s *Store) drawIdentity(entropy io.Reader) error {
	var disk [8]byte
	for s.id.Disk == 0 {
		if _, err := io.ReadFull(entropy, disk[:]); err != nil {
			return err
		}
		s.id.Disk = quorum.NodeID(binary.BigEndian.Uint64(disk[:]))
	}
	_, err := io.ReadFull(entropy, s.resetKey[:])
	return err
}

func (s *Store) loadIdentity() error {
	var errs []error
	field := func(f byte, size int, must bool) []byte {
		v, found, err := s.get(identityKey(f))
		if err == nil && (must && !found || found && size >= 0 && len(v) != size) {
			err = damaged("identity field %q: found %t, %d bytes", f, found, len(v))
		}
		if err != nil {
			errs = append(errs, err)
			return make([]byte, max(size, 0))
		}
		return v
	}
	s.id.Disk = quorum.NodeID(binary.BigEndian.Uint64(field(fieldDisk, 8, true)))
	s.id.Boot = quorum.Boot(binary.BigEndian.Uint64(field(fieldBoot, 8, true)))
	copy(s.resetKey[:], field(fieldResetKey, len(s.resetKey), true))
	copy(s.id.Cluster[:], field(fieldCluster, len(s.id.Cluster), false))
	s.id.Name = string(field(fieldName, -1, false))
	s.id.Left = len(field(fieldLeft, 1, false)) > 0
	if register := field(fieldRegister, -1, false); register != nil {
		s.register.Store(&register)
	}
	if peers := string(field(fieldPeers, -1, false)); peers != "" {
		s.peers = strings.Split(peers, "\n")
	}
	return errors.Join(errs...)
}

// Identity returns whose disk this is.
func (s *Store) Identity() Identity {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	return s.id
}

// Empty reports whether the disk has never been in a cluster: it remembers no
// cluster, and no register.
func (s *Store) Empty() bool {
	return s.Identity().Cluster == [16]byte{} && len(s.Register()) == 0
}

// SetName gives the disk its node's name, durably, if it has none. The error
// wraps ErrOtherName if it has another.
func (s *Store) SetName(name string) error {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	switch s.id.Name {
	case name:
		return nil
	case "":
	default:
		return fmt.Errorf("%w: it is %q's, not %q's", ErrOtherName, s.id.Name, name)
	}
	if err := s.saveIdentity(fieldName, []byte(name), true); err != nil {
		return err
	}
	s.id.Name = name
	return nil
}

// SetCluster makes the disk remember its cluster, durably, if it has none. The
// error wraps ErrOtherCluster if it has another.
func (s *Store) SetCluster(cluster [16]byte) error {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	switch s.id.Cluster {
	case cluster:
		return nil
	case [16]byte{}:
	default:
		return fmt.Errorf("%w: it is of %x, not %x", ErrOtherCluster, s.id.Cluster, cluster)
	}
	if err := s.saveIdentity(fieldCluster, cluster[:], true); err != nil {
		return err
	}
	s.id.Cluster = cluster
	return nil
}

// SetLeft remembers durably that the node has left its cluster for good.
func (s *Store) SetLeft() error {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	if err := s.saveIdentity(fieldLeft, []byte{1}, true); err != nil {
		return err
	}
	s.id.Left = true
	return nil
}

// SaveRegister stores the view register's state, durably. It is what the
// core encoded; nothing here looks inside.
func (s *Store) SaveRegister(state []byte) error {
	b := s.NewBatch()
	defer b.Close()
	b.SetRegister(state)
	return s.Commit(b, true)
}

// Register returns what was last saved, nil if nothing was. It must not be modified.
func (s *Store) Register() []byte {
	if state := s.register.Load(); state != nil {
		return *state
	}
	return nil
}

// SavePeers remembers addresses at which other members were last seen. It does
// not wait for the disk. An address holds no line break.
func (s *Store) SavePeers(addrs []string) error {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	if err := s.saveIdentity(fieldPeers, []byte(strings.Join(addrs, "\n")), false); err != nil {
		return err
	}
	s.peers = slices.Clone(addrs)
	return nil
}

// Peers returns the addresses that were last saved.
func (s *Store) Peers() []string {
	s.idMu.Lock()
	defer s.idMu.Unlock()
	return slices.Clone(s.peers)
}

// ResetKey returns the key of this node's QUIC stateless resets, drawn when the
// disk was new.
func (s *Store) ResetKey() [32]byte { return s.resetKey }

func (s *Store) saveIdentity(field byte, value []byte, sync bool) error {
	b := s.NewBatch()
	defer b.Close()
	b.set(identityKey(field), value)
	return s.Commit(b, sync)
}
