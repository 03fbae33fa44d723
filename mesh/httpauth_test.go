package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHTTPRoles asks for everything with every kind of sender.
func TestHTTPRoles(t *testing.T) {
	_, h := newFakeHandler(t)
	h.auth = httpAuth{token: "0123456789abcdef", role: func(c *x509.Certificate) (string, httpRole) {
		switch c.Subject.CommonName {
		case "alice":
			return "client/alice", roleClient
		case "root":
			return "admin/root", roleAdmin
		}
		return "", roleNone
	}}
	need := map[string]httpRole{
		"GET /healthz": roleNone, "GET /readyz": roleNone,
		"GET /metrics": roleClient, "GET /v1/status": roleClient, "GET /v1/kinds": roleClient, "GET /v1/slots": roleClient,
		"GET /v1/slots/0": roleClient, "GET /v1/actors/kv/a": roleClient, "POST /v1/actors/kv/a/get": roleClient,
		"POST /v1/drain": roleAdmin, "POST /v1/leave": roleAdmin,
	}
	senders := []struct {
		cert, authorization string
		verified            bool
		role                httpRole
	}{
		{"", "", false, roleNone},
		{"alice", "", true, roleClient},
		{"root", "", true, roleAdmin},
		{"root", "", false, roleNone}, // shown, and not verified
		{"mallory", "", true, roleNone},
		{"mallory", "Bearer 0123456789abcdef", true, roleClient},
		{"", "Bearer 0123456789abcdef", false, roleClient},
		{"", "bearer 0123456789abcdef", false, roleClient},
		{"root", "Bearer 0123456789abcdef", true, roleAdmin},
		{"", "Bearer 0123456789abcdeF", false, roleNone},
		{"", "Bearer ", false, roleNone},
		{"", "Bearer", false, roleNone},
		{"", "Basic 0123456789abcdef", false, roleNone},
		{"", "0123456789abcdef", false, roleNone},
	}
	for route, needed := range need {
		method, path, _ := strings.Cut(route, " ")
		for _, s := range senders {
			req := httptest.NewRequest(method, "https://mesh.example:8001"+path, nil)
			req.TLS = &tls.ConnectionState{}
			if s.cert != "" {
				cert := &x509.Certificate{}
				cert.Subject.CommonName = s.cert
				req.TLS.PeerCertificates = []*x509.Certificate{cert}
				if s.verified {
					req.TLS.VerifiedChains = [][]*x509.Certificate{{cert}}
				}
			}
			if s.authorization != "" {
				req.Header.Set("Authorization", s.authorization)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			want := 200
			switch {
			case s.role >= needed:
			case s.role == roleNone:
				want = 401
			default:
				want = 403
			}
			if w.Code != want {
				t.Errorf("%s with %+v: %d, want %d", route, s, w.Code, want)
			}
			if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%s with %+v: WWW-Authenticate %q", route, s, w.Header().Get("WWW-Authenticate"))
			}
		}
	}
}

// TestHTTPPrincipal tells the node who calls.
func TestHTTPPrincipal(t *testing.T) {
	f, h := newFakeHandler(t)
	h.auth = httpAuth{token: "0123456789abcdef"}
	ask(h, "POST", "/v1/actors/kv/a/get", "", "Authorization", "Bearer 0123456789abcdef")
	if p := f.lastCall(t).Principal; p != "token" {
		t.Errorf("principal %q", p)
	}
}

// TestHTTPNoToken does not take an empty token for a token that is not set.
func TestHTTPNoToken(t *testing.T) {
	_, h := newFakeHandler(t)
	h.auth = httpAuth{}
	if w := ask(h, "GET", "/v1/status", "", "Authorization", "Bearer "); w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
}

// TestHTTPBrowsers keeps the pages that a developer reads out of a mesh on
// loopback.
func TestHTTPBrowsers(t *testing.T) {
	f, h := newFakeHandler(t)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://evil.example"},
	} {
		if w := ask(h, "POST", "/v1/drain", "", header...); w.Code != 403 {
			t.Errorf("%v: %d", header, w.Code)
		}
	}
	for host, status := range map[string]int{
		"": 200, "127.0.0.1": 200, "127.0.0.1:8001": 200, "localhost:8001": 200, "[::1]:8001": 200, "[::1]": 200,
		"evil.example:8001": 403, "evil.example": 403, "10.0.0.1": 403, "localhost.evil.example": 403,
	} {
		req := httptest.NewRequest("GET", "/v1/status", nil)
		req.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != status {
			t.Errorf("Host %q: %d, want %d", host, w.Code, status)
		}
	}
	if len(f.retired) != 0 {
		t.Error("a page drained the node")
	}
}
