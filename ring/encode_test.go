package ring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

func richView() *View {
	v := quickView(6, 16, 3, "a", "b")
	v.Epoch, v.Incarnation = 300, 2
	v.Members[2].Kinds = []string{"cart", "wallet"}
	v.Members[2].HTTP = "127.0.0.1:8001"
	v.Members[3].State = Draining
	v.Slots[4] = Row{Epoch: 299, Replicas: []NodeID{2, 1, 3}, Learners: []NodeID{4}, From: [][]NodeID{{1, 2, 5}, {6}}}
	return v
}

func TestEncodeDecode(t *testing.T) {
	v := richView()
	b := v.Encode()
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(v, got) {
		t.Errorf("decoded\n%+v, want\n%+v", got, v)
	}
	if !bytes.Equal(b, got.Encode()) {
		t.Error("the encoding is not canonical")
	}
	for n := range b {
		if _, err := Decode(b[:n]); !errors.Is(err, ErrInvalid) {
			t.Errorf("the first %d of %d bytes: %v", n, len(b), err)
		}
	}
	if _, err := Decode(append(b, 0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a byte too many: %v", err)
	}
}

// TestDecodeDamaged changes bytes: whatever comes out is refused or is a view
// whose encoding that is.
func TestDecodeDamaged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 5))
	whole := richView().Encode()
	for range 5000 {
		b := bytes.Clone(whole)
		b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
		checkDecode(t, b)
	}
}

func checkDecode(t *testing.T, b []byte) {
	v, err := Decode(b)
	switch {
	case err != nil && (v != nil || !errors.Is(err, ErrInvalid)):
		t.Errorf("%v with the error %v", v, err)
	case err == nil && !bytes.Equal(v.Encode(), b):
		t.Errorf("%x decodes, and encodes as %x", b, v.Encode())
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(richView().Encode())
	f.Add(quickView(1, 1, 1).Encode())
	f.Fuzz(checkDecode)
}

func TestEncodedSize(t *testing.T) {
	if n := len(quickView(10, 256, 3).Encode()); n > 3<<10 {
		t.Errorf("256 slots of 3 replicas take %d bytes", n)
	}
}

func TestEncodeStranger(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a view that names a stranger was encoded")
		}
	}()
	v := richView()
	v.Voters[0] = 99
	v.Encode()
}
