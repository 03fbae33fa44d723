package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// ErrLoopbackOnly says that a node without a cluster's certificates was to
// speak with another machine.
var ErrLoopbackOnly = errors.New("without certificates only loopback addresses can be used; make some with \"meshnode certs\" and give --certs")

// loopbackSeed is public: what is derived from it protects nothing.
const loopbackSeed = "actormesh development CA, known to everybody"

// LoopbackIdentity returns an identity for meshes on one machine, so that
// nothing has to be set up to try one. It gives no protection: its CA and its
// gossip key are derived from a constant in this program, so every local user
// can be any node. Transport, Client and Gossip refuse to use it with any
// address that is not a loopback address.
func LoopbackIdentity(name string, role Role) (*Identity, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	caDER, caKey, err := loopbackCA()
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := leafTemplate(name, role, []string{"localhost", "127.0.0.1", "::1"}, ca.NotBefore, ca.NotAfter)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(caDER, der, key, time.Now)
	if err != nil {
		return nil, err
	}
	id.Loopback = true
	gossip := sha256.Sum256([]byte("gossip: " + loopbackSeed))
	id.GossipKey = gossip[:]
	return id, nil
}

// loopbackCA makes the same CA each time: Ed25519 signatures are a function of
// the key and the message.
func loopbackCA() ([]byte, ed25519.PrivateKey, error) {
	seed := sha256.Sum256([]byte(loopbackSeed))
	key := ed25519.NewKeyFromSeed(seed[:])
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "actormesh loopback CA, no protection"},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return der, key, err
}

// allows says whether the identity may be used with an address.
func (id *Identity) allows(addr net.Addr) error {
	if !id.Loopback {
		return nil
	}
	if udp, ok := addr.(*net.UDPAddr); ok && addrPort(udp).Addr().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: %w", addr, ErrLoopbackOnly)
}

// addrPort returns an address in its one comparable form.
func addrPort(a *net.UDPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
