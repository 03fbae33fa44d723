package transport

import (
	"actormesh/quorum"
)

// Reply answers a Call.
type Reply struct {
	ID       uint64 // of the call; set by the transport
	Code     uint8  // a core.Code
	JSON     bool   // Result is JSON, not msgpack
	Replayed bool   // the first answer to this request id, again
	Detail   string
	App      *quorum.AppError
	Result   []byte
	Fence    quorum.Position
	LSN      quorum.LSN    // of the actor's last record
	Node     string        // the owner that answered
	Epoch    quorum.Epoch  // of the view of the node that answers
	Redirect quorum.NodeID // who owns the actor in that view, if the call was sent to the wrong node
}

const (
	replyFields   = 13
	appFields     = 3
	replyJSON     = 1 << 0
	replyReplayed = 1 << 1
)

// AppendReply appends the reply's encoding, without a frame's header, to b.
func AppendReply(b []byte, r *Reply) []byte {
	var flags uint64
	if r.JSON {
		flags |= replyJSON
	}
	if r.Replayed {
		flags |= replyReplayed
	}
	b = appendArray(b, replyFields)
	b = appendUint(b, r.ID)
	b = appendUint(b, uint64(r.Code))
	b = appendUint(b, flags)
	b = appendStr(b, r.Detail)
	if r.App == nil {
		b = append(b, 0xc0)
	} else {
		b = appendArray(b, appFields)
		b = appendStr(b, r.App.Code)
		b = appendStr(b, r.App.Message)
		b = appendBin(b, r.App.Details)
	}
	b = appendBin(b, r.Result)
	b = appendBallot(b, r.Fence.Ballot)
	b = appendUint(b, uint64(r.Fence.LSN))
	b = appendUint(b, uint64(r.LSN))
	b = appendStr(b, r.Node)
	b = appendUint(b, uint64(r.Epoch))
	return appendUint(b, uint64(r.Redirect))
}

// decodeReply decodes what AppendReply wrote, all of it. Result and the details of App point into b;
// names, if not nil, keeps the strings that come again. The error wraps ErrFrame.
func decodeReply(b []byte, names *interner) (*Reply, error) {
	d := decoder{b: b, names: names}
	r := &Reply{}
	extra := d.fields(replyFields)
	r.ID = d.uint()
	r.Code = uint8(d.uintMax(1<<8 - 1))
	flags := d.uint()
	r.JSON, r.Replayed = flags&replyJSON != 0, flags&replyReplayed != 0
	r.Detail = d.str(maxFrameBytes)
	if len(d.b) > 0 && d.b[0] == 0xc0 {
		d.b = d.b[1:]
	} else {
		more := d.fields(appFields)
		r.App = &quorum.AppError{Code: d.str(maxFrameBytes), Message: d.str(maxFrameBytes), Details: d.bin(maxFrameBytes)}
		d.skip(more)
	}
	r.Result = d.bin(maxFrameBytes)
	r.Fence = quorum.Position{Ballot: d.ballot(), LSN: quorum.LSN(d.uint())}
	r.LSN = quorum.LSN(d.uint())
	r.Node = d.str(maxNameBytes)
	r.Epoch = quorum.Epoch(d.uint())
	r.Redirect = quorum.NodeID(d.uint())
	d.skip(extra)
	if err := d.end(); err != nil {
		return nil, err
	}
	return r, nil
}
