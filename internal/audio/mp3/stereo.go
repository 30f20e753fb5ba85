package mp3

import "math"

// midSide turns mid and side into left and right (2.4.3.4.9.2). The factor 1/sqrt(2) is already in
// the samples.
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
	pan := panner{t: t, h: h, g: g, l: l, r: r}
	long, first := g.longBands(h.Version), g.shortFrom()
	empty := true // of the right channel, so far from above
	for w := 0; w < 3 && g.short(); w++ {
		above := true // still above the last line of this window
		for b := 12; b >= first; b-- {
			from, to := 3*int(bd.short[b])+w, 3*int(bd.short[b+1])
			above = above && zero(r, from, to, 3)
			switch at := long + 3*(b-first) + w; {
			case b < 12:
				pan.apply(from, to, 3, above, at)
			case zero(r, 3*int(bd.short[11])+w, 3*int(bd.short[12]), 3):
				pan.apply(from, to, 3, above, at-3)
			default:
				pan.apply(from, to, 3, above, centre)
			}
		}
		empty = empty && above
	}
	for b := long - 1; b >= 0; b-- {
		from, to := int(bd.long[b]), int(bd.long[b+1])
		empty = empty && zero(r, from, to, 1)
		switch {
		case b < 21:
			pan.apply(from, to, 1, empty, b)
		case zero(r, int(bd.long[20]), int(bd.long[21]), 1):
			pan.apply(from, to, 1, empty, 20)
		default:
			pan.apply(from, to, 1, empty, centre)
		}
	}
}

// centre stands for the band whose position the highest band takes. It has none of its own and follows the
// band below; but if that one is coded in full, what it has are scale factors, and decoders agree on the
// middle.
const centre = -1

// panner places bands of an intensity frame.
type panner struct {
	t    *tables
	h    Header
	g    *granule // of the right channel
	l, r *[576]float32
}

// apply does one band, or one window of it: every step-th line from up to to. one says that it is of one
// signal, at the position of the band numbered at.
func (p *panner) apply(from, to, step int, one bool, at int) {
	if k, ok := p.ratio(at); one && ok {
		for i := from; i < to; i += step {
			p.l[i], p.r[i] = p.l[i]*k[0], p.l[i]*k[1]
		}
	} else if p.h.MidSide {
		for i := from; i < to; i += step {
			m, s := p.l[i]*(math.Sqrt2/2), p.r[i]*(math.Sqrt2/2)
			p.l[i], p.r[i] = m+s, m-s
		}
	}
}

// ratio returns the factors of left and right for the band numbered at; ok is false if its position is
// illegal.
func (p *panner) ratio(at int) (k [2]float32, ok bool) {
	if p.h.Version == MPEG1 {
		pos := uint8(3)
		if at != centre {
			pos = p.g.scale[at]
		}
		if pos >= 7 {
			return k, false
		}
		return p.t.mid[pos], true
	}
	pos := uint8(0)
	if at != centre {
		pos = p.g.where[at]
	}
	if pos == nowhere {
		return k, false
	}
	return p.t.low[p.g.scaleComp&1][pos&31], true
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
