package vorbis

import "fmt"

// checkSetup reads a setup header as far as the residues (Vorbis I, 4.2.4) and refuses what a decoder would
// take too long over, or too much memory.
func checkSetup(b []byte) error {
	r := &bits{b: b}
	if err := checkBooks(r); err != nil {
		return err
	}
	for range r.read(6) + 1 { // time domain transforms: placeholders
		r.read(16)
	}
	for i := range r.read(6) + 1 {
		switch kind := r.read(16); kind {
		case 0:
			r.skipFloor0()
		case 1:
			r.skipFloor1()
		default:
			return fmt.Errorf("%w: floor %d of type %d", ErrHeader, i, kind)
		}
	}
	for i := range r.read(6) + 1 {
		if begin, end := r.residue(); begin > end {
			// A decoder that subtracts them would see four thousand million values.
			return fmt.Errorf("%w: residue %d ends before it begins", ErrHeader, i)
		}
	}
	if r.over {
		return fmt.Errorf("%w: cut in the residues", ErrHeader)
	}
	return nil
}

// skipFloor0 reads a floor of type 0 (Vorbis I, 6.2.1).
func (r *bits) skipFloor0() {
	r.read(8)  // order
	r.read(16) // rate
	r.read(16) // size of the bark map
	r.read(6)  // bits of the amplitude
	r.read(8)  // its offset
	for range r.read(4) + 1 {
		r.read(8) // book
	}
}

// skipFloor1 reads a floor of type 1 (Vorbis I, 7.2.2).
func (r *bits) skipFloor1() {
	classOf := make([]uint32, r.read(5))
	classes := uint32(0)
	for i := range classOf {
		classOf[i] = r.read(4)
		classes = max(classes, classOf[i]+1)
	}
	dims := make([]uint32, max(classes, 1))
	for c := range classes {
		dims[c] = r.read(3) + 1
		sub := r.read(2)
		if sub > 0 {
			r.read(8) // master book
		}
		for range uint32(1) << sub {
			r.read(8) // book of a subclass
		}
	}
	r.read(2) // multiplier
	width := int(r.read(4))
	for _, c := range classOf {
		for range dims[c] {
			r.read(width)
		}
	}
}

// residue reads one (Vorbis I, 8.6.1) and tells from where to where it goes.
func (r *bits) residue() (begin, end uint32) {
	r.read(16) // type
	begin, end = r.read(24), r.read(24)
	r.read(24) // size of a partition
	classes := r.read(6) + 1
	r.read(8) // class book
	books := 0
	for range classes {
		cascade := r.read(3)
		if r.read(1) == 1 {
			cascade |= r.read(5) << 3
		}
		for ; cascade > 0; cascade &= cascade - 1 {
			books++
		}
	}
	for range books {
		r.read(8)
	}
	return begin, end
}
