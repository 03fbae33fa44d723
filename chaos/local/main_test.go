package local

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"actormesh/chaos/workload"
	"actormesh/mesh"
)

// others are what the test binary is in the place of a node, by its last argument.
var others = map[string]func(args []string) error{}

// The test binary is the node as well: called with start, it is a node that hosts
// the workload's kinds.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "start" {
		run := serve
		if other := others[os.Args[len(os.Args)-1]]; other != nil {
			run = other
		}
		if err := run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("actormesh/chaos/local.keepThread"))
}

func serve(args []string) error {
	var c mesh.Config
	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	flags.StringVar(&c.Name, "name", "", "")
	flags.StringVar(&c.DataDir, "data", "", "")
	flags.StringVar(&c.Listen, "listen", "", "")
	flags.StringVar(&c.HTTP, "http", "", "")
	flags.StringVar(&c.Advertise, "advertise", "", "")
	flags.IntVar(&c.Expect, "expect", 0, "")
	flags.IntVar(&c.Slots, "slots", 0, "")
	flags.IntVar(&c.Replication, "replication", 0, "")
	flags.DurationVar(&c.Lease, "lease", 0, "")
	flags.DurationVar(&c.DeadGrace, "dead-grace", 0, "")
	join := flags.String("join", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *join != "" {
		c.Join = strings.Split(*join, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	node, err := mesh.Start(ctx, c, workload.Hosts()...)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		drained, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if err := node.Drain(drained); err != nil {
			fmt.Fprintln(os.Stderr, "drain:", err)
		}
		return node.Close()
	case <-node.Done():
		return node.Err()
	}
}
