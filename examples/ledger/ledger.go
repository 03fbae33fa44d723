package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// opening is the first deposit into an account.
type opening struct {
	request string
	account string
	amount  int64
}

// transfer moves an amount between two accounts.
type transfer struct {
	request  string
	from, to string
	amount   int64
}

// ledger is the demo's input.
type ledger struct {
	openings  []opening
	transfers []transfer
}

// readLedger reads openings.csv and transfers.csv.
func readLedger(dir string) (*ledger, error) {
	var l ledger
	err := readRows(filepath.Join(dir, "openings.csv"), []string{"request", "account", "amount"}, func(row []string, amount int64) {
		l.openings = append(l.openings, opening{row[0], row[1], amount})
	})
	if err != nil {
		return nil, err
	}
	err = readRows(filepath.Join(dir, "transfers.csv"), []string{"request", "from", "to", "amount"}, func(row []string, amount int64) {
		l.transfers = append(l.transfers, transfer{row[0], row[1], row[2], amount})
	})
	if err != nil {
		return nil, err
	}
	return &l, l.check()
}

// readRows reads a file whose last column is an amount.
func readRows(name string, header []string, row func([]string, int64)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], header) {
		return fmt.Errorf("%s: the first line is not %q", name, header)
	}
	for i, r := range rows[1:] {
		amount, err := strconv.ParseInt(r[len(r)-1], 10, 64)
		if err != nil || amount <= 0 {
			return fmt.Errorf("%s:%d: the amount %q is not a positive number", name, i+2, r[len(r)-1])
		}
		row(r, amount)
	}
	return nil
}

// check refuses a file of which the result could depend on the order of the
// transfers: each must be possible even before all credits have come.
func (l *ledger) check() error {
	left := map[string]int64{}
	seen := map[string]bool{}
	for _, o := range l.openings {
		if _, twice := left[o.account]; twice || seen[o.request] {
			return fmt.Errorf("opening %s of %s: the account or the request is there twice", o.request, o.account)
		}
		left[o.account], seen[o.request] = o.amount, true
	}
	for _, t := range l.transfers {
		_, to := left[t.to]
		_, from := left[t.from]
		if !from || !to || t.from == t.to || seen[t.request] {
			return fmt.Errorf("transfer %s from %s to %s: an unknown account, twice the same one, or a request that is there twice",
				t.request, t.from, t.to)
		}
		seen[t.request] = true
		if left[t.from] -= t.amount; left[t.from] < 0 {
			return fmt.Errorf("transfer %s: %s may not have the money", t.request, t.from)
		}
	}
	return nil
}

// accounts returns all accounts in the order of the file.
func (l *ledger) accounts() []string {
	names := make([]string, len(l.openings))
	for i, o := range l.openings {
		names[i] = o.account
	}
	return names
}

// balances is the file's arithmetic: what each account must hold in the end.
func (l *ledger) balances() map[string]int64 {
	b := map[string]int64{}
	for _, o := range l.openings {
		b[o.account] += o.amount
	}
	for _, t := range l.transfers {
		b[t.from] -= t.amount
		b[t.to] += t.amount
	}
	return b
}

func total(balances map[string]int64) int64 {
	var sum int64
	for _, b := range balances {
		sum += b
	}
	return sum
}
