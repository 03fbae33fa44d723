package ring

import "encoding/binary"

const viewVersion = 1

// Encode returns the view's one encoding: equal views, equal bytes. The rows
// refer to members by their place, so that 256 slots take about 2 KB. A view
// that is not valid may panic.
//
//	view   = version cluster incarnation epoch replication
//	         n member... n voter... coordinator n row...
//	member = id(8 bytes) name addr http zone weight n kind... state
//	row    = epoch set(replicas) set(learners) n set(from)...
//	set    = n place...
//
// Numbers are unsigned varints, strings have their length before them.
func (v *View) Encode() []byte {
	b := make([]byte, 0, 64+len(v.Members)*96+len(v.Slots)*12)
	b = append(b, viewVersion)
	b = append(b, v.Cluster[:]...)
	b = binary.AppendUvarint(b, uint64(v.Incarnation))
	b = binary.AppendUvarint(b, uint64(v.Epoch))
	b = binary.AppendUvarint(b, uint64(v.Replication))
	b = binary.AppendUvarint(b, uint64(len(v.Members)))
	for i := range v.Members {
		b = v.Members[i].appendTo(b)
	}
	b = v.appendSet(b, v.Voters)
	b = v.appendPlace(b, v.Coordinator)
	b = binary.AppendUvarint(b, uint64(len(v.Slots)))
	for i := range v.Slots {
		r := &v.Slots[i]
		b = binary.AppendUvarint(b, uint64(r.Epoch))
		b = v.appendSet(b, r.Replicas)
		b = v.appendSet(b, r.Learners)
		b = binary.AppendUvarint(b, uint64(len(r.From)))
		for _, set := range r.From {
			b = v.appendSet(b, set)
		}
	}
	return b
}

func (m *Member) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(m.ID))
	for _, s := range [...]string{m.Name, m.Addr, m.HTTP, m.Zone} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(m.Weight))
	b = binary.AppendUvarint(b, uint64(len(m.Kinds)))
	for _, kind := range m.Kinds {
		b = appendString(b, kind)
	}
	return append(b, byte(m.State))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (v *View) appendSet(b []byte, ids []NodeID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = v.appendPlace(b, id)
	}
	return b
}

func (v *View) appendPlace(b []byte, id NodeID) []byte {
	i, ok := v.index(id)
	if !ok {
		panic("ring: encoding a view that names " + id.String() + ", which is no member")
	}
	return binary.AppendUvarint(b, uint64(i))
}

// Decode decodes what Encode wrote, all of it, and validates it. Nothing in the
// result points into b. The error wraps ErrInvalid.
func Decode(b []byte) (*View, error) {
	d := decoder{b: b}
	if version := d.byte(); d.err == nil && version != viewVersion {
		d.fail("version %d, this program reads %d", version, viewVersion)
	}
	v := &View{}
	copy(v.Cluster[:], d.take(len(v.Cluster)))
	v.Incarnation = Incarnation(d.number(1<<32 - 1))
	v.Epoch = Epoch(d.number(1<<64 - 1))
	v.Replication = int(d.number(MaxReplication))
	v.Members = make([]Member, d.count(MaxMembers, minMemberBytes))
	for i := range v.Members {
		d.member(&v.Members[i])
	}
	v.Voters = d.set(v, MaxVoters)
	v.Coordinator = d.place(v)
	v.Slots = make([]Row, d.count(MaxSlots, minRowBytes))
	for i := range v.Slots {
		d.row(v, &v.Slots[i])
	}
	if len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return v, nil
}

const (
	minMemberBytes = 15 // an id, four strings, a weight, a count and a state
	minRowBytes    = 5  // an epoch, one replica, and two counts
)

// decoder reads what the append functions wrote. After the first error every
// read returns zero, so that callers look at err once, at the end.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = invalid(format, args...)
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("%d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.take(1); s != nil {
		return s[0]
	}
	return 0
}

// number reads a number of at most limit, in its shortest form.
func (d *decoder) number(limit uint64) uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 || x > limit {
		d.fail("no number of at most %d", limit)
		return 0
	}
	d.b = d.b[n:]
	return x
}

// count reads a number of items, each of at least minBytes, so that a wrong
// count cannot allocate more than the input could hold.
func (d *decoder) count(limit, minBytes int) int {
	n := int(d.number(uint64(limit)))
	if n > len(d.b)/minBytes {
		d.fail("%d items do not fit in %d bytes", n, len(d.b))
		return 0
	}
	return n
}

func (d *decoder) string() string { return string(d.take(int(d.number(maxStringBytes)))) }

func (d *decoder) member(m *Member) {
	if id := d.take(8); id != nil {
		m.ID = NodeID(binary.BigEndian.Uint64(id))
	}
	m.Name, m.Addr, m.HTTP, m.Zone = d.string(), d.string(), d.string(), d.string()
	m.Weight = uint32(d.number(MaxWeight))
	if n := d.count(maxKinds, 2); n > 0 {
		m.Kinds = make([]string, n)
	}
	for i := range m.Kinds {
		m.Kinds[i] = d.string()
	}
	m.State = MemberState(d.byte())
}

func (d *decoder) row(v *View, r *Row) {
	r.Epoch = Epoch(d.number(uint64(v.Epoch)))
	r.Replicas = d.set(v, MaxReplication)
	r.Learners = d.set(v, MaxReplication)
	if n := d.count(maxFromSets, 2); n > 0 {
		r.From = make([][]NodeID, n)
	}
	for i := range r.From {
		r.From[i] = d.set(v, MaxReplication)
	}
}

// set reads places of members; none is nil.
func (d *decoder) set(v *View, limit int) []NodeID {
	n := d.count(limit, 1)
	if n == 0 {
		return nil
	}
	ids := make([]NodeID, n)
	for i := range ids {
		ids[i] = d.place(v)
	}
	return ids
}

func (d *decoder) place(v *View) NodeID {
	i := d.number(MaxMembers)
	if i >= uint64(len(v.Members)) {
		d.fail("place %d of %d members", i, len(v.Members))
		return 0
	}
	return v.Members[i].ID
}
