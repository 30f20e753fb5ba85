package vorbis

import (
	"fmt"
	"math"
)

// bits reads a setup header from its lowest bits up (Vorbis I, 2.1.4).
type bits struct {
	b    []byte
	at   int // bits
	over bool
}

func (r *bits) read(n int) (v uint32) {
	if r.at+n > 8*len(r.b) {
		r.over, r.at = true, 8*len(r.b)
		return 0
	}
	for i := range n {
		v |= uint32(r.b[r.at>>3]>>(r.at&7)&1) << i
		r.at++
	}
	return v
}

// checkBooks reads the codebooks of a setup header (Vorbis I, 3.2.1) and refuses those that a decoder
// would allocate too much for, or never come to an end with.
func checkBooks(r *bits) error {
	b := r.b
	values := 0
	for i, n := 0, int(r.read(8))+1; i < n; i++ {
		if r.read(24) != 0x564342 {
			return fmt.Errorf("%w: codebook %d", ErrHeader, i)
		}
		dims, entries := int(r.read(16)), int(r.read(24))
		if dims < 1 || entries < 2 || entries > maxEntries {
			return fmt.Errorf("%w: codebook of %d entries in %d dimensions", ErrHeader, entries, dims)
		}
		if values += entries * min(dims, maxValues); values > maxValues {
			return fmt.Errorf("%w: codebooks of more than %d values", ErrHeader, maxValues)
		}
		used := 0
		if r.read(1) == 1 { // ordered by length
			r.read(5)
			for used < entries && !r.over {
				width := 0
				for v := entries - used; v > 0; v >>= 1 {
					width++
				}
				used += int(r.read(width))
			}
			if used > entries {
				return fmt.Errorf("%w: codebook %d", ErrHeader, i)
			}
		} else {
			sparse := r.read(1) == 1
			for k := 0; k < entries && !r.over; k++ {
				if !sparse || r.read(1) == 1 {
					r.read(5)
					used++
				}
			}
		}
		if used == 0 {
			return fmt.Errorf("%w: codebook %d has no words", ErrHeader, i)
		}
		switch kind := r.read(4); kind {
		case 0:
		case 1, 2:
			r.read(32)
			r.read(32)
			width := int(r.read(4)) + 1
			r.read(1)
			n := entries * dims
			if kind == 1 {
				n = int(math.Floor(math.Pow(float64(entries), 1/float64(dims))))
			}
			r.at += min(n*width, 8*len(b))
		default:
			return fmt.Errorf("%w: codebook %d", ErrHeader, i)
		}
		if r.over || r.at > 8*len(b) {
			return fmt.Errorf("%w: cut in codebook %d", ErrHeader, i)
		}
	}
	return nil
}
