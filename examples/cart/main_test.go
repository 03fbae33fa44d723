package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/mesh"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const want = `the wallet held 1000 cents after the deposit
1 kinds of things were in the cart with tea
2 kinds of things were in the cart with cup
5000 cents: insufficient_funds: the wallet does not hold that much
700 cents: paid, for 2 kinds of things
a spoon: paid: the cart is paid
`

// The program says the same each time that it is run on one disk, and has done
// everything once.
func TestCart(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 {
		var out bytes.Buffer
		if err := run(t.Context(), dir, &out); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("run %d says\n%s\nwant\n%s", i+1, &out, want)
		}
	}
	node, err := mesh.Start(t.Context(), mesh.Config{
		Name: "n1", DataDir: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	}, mesh.Host[Shop]("shop"), mesh.Host[Wallet]("wallet"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = cluster.Until(ctx, func(ctx context.Context) error {
		got, err := mesh.Call(ctx, mesh.Get[Shop](node, "main"), (*Shop).Takings, mesh.None{})
		if err == nil && got != (Shop{Carts: 1, Cents: 700}) {
			return fmt.Errorf("the shop has %+v", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// A debit of nothing tells what is left.
	if left, err := mesh.Call(ctx, mesh.Get[Wallet](node, "u42"), (*Wallet).Debit, 0); err != nil || left != 300 {
		t.Errorf("the wallet holds %d, %v; want 300", left, err)
	}
}
