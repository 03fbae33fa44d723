package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

const (
	maxDevNodes     = 16
	devReadyTimeout = time.Minute
	devStopTimeout  = 10 * time.Second
	devDrainTimeout = 2 * time.Second // all are to stop: there is nobody to hand over to
)

func (a *app) devCommand() *cobra.Command {
	var nodes int
	var data string
	cmd := &cobra.Command{
		Use:   "dev [--nodes 3] [--data DIR]",
		Short: "Run a whole mesh on this machine, ready to call",
		Long: `Run a whole mesh on this machine, each node a process of its own, until ctrl-C. Without
--data it forgets everything when it ends.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().IntVar(&nodes, "nodes", 3, "how many nodes")
	cmd.Flags().StringVar(&data, "data", "", "the directory of the nodes' directories; kept")
	cmd.RunE = a.do(func(*cobra.Command, []string) error { return a.runDev(nodes, data) })
	return cmd
}

func (a *app) runDev(nodes int, data string) (err error) {
	if nodes < 1 || nodes > maxDevNodes {
		return fmt.Errorf("%w: --nodes is %d, it must be from 1 to %d", mesh.ErrUsage, nodes, maxDevNodes)
	}
	kept := data != ""
	if !kept {
		if data, err = os.MkdirTemp("", "meshnode-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	} else if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	addrs, err := devAddresses(data, nodes)
	if err != nil {
		return err
	}
	d := &dev{
		app:    a,
		out:    &syncWriter{w: a.stdout},
		ready:  make(chan int),
		exited: make(chan devExit),
		quit:   make(chan struct{}),
	}
	defer d.stop()
	for i, addr := range addrs {
		if err := d.startNode(i, filepath.Join(data, addr.Name), addrs); err != nil {
			return err
		}
	}
	return d.run(addrs, data, kept)
}

// devAddr is where one node of a dev mesh listens. The addresses stay the same
// from run to run of one directory: the members know each other by them.
type devAddr struct{ Name, Listen, HTTP string }

// devAddresses returns the nodes' addresses, from the directory's dev.json or
// chosen now.
func devAddresses(data string, nodes int) ([]devAddr, error) {
	path := filepath.Join(data, "dev.json")
	var addrs []devAddr
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &addrs); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(addrs) > nodes {
		return nil, fmt.Errorf("%w: %s holds a mesh of %d nodes: say --nodes %d, or let some leave first and remove them from dev.json",
			mesh.ErrUsage, data, len(addrs), len(addrs))
	}
	for len(addrs) < nodes {
		addr, err := freeAddresses(len(addrs) + 1)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	if text, err = json.MarshalIndent(addrs, "", "\t"); err != nil {
		return nil, err
	}
	return addrs, os.WriteFile(path, append(text, '\n'), 0o600)
}

// freeAddresses finds a UDP and a TCP port that nobody has now: those that the
// other commands take where nothing else is said, if they are free.
func freeAddresses(n int) (devAddr, error) {
	udp, err := listenNear(7000+n, func(addr string) (net.PacketConn, error) { return net.ListenPacket("udp", addr) })
	if err != nil {
		return devAddr{}, err
	}
	defer udp.Close()
	tcp, err := listenNear(8000+n, func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) })
	if err != nil {
		return devAddr{}, err
	}
	defer tcp.Close()
	return devAddr{Name: "n" + strconv.Itoa(n), Listen: udp.LocalAddr().String(), HTTP: tcp.Addr().String()}, nil
}

// listenNear listens on a port of 127.0.0.1, or on any free one if it is taken.
func listenNear[T any](port int, listen func(addr string) (T, error)) (T, error) {
	if l, err := listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
		return l, nil
	}
	return listen("127.0.0.1:0")
}

// dev runs the nodes. Its run loop owns what is not a channel.
type dev struct {
	app    *app
	out    *syncWriter
	nodes  []*devNode
	ready  chan int // a node serves
	exited chan devExit
	quit   chan struct{} // closed when nobody listens to the two any more
	wg     sync.WaitGroup
}

type devExit struct {
	node int
	err  error
}

func (d *dev) startNode(i int, dir string, addrs []devAddr) error {
	addr := addrs[i]
	args := []string{"start", "--name", addr.Name, "--data", dir, "--listen", addr.Listen, "--http", addr.HTTP,
		"--until-eof", "--log-format", "text", "--drain-timeout", devDrainTimeout.String()}
	if i == 0 {
		args = append(args, "--expect", "1")
	}
	var seeds []string
	for j, seed := range addrs {
		if j != i {
			seeds = append(seeds, seed.Listen)
		}
	}
	if i > 0 {
		args = append(args, "--join", strings.Join(seeds, ","))
	}
	n, stdout, stderr, err := startDevNode(d.app.executable, args)
	if err != nil {
		return fmt.Errorf("start %s: %w", addr.Name, err)
	}
	d.nodes = append(d.nodes, n)
	var readers sync.WaitGroup
	prefix := addr.Name + " | "
	readers.Go(func() {
		d.copyLines(prefix, stdout, func(line string) {
			if strings.HasPrefix(line, "serving ") {
				select {
				case d.ready <- i:
				case <-d.quit:
				}
			}
		})
	})
	readers.Go(func() { d.copyLines(prefix, stderr, func(string) {}) })
	d.wg.Go(func() {
		readers.Wait() // Wait below closes what they read
		err := n.cmd.Wait()
		close(n.done)
		select {
		case d.exited <- devExit{i, err}:
		case <-d.quit:
		}
	})
	return nil
}

// copyLines writes each line with a prefix, and shows it to see.
func (d *dev) copyLines(prefix string, r io.Reader, see func(string)) {
	lines := bufio.NewReader(r)
	for {
		line, _, err := lines.ReadLine() // a line that is too long comes in parts
		if err != nil {
			return
		}
		see(string(line))
		fmt.Fprintf(d.out, "%s%s\n", prefix, line)
	}
}

// run waits until the mesh is ready, says so, and then until it is to end.
func (d *dev) run(addrs []devAddr, data string, kept bool) error {
	timeout := time.NewTimer(devReadyTimeout)
	defer timeout.Stop()
	serving, alive := map[int]bool{}, len(addrs)
	for {
		select {
		case <-d.app.signals:
			return nil
		case <-timeout.C:
			return fmt.Errorf("the mesh was not ready within %v; the log above says why", devReadyTimeout)
		case i := <-d.ready:
			serving[i] = true
			if len(serving) == len(addrs) {
				timeout.Stop()
				d.announce(addrs, data, kept)
			}
		case e := <-d.exited:
			alive--
			fmt.Fprintf(d.out, "%s | has ended: %s\n", addrs[e.node].Name, exitText(e.err))
			if len(serving) < len(addrs) || alive == 0 {
				return fmt.Errorf("%s has ended; its log above says why", addrs[e.node].Name)
			}
		}
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func (d *dev) announce(addrs []devAddr, data string, kept bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nA mesh of %d is ready:\n", len(addrs))
	for _, addr := range addrs {
		fmt.Fprintf(&b, "  %s  http://%s\n", addr.Name, addr.HTTP)
	}
	fmt.Fprintf(&b, "\nCall an actor, through any of them:\n")
	fmt.Fprintf(&b, "  curl -d '{\"n\":1}' http://%s/v1/actors/counter/visits/add\n", addrs[0].HTTP)
	fmt.Fprintf(&b, "  meshnode status --http %s\n", addrs[0].HTTP)
	if kept {
		fmt.Fprintf(&b, "\nctrl-C stops it; %s is kept.\n\n", data)
	} else {
		fmt.Fprintf(&b, "\nctrl-C stops it, and forgets everything.\n\n")
	}
	io.WriteString(d.out, b.String())
}

// stop ends the nodes: gently, and for those that take too long, or at a second
// ctrl-C, at once.
func (d *dev) stop() {
	close(d.quit)
	for _, n := range d.nodes {
		n.stdin.Close()
	}
	deadline := time.NewTimer(devStopTimeout)
	defer deadline.Stop()
	for _, n := range d.nodes {
		select {
		case <-n.done:
			continue
		case <-deadline.C:
		case <-d.app.signals:
		}
		for _, n := range d.nodes {
			n.cmd.Process.Kill() // an error says that it has ended
		}
		break
	}
	d.wg.Wait()
}

// syncWriter lets several goroutines write whole lines.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
