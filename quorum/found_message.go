package quorum

import (
	"fmt"
	"slices"
)

// FoundKind says what a founding message is.
type FoundKind uint8

// The messages of a founding. Each carries From, what its sender would bring.
const (
	// FoundHello says that From is there; Others are candidates heard by it.
	FoundHello FoundKind = iota + 1
	// FoundOffer asks whether the receiver sees the same Set.
	FoundOffer
	// FoundAgree says so.
	FoundAgree
	// FoundYes says that the sender's yes to Set is durable; Yeses are those
	// that it has, with what each brings.
	FoundYes
	// FoundNo says that the sender's yes is to Set, and to no other.
	FoundNo
)

var foundKindNames = [...]string{"", "hello", "offer", "agree", "yes", "no"}

// String returns the kind's name.
func (k FoundKind) String() string {
	if k > 0 && int(k) < len(foundKindNames) {
		return foundKindNames[k]
	}
	return fmt.Sprintf("found(%d)", uint8(k))
}

// FoundMessage is a message of a founding. Unused fields are zero.
type FoundMessage struct {
	Kind   FoundKind
	Expect int // how many the sender wants to found a mesh of
	From   Candidate
	Others []Candidate
	Set    []NodeID
	Yeses  []Candidate
}

const foundVersion = 1

// AppendTo appends the message's canonical encoding to b.
func (m *FoundMessage) AppendTo(b []byte) []byte {
	b = append(b, foundVersion, byte(m.Kind))
	b = appendUint(b, uint64(m.Expect))
	b = m.From.appendTo(b)
	b = appendCandidates(b, m.Others)
	b = appendNodes(b, m.Set)
	return appendCandidates(b, m.Yeses)
}

// DecodeFoundMessage decodes what AppendTo wrote, all of it. Bodies point into
// b. The error wraps ErrCorrupt.
func DecodeFoundMessage(b []byte) (FoundMessage, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != foundVersion {
		d.fail("founding message version %d, this program reads %d", v, foundVersion)
	}
	m := FoundMessage{Kind: FoundKind(d.byte())}
	if m.Kind == 0 || int(m.Kind) >= len(foundKindNames) {
		d.fail("founding message kind %d", uint8(m.Kind))
	}
	expect := d.uint()
	if m.Expect = int(expect); expect > MaxFounders {
		d.fail("%d founders", expect)
	}
	m.From.decode(&d)
	m.Others = decodeCandidates(&d)
	m.Set = decodeSet(&d)
	m.Yeses = decodeCandidates(&d)
	return m, d.end()
}

// AppendTo appends the state's canonical encoding to b.
func (s *FoundState) AppendTo(b []byte) []byte {
	b = append(b, foundVersion)
	b = appendNodes(b, s.Set)
	return s.Own.appendTo(b)
}

// DecodeFoundState decodes what AppendTo wrote, all of it. The body points into
// b. The error wraps ErrCorrupt.
func DecodeFoundState(b []byte) (*FoundState, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != foundVersion {
		d.fail("founding state version %d, this program reads %d", v, foundVersion)
	}
	s := &FoundState{Set: decodeSet(&d)}
	s.Own.decode(&d)
	return s, d.end()
}

func (c *Candidate) appendTo(b []byte) []byte {
	return appendBytes(appendString(c.Start.appendTo(b), c.Name), c.Body)
}

func (c *Candidate) decode(d *decoder) {
	c.Start.decode(d)
	c.Name = d.string()
	c.Body = d.bytes()
	if len(c.Name) > maxNameBytes || len(c.Body) > MaxCandidateBytes {
		d.fail("a candidate with a name of %d bytes and a body of %d", len(c.Name), len(c.Body))
	}
}

func appendCandidates(b []byte, list []Candidate) []byte {
	b = appendUint(b, uint64(len(list)))
	for i := range list {
		b = list[i].appendTo(b)
	}
	return b
}

func decodeCandidates(d *decoder) []Candidate {
	list := decodeList(d, 5, func(c *Candidate) { c.decode(d) })
	if len(list) > MaxFounders {
		d.fail("%d candidates", len(list))
	}
	return list
}

func appendNodes(b []byte, ids []NodeID) []byte {
	b = appendUint(b, uint64(len(ids)))
	for _, id := range ids {
		b = appendUint(b, uint64(id))
	}
	return b
}

func decodeSet(d *decoder) []NodeID {
	ids := decodeList(d, 1, func(id *NodeID) { *id = NodeID(d.uint()) })
	if len(ids) > MaxFounders || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		d.fail("a founding set of %d that is not in order", len(ids))
		return nil
	}
	return ids
}
