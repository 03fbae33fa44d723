// Command gen writes the demo's input, openings.csv and transfers.csv, the same
// bytes each time:
//
//	go run ./examples/ledger/gen --dir examples/ledger
//
// Every account opens with more than it ever pays out, so that no transfer can
// fail, in whatever order they come.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
)

const (
	accounts  = 200
	transfers = 10_000
	opening   = 100_000
	maxAmount = 500
	busy      = 10 // accounts that take part in about a fifth more of the transfers
)

func main() {
	dir := flag.String("dir", ".", "where to write the files")
	flag.Parse()
	openingRows, transferRows := generate(rand.New(rand.NewPCG(2, 10_000)))
	for name, rows := range map[string][]byte{"openings.csv": openingRows, "transfers.csv": transferRows} {
		if err := os.WriteFile(filepath.Join(*dir, name), rows, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func generate(rng *rand.Rand) (openingRows, transferRows []byte) {
	var open, move bytes.Buffer
	fmt.Fprintln(&open, "request,account,amount")
	for i := range accounts {
		fmt.Fprintf(&open, "open-%03d,a%03d,%d\n", i, i, opening)
	}
	fmt.Fprintln(&move, "request,from,to,amount")
	for i := range transfers {
		among := accounts
		if rng.IntN(5) == 0 {
			among = busy
		}
		from := rng.IntN(among)
		to := (from + 1 + rng.IntN(accounts-1)) % accounts
		fmt.Fprintf(&move, "t-%05d,a%03d,a%03d,%d\n", i, from, to, 1+rng.IntN(maxAmount))
	}
	return open.Bytes(), move.Bytes()
}
