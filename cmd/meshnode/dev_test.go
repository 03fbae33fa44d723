package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// playChild is what the test's own binary does in the place of `meshnode start`.
func playChild(behaviour string) int {
	flag := func(name string) string {
		i := slices.Index(os.Args, name)
		if i < 0 {
			return ""
		}
		return os.Args[i+1]
	}
	fmt.Fprintf(os.Stderr, "expect=%q join=%d setting=%q pid=%d\n", flag("--expect"), len(strings.Split(flag("--join"), ",")), os.Getenv("MESHNODE_JOIN"), os.Getpid())
	if behaviour == "fails" && flag("--name") == "n2" {
		return 1
	}
	fmt.Println(servingLine(flag("--name"), flag("--listen"), flag("--http")))
	io.Copy(io.Discard, os.Stdin) // until its parent closes it
	return 0
}

// screen takes what a command prints, and tells when something was.
type screen struct {
	mu    sync.Mutex
	text  strings.Builder
	ended bool
	news  *sync.Cond
}

func newScreen() *screen {
	s := &screen{}
	s.news = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news.Broadcast()
	return s.text.Write(p)
}

// end says that no more will come.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.news.Broadcast()
}

// wait returns all that was printed when the text is in it, or when there will
// be no more.
func (s *screen) wait(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended && !strings.Contains(s.text.String(), text) {
		s.news.Wait()
	}
	return s.text.String()
}

// runDev runs dev with the test's binary as nodes.
func runDev(t *testing.T, behaviour string, args ...string) (*rig, *screen, <-chan int) {
	t.Helper()
	t.Setenv(childVar, behaviour)
	t.Setenv("MESHNODE_JOIN", "not:1") // of no concern to the nodes
	r, s, code := newRig(), newScreen(), make(chan int, 1)
	r.executable = os.Args[0]
	r.stdout = s
	go func() {
		code <- r.run(append([]string{"dev"}, args...)...)
		s.end()
	}()
	return r, s, code
}

func TestDev(t *testing.T) {
	data := filepath.Join(t.TempDir(), "mesh")
	var addrs []string
	for range 2 { // the second time with what the first has left
		r, s, code := runDev(t, "serves", "--data", data)
		all := s.wait("ctrl-C stops it; " + data + " is kept.")
		for _, want := range []string{
			`n1 | expect="1" join=1 setting=""`, `n2 | expect="" join=2 setting=""`, `n3 | serving name=n3`,
			"A mesh of 3 is ready", "curl -d",
		} {
			// A node's two outputs are in no order; a text that never comes
			// shows as a test that does not end.
			s.wait(want)
		}
		addrs = append(addrs, strings.Join(regexp.MustCompile(`http://[0-9.:]+\n`).FindAllString(all, -1), " "))
		r.signals <- os.Interrupt
		if got := <-code; got != exitOK {
			t.Errorf("exit %d: %s", got, r.err.String())
		}
	}
	if addrs[0] != addrs[1] || addrs[0] == "" {
		t.Errorf("the addresses moved: %q", addrs)
	}
	if code := newRig().run("dev", "--nodes", "2", "--data", data); code != exitUsage {
		t.Errorf("fewer nodes than there are: exit %d", code)
	}
}

func TestDevForgets(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	r, s, code := runDev(t, "serves", "--nodes", "1")
	s.wait("forgets everything")
	r.signals <- os.Interrupt
	if got := <-code; got != exitOK {
		t.Errorf("exit %d: %s", got, r.err.String())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestDevNodeFails ends the whole mesh when a node does not come up.
func TestDevNodeFails(t *testing.T) {
	r, s, code := runDev(t, "fails", "--nodes", "2")
	if got := <-code; got != exitFailure || !strings.Contains(r.err.String(), "n2 has ended") {
		t.Errorf("exit %d: %s\n%s", got, r.err.String(), s.wait(""))
	}
}

// TestDevNodeEnds keeps the rest of a mesh that is ready: a node may be killed to
// see what happens.
func TestDevNodeEnds(t *testing.T) {
	r, s, code := runDev(t, "serves", "--nodes", "2")
	s.wait("ctrl-C stops it")
	pid, err := strconv.Atoi(regexp.MustCompile(`n2 \| expect.* pid=(\d+)`).FindStringSubmatch(s.wait("n2 | expect"))[1])
	if err != nil {
		t.Fatal(err)
	}
	n2, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := n2.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait("n2 | has ended: signal: killed")
	r.signals <- os.Interrupt
	if got := <-code; got != exitOK {
		t.Errorf("exit %d: %s", got, r.err.String())
	}
}
