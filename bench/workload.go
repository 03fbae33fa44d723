package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Workload names what one call does.
type Workload string

// The workloads. Each call is of one of so many keys; in a mesh a key is an actor
// of its own. Reads are linearizable, all others durable.
const (
	KVPut       Workload = "kv.put"           // a value of ValueBytes
	KVGet       Workload = "kv.get"           // reads such a value
	CounterAdd  Workload = "counter.add"      // one number
	CounterGet  Workload = "counter.get"      // reads a number
	CounterHot  Workload = "counter.hot"      // counter.add, all of one key
	CounterZipf Workload = "counter.zipf"     // counter.add, a few of very many keys more often than the others
	CounterWake Workload = "counter.wake"     // counter.get, of so many keys that one is not asked again soon
	KVLarge     Workload = "kv.large"         // a value of LargeBytes
	Transfer    Workload = "account.transfer" // a turn that sends a message: from one account to another

	deposit Workload = "account.deposit" // what transfers live on
)

// Workloads returns all workloads.
func Workloads() []Workload {
	return []Workload{KVPut, KVGet, CounterAdd, CounterGet, CounterHot, CounterZipf, CounterWake, KVLarge, Transfer}
}

// The size of workloads.
const (
	Keys       = 1000
	ValueBytes = 200 // as JSON: a string with its quotes
	LargeKeys  = 100
	LargeBytes = 64 << 10
	ZipfKeys   = 1_000_000
	WakeKeys   = 20_000
	zipfS      = 1.01 // a key's share is 1/(its rank + 1)^zipfS
)

// traits is what a workload is made of.
type traits struct {
	keys   int      // how many there are
	writer Workload // writes what is read or overwritten; itself for most
	first  int      // so many keys are written before anything is measured
	bytes  int      // of a value; 0 for none
	values int      // how many values a client has to choose from
}

// traits returns those of w. Values are random, and there are several, because
// what repeats itself is compressed away before it reaches a disk.
func (w Workload) traits() traits {
	const values, largeValues = 64, 4
	t := traits{keys: Keys, writer: w, first: Keys}
	switch w {
	case KVPut:
		t.bytes, t.values = ValueBytes, values
	case KVGet:
		t.writer = KVPut
	case CounterGet:
		t.writer = CounterAdd
	case CounterHot:
		t.keys, t.first = 1, 1
	case CounterZipf:
		t.keys, t.first = ZipfKeys, 0 // the most wanted are awake after the warm-up
	case CounterWake:
		t.keys, t.first, t.writer = WakeKeys, WakeKeys, CounterAdd
	case KVLarge:
		t.keys, t.first, t.bytes, t.values = LargeKeys, LargeKeys, LargeBytes, largeValues
	case Transfer:
		t.writer = deposit
	}
	return t
}

// durable reports whether a call of w is safe on disk when it is answered.
func (w Workload) durable() bool { return w != KVGet && w != CounterGet && w != CounterWake }

// ParseWorkload returns the workload of that name.
func ParseWorkload(name string) (Workload, error) {
	if w := Workload(name); slices.Contains(Workloads(), w) {
		return w, nil
	}
	return "", fmt.Errorf("there is no workload %q: it is one of %v", name, Workloads())
}

// Request is one call.
type Request struct {
	Workload Workload
	Key      int
	To       int    // of Transfer: another key
	Value    string // of KVPut and KVLarge: JSON
}

// requests makes the requests of one client. Different seeds make different ones.
type requests struct {
	workload Workload
	traits   traits
	random   *rand.Rand
	zipf     *rand.Zipf // nil for keys that are chosen evenly
	values   []string
}

func newRequests(w Workload, seed uint64) *requests {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := &requests{workload: w, traits: w.traits(), random: rand.New(rand.NewPCG(seed, 0))}
	if w == CounterZipf {
		r.zipf = rand.NewZipf(r.random, zipfS, 1, ZipfKeys-1)
	}
	for range r.traits.values {
		b := make([]byte, r.traits.bytes)
		for i := range b {
			b[i] = letters[r.random.IntN(len(letters))]
		}
		b[0], b[len(b)-1] = '"', '"'
		r.values = append(r.values, string(b))
	}
	return r
}

// of returns a request of the given key.
func (r *requests) of(key int) Request {
	q := Request{Workload: r.workload, Key: key}
	if len(r.values) > 0 {
		q.Value = r.values[r.random.IntN(len(r.values))]
	}
	if r.workload == Transfer {
		q.To = (key + 1 + r.random.IntN(r.traits.keys-1)) % r.traits.keys
	}
	return q
}

// next returns a request of any key.
func (r *requests) next() Request {
	if r.zipf != nil {
		return r.of(int(r.zipf.Uint64()))
	}
	return r.of(r.random.IntN(r.traits.keys))
}
