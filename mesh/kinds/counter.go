package kinds

import (
	"math"

	"actormesh/mesh"
)

// Counter is a number that calls add to.
type Counter struct {
	Value int64 `json:"value"`
}

// AddArg is the argument of Counter.Add.
type AddArg struct {
	N int64 `json:"n"` // may be negative
}

// CounterValue is what a counter answers.
type CounterValue struct {
	Value int64 `json:"value"`
}

// Add adds n and returns the new value. A sum out of the range of an int64 is
// refused with CodeOverflow.
func (c *Counter) Add(_ *mesh.Ctx, in AddArg) (CounterValue, error) {
	if in.N > 0 && c.Value > math.MaxInt64-in.N || in.N < 0 && c.Value < math.MinInt64-in.N {
		return CounterValue{}, appError(CodeOverflow, "%d and %d are out of range", c.Value, in.N)
	}
	c.Value += in.N
	return CounterValue{c.Value}, nil
}

// Get returns the value.
func (c *Counter) Get(*mesh.View, mesh.None) (CounterValue, error) {
	return CounterValue{c.Value}, nil
}
