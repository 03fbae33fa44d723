package mesh

import (
	"context"
	"time"

	"actormesh/mesh/core"
)

// JSONCall is a call by names, with its argument in JSON, as it comes over HTTP.
type JSONCall struct {
	Kind, ID, Method string
	Arg              []byte        // JSON; empty for none. CallJSON may keep it
	Key              string        // the caller's own request id, as for Once; empty for none
	Timeout          time.Duration // if zero, Config.CallTimeout
}

// JSONReply is what a method returned, in JSON, and where from.
type JSONReply struct {
	Result   []byte
	Node     string // the name of the owner that answered; empty where none did
	Replayed bool   // the first answer to this request id, again
}

// CallJSON makes a call by names, for gateways that know no Go types: it does
// what the HTTP API does with it. The error is a *Problem; ctx ends the call early.
// What answered it is in the reply also if the handler failed.
func (n *Node) CallJSON(ctx context.Context, call JSONCall) (JSONReply, error) {
	setDefault(&call.Timeout, n.conf.CallTimeout)
	if call.Key != "" && !isName(call.Key, maxKeyOwnBytes) {
		return JSONReply{}, badRequest("request id %q: it is 1 to %d bytes of UTF-8 without control characters", clip(call.Key), maxKeyOwnBytes)
	}
	if call.Timeout < 0 || call.Timeout > maxCallTimeout {
		return JSONReply{}, badRequest("a timeout of %v: it is above 0 and up to %v", call.Timeout, maxCallTimeout)
	}
	a := httpCalls{n}.callHTTP(ctx, &httpCall{
		Kind: call.Kind, ID: call.ID, Method: call.Method, Body: call.Arg, Key: call.Key, Timeout: call.Timeout,
	})
	reply := JSONReply{Result: a.Reply, Node: a.Node, Replayed: a.Replayed}
	if a.Code != core.CodeOK {
		return reply, problemOf(&a.Outcome, call.Key != "")
	}
	if len(reply.Result) == 0 {
		reply.Result = nullJSON
	}
	return reply, nil
}
