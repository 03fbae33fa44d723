//go:build linux

package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"actormesh/chaos/script"
)

// needs are the means that a plan takes, beside namespaces.
type needs struct {
	filter bool // of packets
	rates  bool // of links
	disks  bool // of its own for each node
	inject bool // into system calls
}

// needsOf returns what the plans take together.
func needsOf(plans ...*script.Plan) needs {
	var n needs
	for _, p := range plans {
		for i := range p.Faults {
			switch f := &p.Faults[i]; f.Verb {
			case script.Cut, script.CutOneWay, script.Bridge, script.Ring, script.LinkFault:
				n.filter = true
				n.rates = n.rates || f.Link.Rate > 0
			case script.PowerLoss:
				n.disks = true
			case script.Disk:
				n.disks = n.disks || f.Mode == script.Full
				n.inject = n.inject || f.Mode == script.EIO || f.Mode == script.Slow
			}
		}
	}
	return n
}

// programs are what the means are made with, and the Debian package of each.
var programs = []struct {
	name, packaged string
	needed         func(needs) bool
}{
	{"ip", "iproute2", func(needs) bool { return true }},
	{"nft", "nftables", func(n needs) bool { return n.filter }},
	{"tc", "iproute2", func(n needs) bool { return n.rates }},
	{"mkfs.ext4", "e2fsprogs", func(n needs) bool { return n.disks }},
	{"strace", "strace", func(n needs) bool { return n.inject }},
}

// Probe returns an error that names all that the plans take and this machine lacks.
// It tries every means once: that a program is there does not say that the kernel
// lets it.
func Probe(plans ...*script.Plan) error {
	n := needsOf(plans...)
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("netns cannot make network namespaces here: it takes root"))
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil && p.needed(n) {
			missing = append(missing, fmt.Errorf("netns cannot do without %s, which is not here: install the Debian package %s", p.name, p.packaged))
		}
	}
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	cannot := func(what string, err error) {
		if err != nil {
			missing = append(missing, fmt.Errorf("netns cannot %s here: %w", what, err))
		}
	}
	cannot("connect network namespaces", probeNetwork(n, cannot))
	if n.disks {
		cannot("give nodes disks that lose power", probeDisk())
	}
	if n.inject {
		cannot("hurt fsyncs", probeTrace())
	}
	return errors.Join(missing...)
}

// probeNetwork makes a network of two places, with a slow link. It returns what is
// wrong with the network, and tells the rest.
func probeNetwork(n needs, cannot func(string, error)) error {
	network, err := newNetwork()
	if err != nil {
		return err
	}
	defer network.close()
	for _, name := range []string{"n1", "n2"} {
		if _, err := network.add(name); err != nil {
			return err
		}
	}
	if !n.filter {
		return nil
	}
	if err := network.filter(); err != nil {
		cannot("cut links", err)
		return nil
	}
	way := []script.Pair{{From: "n1", To: "n2"}}
	_, err = network.between(&script.Fault{Verb: script.Cut}, way)
	cannot("cut links", err)
	slow := &script.Fault{Verb: script.LinkFault, Link: script.Link{Loss: 1}, Sides: [][]script.Target{{script.Named("n1")}, {script.Named("n2")}}}
	_, err = network.between(slow, way)
	cannot("lose packets", err)
	if n.rates {
		slow.Link = script.Link{Rate: 1000}
		_, err = network.between(slow, way)
		cannot("slow links down", err)
	}
	return nil
}

// probeDisk makes a disk that loses power.
func probeDisk() error {
	dir, err := os.MkdirTemp("", "meshnode-netns-")
	if err != nil {
		return err
	}
	d, err := newDisk(filepath.Join(dir, "disk"))
	if err == nil {
		err = errors.Join(d.losePower(), d.close())
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// probeTrace attaches strace to a process that does nothing.
func probeTrace() error {
	dir, err := os.MkdirTemp("", "meshnode-netns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	idle := exec.Command("sleep", "60")
	if err := idle.Start(); err != nil {
		return err
	}
	t, err := trace(idle.Process.Pid, true, time.Millisecond, filepath.Join(dir, "log"))
	if err == nil {
		_, err = t.end()
	}
	err = errors.Join(err, idle.Process.Kill())
	idle.Wait() // it was killed
	return err
}
