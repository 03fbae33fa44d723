package core

import (
	"testing"
	"time"

	"actormesh/quorum"
)

// BenchmarkCall is the way of a call through a shard whose slot has one replica:
// the call, its turn, the record, the end of the write, the answer.
func BenchmarkCall(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(map[int]string{1: "alone", 64: "batches of 64"}[batch], func(b *testing.B) { benchmarkCalls(b, batch, false) })
	}
	b.Run("reads", func(b *testing.B) { benchmarkCalls(b, 64, true) })
}

func benchmarkCalls(b *testing.B, batch int, readOnly bool) {
	now := quorum.Instant(time.Hour)
	s := NewShard(now, ShardConfig{Self: 1, Boot: 1, Lease: time.Second}, nil)
	s.Register(now)
	s.Adopt(now, 1, []SlotRow{{0, quorum.Row{Epoch: 1, Replicas: []quorum.NodeID{1}}}})
	persist := func() Ready {
		y := s.Ready(now)
		for _, f := range y.Folds {
			s.Folded(f, true)
		}
		if len(y.Writes) > 0 {
			s.Persisted(now, y.Seq)
		}
		return y
	}
	persist()
	persist()
	calls := make([]Call, batch)
	state, reply := make([]byte, 100), make([]byte, 20)
	number := uint64(0)
	run := func() {
		for i := range calls {
			number++
			calls[i] = Call{
				Actor: quorum.MakeActorKey("a", string(rune('a'+i))), Method: "add", ReadOnly: readOnly,
				Request:  quorum.RequestID{Session: quorum.SessionID{1}, Number: number, Low: number},
				Deadline: now.Add(time.Second), Idle: time.Minute,
			}
			if readOnly {
				calls[i].Request = quorum.RequestID{}
			}
			s.Call(now, &calls[i])
		}
		y := s.Ready(now)
		if len(y.Loads) > 0 {
			for _, l := range y.Loads {
				s.Loaded(now, l.Activation, ActorImage{Base: quorum.NewBase()}, nil)
			}
			y = s.Ready(now)
		}
		if len(y.Turns) != batch {
			b.Fatalf("%d turns", len(y.Turns))
		}
		for i := range y.Turns {
			t := &y.Turns[i]
			s.TurnDone(now, &TurnResult{Activation: t.Activation, Turn: t.Fence.Turn, State: state, Reply: reply, Unchanged: readOnly})
		}
		ended := len(persist().Outcomes) + len(s.Ready(now).Outcomes)
		if ended != batch {
			b.Fatalf("%d calls ended", ended)
		}
		now = now.Add(time.Millisecond)
	}
	run()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/call")
}
