package kinds

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"actormesh/mesh"
)

// Account holds money, in the smallest unit of its currency. What a transfer takes
// from one account it gives to another, once, whatever crashes in between: the
// credit is a message in the same record as the debit.
type Account struct {
	Funds int64 `json:"balance"` // a field Balance would leave no name for the method
}

// maxBalance is the highest balance that a deposit may lead to: the highest whole
// number that every reader of JSON reads exactly.
const maxBalance = 1<<53 - 1

const maxIDBytes = 255

// AmountArg is the argument of Account.Deposit and Account.Withdraw.
type AmountArg struct {
	Amount int64 `json:"amount"` // above 0
}

// TransferArg is the argument of Account.Transfer.
type TransferArg struct {
	To     string `json:"to"`     // the id of the other account
	Amount int64  `json:"amount"` // above 0
}

// CreditArg is the argument of Account.Credit.
type CreditArg struct {
	From   string `json:"from"` // the id of the account that the money is from
	Amount int64  `json:"amount"`
}

// AccountBalance is what an account answers.
type AccountBalance struct {
	Balance int64 `json:"balance"`
}

// Deposit adds money and returns the balance. A balance above 2⁵³-1 is refused
// with CodeOverflow.
func (a *Account) Deposit(_ *mesh.Ctx, in AmountArg) (AccountBalance, error) {
	if err := checkAmount(in.Amount); err != nil {
		return AccountBalance{}, err
	}
	if in.Amount > maxBalance || a.Funds > maxBalance-in.Amount {
		return AccountBalance{}, appError(CodeOverflow, "the balance would be above %d", int64(maxBalance))
	}
	a.Funds += in.Amount
	return AccountBalance{a.Funds}, nil
}

// Withdraw takes money and returns the balance, or CodeInsufficientFunds.
func (a *Account) Withdraw(_ *mesh.Ctx, in AmountArg) (AccountBalance, error) {
	if err := a.take(in.Amount); err != nil {
		return AccountBalance{}, err
	}
	return AccountBalance{a.Funds}, nil
}

// Transfer takes money and sends it to another account, where it arrives soon
// after. It returns the balance left, or CodeInsufficientFunds. A transfer from an
// account to itself changes nothing.
func (a *Account) Transfer(ctx *mesh.Ctx, in TransferArg) (AccountBalance, error) {
	if err := checkID(in.To); err != nil {
		return AccountBalance{}, err
	}
	before := a.Funds
	if err := a.take(in.Amount); err != nil {
		return AccountBalance{}, err
	}
	if in.To == ctx.Key() {
		a.Funds = before
		return AccountBalance{before}, nil
	}
	to := mesh.GetKind[Account](ctx, ctx.Kind(), in.To)
	return AccountBalance{a.Funds}, mesh.Send(ctx, to, (*Account).Credit, CreditArg{ctx.Key(), in.Amount})
}

// Credit takes in the money of a transfer. It never fails for money that was sent,
// which would be lost by that: what the account has no room for goes back.
func (a *Account) Credit(ctx *mesh.Ctx, in CreditArg) (AccountBalance, error) {
	if err := checkAmount(in.Amount); err != nil {
		return AccountBalance{}, err
	}
	if err := checkID(in.From); err != nil {
		return AccountBalance{}, err
	}
	if a.Funds > math.MaxInt64-in.Amount {
		from := mesh.GetKind[Account](ctx, ctx.Kind(), in.From)
		return AccountBalance{a.Funds}, mesh.Send(ctx, from, (*Account).Credit, CreditArg{ctx.Key(), in.Amount})
	}
	a.Funds += in.Amount
	return AccountBalance{a.Funds}, nil
}

// Balance returns the balance.
func (a *Account) Balance(*mesh.View, mesh.None) (AccountBalance, error) {
	return AccountBalance{a.Funds}, nil
}

func (a *Account) take(amount int64) error {
	if err := checkAmount(amount); err != nil {
		return err
	}
	if a.Funds < amount {
		e := appError(CodeInsufficientFunds, "the balance is %d, not %d", a.Funds, amount)
		e.Details = fmt.Appendf(nil, `{"balance":%d}`, a.Funds)
		return e
	}
	a.Funds -= amount
	return nil
}

func checkAmount(amount int64) error {
	if amount <= 0 {
		return invalid("the amount is %d, it must be above 0", amount)
	}
	return nil
}

func checkID(id string) error {
	if id == "" || len(id) > maxIDBytes || !utf8.ValidString(id) {
		return invalid("an account's id is 1 to %d bytes of UTF-8", maxIDBytes)
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return invalid("an account's id has no control characters")
		}
	}
	return nil
}
