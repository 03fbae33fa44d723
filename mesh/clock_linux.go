package mesh

import (
	"sync/atomic"
	"time"

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
	clockAhead.Store(ts.Nano() - int64(time.Since(clockStart)))
	return quorum.Instant(ts.Nano())
}

// clockAbout reads the same clock without a system call, for deadlines: for a
// moment after the machine was suspended it is behind.
func clockAbout() quorum.Instant {
	return quorum.Instant(int64(time.Since(clockStart)) + clockAhead.Load())
}

var (
	clockStart = time.Now()
	clockAhead atomic.Int64 // CLOCK_BOOTTIME less the time since clockStart
	_          = clockNow() // sets it
)
