package transport

import (
	"actormesh/quorum"
)

// protocolVersion grows with every field that is added to a frame. A change
// that older programs cannot skip gets a new ALPN name instead.
const protocolVersion = 1

// Hello is what each end of a connection says of itself before anything else.
type Hello struct {
	Version uint64        // of the protocol, within the ALPN name
	Cluster string        // the cluster's id; empty if the node is in none yet
	Node    quorum.NodeID // zero for a client that is no member
	Name    string        // as in the certificate
	Boot    quorum.Boot
}

const helloFields = 5

// AppendHello appends the hello's encoding, without a frame's header, to b.
func AppendHello(b []byte, h Hello) []byte {
	b = appendArray(b, helloFields)
	b = appendUint(b, h.Version)
	b = appendStr(b, h.Cluster)
	b = appendUint(b, uint64(h.Node))
	b = appendStr(b, h.Name)
	return appendUint(b, uint64(h.Boot))
}

// DecodeHello decodes what AppendHello wrote, all of it. The error wraps
// ErrFrame.
func DecodeHello(b []byte) (Hello, error) {
	d := decoder{b: b}
	var h Hello
	extra := d.fields(helloFields)
	h.Version = d.uint()
	h.Cluster = d.str(maxNameBytes)
	h.Node = quorum.NodeID(d.uint())
	h.Name = d.str(maxNameBytes)
	h.Boot = quorum.Boot(d.uint())
	d.skip(extra)
	if err := d.end(); err != nil {
		return Hello{}, err
	}
	return h, nil
}
