package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// What a sender can be told. None of them says anything about a frame that was
// accepted: the network may lose it.
var (
	// ErrNoPeer says that SetPeer was not called for the node.
	ErrNoPeer = errors.New("no such peer")
	// ErrQueueFull says that the peer takes less than is sent to it.
	ErrQueueFull = errors.New("queue to peer full")
	// ErrUnreachable says that the last attempt to reach the node failed; the
	// next one is made after a pause.
	ErrUnreachable = errors.New("node unreachable")
	// ErrClosed says that the transport, the client or the connection is closed.
	ErrClosed = errors.New("transport closed")

	// ErrNotSent says that a call was certainly never handed over: nothing
	// happened.
	ErrNotSent = errors.New("call not sent")
	// ErrLost says that a call was, or may have been, handed over, and that no
	// answer came: its outcome is unknown.
	ErrLost = errors.New("call lost, outcome unknown")

	// ErrOtherCluster says that the two ends belong to different clusters.
	ErrOtherCluster = errors.New("node of another cluster")
	// ErrWrongNode says that another disk than expected answers at an address.
	ErrWrongNode = errors.New("another node answers at this address")
	// ErrOldBoot says that a later start of the same node is connected.
	ErrOldBoot = errors.New("an earlier start of a node that is connected")
	// ErrVersion says that the other end speaks another version of the protocol.
	ErrVersion = errors.New("no common version of the protocol")
	// ErrRefused says that the other end refused what was asked of it.
	ErrRefused = errors.New("refused by the other end")
)

// The codes with which a connection or a stream is closed.
const (
	codeClosed = iota
	codeProtocol
	codeOtherCluster
	codeRole
	codeWrongNode
	codeOldBoot
	codeSuperseded
	codeBusy
	codeAborted
)

// coded are the errors that travel as codes.
var coded = map[uint64]error{
	codeClosed:       ErrClosed,
	codeProtocol:     ErrFrame,
	codeOtherCluster: ErrOtherCluster,
	codeRole:         ErrWrongRole,
	codeWrongNode:    ErrWrongNode,
	codeOldBoot:      ErrOldBoot,
	codeSuperseded:   ErrClosed,
	codeBusy:         ErrQueueFull,
	codeAborted:      ErrRefused,
}

// codeOf is the reverse of coded, for the errors of this package's own checks.
func codeOf(err error) uint64 {
	for _, code := range []uint64{codeProtocol, codeOtherCluster, codeRole, codeWrongNode, codeOldBoot, codeBusy} {
		if errors.Is(err, coded[code]) {
			return code
		}
	}
	return codeClosed
}

// TLS alerts, RFC 8446 section 6, as QUIC carries them, RFC 9001 section 4.8.
const (
	alertBase                  = 0x100
	alertCertificateRequired   = alertBase + 116
	alertNoApplicationProtocol = alertBase + 120
)

// explain turns an error of quic-go into one of this package that says what to
// do, and keeps the original in the text.
func explain(err error) error {
	var (
		app    *quic.ApplicationError
		wire   *quic.TransportError
		stream *quic.StreamError
		reset  *quic.StatelessResetError
		idle   *quic.IdleTimeoutError
		shake  *quic.HandshakeTimeoutError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCert):
		return err // from the check at this end, which says it best
	case errors.As(err, &app) && coded[uint64(app.ErrorCode)] != nil:
		return fmt.Errorf("%w: %s", coded[uint64(app.ErrorCode)], app.ErrorMessage)
	case errors.As(err, &stream) && coded[uint64(stream.ErrorCode)] != nil:
		return coded[uint64(stream.ErrorCode)]
	case errors.As(err, &wire):
		return explainAlert(wire)
	case errors.As(err, &reset):
		return fmt.Errorf("%w: the node restarted", ErrUnreachable)
	case errors.As(err, &idle), errors.As(err, &shake), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer; is the node running, and its UDP port open? (%v)", ErrUnreachable, err)
	case errors.Is(err, quic.ErrTransportClosed):
		return ErrClosed
	}
	return err
}

func explainAlert(err *quic.TransportError) error {
	switch {
	case !err.ErrorCode.IsCryptoError():
		return fmt.Errorf("%w: %v", ErrUnreachable, err)
	case err.ErrorCode == alertNoApplicationProtocol:
		return fmt.Errorf("%w: this program speaks %s, the other does not; upgrade the older one", ErrVersion, alpn)
	case err.ErrorCode == alertCertificateRequired:
		return fmt.Errorf("%w: the other end wants one; issue it with \"meshnode certs\" and give --certs", ErrNoCert)
	case err.Remote:
		return fmt.Errorf("%w: its log says why; often it is of another CA, or one of the two has no --certs (%v)", ErrRefusedCert, err)
	}
	return fmt.Errorf("%w: %v", ErrCert, err)
}
