package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Workload names what one call does.
type Workload string

// The workloads. Each call is of one of Keys keys, chosen evenly.
const (
	KVPut      Workload = "kv.put"      // durable: a value of ValueBytes
	KVGet      Workload = "kv.get"      // a linearizable read of such a value
	CounterAdd Workload = "counter.add" // durable: one number
	CounterGet Workload = "counter.get" // a linearizable read of a number
)

// Workloads returns all workloads.
func Workloads() []Workload { return []Workload{KVPut, KVGet, CounterAdd, CounterGet} }

// The size of a workload. In a mesh a key is an actor of its own.
const (
	Keys       = 1000
	ValueBytes = 200 // as JSON: a string with its quotes
)

// ParseWorkload returns the workload of that name.
func ParseWorkload(name string) (Workload, error) {
	if w := Workload(name); slices.Contains(Workloads(), w) {
		return w, nil
	}
	return "", fmt.Errorf("there is no workload %q: it is one of %v", name, Workloads())
}

// writer returns the workload that writes what w reads or overwrites.
func (w Workload) writer() Workload {
	if strings.HasPrefix(string(w), "kv.") {
		return KVPut
	}
	return CounterAdd
}

// Request is one call.
type Request struct {
	Workload Workload
	Key      int    // 0 <= Key < Keys
	Value    string // of KVPut: ValueBytes bytes of JSON
}

// requests makes the requests of one client. Different seeds make different ones.
type requests struct {
	workload Workload
	random   *rand.Rand
	values   []string
}

// valuesInUse is how many values a client has to choose from. They are random,
// because what repeats itself is compressed away before it reaches a disk.
const valuesInUse = 64

func newRequests(w Workload, seed uint64) *requests {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := &requests{workload: w, random: rand.New(rand.NewPCG(seed, 0))}
	if w == KVPut {
		for range valuesInUse {
			b := make([]byte, ValueBytes)
			for i := range b {
				b[i] = letters[r.random.IntN(len(letters))]
			}
			b[0], b[len(b)-1] = '"', '"'
			r.values = append(r.values, string(b))
		}
	}
	return r
}

// of returns a request of the given key.
func (r *requests) of(key int) Request {
	q := Request{Workload: r.workload, Key: key}
	if len(r.values) > 0 {
		q.Value = r.values[r.random.IntN(len(r.values))]
	}
	return q
}

// next returns a request of any key.
func (r *requests) next() Request { return r.of(r.random.IntN(Keys)) }
