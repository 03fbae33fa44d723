package explore

import (
	"encoding/binary"
	"slices"
)

// sets numbers sorted lists of numbers. With repeats they are multisets.
type sets struct {
	list  [][]uint32
	byKey map[string]uint32
	added map[uint64]uint32 // by set and a number that is not in it
	buf   []uint32
	key   []byte
}

func newSets() *sets {
	s := &sets{byKey: map[string]uint32{}, added: map[uint64]uint32{}}
	s.number(nil)
	return s
}

// number returns the number of the sorted list.
func (s *sets) number(list []uint32) uint32 {
	s.key = s.key[:0]
	for _, n := range list {
		s.key = binary.AppendUvarint(s.key, uint64(n))
	}
	if n, ok := s.byKey[string(s.key)]; ok {
		return n
	}
	n := uint32(len(s.list))
	s.byKey[string(s.key)] = n
	s.list = append(s.list, slices.Clone(list))
	return n
}

// union returns the set with the members of more, each at most once.
func (s *sets) union(set uint32, more []uint32) uint32 {
	for _, n := range more {
		list := s.list[set]
		i, found := slices.BinarySearch(list, n)
		if found {
			continue
		}
		key := uint64(set)<<32 | uint64(n)
		with, ok := s.added[key]
		if !ok {
			s.buf = slices.Insert(append(s.buf[:0], list...), i, n)
			with = s.number(s.buf)
			s.added[key] = with
		}
		set = with
	}
	return set
}

// change returns the multiset without one of take, if it is not none, and with
// all of more.
func (s *sets) change(set uint32, take int, more []uint32) uint32 {
	s.buf = append(s.buf[:0], s.list[set]...)
	if take >= 0 {
		i, _ := slices.BinarySearch(s.buf, uint32(take))
		s.buf = slices.Delete(s.buf, i, i+1)
	}
	s.buf = append(s.buf, more...)
	slices.Sort(s.buf)
	return s.number(s.buf)
}
