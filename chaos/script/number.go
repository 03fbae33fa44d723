package script

import (
	"strconv"
	"strings"
	"time"
)

// Bounds of what a script may ask for.
const (
	maxBytes    = 32 << 20
	maxNodes    = 64
	maxSlots    = 4096
	maxReplicas = 7
	maxTime     = time.Hour
	maxClients  = 1000
	maxActors   = 10000
	maxRate     = 100000
	maxCalls    = 500000
	maxFaults   = 10000
	// maxActorCalls is how many calls of one actor the checkers take.
	maxActorCalls = 500
)

// parseDuration reads a duration that is not negative.
func parseDuration(word string) (time.Duration, bool) {
	d, err := time.ParseDuration(word)
	return d, err == nil && d >= 0 && d <= maxTime
}

// parseSpan reads a duration, or two: 1s..4s.
func parseSpan(word string) (Span, bool) {
	low, high, two := strings.Cut(word, "..")
	if !two {
		high = low
	}
	a, ok := parseDuration(low)
	b, ok2 := parseDuration(high)
	return Span{a, b}, ok && ok2 && a <= b
}

// parseShare reads a share in per cent, with two digits behind the point at most.
func parseShare(word string) (Share, bool) {
	digits, ok := strings.CutSuffix(word, "%")
	units, rest, point := strings.Cut(strings.TrimLeft(digits, "+-"), ".")
	if !ok || len(digits) == 0 || len(rest) > 2 || point && rest == "" || len(units) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(units+(rest + "00")[:2], 10, 32)
	if err != nil || strings.LastIndexAny(digits, "+-") > 0 {
		return 0, false
	}
	if digits[0] == '-' {
		return -Share(n), true
	}
	return Share(n), true
}

func parseInt(word string, low, high int) (int, bool) {
	n, err := strconv.Atoi(word)
	return n, err == nil && n >= low && n <= high
}

func parseRate(word string) (Rate, bool) {
	digits, ok := strings.CutSuffix(word, "/s")
	n, ok2 := parseInt(digits, 1, maxRate)
	return Rate(n), ok && ok2
}

const (
	kilo = 1000
	mega = 1000 * kilo
)

// parseBytesRate reads "64kB/s", "2MB/s" or "500B/s".
func parseBytesRate(word string) (int64, bool) {
	digits, ok := strings.CutSuffix(word, "B/s")
	unit := 1
	if d, is := strings.CutSuffix(digits, "k"); is {
		digits, unit = d, kilo
	} else if d, is := strings.CutSuffix(digits, "M"); is {
		digits, unit = d, mega
	}
	n, ok2 := parseInt(digits, 1, mega)
	return int64(n) * int64(unit), ok && ok2
}

func rateText(bytesPerSecond int64) string {
	n, unit := bytesPerSecond, ""
	switch {
	case n%mega == 0:
		n, unit = n/mega, "M"
	case n%kilo == 0:
		n, unit = n/kilo, "k"
	}
	return strconv.FormatInt(n, 10) + unit + "B/s"
}
