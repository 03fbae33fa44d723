package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"actormesh/chaos/cluster"
)

// certs makes a CA and certificates of these nodes, and one of an admin.
func certs(t *testing.T, nodes ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "certs")
	commands := [][]string{{"init", "--dir", dir}, {"client", "ops", "--role", "admin", "--dir", dir}}
	for _, n := range nodes {
		commands = append(commands, []string{"node", n, "--host", "127.0.0.1", "--dir", dir})
	}
	for _, args := range commands {
		if out, err := exec.Command(meshnode, append([]string{"certs"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certs %q: %v\n%s", args, err, out)
		}
	}
	return dir
}

// clientTLS shows a certificate of the directory, and trusts its CA.
func clientTLS(t *testing.T, dir, name string) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
}

// Nodes with certificates of one CA make a cluster. Others do not get in, and
// say why.
func TestE2ECertificates(t *testing.T) {
	home := certs(t, "n1", "n2")
	m := layOut(t, cluster.Config{Nodes: 2, Args: []string{"--certs", home}, TLS: clientTLS(t, home, "ops")})
	m.must(m.Start())
	m.ready(m.Nodes...)
	m.add("kept", "k", 7)

	for _, test := range []struct {
		name  string
		certs string // of n3, n4, ...; empty for none
		says  []string
	}{
		{"of another CA", certs(t, "n3"), []string{"certificate", "gossip key"}},
		{"none", "", []string{"certificate", "--certs"}},
		{"of another node", renamed(t, home, "n1", "n5"), []string{"n1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := m.Add(meshnode, "--join", m.Nodes[0].Listen)
			m.must(err)
			if test.certs != "" {
				n.Args = append(n.Args, "--certs", test.certs)
			}
			m.must(n.Start())
			ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
			defer cancel()
			err = cluster.Until(ctx, func(context.Context) error { return says(n, test.says...) })
			if err := errors.Join(err, n.Kill(), outside(m, n)); err != nil {
				t.Error(err)
			}
		})
	}
	stranger := cluster.NewClient(1, clientTLS(t, certs(t), "ops"))
	defer stranger.Close()
	if err := stranger.Get(t.Context(), m.Nodes[0].HTTP, "/v1/status", nil); err == nil {
		t.Error("a client of another CA is answered")
	}
	if got := m.get("kept", m.Nodes[1]); got != 7 {
		t.Errorf("the counter is %d, want 7", got)
	}
}

// renamed returns a directory in which one node has the certificate of another.
func renamed(t *testing.T, dir, from, to string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "certs")
	err := os.CopyFS(copied, os.DirFS(dir))
	for _, ext := range []string{".crt", ".key"} {
		err = errors.Join(err, os.Rename(filepath.Join(copied, from+ext), filepath.Join(copied, to+ext)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

// outside asks that a node has not become a member.
func outside(m *mesh, n *cluster.Node) error {
	for _, member := range m.status(m.Nodes[0]).Members {
		if member.Name == n.Name {
			return fmt.Errorf("%s is a member", n.Name)
		}
	}
	return nil
}
