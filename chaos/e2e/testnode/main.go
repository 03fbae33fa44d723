// Command testnode is a node that hosts a kind of actor which misbehaves in
// every way that a handler can. The end-to-end tests start it in meshnode's
// place; it takes the flags that they give.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"actormesh/mesh"
)

// Odd is a number with bad habits: whoever fails has changed it before.
type Odd struct{ N int }

// spoilt is what a handler leaves behind that is to be rolled back.
const spoilt = 100

// Set sets the number.
func (o *Odd) Set(_ *mesh.Ctx, n int) (int, error) {
	o.N = n
	return o.N, nil
}

// Get reads the number.
func (o *Odd) Get(_ *mesh.View, _ mesh.None) (int, error) { return o.N, nil }

// Panic changes the number, and panics.
func (o *Odd) Panic(_ *mesh.Ctx, _ mesh.None) (int, error) {
	o.N = spoilt
	panic("out of order")
}

// Fail changes the number and a key, and returns an error with the code.
func (o *Odd) Fail(ctx *mesh.Ctx, code string) (int, error) {
	o.N = spoilt
	if err := ctx.Put("spoilt", []byte{1}); err != nil {
		return 0, err
	}
	return 0, &mesh.AppError{Code: code, Message: "as asked"}
}

// Spoilt reports whether the key that Fail wrote is there.
func (o *Odd) Spoilt(ctx *mesh.View, _ mesh.None) (bool, error) {
	_, found, err := ctx.Get("spoilt")
	return found, err
}

// Slow changes the number, and returns when its time is over.
func (o *Odd) Slow(ctx *mesh.Ctx, _ mesh.None) (int, error) {
	o.N = spoilt
	<-ctx.Done()
	return 0, ctx.Err()
}

// Deaf changes the number, and does not hear when its time is over. It returns
// never.
func (o *Odd) Deaf(*mesh.Ctx, mesh.None) (int, error) {
	o.N = spoilt
	select {}
}

// Peek changes the number, which a reader must not.
func (o *Odd) Peek(_ *mesh.View, _ mesh.None) (int, error) {
	o.N = spoilt
	return o.N, nil
}

// Ring calls the next actor of a ring of two, which calls this one: a cycle.
func (o *Odd) Ring(ctx *mesh.Ctx, next string) (int, error) {
	return mesh.Call(ctx, mesh.Get[Odd](ctx, next), (*Odd).Ring, ctx.Key())
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testnode:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || args[0] != "start" {
		return fmt.Errorf("the one command is start, not %q", args)
	}
	var c mesh.Config
	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	flags.StringVar(&c.Name, "name", "", "")
	flags.StringVar(&c.DataDir, "data", "", "")
	flags.StringVar(&c.Listen, "listen", "", "")
	flags.StringVar(&c.HTTP, "http", "", "")
	flags.IntVar(&c.Expect, "expect", 0, "")
	join := flags.String("join", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *join != "" {
		c.Join = strings.Split(*join, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	node, err := mesh.Start(ctx, c, mesh.Host[Odd]("odd"))
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return node.Close()
	case <-node.Done():
		return node.Err()
	}
}
