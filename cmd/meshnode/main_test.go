package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"actormesh/mesh"
)

// childVar makes a test's own binary play a node of dev.
const childVar = "DEV_TEST_CHILD"

// realChild makes it the program itself.
const realChild = "real"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(childVar); behaviour == realChild {
		main()
	} else if behaviour != "" {
		os.Exit(playChild(behaviour))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("actormesh/chaos/local.keepThread"))
}

// fakeNode is a node that does nothing, and remembers what it was told.
type fakeNode struct {
	mu      sync.Mutex
	told    []string
	done    chan struct{}
	err     error
	drain   func(context.Context) error
	drained chan struct{} // closed when Drain begins
}

func newFakeNode() *fakeNode {
	return &fakeNode{done: make(chan struct{}), drained: make(chan struct{}), drain: func(context.Context) error { return nil }}
}

func (n *fakeNode) tell(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, what)
}

func (n *fakeNode) Addr() string     { return "127.0.0.1:7777" }
func (n *fakeNode) HTTPAddr() string { return "127.0.0.1:8888" }
func (n *fakeNode) Drain(ctx context.Context) error {
	n.tell("drain")
	close(n.drained)
	return n.drain(ctx)
}
func (n *fakeNode) Close() error          { n.tell("close"); return nil }
func (n *fakeNode) Done() <-chan struct{} { return n.done }
func (n *fakeNode) Err() error            { return n.err }

// rig runs command lines in this process.
type rig struct {
	app
	out, err bytes.Buffer
	env      map[string]string
	signals  chan os.Signal
	config   mesh.Config // of the last start
}

func newRig() *rig {
	r := &rig{env: map[string]string{}, signals: make(chan os.Signal, 2)}
	r.app = app{
		stdout: &r.out, stderr: &r.err, stdin: strings.NewReader(""),
		signals:   r.signals,
		lookupEnv: func(name string) (string, bool) { v, ok := r.env[name]; return v, ok },
		start: func(_ context.Context, c mesh.Config) (node, error) {
			r.config = c
			n := newFakeNode()
			close(n.done) // it ends at once
			return n, nil
		},
	}
	return r
}

func (r *rig) run(args ...string) int {
	r.args, r.running = args, false
	r.out.Reset()
	r.err.Reset()
	return r.app.run()
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	for name, text := range map[string]string{
		"bad.yaml": "nmae: n1", "list.yaml": "- name", "deep.yaml": "join: [[a]]", "map.yaml": "name: {a: b}", "torn.yaml": "name: [",
		"type.yaml": "expect: many",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		says string // on standard error
	}{
		{"", "a command is missing"},
		{"strat", "unknown command"},
		{"--nonsense", "unknown flag"},
		{"start --nonsense", "unknown flag"},
		{"start extra", "unknown command"},
		{"start --expect many", "invalid argument"},
		{"start --chaos --certs certs", "without --certs"},
		{"start --lease soon", "invalid argument"},
		{"start --log-level loud", "--log-level"},
		{"start --log-format xml", "--log-format"},
		{"start --config " + bad, "nmae"},
		{"start --config " + filepath.Join(dir, "absent.yaml"), "absent.yaml"},
		{"start --config " + filepath.Join(dir, "list.yaml"), "list.yaml"},
		{"start --config " + filepath.Join(dir, "deep.yaml"), "plain values"},
		{"start --config " + filepath.Join(dir, "map.yaml"), "plain"},
		{"start --config " + filepath.Join(dir, "torn.yaml"), "torn.yaml"},
		{"start --config " + filepath.Join(dir, "type.yaml"), "the config file"},
		{"call", "accepts between 3 and 4"},
		{"call counter visits", "accepts between 3 and 4"},
		{"call a b c d e", "accepts between 3 and 4"},
		{"call a b c --http nowhere", "HOST:PORT"},
		{"call a b c --http=", "no HTTP address"},
		{"call a b c --as alice", "--certs"},
		{"call a b c --timeout 0s", "--timeout"},
		{"status extra", "unknown command"},
		{"status --http x", "HOST:PORT"},
		{"drain --http 127.0.0.1:1,127.0.0.1:2", "one --http"},
		{"leave --http=", "one --http"},
		{"certs", "a command is missing"},
		{"certs make", "there is no command"},
		{"certs init", "--dir"},
		{"certs node --dir d", "accepts 1 arg"},
		{"certs node n1", "--dir"},
		{"certs client c --dir d --role king", "role"},
		{"certs client c --dir d --role node", "role"},
		{"dev --nodes 0", "--nodes"},
		{"dev --nodes 17", "--nodes"},
	} {
		r := newRig()
		if code := r.run(strings.Fields(c.args)...); code != exitUsage || !strings.Contains(r.err.String(), c.says) {
			t.Errorf("meshnode %s: exit %d, %q, which does not speak of %q", c.args, code, r.err.String(), c.says)
		}
		if !strings.Contains(r.err.String(), "--help`") || r.out.Len() > 0 {
			t.Errorf("meshnode %s: %q, and on standard output %q", c.args, r.err.String(), r.out.String())
		}
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{
		"status --certs " + filepath.Join(dir, "absent"),
		"call a b c --certs " + filepath.Join(dir, "absent") + " --as alice",
		"certs node n1 --dir " + filepath.Join(dir, "no-ca"),
	} {
		r := newRig()
		if code := r.run(strings.Fields(args)...); code != exitFailure || r.err.Len() == 0 {
			t.Errorf("meshnode %s: exit %d, %q", args, code, r.err.String())
		}
	}
	for err, code := range map[error]int{
		errors.New("the disk is gone"):                 exitFailure,
		fmt.Errorf("an empty disk: %w", mesh.ErrUsage): exitUsage,
	} {
		r := newRig()
		r.start = func(context.Context, mesh.Config) (node, error) { return nil, err }
		if got := r.run("start"); got != code || !strings.Contains(r.err.String(), err.Error()) {
			t.Errorf("%v: exit %d, %q", err, got, r.err.String())
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"--help", "start --help", "call --help", "certs --help", "help dev", "version"} {
		r := newRig()
		if code := r.run(strings.Fields(args)...); code != exitOK || r.out.Len() == 0 {
			t.Errorf("meshnode %s: exit %d, %q", args, code, r.err.String())
		}
	}
}

// TestCommands holds the program to the commands and flags of its contract.
func TestCommands(t *testing.T) {
	root := newRig().rootCommand()
	for path, flags := range map[string]string{
		"start":        "name data listen http expect join zone certs config",
		"call":         "http once",
		"status":       "http json",
		"members":      "http json",
		"slots":        "http json",
		"kinds":        "http json",
		"drain":        "http",
		"leave":        "http",
		"certs init":   "dir",
		"certs node":   "dir host",
		"certs client": "dir role",
		"dev":          "nodes data",
		"version":      "",
	} {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %v, %v", path, rest, err)
			continue
		}
		for _, name := range strings.Fields(flags) {
			if cmd.Flag(name) == nil {
				t.Errorf("%s has no flag --%s", path, name)
			}
		}
	}
}

func TestCertsCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	for _, args := range []string{
		"certs init --dir " + dir,
		"certs node n1 --dir " + dir + " --host 10.0.0.1,n1.example",
		"certs client alice --dir " + dir,
		"certs client root --role admin --dir " + dir,
	} {
		r := newRig()
		if code := r.run(strings.Fields(args)...); code != exitOK {
			t.Fatalf("meshnode %s: exit %d, %q", args, code, r.err.String())
		}
	}
	for _, name := range []string{"ca.crt", "ca.key", "gossip.key", "n1.crt", "n1.key", "alice.crt", "alice.key", "root.crt", "root.key"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	r := newRig()
	if code := r.run("certs", "init", "--dir", dir); code != exitFailure {
		t.Errorf("a second CA over the first: exit %d", code)
	}
}
