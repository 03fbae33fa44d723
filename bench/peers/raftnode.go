package main

import (
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metrics"
)

// What is asked of a node of raft: the first byte of a call. Keys have a fixed
// length, so that nothing has to say it.
const (
	askPut      = 'p' // key, value
	askGet      = 'g' // key; answered with the value
	askLeader   = 'l' // answered if the node leads
	askCounters = 'c' // answered with its fsyncs: 8 bytes
	keyBytes    = 16
)

// The limits of hashicorp/raft that are not left as they are.
const (
	raftBatch   = 1024 // entries that are appended with one fsync; 64 is the default, and 1,024 the most
	raftTimeout = 5 * time.Second
	raftPool    = 3
)

// raftNode is one node of hashicorp/raft over raft-wal, behind the calls of rpc.go.
type raftNode struct {
	raft    *raft.Raft
	state   *raftState
	metrics *metrics.AtomicCollector
}

// runRaft is one node of raft. One group holds all keys, as in etcd.
func runRaft(ctx context.Context, n *node) error {
	r, err := openRaft(n)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", n.client)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return errors.Join(r.raft.Shutdown().Error(), context.Cause(ctx))
		}
		go serve(ctx, conn, r.handle) // its end is the client's affair
	}
}

func openRaft(n *node) (*raftNode, error) {
	if err := os.MkdirAll(filepath.Join(n.data, "wal"), 0o700); err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr})
	r := &raftNode{state: &raftState{values: map[string][]byte{}}, metrics: metrics.NewAtomicCollector(wal.MetricDefinitions)}
	store, err := wal.Open(filepath.Join(n.data, "wal"), wal.WithLogger(log), wal.WithMetricsCollector(r.metrics))
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(n.data, 2, log)
	if err != nil {
		return nil, err
	}
	transport, err := raft.NewTCPTransportWithLogger(n.listen, nil, raftPool, raftTimeout, log)
	if err != nil {
		return nil, err
	}
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = raft.ServerID(n.name), log
	conf.BatchApplyCh, conf.MaxAppendEntries = true, raftBatch
	var members raft.Configuration
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(n.members[name])})
	}
	if err := raft.BootstrapCluster(conf, store, store, snapshots, transport, members); err != nil {
		return nil, err
	}
	r.raft, err = raft.NewRaft(conf, r.state, store, store, snapshots, transport)
	return r, err
}

// handle answers one call.
func (r *raftNode) handle(asked []byte, answer func(byte, []byte)) {
	if len(asked) == 0 || (asked[0] == askPut || asked[0] == askGet) && len(asked) < 1+keyBytes {
		answer(answerError, []byte("it is too short"))
		return
	}
	reply := func(said []byte, err error) {
		if err != nil {
			answer(answerError, []byte(err.Error()))
			return
		}
		answer(answerOK, said)
	}
	switch asked[0] {
	case askPut:
		applied := r.raft.Apply(asked[1:], raftTimeout)
		go func() { reply(nil, applied.Error()) }()
	case askGet:
		go func() { reply(r.get(string(asked[1 : 1+keyBytes]))) }()
	case askLeader:
		reply(nil, r.raft.VerifyLeader().Error())
	case askCounters:
		counters := r.metrics.Summary().Counters
		reply(binary.LittleEndian.AppendUint64(nil, counters["log_appends"]+counters["stable_sets"]), nil)
	default:
		reply(nil, fmt.Errorf("there is no call %q", asked[0]))
	}
}

// get reads linearizably: what was committed before the leader was confirmed by a
// majority is applied before the key is read.
func (r *raftNode) get(key string) ([]byte, error) {
	committed := r.raft.CommitIndex()
	if err := r.raft.VerifyLeader().Error(); err != nil {
		return nil, err
	}
	if r.raft.AppliedIndex() < committed {
		if err := r.raft.Barrier(raftTimeout).Error(); err != nil {
			return nil, err
		}
	}
	return r.state.get(key)
}

// raftState is the values by key.
type raftState struct {
	mu     sync.RWMutex
	values map[string][]byte
}

var _ raft.BatchingFSM = (*raftState)(nil)

func (s *raftState) get(key string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok := s.values[key]
	if !ok {
		return nil, fmt.Errorf("there is no %q", key)
	}
	return value, nil
}

// Apply implements raft.FSM.
func (s *raftState) Apply(log *raft.Log) any { return s.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (s *raftState) ApplyBatch(logs []*raft.Log) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, log := range logs {
		if log.Type == raft.LogCommand {
			s.values[string(log.Data[:keyBytes])] = log.Data[keyBytes:]
		}
	}
	return make([]any, len(logs))
}

// Snapshot implements raft.FSM.
func (s *raftState) Snapshot() (raft.FSMSnapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return raftSnapshot(maps.Clone(s.values)), nil
}

// Restore implements raft.FSM.
func (s *raftState) Restore(r io.ReadCloser) error {
	defer r.Close()
	values := map[string][]byte{}
	if err := gob.NewDecoder(r).Decode(&values); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = values
	return nil
}

// raftSnapshot is a copy of the values.
type raftSnapshot map[string][]byte

// Persist implements raft.FSMSnapshot.
func (s raftSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := gob.NewEncoder(sink).Encode(map[string][]byte(s)); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s raftSnapshot) Release() {}
