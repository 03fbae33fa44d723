package transport

import (
	"math"
	"testing"

	"actormesh/quorum"
)

func replies() []*Reply {
	fence := quorum.Position{Ballot: quorum.Ballot{Epoch: 300, Boot: 7}, LSN: 1 << 40}
	return []*Reply{
		{},
		{ID: 1, JSON: true, Result: []byte(`{"value":1}`), Fence: fence, LSN: 9, Node: "n1", Epoch: 300},
		{ID: math.MaxUint64, Code: 255, Replayed: true, Detail: "no owner", Redirect: math.MaxUint64, Result: []byte{}},
		{Code: 1, App: &quorum.AppError{Code: "paid", Message: "paid already", Details: []byte("{}")}},
		{Code: 1, App: &quorum.AppError{}},
	}
}

func TestReply(t *testing.T) {
	testFrame(t, AppendReply, plainReply, replies()...)
	testNewer(t, AppendReply, plainReply, replies()[1])
}

func FuzzReply(f *testing.F) { fuzzFrame(f, AppendReply, plainReply, replies()...) }

func plainReply(b []byte) (*Reply, error) { return decodeReply(b, nil) }
