// Package e2e starts real processes of meshnode on real disks and hurts them.
// It knows the mesh as its users do: by its command line and its HTTP interface.
// No test waits for a time to pass; each polls for what must come, with a
// deadline after which it has failed.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// The programs under test, built once.
var meshnode, testnode, ledger string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "actormesh-e2e-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir,
		"actormesh/cmd/meshnode", "actormesh/chaos/e2e/testnode", "actormesh/examples/ledger")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	meshnode = filepath.Join(dir, "meshnode")
	testnode = filepath.Join(dir, "testnode")
	ledger = filepath.Join(dir, "ledger")
	return dir, nil
}
