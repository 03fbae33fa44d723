//go:build !linux

package mesh

import (
	"time"

	"actormesh/quorum"
)

var clockStart = time.Now()

// clockNow reads Go's monotonic clock. On some systems it stands still while the
// machine is suspended: start nodes with leases off on a machine that may be.
func clockNow() quorum.Instant { return quorum.Instant(time.Since(clockStart)) + 1 }

// clockAbout is clockNow where that is cheap.
func clockAbout() quorum.Instant { return clockNow() }
