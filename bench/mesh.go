package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"actormesh/chaos/cluster"
	"actormesh/mesh"
)

// The ways to call a mesh.
const (
	ViaGo   = "go"   // mesh.Dial: one client, which calls owners directly
	ViaHTTP = "http" // one connection a client, kept alive, through all nodes in turn
)

// Mesh is a System: nodes of meshnode, with defaults where Args say nothing else.
type Mesh struct {
	Binary string // the program
	Nodes  int
	Label  string     // its name in reports; "mesh" if empty
	Args   []string   // further flags of start
	Only   []Workload // all if empty
}

var _ System = (*Mesh)(nil)

// Name implements System.
func (m *Mesh) Name() string { return cmp.Or(m.Label, "mesh") }

// Version implements System.
func (m *Mesh) Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, m.Binary, "version").Output()
	return strings.TrimSpace(fmt.Sprintf("%s, %d nodes %s", bytes.TrimSpace(out), m.Nodes, strings.Join(m.Args, " "))), err
}

// Vias implements System.
func (m *Mesh) Vias() []string { return []string{ViaGo, ViaHTTP} }

// Workloads implements System.
func (m *Mesh) Workloads() []Workload {
	if len(m.Only) > 0 {
		return m.Only
	}
	return Workloads()
}

// startTimeout bounds a system's start.
const startTimeout = time.Minute

// args returns the flags of every node.
func (m *Mesh) args() []string {
	return append([]string{"--log-format", "text", "--log-level", "warn"}, m.Args...)
}

// Start implements System. The nodes found the mesh together, so that every slot
// has all of its replicas from the first record on.
func (m *Mesh) Start(ctx context.Context, dir string) (Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	processes, err := cluster.New(cluster.Config{
		Binary: m.Binary, Dir: dir, Nodes: m.Nodes, Together: true,
		Args: m.args(),
	})
	if err != nil {
		return nil, err
	}
	err = processes.Start()
	if err == nil {
		err = processes.WaitReady(ctx, processes.Nodes...)
	}
	if err == nil {
		err = waitWhole(ctx, processes)
	}
	if err != nil {
		processes.Close() // err says more
		return nil, err
	}
	c := newMeshCluster(processes.Addrs(), nil)
	c.processes = processes
	for _, n := range processes.Nodes {
		c.config.Seeds = append(c.config.Seeds, n.Listen)
	}
	return c, nil
}

// waitWhole waits until every slot is served by its owner and has all of its
// replicas: a write to fewer of them would be a cheaper one.
func waitWhole(ctx context.Context, c *cluster.Cluster) error {
	want := min(len(c.Nodes), 3) // the default of --replication
	for _, n := range c.Nodes {
		err := cluster.Until(ctx, func(ctx context.Context) error {
			var slots []mesh.SlotStatus
			if err := c.Client.Get(ctx, n.HTTP, "/v1/slots", &slots); err != nil {
				return err
			}
			for _, s := range slots {
				whole := len(s.Replicas) == want && len(s.Learners) == 0 && len(s.From) == 0
				if !whole || s.Replicas[0] == n.Name && !s.Active {
					return fmt.Errorf("slot %d: replicas %v, learners %v, from %v, active %v",
						s.Slot, s.Replicas, s.Learners, s.From, s.Active)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s is not whole: %w\n%s", n.Name, err, n.Tail(10))
		}
	}
	return nil
}

// RunningMesh is a System: a mesh that somebody else has started and keeps. Its
// actors of the kinds counter and kv with ids "bench-0" to "bench-999" are
// written to.
type RunningMesh struct {
	HTTP  []string          // HOST:PORT of some of its nodes; those are called by HTTP and counted
	Calls mesh.ClientConfig // of the Go client, without its Seeds
	TLS   *tls.Config       // for HTTP; nil without certificates
}

var (
	_ System    = (*RunningMesh)(nil)
	_ Crashable = (*meshCluster)(nil)
)

// Name implements System.
func (m *RunningMesh) Name() string { return "mesh" }

// Version implements System.
func (m *RunningMesh) Version(context.Context) (string, error) {
	return "whatever runs at " + strings.Join(m.HTTP, ", "), nil
}

// Vias implements System.
func (m *RunningMesh) Vias() []string { return []string{ViaGo, ViaHTTP} }

// Workloads implements System.
func (m *RunningMesh) Workloads() []Workload { return Workloads() }

// Start implements System: it only finds the members.
func (m *RunningMesh) Start(ctx context.Context, _ string) (Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c := newMeshCluster(m.HTTP, m.TLS)
	c.config = m.Calls
	client := cluster.NewClient(1, m.TLS)
	defer client.Close()
	var status mesh.Status
	if err := client.Get(ctx, m.HTTP[0], "/v1/status", &status); err != nil {
		return nil, fmt.Errorf("%s: %w", m.HTTP[0], err)
	}
	for _, member := range status.Members {
		c.config.Seeds = append(c.config.Seeds, member.Addr)
	}
	if len(c.config.Seeds) == 0 {
		return nil, fmt.Errorf("%s belongs to no mesh yet", m.HTTP[0])
	}
	return c, nil
}

// meshCluster is a mesh that runs.
type meshCluster struct {
	processes *cluster.Cluster // nil if somebody else's
	addrs     []string         // of HTTP
	tls       *tls.Config
	config    mesh.ClientConfig
	pages     http.Client
}

func newMeshCluster(addrs []string, conf *tls.Config) *meshCluster {
	return &meshCluster{addrs: addrs, tls: conf, pages: http.Client{Transport: &http.Transport{TLSClientConfig: conf}}}
}

// Dial implements Cluster.
func (c *meshCluster) Dial(ctx context.Context, via string, clients int) (Client, error) {
	if via == ViaHTTP {
		return newHTTPCaller(c.addrs, c.tls, clients), nil
	}
	return newGoCaller(ctx, c.config)
}

// Counters implements Cluster. The CPU time of processes of this machine is the
// kernel's word, of others that of the nodes.
func (c *meshCluster) Counters(ctx context.Context) (Counters, error) {
	var sum Counters
	var err error
	if c.processes != nil {
		sum.CPU = ProcessesCPU(c.processes)
	}
	scheme := "http://"
	if c.tls != nil {
		scheme = "https://"
	}
	for _, addr := range c.addrs {
		var values []float64
		values, err = Scrape(ctx, &c.pages, scheme+addr+"/metrics", "mesh_fsync_seconds_count", "process_cpu_seconds_total")
		if err != nil {
			return Counters{}, err
		}
		sum.Fsyncs += uint64(values[0])
		if c.processes == nil {
			sum.CPU += time.Duration(values[1] * float64(time.Second))
		}
	}
	return sum, nil
}

// PIDs implements Cluster.
func (c *meshCluster) PIDs() []int {
	if c.processes == nil {
		return nil
	}
	return ProcessIDs(c.processes)
}

// Victim implements Crashable: the keys are those of actors that the node owns.
func (c *meshCluster) Victim(ctx context.Context, n, keys int) (*cluster.Node, []int, error) {
	if c.processes == nil {
		return nil, nil, errors.New("a mesh of somebody else's is not to be killed")
	}
	victim := c.processes.Nodes[n%len(c.processes.Nodes)]
	var owned []int
	for key := 0; key < Keys && len(owned) < keys; key++ {
		owner, err := c.processes.Owner(ctx, "kv", actorID(key))
		if err != nil {
			return nil, nil, err
		}
		if owner == victim {
			owned = append(owned, key)
		}
	}
	if len(owned) < keys {
		return nil, nil, fmt.Errorf("%s owns %d of %d actors, %d are wanted", victim.Name, len(owned), Keys, keys)
	}
	return victim, owned, nil
}

// Close implements Cluster.
func (c *meshCluster) Close() error {
	c.pages.CloseIdleConnections()
	if c.processes == nil {
		return nil
	}
	return c.processes.Close()
}

// ProcessIDs returns the ids of a cluster's processes that run.
func ProcessIDs(c *cluster.Cluster) []int {
	var pids []int
	for _, n := range c.Nodes {
		if pid := n.PID(); pid != 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ProcessesCPU returns the CPU time of a cluster's processes; 0 where the system
// does not tell.
func ProcessesCPU(c *cluster.Cluster) time.Duration {
	var sum time.Duration
	for _, n := range c.Nodes {
		cpu, _ := processCPU(n.PID()) // 0 if it is gone: then calls fail as well
		sum += cpu
	}
	return sum
}
