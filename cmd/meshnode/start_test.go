package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"actormesh/mesh"
)

// startRig runs start with a node until the test ends it, and returns the exit
// code when it comes.
func startRig(n *fakeNode, args ...string) (*rig, *screen, <-chan int) {
	r, s := newRig(), newScreen()
	r.stdout = s
	r.start = func(context.Context, mesh.Config) (node, error) { return n, nil }
	code := make(chan int, 1)
	go func() {
		code <- r.run(append([]string{"start", "--name", "n1"}, args...)...)
		s.end()
	}()
	s.wait("\n")
	return r, s, code
}

func TestStartDrainsOnSignal(t *testing.T) {
	n := newFakeNode()
	r, s, code := startRig(n)
	r.signals <- os.Interrupt
	if got := <-code; got != exitOK || !slices.Equal(n.told, []string{"drain", "close"}) {
		t.Errorf("exit %d, told %v: %s", got, n.told, r.err.String())
	}
	if want := "serving name=n1 addr=127.0.0.1:7777 http=127.0.0.1:8888\n"; s.wait("") != want {
		t.Errorf("printed %q, want %q", s.wait(""), want)
	}
}

func TestStartEndsAtOnceOnSecondSignal(t *testing.T) {
	n, end := newFakeNode(), make(chan struct{})
	n.drain = func(context.Context) error { <-end; return nil }
	r, _, code := startRig(n)
	r.signals <- os.Interrupt
	<-n.drained
	r.signals <- os.Interrupt
	if got := <-code; got != exitFailure {
		t.Errorf("exit %d", got)
	}
	close(end)
}

// TestStartClosesWhatItCannotDrain bounds the wait for others.
func TestStartClosesWhatItCannotDrain(t *testing.T) {
	n := newFakeNode()
	n.drain = func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			return errors.New("without bound")
		}
		return errors.New("no majority")
	}
	r, _, code := startRig(n)
	r.signals <- os.Interrupt
	if got := <-code; got != exitOK || !slices.Equal(n.told, []string{"drain", "close"}) || !strings.Contains(r.err.String(), "no majority") {
		t.Errorf("exit %d, told %v: %s", got, n.told, r.err.String())
	}
}

func TestStartEndsWithItsNode(t *testing.T) {
	for err, want := range map[error]int{nil: exitOK, errors.New("fsync failed"): exitFailure} {
		n := newFakeNode()
		n.err = err
		close(n.done)
		r, _, code := startRig(n)
		if got := <-code; got != want {
			t.Errorf("%v: exit %d: %s", err, got, r.err.String())
		}
	}
}

// TestStartIsStoppedEarly ends a node that does not serve yet.
func TestStartIsStoppedEarly(t *testing.T) {
	n := newFakeNode()
	for _, late := range []bool{false, true} {
		r, begun := newRig(), make(chan struct{})
		r.start = func(ctx context.Context, _ mesh.Config) (node, error) {
			close(begun)
			<-ctx.Done()
			if late { // it was done with it just then
				return n, nil
			}
			return nil, ctx.Err()
		}
		code := make(chan int)
		go func() { code <- r.run("start") }()
		<-begun
		r.signals <- os.Interrupt
		if got := <-code; got != exitOK || r.out.Len() > 0 {
			t.Errorf("exit %d, %q: %s", got, r.out.String(), r.err.String())
		}
	}
	if !slices.Equal(n.told, []string{"close"}) {
		t.Errorf("told %v", n.told)
	}
}

func TestStartUntilEOF(t *testing.T) {
	n := newFakeNode()
	stdin, parent := io.Pipe()
	r, s := newRig(), newScreen()
	r.stdin, r.stdout = stdin, s
	r.start = func(context.Context, mesh.Config) (node, error) { return n, nil }
	code := make(chan int)
	go func() { code <- r.run("start", "--until-eof") }()
	s.wait("serving")
	parent.Close()
	if got := <-code; got != exitOK || !slices.Equal(n.told, []string{"drain", "close"}) {
		t.Errorf("exit %d, told %v", got, n.told)
	}
}

func TestLogFormats(t *testing.T) {
	for format, want := range map[string]string{
		"json": `"level":"WARN","msg":"slow","g":{"node":"n1","took":"1s"}}`,
		"auto": `"level":"WARN","msg":"slow","g":{"node":"n1","took":"1s"}}`, // a buffer is no terminal
		"text": "WARN  slow g.node=n1 g.took=1s\n",
	} {
		var b strings.Builder
		log, err := newLogger(&b, format, "warn")
		if err != nil {
			t.Fatal(err)
		}
		log.Info("not told")
		log.WithGroup("g").With("node", "n1").Warn("slow", "took", "1s")
		if got := strings.TrimSpace(b.String()); !strings.HasSuffix(got, strings.TrimSpace(want)) || strings.Contains(got, "not told") {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}
