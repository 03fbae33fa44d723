package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// httpCaller runs the calls that come over HTTP.
type httpCaller interface {
	// callHTTP runs one call, on whichever node its actor lives, and returns
	// within call.Timeout, or soon after ctx ends. It may keep call.Body.
	callHTTP(ctx context.Context, call *httpCall) httpAnswer

	// clusterID returns the name of the cluster, empty until there is one. It
	// is asked for each request.
	clusterID() string

	// ready returns nil if the node serves and has a quorum, and otherwise
	// what it lacks.
	ready() error
}

// httpOperator tells operators what a node sees, and takes their two orders.
// What it returns is the caller's to keep.
type httpOperator interface {
	status() Status

	// slots returns the slot table in the order of slots; empty without a view.
	slots() []SlotStatus

	// kinds returns the kinds that some member hosts, by name.
	kinds() []KindStatus

	// locate says where an actor lives, within the deadline of ctx.
	locate(ctx context.Context, kind, id string) (ActorStatus, core.Outcome)

	// retire makes the node give up ownership and coordination, and with
	// forGood its replicas and its vote as well. It returns nil when that is
	// done, and the node ends when the answer has left. It may be called more
	// than once. When ctx ends it returns an error, and what it began goes on.
	retire(ctx context.Context, forGood bool) error
}

// httpCall is a call as it came over HTTP.
type httpCall struct {
	Kind, ID, Method string
	Body             []byte        // the argument as JSON; empty for none
	Key              string        // Idempotency-Key; empty for none
	Timeout          time.Duration // above zero
	Principal        string        // the client's name; empty where none is asked for
	Trace            string        // W3C traceparent; empty for none
	RequestID        string        // Mesh-Request-Id, for the log
}

// httpAnswer is the end of a call, with its reply in JSON.
type httpAnswer struct {
	core.Outcome
	Node string // the owner that answered; empty where none did
}

// httpConfig is what a handler needs.
type httpConfig struct {
	caller      httpCaller
	operator    httpOperator
	metrics     *metrics
	auth        httpAuth
	callTimeout time.Duration // of a call that names none
	maxArgBytes int
}

// httpHandler is the HTTP API. It routes by hand: an id may hold what
// http.ServeMux would clean away, and a call should not pay for patterns.
type httpHandler struct {
	httpConfig
	metricsPage http.Handler
	requestBase string // begins every request id of this handler
	requests    atomic.Uint64
}

// newHTTPHandler returns the HTTP API over a node.
func newHTTPHandler(c httpConfig) *httpHandler {
	return &httpHandler{
		httpConfig:  c,
		metricsPage: c.metrics.page(),
		requestBase: strconv.FormatUint(rand.Uint64()>>16, 36) + "-",
	}
}

// httpExchange is one request and its answer.
type httpExchange struct {
	http.ResponseWriter
	r         *http.Request
	requestID string
	principal string
}

const actorsPath = "/v1/actors/"

// ServeHTTP implements http.Handler.
func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := httpExchange{ResponseWriter: w, r: r}
	x.requestID = h.requestBase + strconv.FormatUint(h.requests.Add(1), 36)
	header := w.Header()
	common := [2]string{x.requestID, h.caller.clusterID()}
	header["Mesh-Request-Id"] = common[0:1:1]
	if common[1] != "" {
		header["Mesh-Cluster"] = common[1:2:2]
	}
	if p := h.route(&x); p != nil {
		p.write(w)
	}
}

// route answers one request, or returns the problem that is the answer.
func (h *httpHandler) route(x *httpExchange) *Problem {
	path := x.r.URL.EscapedPath()
	if rest, isActor := strings.CutPrefix(path, actorsPath); isActor {
		return h.routeActor(x, rest)
	}
	switch path {
	case "/healthz":
		return h.get(x, roleNone, func() *Problem { return x.json(map[string]bool{"alive": true}) })
	case "/readyz":
		return h.get(x, roleNone, func() *Problem { return h.readyz(x) })
	case "/metrics":
		return h.get(x, roleClient, func() *Problem {
			h.metricsPage.ServeHTTP(x.ResponseWriter, x.r)
			return nil
		})
	case "/v1/status":
		return h.get(x, roleClient, func() *Problem { return h.status(x) })
	case "/v1/kinds":
		return h.get(x, roleClient, func() *Problem { return x.json(orEmpty(h.operator.kinds())) })
	case "/v1/slots":
		return h.get(x, roleClient, func() *Problem { return x.json(h.slots()) })
	case "/v1/drain":
		return h.post(x, roleAdmin, func() *Problem { return h.retire(x, false) })
	case "/v1/leave":
		return h.post(x, roleAdmin, func() *Problem { return h.retire(x, true) })
	}
	if n, isSlot := strings.CutPrefix(path, "/v1/slots/"); isSlot {
		return h.get(x, roleClient, func() *Problem { return h.slot(x, n) })
	}
	return notFound("there is no %s; the API is under /v1/", clip(path))
}

// routeActor answers a request below /v1/actors/.
func (h *httpHandler) routeActor(x *httpExchange, rest string) *Problem {
	p, problem := parseActorPath(rest)
	if problem != nil {
		return problem
	}
	if p.method == "" {
		return h.get(x, roleClient, func() *Problem { return h.locate(x, p) })
	}
	if problem := h.admit(x, roleClient, http.MethodPost); problem != nil {
		return problem
	}
	return h.call(x, p)
}

func (h *httpHandler) get(x *httpExchange, need httpRole, answer func() *Problem) *Problem {
	if p := h.admit(x, need, http.MethodGet); p != nil {
		return p
	}
	return answer()
}

func (h *httpHandler) post(x *httpExchange, need httpRole, answer func() *Problem) *Problem {
	if p := h.admit(x, need, http.MethodPost); p != nil {
		return p
	}
	return answer()
}

// admit checks the request's method, and who sends it. GET stands for HEAD too.
func (h *httpHandler) admit(x *httpExchange, need httpRole, method string) *Problem {
	if got := x.r.Method; got != method && !(method == http.MethodGet && got == http.MethodHead) {
		allow := method
		if method == http.MethodGet {
			allow = "GET, HEAD"
		}
		x.Header().Set("Allow", allow)
		return problemf(http.StatusMethodNotAllowed, "method_not_allowed", "%s takes %s, not %s", clip(x.r.URL.EscapedPath()), allow, clip(got))
	}
	principal, p := h.auth.admit(x.r, need)
	if p != nil && p.Status == http.StatusUnauthorized {
		x.Header().Set("WWW-Authenticate", "Bearer")
	}
	x.principal = principal
	return p
}

// json writes v as the answer. It returns nil, to end a route with.
func (x *httpExchange) json(v any) *Problem {
	body, err := json.Marshal(v)
	if err != nil {
		panic("mesh: an answer that is no JSON: " + err.Error()) // our own types always are
	}
	body = append(body, '\n')
	x.Header().Set("Content-Type", "application/json")
	x.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.Write(body) // an error here is the client's connection, and its loss
	return nil
}

func (h *httpHandler) readyz(x *httpExchange) *Problem {
	if err := h.caller.ready(); err != nil {
		return problemOf(&core.Outcome{Code: core.CodeUnavailable, Detail: err.Error()}, false)
	}
	return x.json(map[string]bool{"ready": true})
}

func (h *httpHandler) status(x *httpExchange) *Problem {
	s := h.operator.status()
	s.Members = orEmpty(s.Members)
	return x.json(s)
}

func (h *httpHandler) slots() []SlotStatus {
	slots := orEmpty(h.operator.slots())
	for i := range slots {
		s := &slots[i]
		s.Replicas, s.Learners, s.From = orEmpty(s.Replicas), orEmpty(s.Learners), orEmpty(s.From)
	}
	return slots
}

// orEmpty returns a list that is [] in JSON, and never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (h *httpHandler) slot(x *httpExchange, digits string) *Problem {
	slots := h.slots()
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return badRequest("slot %q: a slot is a number", clip(digits))
	}
	if n >= uint64(len(slots)) {
		return notFound("there is no slot %d: the mesh has %d", n, len(slots))
	}
	return x.json(slots[quorum.SlotID(n)])
}

func (h *httpHandler) locate(x *httpExchange, p actorPath) *Problem {
	ctx, cancel := context.WithTimeout(x.r.Context(), h.callTimeout)
	defer cancel()
	where, outcome := h.operator.locate(ctx, p.kind, p.id)
	if outcome.Code != core.CodeOK {
		return problemOf(&outcome, false)
	}
	return x.json(where)
}

// retire drains the node, or lets it leave. It goes on when the client does
// not wait for its end.
func (h *httpHandler) retire(x *httpExchange, forGood bool) *Problem {
	ctx, cancel := context.WithTimeout(x.r.Context(), maxCallTimeout)
	defer cancel()
	switch err := h.operator.retire(ctx, forGood); {
	case errors.Is(err, ErrUsage):
		return badRequest("%v", err)
	case err != nil:
		return problemOf(&core.Outcome{Code: core.CodeUnavailable, Detail: err.Error()}, false)
	}
	if forGood {
		return x.json(map[string]bool{"left": true})
	}
	return x.json(map[string]bool{"drained": true})
}
