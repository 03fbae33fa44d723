package ring

// Shares are fixed-point numbers of slots, so that every machine computes the
// same ones: shareOne is one slot. A total is at most MaxSlots*MaxReplication <
// 2^15 slots, a weight at most 2^16, a sum of weights at most 2^26.
const (
	shareShift = 24
	shareOne   = 1 << shareShift
)

// claim is what one party brings to a division: its weight, at least 1, and the
// least and the most (in slots) that it may get, least <= most.
type claim struct {
	weight      uint64
	least, most uint64
}

// divide splits total slots in proportion to the weights, each share held
// between its least and its most. It gives less than total only where all the
// most together are less, and by rounding, by less than a slot.
func divide(total uint64, claims []claim) []uint64 {
	return divideFraction(total<<shareShift, claims)
}

// divideFraction is divide for a total that is itself a share.
func divideFraction(total uint64, claims []claim) []uint64 {
	shares := make([]uint64, len(claims))
	fill := func(level uint64) (sum uint64) {
		for i, c := range claims {
			shares[i] = c.most << shareShift
			if level <= shares[i]/c.weight { // else the product could overflow
				shares[i] = max(level*c.weight, c.least<<shareShift)
			}
			sum += shares[i]
		}
		return sum
	}
	// The highest water level at which no more than total is given.
	low, high := uint64(0), total
	for low < high {
		mid := high - (high-low)/2
		if fill(mid) <= total {
			low = mid
		} else {
			high = mid - 1
		}
	}
	fill(low)
	return shares
}
