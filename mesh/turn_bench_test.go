package mesh

import (
	"fmt"
	"testing"

	"actormesh/mesh/core"
	"actormesh/quorum"
)

// tally is the smallest actor: what a turn costs is all of the cost.
type tally struct {
	Value int64 `json:"value"`
}

type tallyArg struct {
	N int64 `json:"n"`
}

func (c *tally) Add(_ *Ctx, in tallyArg) (tally, error) {
	c.Value += in.N
	return *c, nil
}

func (c *tally) Get(*View, None) (tally, error) { return *c, nil }

// BenchmarkTurn counts what a call costs on its owner beside the log: the argument
// decoded, the handler run, state and reply encoded.
func BenchmarkTurn(b *testing.B) {
	m := newFakeMesh(b, Host[tally]("tally"))
	k := m.kinds.byName["tally"]
	for _, test := range []struct {
		method string
		args   string
		isJSON bool
	}{{"add", "\x81\xa1n\x01", false}, {"add", `{"n":1}`, true}, {"get", "\x80", false}} {
		b.Run(fmt.Sprintf("%s/json=%v", test.method, test.isJSON), func(b *testing.B) {
			b.ReportAllocs()
			method := k.methods[test.method]
			args := []byte(test.args)
			inst := &instance{}
			c := &core.Call{Actor: quorum.MakeActorKey("tally", "a"), ReadOnly: method.readOnly}
			start := &core.TurnStart{Call: c, Load: true}
			for range b.N {
				var err error
				if c.Arg, c.ArgHash, c.ArgBytes, err = method.decodeArg(args, test.isJSON, 1<<20); err != nil {
					b.Fatal(err)
				}
				t := newTurn(k, method, inst, start, m, testLimits)
				if r := t.run(); r.Err != nil || r.Code != core.CodeOK {
					b.Fatal(r.Err, r.Detail)
				}
				start.Load = false
			}
		})
	}
}

// BenchmarkEncode encodes a state with a map, as after each turn that writes.
func BenchmarkEncode(b *testing.B) {
	for _, items := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			b.ReportAllocs()
			m := newFakeMesh(b, Host[cart]("cart"))
			k := m.kinds.byName["cart"]
			c := &cart{Items: map[string]int{}}
			for i := range items {
				c.Items[fmt.Sprintf("item-%d", i)] = i
			}
			state := encodeTest(b, *c)
			b.SetBytes(int64(len(state)))
			inst := &instance{}
			start := &core.TurnStart{Call: &core.Call{Actor: quorum.MakeActorKey("cart", "a"), Arg: &None{}}, Load: true, State: state}
			t := newTurn(k, k.methods["size"], inst, start, m, testLimits)
			t.run()
			for range b.N {
				var r core.TurnResult
				if err := t.encodeState(&r); err != nil || !r.Unchanged {
					b.Fatal(err, r.Unchanged)
				}
			}
		})
	}
}
