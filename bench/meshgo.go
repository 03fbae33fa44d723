package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// The keys that each kv actor holds.
const (
	valueKey = "v"
	largeKey = "large" // of KVLarge
)

// The money of transfers: what each account has at first, and what a transfer is of.
const (
	firstDeposit = 1_000_000_000_000
	transferred  = 1
)

func actorID(key int) string { return "bench-" + strconv.Itoa(key) }

// goCaller calls through the Go client.
type goCaller struct {
	client   *mesh.Client
	stores   [Keys]mesh.Ref[kinds.KV]
	counters [Keys]mesh.Ref[kinds.Counter]
	accounts [Keys]mesh.Ref[kinds.Account]
}

func newGoCaller(ctx context.Context, conf mesh.ClientConfig) (*goCaller, error) {
	client, err := mesh.Dial(ctx, conf, kinds.All()...)
	if err != nil {
		return nil, err
	}
	c := &goCaller{client: client}
	for key := range Keys {
		c.stores[key] = mesh.Get[kinds.KV](client, actorID(key))
		c.counters[key] = mesh.Get[kinds.Counter](client, actorID(key))
		c.accounts[key] = mesh.Get[kinds.Account](client, actorID(key))
	}
	return c, nil
}

// Do implements Client. The mesh's own call timeout bounds it.
func (c *goCaller) Do(ctx context.Context, _ int, r Request) error {
	var err error
	switch r.Workload {
	case KVPut:
		put := kinds.PutArg{Key: valueKey, Value: json.RawMessage(r.Value)}
		_, err = mesh.Call(ctx, c.store(r.Key), (*kinds.KV).Put, put)
	case KVGet:
		var entry kinds.Entry
		entry, err = mesh.Call(ctx, c.stores[r.Key], (*kinds.KV).Get, kinds.KeyArg{Key: valueKey})
		if err == nil && len(entry.Value) != ValueBytes {
			err = fmt.Errorf("read %d bytes, %d were written", len(entry.Value), ValueBytes)
		}
	case KVLarge:
		put := kinds.PutArg{Key: largeKey, Value: json.RawMessage(r.Value)}
		_, err = mesh.Call(ctx, c.stores[r.Key], (*kinds.KV).Put, put)
	case Transfer:
		to := kinds.TransferArg{To: actorID(r.To), Amount: transferred}
		_, err = mesh.Call(ctx, c.accounts[r.Key], (*kinds.Account).Transfer, to)
	case deposit:
		_, err = mesh.Call(ctx, c.accounts[r.Key], (*kinds.Account).Deposit, kinds.AmountArg{Amount: firstDeposit})
	case CounterAdd, CounterHot, CounterZipf:
		_, err = mesh.Call(ctx, c.counter(r.Key), (*kinds.Counter).Add, kinds.AddArg{N: 1})
	case CounterGet, CounterWake:
		_, err = mesh.Call(ctx, c.counter(r.Key), (*kinds.Counter).Get, mesh.None{})
	}
	return err
}

// counter returns one of any number of counters, the first of which are kept.
func (c *goCaller) counter(key int) mesh.Ref[kinds.Counter] {
	if key < len(c.counters) {
		return c.counters[key]
	}
	return mesh.Get[kinds.Counter](c.client, actorID(key))
}

// store returns one of any number of stores, the first of which are kept.
func (c *goCaller) store(key int) mesh.Ref[kinds.KV] {
	if key < len(c.stores) {
		return c.stores[key]
	}
	return mesh.Get[kinds.KV](c.client, actorID(key))
}

// Close implements Client.
func (c *goCaller) Close() error { return c.client.Close() }
