package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	caFile        = "ca.crt"
	caKeyFile     = "ca.key"
	gossipKeyFile = "gossip.key"

	caValidity   = 10 * 365 * 24 * time.Hour
	leafValidity = 3 * 365 * 24 * time.Hour
	// backdating lets a certificate be used at once by a node whose clock is
	// behind the issuer's.
	backdating = time.Hour

	gossipKeyBytes  = 32
	maxCertDirBytes = 64 << 10 // of any one file in a directory of certificates
)

// InitCA makes a cluster's CA in dir: ca.crt, which every node and client
// needs; ca.key, which only issues certificates and belongs on no node; and
// gossip.key, which every node needs. Nothing is overwritten.
func InitCA(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{caFile, caKeyFile, gossipKeyFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s exists; a new CA in its place would shut out all nodes that use it", ErrCert, filepath.Join(dir, name))
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template, err := caTemplate("actormesh CA", now.Add(-backdating), now.Add(caValidity))
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	gossip := make([]byte, gossipKeyBytes)
	if _, err := rand.Read(gossip); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, caKeyFile), key); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, gossipKeyFile), 0o600, []byte(base64.StdEncoding.EncodeToString(gossip)+"\n")); err != nil {
		return err
	}
	return writeCert(filepath.Join(dir, caFile), der)
}

// IssueNode makes NAME.crt and NAME.key in dir, which must hold the CA. The
// hosts are the names and addresses, without ports, by which clients reach the
// node's HTTP port; loopback is always among them. Nothing is overwritten.
func IssueNode(dir, name string, hosts []string) error {
	return issue(dir, name, RoleNode, append([]string{name, "localhost", "127.0.0.1", "::1"}, hosts...))
}

// IssueClient makes NAME.crt and NAME.key in dir for a client, with RoleClient
// or RoleAdmin. Nothing is overwritten.
func IssueClient(dir, name string, role Role) error {
	if role != RoleClient && role != RoleAdmin {
		return fmt.Errorf("%w: a client is of role client or admin, not %s", ErrCert, role)
	}
	return issue(dir, name, role, nil)
}

func issue(dir, name string, role Role, hosts []string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if name+".crt" == caFile {
		return fmt.Errorf("%w: the name %q is taken by the CA's own files", ErrCert, name)
	}
	caDER, err := readPEM(filepath.Join(dir, caFile), "CERTIFICATE")
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCert, filepath.Join(dir, caFile), err)
	}
	caKey, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template, err := leafTemplate(name, role, hosts, now.Add(-backdating), now.Add(leafValidity))
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, name+".key"), key); err != nil {
		return err
	}
	return writeCert(filepath.Join(dir, name+".crt"), der)
}

// LoadIdentity reads ca.crt, NAME.crt, NAME.key and, for a node, gossip.key.
// It returns an error that says what to do if they do not fit together or are
// not valid now.
func LoadIdentity(dir, name string) (*Identity, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	caDER, err := readPEM(filepath.Join(dir, caFile), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	der, err := readPEM(filepath.Join(dir, name+".crt"), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(caDER, der, key, time.Now)
	if err != nil {
		return nil, err
	}
	if id.Name != name {
		return nil, fmt.Errorf("%w: %s.crt is that of %q", ErrWrongName, filepath.Join(dir, name), id.Name)
	}
	if id.Role == RoleNode {
		if id.GossipKey, err = readGossipKey(filepath.Join(dir, gossipKeyFile)); err != nil {
			return nil, err
		}
	}
	return id, nil
}

func newIdentity(caDER, der []byte, key crypto.Signer, now func() time.Time) (*Identity, error) {
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return nil, fmt.Errorf("%w: the CA's: %w", ErrCert, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCert, err)
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%w: the key of %q is not that of its certificate; issue both anew with \"meshnode certs\"", ErrCert, leaf.Subject.CommonName)
	}
	id := &Identity{
		cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		pool: x509.NewCertPool(),
		now:  now,
	}
	id.pool.AddCert(ca)
	id.Name, id.Role, err = id.verifyChain([]*x509.Certificate{leaf})
	return id, err
}

func caTemplate(name string, from, to time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             from,
		NotAfter:              to,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, err
}

func leafTemplate(name string, role Role, hosts []string, from, to time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		URIs:                  []*url.URL{identityURI(role, name)},
		NotBefore:             from,
		NotAfter:              to,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t, err
}

func writeCert(path string, der []byte) error {
	return writeNew(path, 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeNew(path, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, mode fs.FileMode, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s exists; remove it first if it is to be replaced", ErrCert, path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no %s; make it with \"meshnode certs\" and copy it there", ErrNoCert, path)
	case err != nil:
		return nil, err
	case info.Size() > maxCertDirBytes:
		return nil, fmt.Errorf("%w: %s has %d bytes, %d at most", ErrCert, path, info.Size(), maxCertDirBytes)
	}
	return os.ReadFile(path)
}

func readPEM(path, kind string) ([]byte, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%w: %s holds no PEM block %q", ErrCert, path, kind)
	}
	return block.Bytes, nil
}

func readKey(path string) (crypto.Signer, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCert, path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %s holds a key that cannot sign", ErrCert, path)
	}
	return signer, nil
}

func readGossipKey(path string) ([]byte, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != gossipKeyBytes {
		return nil, fmt.Errorf("%w: %s is not %d bytes in base64", ErrCert, path, gossipKeyBytes)
	}
	return key, nil
}
