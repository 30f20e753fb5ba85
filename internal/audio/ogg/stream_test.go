package ogg

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// spelling is a codec whose samples are a packet's bytes.
type spelling struct{ resets int }

func (*spelling) Rate() int     { return 1000 }
func (*spelling) Channels() int { return 1 }
func (s *spelling) Reset()      { s.resets++ }
func (*spelling) Decode(p []byte) (out []float32, err error) {
	for _, b := range p {
		out = append(out, float32(b))
	}
	return out, nil
}

// Packets that span pages, and stretches, come out whole; where one's beginning is missing, so is the rest of it. What
// the beginning has too many is dropped, and what the end has; what warms up is silent.
func TestStreamOfPackets(t *testing.T) {
	k := Kind{Magic: "spell", Headers: 2, Warm: 7, Preskip: func([]byte) int { return 3 }, Open: func([][]byte) (Codec, error) { return &spelling{}, nil }}
	head := Headers([][]byte{[]byte("spell"), []byte("words")}, 9, 2)
	// Packets of 300 (7s), 10 (8s), 300 (9s) and 20 (6s) samples; the third spans two pages and the fourth is cut to 15.
	sevens, nines := bytes.Repeat([]byte{7}, 300), bytes.Repeat([]byte{9}, 300)
	one := write(nil, 0, 310, 9, 2, []byte{255, 45, 10, 255}, slices.Concat(sevens, bytes.Repeat([]byte{8}, 10), nines[:255]))
	two := write(nil, continued|ends, 625, 9, 3, []byte{45, 20}, slices.Concat(nines[255:], bytes.Repeat([]byte{6}, 20)))
	run := func(s *Stream, stretches ...[]byte) (out []float32, err error) {
		for _, m := range stretches {
			if e := s.Decode(m, func(b []float32) error { out = append(out, b...); return nil }); e != nil {
				err = e
			}
		}
		return out, err
	}
	stream := func() *Stream {
		s, err := NewStream(head, k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	count := func(b []float32) (n [10]int) {
		for _, v := range b {
			n[int(v)]++
		}
		return n
	}
	if got, err := run(stream(), one, two); err != nil || count(got) != [10]int{6: 15, 7: 297, 8: 10, 9: 300} {
		t.Errorf("in two stretches: %v, %v", count(got), err)
	}
	if got, err := run(stream(), slices.Concat(one, two)); err != nil || count(got) != [10]int{6: 15, 7: 297, 8: 10, 9: 300} {
		t.Errorf("in one: %v, %v", count(got), err)
	}
	s := stream()
	s.Reset()
	if got, err := run(s, two); err != nil || count(got) != [10]int{0: 7, 6: 13} {
		t.Errorf("come into: %v, %v", count(got), err)
	}
	s = stream()
	run(s, one)
	s.Reset()
	if got, _ := run(s, two); count(got) != [10]int{0: 7, 6: 13} {
		t.Errorf("behind a gap: %v", count(got))
	}
	if got, err := run(stream(), one, write(nil, 0, 800, 9, 5, []byte{20}, bytes.Repeat([]byte{5}, 20))); err != nil && !errors.Is(err, ErrDamaged) || count(got) != [10]int{0: 7, 5: 13, 7: 297, 8: 10} {
		t.Errorf("a page is missing within: %v, %v", count(got), err)
	}
	if got, err := run(stream(), []byte("no page"), one[:len(one)-1], one); !errors.Is(err, ErrDamaged) || count(got) != [10]int{7: 297, 8: 10} {
		t.Errorf("with junk: %v, %v", count(got), err)
	}
	if got, err := run(stream(), write(nil, 0, 310, 8, 2, []byte{1}, []byte{4}), one); err != nil || count(got) != [10]int{7: 297, 8: 10} {
		t.Errorf("with another stream's page: %v, %v", count(got), err)
	}
}
