// Command cart is a first program with actors: carts, wallets, and a shop that
// counts what was sold. It is a mesh of one node, on a disk of its own:
//
//	go run ./examples/cart --data /tmp/cart
//
// Run it again: what it did the first time is there, and its calls, which have
// request ids, are not done twice but answered as they were then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"actormesh/mesh"
)

// Cart is an actor for each customer. Its exported fields are its durable state.
type Cart struct {
	Items map[string]int
	Paid  bool
}

// Item is so many of one thing.
type Item struct {
	SKU string
	Qty int
}

// ErrPaid says that it is too late to change a cart.
var ErrPaid = &mesh.AppError{Code: "paid", Message: "the cart is paid"}

// Add puts an item into the cart and returns how many kinds of things are in it.
// An error rolls the turn back.
func (c *Cart) Add(_ *mesh.Ctx, in Item) (int, error) {
	if c.Paid {
		return 0, ErrPaid
	}
	if c.Items == nil {
		c.Items = map[string]int{}
	}
	c.Items[in.SKU] += in.Qty
	return len(c.Items), nil
}

// Pay takes the money from the customer's wallet, and tells the shop.
//
// The debit is a call: it stands even if this turn fails, but its request id is
// made from this turn's own, so a retry does not take the money twice. What is
// sent to the shop is part of this turn: it is delivered once if the turn
// commits, and never if it does not.
func (c *Cart) Pay(ctx *mesh.Ctx, cents int) (bool, error) {
	if c.Paid {
		return true, nil
	}
	if _, err := mesh.Call(ctx, mesh.Get[Wallet](ctx, ctx.Key()), (*Wallet).Debit, cents); err != nil {
		return false, err
	}
	c.Paid = true
	return true, mesh.Send(ctx, mesh.Get[Shop](ctx, "main"), (*Shop).Sold, Sale{c.Items, cents})
}

// Size only reads: it costs no write.
func (c *Cart) Size(_ *mesh.View, _ mesh.None) (int, error) { return len(c.Items), nil }

// Wallet is a customer's money.
type Wallet struct{ Cents int }

// ErrPoor says that there is not enough in a wallet.
var ErrPoor = &mesh.AppError{Code: "insufficient_funds", Message: "the wallet does not hold that much"}

// Deposit puts money in and returns how much there is.
func (w *Wallet) Deposit(_ *mesh.Ctx, cents int) (int, error) {
	w.Cents += cents
	return w.Cents, nil
}

// Debit takes money out and returns how much is left.
func (w *Wallet) Debit(_ *mesh.Ctx, cents int) (int, error) {
	if w.Cents < cents {
		return 0, ErrPoor
	}
	w.Cents -= cents
	return w.Cents, nil
}

// Sale is one paid cart.
type Sale struct {
	Items map[string]int
	Cents int
}

// Shop counts what was sold.
type Shop struct {
	Carts int
	Cents int
}

// Sold counts a sale.
func (s *Shop) Sold(_ *mesh.Ctx, sale Sale) (mesh.None, error) {
	s.Carts++
	s.Cents += sale.Cents
	return mesh.None{}, nil
}

// Takings returns what the shop has earned.
func (s *Shop) Takings(_ *mesh.View, _ mesh.None) (Shop, error) { return *s, nil }

func main() {
	data := flag.String("data", "", "the node's data directory")
	flag.Parse()
	if *data == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *data, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, data string, out io.Writer) (err error) {
	node, err := mesh.Start(ctx, mesh.Config{
		Name:    "n1",
		DataDir: data,
		Listen:  "127.0.0.1:0",
		Expect:  1,
		Logger:  slog.New(slog.DiscardHandler),
	}, mesh.Host[Cart]("cart"), mesh.Host[Wallet]("wallet"), mesh.Host[Shop]("shop"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	return shop(ctx, node, out)
}

func shop(ctx context.Context, node *mesh.Node, out io.Writer) error {
	cart, wallet := mesh.Get[Cart](node, "u42"), mesh.Get[Wallet](node, "u42")
	cents, err := mesh.Call(ctx, wallet, (*Wallet).Deposit, 1000, mesh.Once("deposit-1"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the wallet held %d cents after the deposit\n", cents)
	for i, item := range []Item{{"tea", 2}, {"cup", 1}} {
		n, err := mesh.Call(ctx, cart, (*Cart).Add, item, mesh.Once(fmt.Sprint("add-", i)))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d kinds of things were in the cart with %s\n", n, item.SKU)
	}
	if _, err := mesh.Call(ctx, cart, (*Cart).Pay, 5000, mesh.Once("pay-1")); errors.As(err, new(*mesh.AppError)) {
		fmt.Fprintf(out, "5000 cents: %v\n", err)
	}
	if _, err := mesh.Call(ctx, cart, (*Cart).Pay, 700, mesh.Once("pay-2")); err != nil {
		return err
	}
	size, err := mesh.Call(ctx, cart, (*Cart).Size, mesh.None{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "700 cents: paid, for %d kinds of things\n", size)
	_, err = mesh.Call(ctx, cart, (*Cart).Add, Item{"spoon", 1}, mesh.Once("add-late"))
	fmt.Fprintf(out, "a spoon: %v\n", err)
	return nil
}
