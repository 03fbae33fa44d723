package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// sink is where a snapshot goes.
type sink struct{ bytes.Buffer }

func (s *sink) ID() string    { return "1" }
func (s *sink) Cancel() error { return nil }
func (s *sink) Close() error  { return nil }

// TestRaftState goes through a snapshot, which later writes do not touch.
func TestRaftState(t *testing.T) {
	key := strings.Repeat("k", keyBytes)
	s := &raftState{values: map[string][]byte{}}
	put := func(value string) { s.Apply(&raft.Log{Type: raft.LogCommand, Data: []byte(key + value)}) }
	put("old")
	s.Apply(&raft.Log{Type: raft.LogConfiguration, Data: []byte("x")})
	snapshot, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	put("new")
	if got, err := s.get(key); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	var saved sink
	if err := snapshot.Persist(&saved); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(io.NopCloser(&saved.Buffer)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.get(key); err != nil || string(got) != "old" {
		t.Errorf("restored: %q, %v", got, err)
	}
	if _, err := s.get("other"); err == nil {
		t.Error("a key that nobody wrote is there")
	}
}
