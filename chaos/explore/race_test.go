//go:build race

package explore

func init() { shortStates, mutantStates = 15_000, 0 }
