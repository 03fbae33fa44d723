package mesh

import (
	"golang.org/x/sys/unix"

	"actormesh/quorum"
)

// clockNow reads CLOCK_BOOTTIME, which runs on while the machine is suspended;
// Go's monotonic clock stops there, and a lease must not.
func clockNow() quorum.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("mesh: CLOCK_BOOTTIME cannot be read: " + err.Error())
	}
	return quorum.Instant(ts.Nano())
}
