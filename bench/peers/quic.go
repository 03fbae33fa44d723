package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/quic-go/quic-go"

	"actormesh/bench"
	"actormesh/chaos/cluster"
)

// echo is a bench.System that is a limit, not a peer: a process that sends back
// what it is sent, over one stream of one connection of quic-go. It keeps nothing.
type echo struct{ binary string }

var _ bench.System = (*echo)(nil)

// Name implements bench.System.
func (e *echo) Name() string { return "quic-echo" }

// Version implements bench.System.
func (e *echo) Version(context.Context) (string, error) {
	return "quic-go " + module("github.com/quic-go/quic-go") + ", one node, one stream", nil
}

// Vias implements bench.System.
func (e *echo) Vias() []string { return []string{"bare"} }

// Workloads implements bench.System.
func (e *echo) Workloads() []bench.Workload { return []bench.Workload{bench.KVPut} }

// Start implements bench.System.
func (e *echo) Start(ctx context.Context, dir string) (bench.Cluster, error) {
	c := &echoCluster{}
	var err error
	c.processes, err = launch(ctx, e.binary, dir, "quic", 1, func(ctx context.Context, processes *cluster.Cluster) error {
		client, err := dialEcho(ctx, processes.Nodes[0].HTTP)
		if err != nil {
			return err
		}
		return client.Close()
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// echoCluster is an echo that runs.
type echoCluster struct{ processes *cluster.Cluster }

// Dial implements bench.Cluster.
func (c *echoCluster) Dial(ctx context.Context, _ string, _ int) (bench.Client, error) {
	return dialEcho(ctx, c.processes.Nodes[0].HTTP)
}

// Counters implements bench.Cluster.
func (c *echoCluster) Counters(context.Context) (bench.Counters, error) {
	return bench.Counters{CPU: bench.ProcessesCPU(c.processes)}, nil
}

// PIDs implements bench.Cluster.
func (c *echoCluster) PIDs() []int { return bench.ProcessIDs(c.processes) }

// Close implements bench.Cluster.
func (c *echoCluster) Close() error { return c.processes.Close() }

// What both sides of the echo have in common with a mesh on loopback.
func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow: 4 << 20, MaxStreamReceiveWindow: 16 << 20,
		InitialConnectionReceiveWindow: 8 << 20, MaxConnectionReceiveWindow: 32 << 20,
		InitialPacketSize: 1452,
	}
}

const protocol = "bench"

func dialEcho(ctx context.Context, addr string) (*echoCaller, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// Its certificate is made at its start, and is not what is measured.
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
	conn, err := quic.DialAddr(ctx, addr, conf, quicConfig())
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.CloseWithError(0, ""))
	}
	return &echoCaller{newRPCClient(&quicConn{stream, conn})}, nil
}

// echoCaller is a bench.Client.
type echoCaller struct{ client *rpcClient }

// Do implements bench.Client.
func (c *echoCaller) Do(ctx context.Context, _ int, r bench.Request) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	said, err := c.client.call(ctx, []byte(r.Value))
	if err == nil && string(said) != r.Value {
		err = fmt.Errorf("the echo is %d bytes", len(said))
	}
	return err
}

// Close implements bench.Client.
func (c *echoCaller) Close() error {
	c.client.Close()
	return nil
}

// quicConn is a stream that ends with its connection.
type quicConn struct {
	*quic.Stream
	conn *quic.Conn
}

// Close ends both.
func (c *quicConn) Close() error { return c.conn.CloseWithError(0, "") }

// runEcho is the node.
func runEcho(ctx context.Context, n *node) error {
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}}
	listener, err := quic.ListenAddr(n.client, conf, quicConfig())
	if err != nil {
		return err
	}
	defer listener.Close()
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return context.Cause(ctx)
		}
		go func() {
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				return // the client has left
			}
			serve(ctx, &quicConn{stream, conn}, func(asked []byte, answer func(byte, []byte)) { answer(answerOK, asked) })
		}()
	}
}

func selfSigned() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: protocol},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}
