// Command ledger is the demo. It starts three processes of meshnode with real
// data directories on loopback, pours a file of bank transfers into them over
// HTTP, kills the process that owns the most accounts half-way, and another one
// later, and then compares every balance, read through every node, with the
// file's arithmetic. Then it kills all three at once, starts them again, and
// compares once more.
//
//	make demo
//
// It exits with 0 if not one unit is missing, with 1 if anything is off.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"actormesh/chaos/cluster"

	"golang.org/x/term"
)

func main() {
	binary := flag.String("meshnode", "bin/meshnode", "the program to run")
	input := flag.String("data", "examples/ledger", "directory of openings.csv and transfers.csv")
	clients := flag.Int("clients", 16, "how many clients pour at the same time")
	limit := flag.Duration("timeout", 85*time.Second, "time for everything")
	keep := flag.Bool("keep", false, "keep data directories and logs")
	flag.Parse()
	if flag.NArg() > 0 || *clients < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	s := &screen{out: os.Stdout, terminal: term.IsTerminal(int(os.Stdout.Fd())), start: time.Now()}
	err := demo(ctx, s, *binary, *input, *clients, *keep)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nFAILED: %v\n", err)
		os.Exit(1)
	}
}

// demo lays out the cluster in a directory of its own, which stays if anything
// goes wrong, and runs it.
func demo(ctx context.Context, s *screen, binary, input string, clients int, keep bool) (err error) {
	l, err := readLedger(input)
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "actormesh-demo-")
	if err != nil {
		return err
	}
	c, err := cluster.New(cluster.Config{Binary: binary, Dir: dir, Nodes: 3})
	if err != nil {
		return err
	}
	defer func() {
		ended := c.Close()
		switch {
		case err != nil:
			err = fmt.Errorf("%w\n\nthe nodes' logs and data are in %s", err, dir)
		case ended != nil:
			err = ended
		case keep:
			fmt.Fprintf(s.out, "\ndata and logs are in %s\n", dir)
		default:
			err = os.RemoveAll(dir)
		}
	}()
	r := &run{
		ledger: l, cluster: c, screen: s, stats: &stats{},
		pour: &pour{client: c.Client, addrs: c.Addrs(), clients: clients},
	}
	fmt.Fprintf(s.out, "%s transfers between %d accounts, %d clients over HTTP, three nodes, and kill -9\n\n",
		thousands(len(l.transfers)), len(l.openings), clients)
	return r.all(ctx)
}
