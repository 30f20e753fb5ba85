package mp3

import "math"

// midSide turns mid and side into left and right (2.4.3.4.9.2). The factor 1/sqrt(2) is in k, or already
// in the samples.
func midSide(l, r []float32) {
	r = r[:len(l)]
	for i := range l {
		m, s := l[i], r[i]
		l[i], r[i] = m+s, m-s
	}
}

// fillIntensity computes the ratios of 2.4.3.4.9.3 and LSF 2.4.3.2 (intensity stereo).
func (t *tables) fillIntensity() {
	for i := range t.mid {
		if i == 6 { // tan(pi/2): all of it is left
			t.mid[i] = [2]float32{1, 0}
			continue
		}
		ratio := math.Tan(float64(i) * math.Pi / 12)
		t.mid[i] = [2]float32{float32(ratio / (1 + ratio)), float32(1 / (1 + ratio))}
	}
	for scale := range t.low {
		step := math.Exp2(-float64(1+scale) / 4) // intensity_scale: i0 is 2^(-1/4) or 2^(-1/2)
		for p := range t.low[scale] {
			k := float32(math.Pow(step, float64((p+1)/2)))
			if p%2 == 1 {
				t.low[scale][p] = [2]float32{k, 1}
			} else {
				t.low[scale][p] = [2]float32{1, k}
			}
		}
	}
}

// intensity undoes joint stereo of an intensity frame (2.4.3.4.9.3; LSF 2.4.3.2): bands above the right
// channel's last line that is not zero are of one signal and a position, window by window where windows
// are short. The bands below, and those at an illegal position, are mid and side if the header says so.
// The samples are in the order of frequency, without the factor 1/sqrt(2).
func (t *tables) intensity(h Header, bd *bands, g *granule, l, r *[576]float32) {
	ratio := func(band int) (k [2]float32, ok bool) {
		if h.Version == MPEG1 {
			if p := g.scale[band]; p < 7 {
				return t.mid[p], true
			}
			return k, false
		}
		if p := g.where[band]; p != nowhere {
			return t.low[g.scaleComp&1][p&31], true
		}
		return k, false
	}
	apply := func(from, to, step, band int, one bool) {
		k, ok := [2]float32{}, false
		if one {
			k, ok = ratio(band)
		}
		switch {
		case ok:
			for i := from; i < to; i += step {
				l[i], r[i] = l[i]*k[0], l[i]*k[1]
			}
		case h.MidSide:
			for i := from; i < to; i += step {
				m, s := l[i]*math.Sqrt2*0.5, r[i]*math.Sqrt2*0.5
				l[i], r[i] = m+s, m-s
			}
		}
	}

	long := g.longBands(h.Version)
	shortLines := 576
	if g.short() {
		shortLines = 3 * int(bd.short[g.shortFrom()])
	}
	above := true // no short window holds anything
	for w := 0; w < 3 && g.short(); w++ {
		one := true
		for b := 12; b >= g.shortFrom(); b-- {
			from, to := 3*int(bd.short[b])+w, 3*int(bd.short[b+1])
			one = one && zero(r, from, to, 3)
			// The highest band has no position of its own: the one below lends it.
			apply(from, to, 3, long+3*(min(b, 11)-g.shortFrom())+w, one)
		}
		above = above && one
	}
	for b := long - 1; b >= 0; b-- {
		from, to := int(bd.long[b]), min(int(bd.long[b+1]), shortLines)
		above = above && zero(r, from, to, 1)
		apply(from, to, 1, min(b, 20), above)
	}
}

// zero reports whether every step-th line from up to to is zero.
func zero(x *[576]float32, from, to, step int) bool {
	for i := from; i < to; i += step {
		if x[i] != 0 {
			return false
		}
	}
	return true
}
