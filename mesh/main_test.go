package mesh

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

const leakyEnv = "ACTORMESH_MESH_LEAKY"

func TestMain(m *testing.M) {
	if os.Getenv(leakyEnv) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// ownProcess runs the test in a process of its own, and reports whether this is
// it: a store that has failed leaves goroutines behind.
func ownProcess(t *testing.T) bool {
	t.Helper()
	if os.Getenv(leakyEnv) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), leakyEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
