package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Role is what a certificate allows its holder.
type Role uint8

const (
	// RoleNode is a member or would-be member: it may use every class of
	// stream.
	RoleNode Role = iota + 1
	// RoleClient may call actors, and ask for views.
	RoleClient
	// RoleAdmin may do what a client may; mesh grants it more.
	RoleAdmin
)

// String returns the role as it is written in certificates.
func (r Role) String() string {
	switch r {
	case RoleNode:
		return "node"
	case RoleClient:
		return "client"
	case RoleAdmin:
		return "admin"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole is the reverse of String.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{RoleNode, RoleClient, RoleAdmin} {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: %q is no role; there are node, client and admin", ErrCert, s)
}

// The ways in which two ends fail to agree on who they are. Every one of them
// wraps ErrCert, and its text says what to do.
var (
	ErrCert        = errors.New("certificate")
	ErrNoCert      = fmt.Errorf("%w missing", ErrCert)
	ErrOtherCA     = fmt.Errorf("%w of another CA", ErrCert)
	ErrExpired     = fmt.Errorf("%w not valid now", ErrCert)
	ErrWrongName   = fmt.Errorf("%w of another name", ErrCert)
	ErrWrongRole   = fmt.Errorf("%w of another role", ErrCert)
	ErrRefusedCert = fmt.Errorf("%w refused by the other end", ErrCert)
)

// Identity is a node's or a client's certificate with all that is needed to
// use it.
type Identity struct {
	Name string
	Role Role
	// GossipKey encrypts gossip: 32 bytes; nil for a client.
	GossipKey []byte
	// Loopback is set for an identity that protects nothing: its CA's key is
	// public. It is refused outside of loopback addresses.
	Loopback bool

	cert tls.Certificate
	pool *x509.CertPool
	now  func() time.Time
}

// uriScheme and the role make the URI in which a certificate carries the name
// that counts: actormesh://node/n1.
const uriScheme = "actormesh"

func identityURI(role Role, name string) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: role.String(), Path: "/" + name}
}

// PeerOf returns the name and the role that a certificate carries. Whether the
// certificate is to be trusted it does not say.
func PeerOf(cert *x509.Certificate) (name string, role Role, err error) {
	for _, u := range cert.URIs {
		if u.Scheme != uriScheme {
			continue
		}
		if role, err = ParseRole(u.Host); err != nil {
			return "", 0, err
		}
		name = strings.TrimPrefix(u.Path, "/")
		return name, role, checkName(name)
	}
	return "", 0, fmt.Errorf("%w: %q names no node and no client of a mesh; issue certificates with \"meshnode certs\"",
		ErrCert, cert.Subject.CommonName)
}

// checkName says whether a name may stand in a certificate and in a file name.
func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= 63
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = alnum || i > 0 && (c == '-' || c == '.' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %q is no name: 1 to 63 letters, digits, '-', '.' and '_', a letter or digit first", ErrCert, name)
	}
	return nil
}

// alpn names the protocol. What cannot be skipped by an older program gets a
// new number.
const alpn = "actormesh/1"

// serverTLS accepts every role; streams are checked by their class. refused is
// told why a certificate was not taken, for the other end learns no more than
// that it was not.
func (id *Identity) serverTLS(refused func(error)) *tls.Config {
	conf := id.baseTLS()
	conf.ClientAuth = tls.RequireAnyClientCert
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		_, _, err := id.verify(s)
		if err != nil {
			refused(err)
		}
		return err
	}
	return conf
}

// clientTLS wants a node at the other end, and that of the given name unless
// it is empty.
func (id *Identity) clientTLS(name string) *tls.Config {
	conf := id.baseTLS()
	// A certificate's name is a node's, not a host's, so the check of the
	// library would be the wrong one. VerifyConnection does all of it.
	conf.InsecureSkipVerify = true
	conf.ServerName = "actormesh"
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		other, role, err := id.verify(s)
		switch {
		case err != nil:
			return err
		case role != RoleNode:
			return fmt.Errorf("%w: %s %q answers where a node was expected", ErrWrongRole, role, other)
		case name != "" && other != name:
			return fmt.Errorf("%w: %q answers where %q was expected; check the addresses", ErrWrongName, other, name)
		}
		return nil
	}
	return conf
}

func (id *Identity) baseTLS() *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{id.cert},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true, // connections are long-lived: a ticket would never be used
		Time:                   id.now,
	}
}

// verify checks the other end's certificate and returns who it is.
func (id *Identity) verify(s tls.ConnectionState) (string, Role, error) {
	if len(s.PeerCertificates) == 0 {
		return "", 0, fmt.Errorf("%w: issue one with \"meshnode certs\"", ErrNoCert)
	}
	return id.verifyChain(s.PeerCertificates)
}

func (id *Identity) verifyChain(chain []*x509.Certificate) (string, Role, error) {
	leaf := chain[0]
	opts := x509.VerifyOptions{
		Roots:         id.pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   id.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			c := invalid.Cert // the leaf or the CA
			return "", 0, fmt.Errorf("%w: that of %q is valid from %s to %s; check the clocks, or issue a new one with \"meshnode certs\"",
				ErrExpired, c.Subject.CommonName, c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
		}
		return "", 0, fmt.Errorf("%w: that of %q is not signed by this cluster's ca.crt; give every node certificates from one \"meshnode certs init\" (%v)",
			ErrOtherCA, leaf.Subject.CommonName, err)
	}
	return PeerOf(leaf)
}

// HTTPServerTLS returns the configuration for the HTTP port: TLS 1.3 with the
// identity's certificate. A client may show a certificate of the cluster's CA,
// and no other; PeerOf tells whose it is.
func (id *Identity) HTTPServerTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{id.cert},
		MinVersion:   tls.VersionTLS13,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    id.pool,
		Time:         id.now,
	}
}

// HTTPClientTLS returns the configuration for a client of the HTTP port: it
// trusts the cluster's CA only, and shows the identity's certificate.
func (id *Identity) HTTPClientTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{id.cert},
		MinVersion:   tls.VersionTLS13,
		RootCAs:      id.pool,
		Time:         id.now,
	}
}
