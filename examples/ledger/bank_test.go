package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"actormesh/chaos/cluster"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bank is a mesh in memory with the interface of the account kind. It fails now
// and then in every way that a mesh may, and in one way in which none may.
type bank struct {
	mu       sync.Mutex
	rng      *rand.Rand
	balances map[string]int64
	answered map[string]int64 // by request
	late     []func()         // credits on their way
	failures map[string]int
	bug      string
}

// struck is how many requests are answered when a bug strikes: those of the openings,
// and of a hundred transfers.
const struck = 200 + 100

func newBank(bug string) *bank {
	return &bank{
		rng: rand.New(rand.NewPCG(1, 2)), bug: bug,
		balances: map[string]int64{}, answered: map[string]int64{}, failures: map[string]int{},
	}
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := strings.Split(r.URL.Path, "/") // "", v1, actors, account, id, method
	id, method, key := parts[4], parts[5], r.Header.Get("Idempotency-Key")
	var arg struct {
		To     string
		Amount int64
	}
	if method != "balance" {
		if err := json.NewDecoder(r.Body).Decode(&arg); err != nil {
			b.problem(w, 400, "bad_request", "none", false)
			return
		}
	}
	for len(b.late) > 0 && b.rng.IntN(3) > 0 {
		b.late[0]()
		b.late = b.late[1:]
	}
	before := b.rng.IntN(20)
	if before == 0 {
		b.problem(w, 503, "unavailable", "none", true)
		return
	}
	replayed := b.apply(id, method, key, arg.To, arg.Amount)
	switch after := b.rng.IntN(20); {
	case after == 0:
		b.problem(w, 504, "outcome_unknown", "unknown", true)
	case after == 1:
		b.failures["reset"]++
		panic(http.ErrAbortHandler)
	case method == "balance":
		fmt.Fprintf(w, `{"balance":%d}`, b.balances[id])
	default:
		w.Header().Set("Mesh-Replayed", fmt.Sprint(replayed))
		fmt.Fprintf(w, `{"balance":%d}`, b.answered[key])
	}
}

func (b *bank) apply(id, method, key, to string, amount int64) (replayed bool) {
	if _, ok := b.answered[key]; method == "balance" || ok && b.bug != "twice" {
		return ok
	}
	switch {
	case method == "deposit":
		b.balances[id] += amount
	case b.bug == "lost" && len(b.answered) == struck:
		b.balances[id] -= amount
	case b.bug == "made" && len(b.answered) == struck:
		b.balances[to] += amount
	case b.bug == "astray" && len(b.answered) == struck: // the money goes back to who paid it
	default:
		b.balances[id] -= amount
		b.late = append(b.late, func() { b.balances[to] += amount })
	}
	b.answered[key] = b.balances[id]
	return false
}

func (b *bank) problem(w http.ResponseWriter, status int, code, outcome string, retryable bool) {
	b.failures[code]++
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q,"detail":"injected","outcome":%q,"retryable":%v}`, code, outcome, retryable)
}

// serve opens the bank's doors, and returns clients that go through all of them.
func (b *bank) serve(t *testing.T) *pour {
	p := &pour{client: cluster.NewClient(8, nil), clients: 8}
	t.Cleanup(p.client.Close)
	for range 3 {
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		p.addrs = append(p.addrs, strings.TrimPrefix(server.URL, "http://"))
	}
	return p
}

// smallLedger returns the checked-in file's openings, and its first transfers.
func smallLedger(t *testing.T, transfers int) *ledger {
	t.Helper()
	l, err := readLedger(".")
	if err != nil {
		t.Fatal(err)
	}
	l.transfers = l.transfers[:transfers]
	return l
}
