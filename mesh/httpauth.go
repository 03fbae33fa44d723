package mesh

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"

	"actormesh/transport"
)

// httpRole is what the sender of a request may do; each role may do what the
// ones below it may.
type httpRole uint8

const (
	roleNone   httpRole = iota // alive, ready
	roleClient                 // call, and read what the node sees
	roleAdmin                  // drain, leave
)

// String returns the role's name as certificates bear it.
func (r httpRole) String() string { return [...]string{"none", "client", "admin"}[r] }

// httpAuth decides who may do what.
type httpAuth struct {
	// open lets everybody do everything. It is for nodes without certificates,
	// which listen on loopback only.
	open bool
	// token is a bearer token with the role client; empty for none.
	token string
	// role returns the name and the role that a certificate of the cluster's CA
	// bears; roleNone for one that has no business here.
	role func(*x509.Certificate) (name string, role httpRole)
}

// crossOrigin refuses what a browser sends for another site's page. Nothing
// else protects a developer's mesh on loopback from the pages that they read.
var crossOrigin = http.NewCrossOriginProtection()

// httpSecurity returns who may use a node's HTTP API, and the TLS that it
// speaks; nil for plain HTTP, which is for loopback only.
func httpSecurity(id *transport.Identity, token string) (httpAuth, *tls.Config) {
	if id.Loopback {
		return httpAuth{open: true}, nil
	}
	return httpAuth{token: token, role: certRole}, id.HTTPServerTLS()
}

// certRole returns whose a certificate is. A node may do what a client may: its
// key lies on a machine that serves, and not with those who run the mesh.
func certRole(cert *x509.Certificate) (name string, role httpRole) {
	name, certified, err := transport.PeerOf(cert)
	switch {
	case err != nil:
		return "", roleNone
	case certified == transport.RoleAdmin:
		role = roleAdmin
	default:
		role = roleClient
	}
	return certified.String() + "/" + name, role
}

// admit returns the name of the request's sender if it may do what needs the
// role.
func (a *httpAuth) admit(r *http.Request, need httpRole) (principal string, p *Problem) {
	if a.open {
		if err := crossOrigin.Check(r); err != nil {
			return "", forbidden("a page of another site may not do this: %v", err)
		}
		if !isLoopbackName(r.Host) {
			// A page whose own name was made to resolve to 127.0.0.1.
			return "", forbidden("this node serves loopback only, and not %q; use 127.0.0.1 or localhost", clip(r.Host))
		}
		return "", nil
	}
	principal, role := a.identify(r)
	switch {
	case role >= need:
		return principal, nil
	case role == roleNone:
		return "", problemf(http.StatusUnauthorized, "unauthenticated",
			"show a client certificate of the cluster's CA (meshnode certs client), or a bearer token")
	}
	return "", forbidden("%s has the role %s, this needs %s", principal, role, need)
}

// identify returns who sent the request. The TLS handshake has verified the
// certificate, if there is one.
func (a *httpAuth) identify(r *http.Request) (principal string, role httpRole) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if name, role := a.role(r.TLS.PeerCertificates[0]); role != roleNone {
			return name, role
		}
	}
	if a.token == "" {
		return "", roleNone
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(token), []byte(a.token)) == 1 {
		return "token", roleClient
	}
	return "", roleNone
}

func forbidden(format string, args ...any) *Problem {
	return problemf(http.StatusForbidden, "forbidden", format, args...)
}

// isLoopbackName reports whether the Host of a request names this machine. A
// request of HTTP/1.0 has none.
func isLoopbackName(host string) bool {
	if host == "" {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return isLoopbackHost(name)
}
