//go:build linux

package netns

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// The test binary is other processes as well: called with sync FILE, one that syncs
// a file again and again and says how that went; called with hold DIR, one that has
// a ground, and is to be killed; called with start, a node that does nothing.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "sync":
			exit(syncAgain(os.Args[2]))
		case "hold":
			exit(hold(os.Args[2]))
		case "start":
			time.Sleep(time.Minute)
			exit(nil)
		}
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// syncAgain syncs a file for as long as it is let, and prints of each time when it
// began, whether it failed, and how long it took, in milliseconds.
func syncAgain(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	for {
		if _, err := file.Write([]byte("x")); err != nil {
			return err
		}
		began := time.Now()
		err := file.Sync()
		fmt.Println(began.UnixMilli(), err != nil, time.Since(began).Milliseconds())
		time.Sleep(10 * time.Millisecond)
	}
}

// all is a plan that takes every means.
func all(t *testing.T) *script.Plan {
	t.Helper()
	return plan(t, "at 1s power-loss n1\nat 1s disk n1 full\nat 1s disk n1 eio\nat 1s cut n1 | n2\nat 1s link rate 1kB/s")
}

func plan(t *testing.T, text string) *script.Plan {
	t.Helper()
	s, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return script.Expand(s, 1)
}

// needsAll skips a test that this machine cannot run.
func needsAll(t *testing.T) {
	t.Helper()
	if err := Probe(all(t)); err != nil {
		t.Skipf("this machine lacks what it takes:\n%v", err)
	}
}

// hold makes a ground with two places, says so, and waits.
func hold(dir string) error {
	s, err := script.Parse("at 1s power-loss n1\nat 1s cut n1 | n2")
	if err != nil {
		return err
	}
	g, err := newGround(script.Expand(s, 1))
	if err != nil {
		return err
	}
	for _, name := range []string{"n1", "n2"} {
		n := &cluster.Node{Name: name, Data: dir + "/" + name}
		if _, err := g.Place(n); err != nil {
			return err
		}
	}
	fmt.Println("holding")
	time.Sleep(time.Minute)
	return nil
}
