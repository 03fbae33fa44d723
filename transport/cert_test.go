package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// testCA makes a CA with nodes a and b, a client c and an admin d.
func testCA(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(InitCA(dir))
	must(IssueNode(dir, "a", nil))
	must(IssueNode(dir, "b", []string{"mesh.example", "192.0.2.7"}))
	must(IssueClient(dir, "c", RoleClient))
	must(IssueClient(dir, "d", RoleAdmin))
	return dir
}

func load(t testing.TB, dir, name string) *Identity {
	t.Helper()
	id, err := LoadIdentity(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func as(id *Identity) func(*Config) { return func(c *Config) { c.Identity = id } }

func TestCertificates(t *testing.T) {
	dir := testCA(t)
	for name, role := range map[string]Role{"a": RoleNode, "b": RoleNode, "c": RoleClient, "d": RoleAdmin} {
		id := load(t, dir, name)
		if id.Name != name || id.Role != role || id.Loopback || (len(id.GossipKey) == 32) != (role == RoleNode) {
			t.Errorf("%s is %q, %s, with a gossip key of %d bytes", name, id.Name, id.Role, len(id.GossipKey))
		}
	}
	if string(load(t, dir, "a").GossipKey) != string(load(t, dir, "b").GossipKey) {
		t.Error("two gossip keys in one cluster")
	}
	for _, key := range []string{"ca.key", "a.key", "gossip.key"} {
		if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}
}

func TestCertificatesRefused(t *testing.T) {
	dir := testCA(t)
	other := testCA(t)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := read("ca.crt") + read("ca.key") + read("gossip.key") + read("a.crt") + read("a.key")
	for name, err := range map[string]error{
		"a second CA":      InitCA(dir),
		"a node twice":     IssueNode(dir, "a", nil),
		"the CA's name":    IssueNode(dir, "ca", nil),
		"a path":           IssueNode(dir, "../a", nil),
		"no name":          IssueClient(dir, "", RoleClient),
		"a client as node": IssueClient(dir, "e", RoleNode),
	} {
		if !errors.Is(err, ErrCert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if before != read("ca.crt")+read("ca.key")+read("gossip.key")+read("a.crt")+read("a.key") {
		t.Error("files were overwritten")
	}
	if err := IssueNode(t.TempDir(), "a", nil); !errors.Is(err, ErrNoCert) {
		t.Errorf("without a CA: %v", err)
	}
	if _, err := LoadIdentity(dir, "nobody"); !errors.Is(err, ErrNoCert) || !strings.Contains(err.Error(), "meshnode certs") {
		t.Errorf("a name without a certificate: %v", err)
	}
	replace := func(name, from string) {
		b, err := os.ReadFile(filepath.Join(other, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(name string, want error) {
		t.Helper()
		if _, err := LoadIdentity(dir, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	replace("b.key", "b.key")
	expect("b", ErrCert)
	replace("b.crt", "b.crt")
	expect("b", ErrOtherCA)
	replace("c.crt", "../"+filepath.Base(dir)+"/d.crt")
	expect("c", ErrCert)
	replace("c.crt", filepath.Join("..", filepath.Base(dir), "d.crt"))
	replace("gossip.key", "a.crt")
	expect("a", ErrCert)
	if err := os.WriteFile(filepath.Join(dir, "a.crt"), make([]byte, maxCertDirBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a", ErrCert)
}

// identityOf returns an identity of the CA in dir, valid as is said.
func identityOf(t *testing.T, dir, name string, role Role, from, to time.Time, now func() time.Time) (*Identity, error) {
	t.Helper()
	caDER, err := readPEM(filepath.Join(dir, caFile), "CERTIFICATE")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template, err := leafTemplate(name, role, nil, from, to)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return newIdentity(caDER, der, key, now)
}

// TestConnectionsRefused checks each way in which two ends do not agree, from
// the side of the end that dials, and that the other end logs it.
func TestConnectionsRefused(t *testing.T) {
	dir, other := testCA(t), testCA(t)
	b := startNode(t, 2, "b", as(load(t, dir, "b")))
	b.h.setCall(echo)
	dial := func(n *testNode, name string) error {
		_, err := n.ep.dial(within(t), b.addr, name, classHelloPeer)
		return err
	}
	a := startNode(t, 1, "a", as(load(t, dir, "a")))
	if err := dial(a, "b"); err != nil {
		t.Fatal(err)
	}
	if err := dial(a, "n7"); !errors.Is(err, ErrWrongName) || !strings.Contains(err.Error(), `"n7"`) {
		t.Errorf("wrong name: %v", err)
	}
	stranger := startNode(t, 3, "a", as(load(t, other, "a")))
	if err := dial(stranger, "b"); !errors.Is(err, ErrOtherCA) || !strings.Contains(err.Error(), "certs init") {
		t.Errorf("another CA: %v", err)
	}
	if err := dial(startNode(t, 4, "a"), "b"); !errors.Is(err, ErrOtherCA) {
		t.Errorf("no --certs: %v", err)
	}
	long := time.Now().Add(-50 * time.Minute) // within the CA's own time
	old, err := identityOf(t, dir, "a", RoleNode, long, long.Add(20*time.Minute), func() time.Time { return long.Add(time.Minute) })
	if err != nil {
		t.Fatal(err)
	}
	old.now = time.Now // and so it has expired since
	if err := dial(startNode(t, 5, "a", as(old)), "b"); !errors.Is(err, ErrRefusedCert) {
		t.Errorf("expired: %v", err)
	}
	if _, err := identityOf(t, dir, "a", RoleNode, long, long.Add(20*time.Minute), time.Now); !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), "clocks") {
		t.Errorf("expired, when loaded: %v", err)
	}
	if !strings.Contains(b.log.String(), "not valid now") {
		t.Errorf("the reason is not in the log:\n%s", b.log)
	}
	// An end that does not check the other's certificate is checked itself.
	if err := dialRaw(t, a, b, func(conf *tls.Config) { conf.Certificates = []tls.Certificate{stranger.ep.id.cert} }); !errors.Is(err, ErrRefusedCert) {
		t.Errorf("another CA, unchecked: %v", err)
	}
	if !strings.Contains(b.log.String(), "another CA") {
		t.Errorf("the reason is not in the log:\n%s", b.log)
	}
	if err := dialRaw(t, a, b, func(conf *tls.Config) { conf.Certificates = nil }); !errors.Is(err, ErrNoCert) || !strings.Contains(err.Error(), "--certs") {
		t.Errorf("no certificate: %v", err)
	}
	if err := dialRaw(t, a, b, func(conf *tls.Config) { conf.NextProtos = []string{"actormesh/2"} }); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: %v", err)
	}
}

// dialRaw connects with a changed configuration that checks nothing, and
// returns why the connection ended.
func dialRaw(t *testing.T, a, b *testNode, change func(*tls.Config)) error {
	t.Helper()
	conf := a.ep.id.clientTLS("")
	conf.VerifyConnection = nil
	change(conf)
	conn, err := a.ep.quic.Dial(within(t), b.Addr(), conf, a.ep.conf)
	if err == nil {
		// With TLS 1.3 the end that dials is done before its certificate is seen.
		_, err = conn.AcceptStream(within(t))
	}
	return explain(err)
}

// TestRoles checks each class of stream against each role.
func TestRoles(t *testing.T) {
	dir := testCA(t)
	b := startNode(t, 2, "b", as(load(t, dir, "b")))
	b.h.setCall(echo)
	for _, name := range []string{"c", "d"} {
		id := load(t, dir, name)
		client := startClient(t, func(c *ClientConfig) { c.Identity = id })
		if r, err := client.Call(within(t), b.addr, &Call{Method: "get"}); err != nil || r.Detail != "get" {
			t.Errorf("%s calls: %v", id.Role, err)
		}
		if _, err := client.ep.dial(within(t), b.addr, "b", classHelloPeer); !errors.Is(err, ErrWrongRole) {
			t.Errorf("%s is a peer: %v", id.Role, err)
		}
		for _, c := range []class{classControl, classLog, classSnapshot, classGossip} {
			l, err := client.ep.dial(within(t), b.addr, "b", classHelloOnce)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.openStream(within(t), c); err != nil {
				t.Fatal(err)
			}
			<-l.conn.Context().Done()
			if err := l.explain(within(t), nil); !errors.Is(err, ErrWrongRole) {
				t.Errorf("%s opened class %d: %v", id.Role, c, err)
			}
		}
		if _, err := Listen(Config{Identity: id, Self: 9, Handler: b.h}); err == nil {
			t.Errorf("%s listens as a node", id.Role)
		}
	}
	// A client's certificate is no node's, whoever it dials.
	server, err := LoadIdentity(dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: listenUDP(t)}
	defer tr.Conn.Close()
	defer tr.Close()
	if _, err := tr.Listen(server.serverTLS(func(error) {}), b.ep.conf); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ep.dial(within(t), tr.Conn.LocalAddr().String(), "", classHelloOnce); !errors.Is(err, ErrWrongRole) {
		t.Errorf("a client answers as a node: %v", err)
	}
}

// TestLiesInHello: the name in the hello must be that of the certificate.
func TestLiesInHello(t *testing.T) {
	b := startNode(t, 2, "b")
	liar := startNode(t, 1, "a")
	liar.mu.Lock()
	liar.hello.Name = "n1"
	liar.mu.Unlock()
	if _, err := liar.ep.dial(within(t), b.addr, "b", classHelloPeer); err == nil {
		t.Error("believed")
	}
	if _, err := b.ep.dial(within(t), liar.addr, "a", classHelloPeer); !errors.Is(err, ErrWrongName) {
		t.Errorf("the answer was believed: %v", err)
	}
}

func TestLoopbackIdentityStaysThere(t *testing.T) {
	id := loopback(t, "a", RoleNode)
	if _, err := Listen(Config{Listen: "0.0.0.0:0", Identity: id, Self: 1, Handler: newTestHandler()}); !errors.Is(err, ErrLoopbackOnly) {
		t.Errorf("listening on all addresses: %v", err)
	}
	a := startNode(t, 1, "a")
	for _, addr := range []string{"192.0.2.1:7001", "[2001:db8::1]:7001", "[::ffff:192.0.2.1]:7001"} {
		if _, err := a.Ask(within(t), addr, Control{}); !errors.Is(err, ErrLoopbackOnly) {
			t.Errorf("to %s: %v", addr, err)
		}
	}
	x, _, err := loopbackCA()
	if err != nil {
		t.Fatal(err)
	}
	if y, _, _ := loopbackCA(); string(x) != string(y) {
		t.Error("two CAs: processes would not accept each other")
	}
	if _, err := LoopbackIdentity("no name", RoleNode); !errors.Is(err, ErrCert) {
		t.Error(err)
	}
}

// TestHTTP checks the identity's use for the HTTP port, by names and addresses.
func TestHTTP(t *testing.T) {
	dir := testCA(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			io.WriteString(w, "nobody")
			return
		}
		name, role, err := PeerOf(r.TLS.PeerCertificates[0])
		if err != nil {
			t.Error(err)
		}
		io.WriteString(w, name+" "+role.String())
	}))
	srv.TLS = load(t, dir, "b").HTTPServerTLS()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	get := func(conf *tls.Config) (string, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
		defer client.CloseIdleConnections()
		resp, err := client.Get(srv.URL)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	admin := load(t, dir, "d").HTTPClientTLS()
	if got, err := get(admin); err != nil || got != "d admin" {
		t.Errorf("%q, %v", got, err)
	}
	anonymous := admin.Clone()
	anonymous.Certificates = nil
	if got, err := get(anonymous); err != nil || got != "nobody" {
		t.Errorf("%q, %v", got, err)
	}
	for _, host := range []string{"mesh.example", "192.0.2.7", "b"} {
		if err := load(t, dir, "b").cert.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if got, err := get(load(t, testCA(t), "d").HTTPClientTLS()); err == nil {
		t.Errorf("of another CA: %q", got)
	}
}
