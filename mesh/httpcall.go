package mesh

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// bodyTimeout is how long a client may take to send an argument.
const bodyTimeout = 30 * time.Second

// drainedBytes is how much of an argument that is too large is read all the
// same. A connection that is closed with bytes unread is reset, and the client
// would see that instead of the answer.
const drainedBytes = 4 << 20

// maxTraceBytes is more than any traceparent has.
const maxTraceBytes = 128

// nullJSON is the reply of a method that returns nothing.
var nullJSON = []byte("null")

// call answers a call. The request's method and sender are already checked.
func (h *httpHandler) call(x *httpExchange, p actorPath) *Problem {
	began := time.Now()
	call := httpCall{Kind: p.kind, ID: p.id, Method: p.method, Principal: x.principal, RequestID: x.requestID}
	if problem := h.callHeaders(x.r, &call); problem != nil {
		return problem
	}
	var problem *Problem
	if call.Body, problem = readBody(x.ResponseWriter, x.r, h.maxArgBytes); problem != nil {
		return problem
	}
	answer := h.caller.callHTTP(x.r.Context(), &call)
	h.metrics.observeCall(answer.Code, time.Since(began))
	writeAnswerHeaders(x.Header(), &answer)
	if answer.Code != core.CodeOK {
		return problemOf(&answer.Outcome, call.Key != "")
	}
	reply := answer.Reply
	if len(reply) == 0 {
		reply = nullJSON
	}
	if len(reply) > 2048 { // net/http counts up to here by itself
		x.Header()["Content-Length"] = []string{strconv.Itoa(len(reply))}
	}
	x.Write(reply) // an error here is the client's connection, and its loss
	return nil
}

// callHeaders takes from the request's headers what a call has of them.
func (h *httpHandler) callHeaders(r *http.Request, call *httpCall) *Problem {
	call.Timeout = h.callTimeout
	if v := r.Header["Mesh-Timeout"]; len(v) > 0 {
		d, err := time.ParseDuration(v[0])
		if err != nil || d <= 0 || d > maxCallTimeout || len(v) > 1 {
			return badRequest("Mesh-Timeout %q: it is one Go duration above 0 and up to %v, such as 2.5s", clip(v[0]), maxCallTimeout)
		}
		call.Timeout = d
	}
	if v := r.Header["Idempotency-Key"]; len(v) > 0 {
		if len(v) > 1 || !isName(v[0], maxKeyOwnBytes) {
			return badRequest("Idempotency-Key %q: it is one, 1 to %d bytes of UTF-8 without control characters", clip(v[0]), maxKeyOwnBytes)
		}
		call.Key = v[0]
	}
	if v := r.Header["Traceparent"]; len(v) == 1 && len(v[0]) <= maxTraceBytes {
		call.Trace = v[0]
	}
	return nil
}

// jsonContentType is shared: net/http does not change a header's values.
var (
	jsonContentType = []string{"application/json"}
	replayedTrue    = []string{"true"}
)

// writeAnswerHeaders says who answered, and which record that is. The values
// share one array, as they live as long as each other.
func writeAnswerHeaders(header http.Header, a *httpAnswer) {
	values := make([]string, 0, 3)
	add := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if a.Node != "" {
		add("Mesh-Node", a.Node)
	}
	if !a.Fence.Ballot.IsZero() {
		add("Mesh-Fence", formatFence(a.Fence))
		add("Etag", formatETag(a.LSN))
	}
	if a.Replayed {
		header["Mesh-Replayed"] = replayedTrue
	}
	if a.Code == core.CodeOK {
		header["Content-Type"] = jsonContentType
	}
}

// formatFence is Position.String without its cost.
func formatFence(p quorum.Position) string {
	var space [62]byte
	b := strconv.AppendUint(space[:0], uint64(p.Ballot.Epoch), 10)
	b = strconv.AppendUint(append(b, '.'), uint64(p.Ballot.Boot), 10)
	b = strconv.AppendUint(append(b, '.'), uint64(p.LSN), 10)
	return string(b)
}

func formatETag(lsn quorum.LSN) string {
	var space [22]byte
	b := strconv.AppendUint(append(space[:0], '"'), uint64(lsn), 10)
	return string(append(b, '"'))
}

// readBody reads an argument of at most maxBytes.
func readBody(w http.ResponseWriter, r *http.Request, maxBytes int) ([]byte, *Problem) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	// A deadline of the whole server would end long calls as well. Writers
	// that have none, in tests, need none.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer control.SetReadDeadline(time.Time{})

	if r.ContentLength > int64(maxBytes) {
		return nil, tooLarge(r, maxBytes)
	}
	// What a client says it will send is believed up to here.
	const trusted, unsaid = 64 << 10, 512
	size := unsaid
	if r.ContentLength > 0 {
		size = min(int(r.ContentLength)+1, trusted) // one more, to see the end
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > maxBytes:
			return nil, tooLarge(r, maxBytes)
		case err == io.EOF:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, problemf(http.StatusRequestTimeout, "request_timeout", "the argument took longer than %v", bodyTimeout)
		case err != nil:
			return nil, badRequest("the argument broke off: %v", err)
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// tooLarge reads on, within bounds, so that the client can read the answer. One
// that asked first whether to send, with Expect, has sent nothing.
func tooLarge(r *http.Request, maxBytes int) *Problem {
	if r.Header.Get("Expect") == "" {
		io.CopyN(io.Discard, r.Body, drainedBytes) // whatever comes of it
	}
	return problemf(http.StatusRequestEntityTooLarge, httpCodes[core.CodeTooLarge].code,
		"the argument is larger than %d bytes", maxBytes)
}
