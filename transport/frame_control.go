package transport

// Control is a message between control cores, or a question before ids are
// known. What is in it only mesh knows.
type Control struct {
	Kind uint8
	Body []byte // up to about 8 MiB
}

const controlFields = 2

// AppendControl appends the message's encoding, without a frame's header, to b.
func AppendControl(b []byte, c Control) []byte {
	b = appendArray(b, controlFields)
	b = appendUint(b, uint64(c.Kind))
	return appendBin(b, c.Body)
}

// DecodeControl decodes what AppendControl wrote, all of it. The body points
// into b. The error wraps ErrFrame.
func DecodeControl(b []byte) (Control, error) {
	d := decoder{b: b}
	var c Control
	extra := d.fields(controlFields)
	c.Kind = uint8(d.uintMax(1<<8 - 1))
	c.Body = d.bin(maxFrameBytes)
	d.skip(extra)
	if err := d.end(); err != nil {
		return Control{}, err
	}
	return c, nil
}
