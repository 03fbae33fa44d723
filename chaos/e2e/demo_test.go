package e2e

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const demoTimeout = 150 * time.Second // two at once on a small machine, where one takes at most 90 s

// The demo passes, also when two run on one machine.
func TestE2EDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), demoTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			out, err := exec.CommandContext(ctx, ledger,
				"--meshnode", meshnode, "--data", "../../examples/ledger", "--timeout", demoTimeout.String()).CombinedOutput()
			if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "OK") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}
