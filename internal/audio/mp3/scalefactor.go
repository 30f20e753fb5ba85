package mp3

// Bits a scale factor by scalefac_compress: bands 0 to 10 (short: 0 to 5) and the rest (2.4.2.7).
var scaleBits = [16][2]int{
	{0, 0}, {0, 1}, {0, 2}, {0, 3}, {3, 0}, {1, 1}, {1, 2}, {1, 3},
	{2, 1}, {2, 2}, {2, 3}, {3, 1}, {3, 2}, {3, 3}, {4, 2}, {4, 3},
}

// The bands that each scfsi bit speaks for begin here (2.4.2.7).
var shareFrom = [5]int{0, 6, 11, 16, 21}

// pretab is added to a long block's scale factors when preflag is set (table B.6).
var pretab = [22]int{11: 1, 1, 1, 1, 2, 2, 3, 3, 3, 2}

// readScale reads MPEG-1's scale factors (2.4.1.7, 2.4.3.4.5) at pos and returns the position behind them.
// first is granule 0 of the same channel where bands may be shared with it, nil otherwise.
func (g *granule) readScale(m *mainData, pos int, first *granule, share *[4]bool) int {
	n := scaleBits[g.scaleComp&15]
	if !g.short() {
		for i := range 4 {
			from, to := shareFrom[i], shareFrom[i+1]
			if first != nil && share[i] {
				copy(g.scale[from:to], first.scale[from:to])
				continue
			}
			pos = g.readRun(m, pos, from, to, n[i/2])
		}
		g.scale[21] = 0
		return pos
	}
	middle, end := 18, 36
	if g.mixed {
		middle, end = 8+9, 8+27
	}
	pos = g.readRun(m, pos, 0, middle, n[0])
	pos = g.readRun(m, pos, middle, end, n[1])
	clear(g.scale[end:])
	return pos
}

// readRun reads the scale factors from up to to, of n bits each.
func (g *granule) readRun(m *mainData, pos, from, to, n int) int {
	if n == 0 {
		clear(g.scale[from:to])
		return pos
	}
	for i := from; i < to; i++ {
		g.scale[i] = uint8(m.bits(pos, n))
		pos += n
	}
	return pos
}

// How many scale factors there are of each of the four lengths (LSF 2.4.3.2, table of nr_of_sfb): by the
// range of scalefac_compress, three for an intensity frame's right channel last; long, short, mixed.
var lowRuns = [6][3][4]int{
	{{6, 5, 5, 5}, {9, 9, 9, 9}, {6, 9, 9, 9}},
	{{6, 5, 7, 3}, {9, 9, 12, 6}, {6, 9, 12, 6}},
	{{11, 10, 0, 0}, {18, 18, 0, 0}, {15, 18, 0, 0}},
	{{7, 7, 7, 0}, {12, 12, 12, 0}, {6, 15, 12, 0}},
	{{6, 6, 6, 3}, {12, 9, 9, 6}, {6, 12, 9, 6}},
	{{8, 8, 5, 0}, {15, 12, 9, 0}, {6, 18, 9, 0}},
}

// readScaleLow reads LSF's scale factors (LSF 2.4.3.2). In the right channel of an intensity frame they
// are the positions, of which the highest of their length is illegal (LSF 2.4.3.2, intensity).
func (g *granule) readScaleLow(m *mainData, pos int, right bool) int {
	var n [4]int
	var row int
	switch c := g.scaleComp; {
	case right:
		switch c >>= 1; {
		case c < 180:
			n, row = [4]int{c / 36, c % 36 / 6, c % 6}, 3
		case c < 244:
			c -= 180
			n, row = [4]int{c >> 4 & 3, c >> 2 & 3, c & 3}, 4
		default:
			c -= 244
			n, row = [4]int{c / 3, c % 3}, 5
		}
	case c < 400:
		n, row = [4]int{c >> 4 / 5, c >> 4 % 5, c >> 2 & 3, c & 3}, 0
	case c < 500:
		c -= 400
		n, row = [4]int{c >> 2 / 5, c >> 2 % 5, c & 3}, 1
	default:
		c -= 500
		n, row = [4]int{c / 3, c % 3}, 2
		g.preflag = true
	}
	kind := 0
	if g.short() {
		kind = 1
		if g.mixed {
			kind = 2
		}
	}
	at := 0
	for i, run := range lowRuns[row][kind] {
		pos = g.readRun(m, pos, at, at+run, n[i])
		if right {
			for k := at; k < at+run; k++ {
				g.where[k] = g.scale[k]
				if n[i] > 0 && g.scale[k] == 1<<n[i]-1 {
					g.where[k] = nowhere
				}
			}
		}
		at += run
	}
	clear(g.scale[at:])
	return pos
}

// requantise scales src, as decoded and zero from nz on, into dst in the order of frequency (2.4.3.4.7.1,
// 2.4.3.4.8) and returns from where dst is zero. offset is added to the exponent, in quarter octaves.
func (g *granule) requantise(t *tables, v Version, bd *bands, src, dst *[576]float32, nz, offset int) int {
	base := g.globalGain - 210 + gainUnit + offset
	end := 0
	for b := range g.longBands(v) {
		if end >= nz {
			break
		}
		s := int(g.scale[b])
		if g.preflag {
			s += pretab[b]
		}
		gain := t.gain[base-s*g.scaleShift]
		from := end
		end = int(bd.long[b+1])
		out := dst[from:end]
		in := src[from:end]
		in = in[:len(out)]
		for i := range out {
			out[i] = in[i] * gain
		}
	}
	first := g.shortFrom()
	for b, at := first, g.longBands(v); b < 13 && end < nz; b, at = b+1, at+3 {
		from := 3 * int(bd.short[b])
		end = 3 * int(bd.short[b+1])
		width := (end - from) / 3
		for w := range 3 {
			gain := t.gain[base-8*g.windowGain[w]-int(g.scale[at+w])*g.scaleShift]
			in := src[from+w*width : from+w*width+width]
			out := dst[from:end]
			for i, o := 0, w; i < len(in) && o < len(out); i, o = i+1, o+3 {
				out[o] = in[i] * gain
			}
		}
	}
	clear(dst[end:])
	return end
}
