package transport

import (
	"fmt"
	"time"

	"actormesh/quorum"
)

// Call asks a node to run one invocation, or to pass it on.
type Call struct {
	ID        uint64       // correlates the reply; set by the sender's transport
	Epoch     quorum.Epoch // of the view by which the sender chose the node
	Kind      string
	Actor     string // the actor's id
	Method    string
	Args      []byte
	JSON      bool  // Args is JSON, not msgpack
	WantJSON  bool  // the result is to be JSON
	Internal  bool  // from a turn, a send or a timer
	Hops      uint8 // how often it was passed on
	Request   quorum.RequestID
	Timeout   time.Duration     // what is left of it
	Chain     []quorum.ActorKey // the actors whose turns wait, outermost first
	Principal string
	Trace     []byte // W3C trace context, or nil
}

const (
	callFields     = 13
	requestFields  = 5
	callJSON       = 1 << 0
	callWantJSON   = 1 << 1
	callInternal   = 1 << 2
	sessionIDBytes = len(quorum.SessionID{})
)

// AppendCall appends the call's encoding, without a frame's header, to b.
func AppendCall(b []byte, c *Call) []byte {
	b = appendArray(b, callFields)
	b = appendUint(b, c.ID)
	b = appendUint(b, uint64(c.Epoch))
	b = appendStr(b, c.Kind)
	b = appendStr(b, c.Actor)
	b = appendStr(b, c.Method)
	b = appendBin(b, c.Args)
	b = appendUint(b, c.flags())
	b = appendUint(b, uint64(c.Hops))
	b = appendRequest(b, &c.Request)
	b = appendUint(b, uint64(max(c.Timeout, 0)))
	b = appendArray(b, len(c.Chain))
	for _, k := range c.Chain {
		b = appendStr(b, string(k))
	}
	b = appendStr(b, c.Principal)
	return appendBin(b, c.Trace)
}

func (c *Call) flags() uint64 {
	var f uint64
	if c.JSON {
		f |= callJSON
	}
	if c.WantJSON {
		f |= callWantJSON
	}
	if c.Internal {
		f |= callInternal
	}
	return f
}

func appendRequest(b []byte, r *quorum.RequestID) []byte {
	if r.IsZero() {
		return append(b, 0xc0)
	}
	b = appendArray(b, requestFields)
	if r.Session == (quorum.SessionID{}) {
		b = appendBin(b, nil)
	} else {
		b = appendBin(b, r.Session[:])
	}
	b = appendUint(b, r.Number)
	b = appendUint(b, r.Low)
	b = appendStr(b, r.Key)
	return appendStr(b, string(r.Source))
}

// check says whether a peer would take the call. A call that it would not take
// must not be sent, for it would end the connection and all calls on it.
func (c *Call) check() error {
	longest := max(len(c.Kind), len(c.Actor), len(c.Method), len(c.Principal))
	for _, k := range c.Chain {
		if len(k) > maxKeyBytes {
			return fmt.Errorf("%w: a chain with a key of %d bytes", ErrTooLarge, len(k))
		}
	}
	switch r := &c.Request; {
	case longest > maxNameBytes:
		return fmt.Errorf("%w: a name of %d bytes, %d at most", ErrTooLarge, longest, maxNameBytes)
	case len(c.Chain) > maxChain:
		return fmt.Errorf("%w: a chain of %d actors, %d at most", ErrTooLarge, len(c.Chain), maxChain)
	case len(c.Trace) > maxTraceBytes, len(r.Key) > maxRequestKeyBytes, len(r.Source) > maxKeyBytes:
		return fmt.Errorf("%w: a trace of %d bytes, a request id of %d", ErrTooLarge, len(c.Trace), len(r.Key)+len(r.Source))
	case len(c.Args) > maxFrameBytes:
		return fmt.Errorf("%w: arguments of %d bytes", ErrTooLarge, len(c.Args))
	}
	return nil
}

// decodeCall decodes what AppendCall wrote, all of it. Args and Trace point into b;
// names, if not nil, keeps the strings that come again. The error wraps ErrFrame.
func decodeCall(b []byte, names *interner) (*Call, error) {
	d := decoder{b: b, names: names}
	c := &Call{}
	extra := d.fields(callFields)
	c.ID = d.uint()
	c.Epoch = quorum.Epoch(d.uint())
	c.Kind = d.str(maxNameBytes)
	c.Actor = d.str(maxNameBytes)
	c.Method = d.str(maxNameBytes)
	c.Args = d.bin(maxFrameBytes)
	flags := d.uint()
	c.JSON, c.WantJSON, c.Internal = flags&callJSON != 0, flags&callWantJSON != 0, flags&callInternal != 0
	c.Hops = uint8(d.uintMax(1<<8 - 1))
	d.request(&c.Request)
	c.Timeout = time.Duration(d.uintMax(1<<63 - 1))
	if n := d.array(1); n > maxChain {
		d.fail("a chain of %d actors, %d at most", n, maxChain)
	} else if n > 0 {
		c.Chain = make([]quorum.ActorKey, n)
		for i := range c.Chain {
			c.Chain[i] = quorum.ActorKey(d.str(maxKeyBytes))
		}
	}
	c.Principal = d.str(maxNameBytes)
	c.Trace = d.bin(maxTraceBytes)
	d.skip(extra)
	if err := d.end(); err != nil {
		return nil, err
	}
	return c, nil
}

func (d *decoder) request(r *quorum.RequestID) {
	if len(d.b) > 0 && d.b[0] == 0xc0 {
		d.b = d.b[1:]
		return
	}
	extra := d.fields(requestFields)
	if s := d.bin(sessionIDBytes); s != nil {
		if len(s) != sessionIDBytes {
			d.fail("a session id of %d bytes", len(s))
		}
		copy(r.Session[:], s)
	}
	r.Number = d.uint()
	r.Low = d.uint()
	r.Key = d.str(maxRequestKeyBytes)
	r.Source = quorum.ActorKey(d.str(maxKeyBytes))
	if d.skip(extra); r.IsZero() {
		d.fail("a request id that names nothing")
	}
}
