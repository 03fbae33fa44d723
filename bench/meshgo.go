package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// valueKey is the one key that each kv actor holds.
const valueKey = "v"

func actorID(key int) string { return "bench-" + strconv.Itoa(key) }

// goCaller calls through the Go client.
type goCaller struct {
	client   *mesh.Client
	stores   [Keys]mesh.Ref[kinds.KV]
	counters [Keys]mesh.Ref[kinds.Counter]
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
	}
	return c, nil
}

// Do implements Client. The mesh's own call timeout bounds it.
func (c *goCaller) Do(ctx context.Context, _ int, r Request) error {
	var err error
	switch r.Workload {
	case KVPut:
		put := kinds.PutArg{Key: valueKey, Value: json.RawMessage(r.Value)}
		_, err = mesh.Call(ctx, c.stores[r.Key], (*kinds.KV).Put, put)
	case KVGet:
		var entry kinds.Entry
		entry, err = mesh.Call(ctx, c.stores[r.Key], (*kinds.KV).Get, kinds.KeyArg{Key: valueKey})
		if err == nil && len(entry.Value) != ValueBytes {
			err = fmt.Errorf("read %d bytes, %d were written", len(entry.Value), ValueBytes)
		}
	case CounterAdd:
		_, err = mesh.Call(ctx, c.counters[r.Key], (*kinds.Counter).Add, kinds.AddArg{N: 1})
	case CounterGet:
		_, err = mesh.Call(ctx, c.counters[r.Key], (*kinds.Counter).Get, mesh.None{})
	}
	return err
}

// Close implements Client.
func (c *goCaller) Close() error { return c.client.Close() }
