package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"actormesh/transport"
)

// InitCerts makes a cluster's CA in dir: ca.crt for all, ca.key, which issues
// certificates and belongs on no node, and gossip.key for all nodes.
func InitCerts(dir string) error { return transport.InitCA(dir) }

// IssueNodeCert makes NAME.crt and NAME.key in dir for a node, which HTTP
// clients reach by the hosts, names or addresses without ports.
func IssueNodeCert(dir, name string, hosts []string) error {
	return transport.IssueNode(dir, name, hosts)
}

// IssueClientCert makes NAME.crt and NAME.key in dir for a client of the role
// "client", which may call and look, or "admin", which may also drain nodes and
// let them leave.
func IssueClientCert(dir, name, role string) error {
	r, err := transport.ParseRole(role)
	if err != nil || r == transport.RoleNode {
		return usagef("role %q: a client's role is client or admin", role)
	}
	return transport.IssueClient(dir, name, r)
}

// ClientTLS returns what an HTTPClient needs to speak with nodes that have
// certificates: dir holds ca.crt, and NAME.crt and NAME.key of the client. With
// an empty name it shows no certificate, for a client with a token.
func ClientTLS(dir, name string) (*tls.Config, error) {
	if name != "" {
		id, err := transport.LoadIdentity(dir, name)
		if err != nil {
			return nil, err
		}
		return id.HTTPClientTLS(), nil
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, "ca.crt"))
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}
