//go:build linux

package netns

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/chaos/local"
	"actormesh/chaos/script"
)

// left returns what a ground in a directory could have left on this machine: links,
// namespaces with names, mounts, and loop devices on its images.
func left(t *testing.T, dir string) string {
	t.Helper()
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, l := range links {
		found = append(found, "link "+l.Name())
	}
	spaces, err := filepath.Glob("/run/netns/*")
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, spaces...)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, string(mounts))
	images, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range images {
		if image, err := os.ReadFile(name); err == nil && strings.Contains(string(image), dir) {
			found = append(found, "loop device on "+string(image))
		}
	}
	return strings.Join(found, "\n")
}

// soonAsBefore checks that what is left is what was there before, now or as soon as
// the kernel has taken it down.
func soonAsBefore(t *testing.T, dir, before string) {
	t.Helper()
	now := ""
	for range 100 {
		if now = left(t, dir); now == before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("there was\n%s\nand is\n%s", before, now)
}

// A ground that is closed leaves nothing, and has had nothing that others would see
// but its devices.
func TestCloseLeavesNothing(t *testing.T) {
	needsAll(t)
	dir := t.TempDir()
	before := left(t, dir)
	g, err := newGround(all(t))
	if err != nil {
		t.Fatal(err)
	}
	n := &cluster.Node{Name: "n1", Data: filepath.Join(dir, "n1"), Binary: os.Args[0], Log: filepath.Join(dir, "n1.log")}
	address, err := g.Place(n)
	if err != nil || address != "127.77.0.1:7001" || n.Listen != address || n.HTTP != "127.77.0.1:8001" {
		t.Errorf("the node is at %s: %+v, %v", address, n, err)
	}
	if err := g.Start(n); err != nil {
		t.Error(err)
	}
	inside, err := os.Readlink("/proc/self/ns/net")
	if of, nodeErr := os.Readlink(filepath.Join("/proc", strconv.Itoa(n.PID()), "ns/net")); err != nil || nodeErr != nil || of == inside {
		t.Errorf("this process is in %s, and the node in %s: %v, %v", inside, of, err, nodeErr)
	}
	for _, text := range []string{"disk n1 eio", "disk n1 slow 10ms", "disk n1 full", "power-loss n1"} {
		f := plan(t, "at 1s "+text).Faults[0]
		undo, err := g.Below(&f, n)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if f.Mode == script.Full {
			defer undo()
		}
	}
	during := left(t, dir)
	if extra, ok := strings.CutPrefix(during, before); !ok || extra != "\nloop device on "+filepath.Join(dir, "n1.ext4")+"\n" {
		t.Errorf("there was\n%s\nand is meanwhile\n%s", before, during)
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	soonAsBefore(t, dir, before)
}

// What happens to fsyncs happens to the next process as well, until it is over.
func TestInjectLasts(t *testing.T) {
	needsAll(t)
	dir := t.TempDir()
	g, err := newGround(plan(t, "at 1s disk n1 eio"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	n := &cluster.Node{Name: "n1", Data: filepath.Join(dir, "n1"), Binary: os.Args[0], Log: filepath.Join(dir, "n1.log")}
	if _, err := g.Place(n); err != nil {
		t.Fatal(err)
	}
	defer n.Kill()
	h := g.home(n)
	faults := plan(t, "at 1s disk n1 eio\nat 1s disk n1 slow 10ms").Faults
	fails, err := g.Below(&faults[0], n) // no process runs
	if err != nil || h.tracer != nil {
		t.Errorf("where nothing runs there is a tracer: %v, %v", h.tracer != nil, err)
	}
	for range 2 {
		if err := g.Start(n); err != nil {
			t.Fatal(err)
		}
		if h.tracer == nil || h.tracer.attached(n.PID()) != nil {
			t.Error("the process is not traced")
		}
		if err := n.Kill(); err != nil {
			t.Error(err)
		}
	}
	if err := g.Start(n); err != nil {
		t.Fatal(err)
	}
	slow, err := g.Below(&faults[1], n)
	if err != nil || h.fails != 1 || h.delay != 10*time.Millisecond {
		t.Errorf("%d faults have fsyncs fail, and they take %v longer: %v", h.fails, h.delay, err)
	}
	if err := fails(); err != nil || h.tracer == nil || h.tracer.attached(n.PID()) != nil {
		t.Errorf("one fault is over, and the process is not traced: %v", err)
	}
	if err := slow(); err != nil || h.tracer != nil {
		t.Errorf("all faults are over, and there is a tracer: %v, %v", h.tracer != nil, err)
	}
}

// A process that has a ground is killed, and leaves nothing.
func TestKillLeavesNothing(t *testing.T) {
	needsAll(t)
	dir := t.TempDir()
	before := left(t, dir)
	cmd := exec.Command(os.Args[0], "hold", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
		t.Errorf("it says %q, %v", line, err)
	}
	if left(t, dir) == before {
		t.Error("it has no loop device")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	soonAsBefore(t, dir, before)
}

// What is missing is named, with its package.
func TestProbe(t *testing.T) {
	if os.Geteuid() != 0 {
		err := Probe(all(t))
		if err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("who is not root is told %v", err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	err := Probe(all(t), plan(t, "at 1s kill n1"))
	if err == nil {
		t.Fatal("nothing is missing where no program is")
	}
	for _, want := range []string{"iproute2", "nftables", "e2fsprogs", "strace"} {
		if !strings.Contains(err.Error(), "install the Debian package "+want) {
			t.Errorf("%s is not named:\n%v", want, err)
		}
	}
	err = Probe(plan(t, "at 1s kill n1"))
	if err == nil || strings.Contains(err.Error(), "nftables") || strings.Contains(err.Error(), "strace") {
		t.Errorf("a plan that only kills lacks\n%v", err)
	}
}

// What no namespace can do is refused, with the line.
func TestRunRefuses(t *testing.T) {
	for _, text := range []string{
		"link delay 10ms", "link reorder 10%", "link repeat 5%", "clock n1 stop", "disk n1 torn", "disk n1 lose", "gossip silence n1",
	} {
		_, err := Run(t.Context(), plan(t, "at 1s "+text), local.Options{Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
