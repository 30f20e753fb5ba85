package mp3

import "math"

// The inverse MDCT of 2.4.3.4.10.2, x[i] = sum over k < n/2 of X[k] cos(pi/2n (2i + 1 + n/2)(2k + 1)),
// is a DCT-IV of m = n/2 points, unfolded: with y[j] = sum of X[k] cos(pi/4m (2j + 1)(2k + 1)),
//
//	x[i] = y[i + m/2] below m/2, -y[3m/2 - 1 - i] below 3m/2, -y[i - 3m/2] from there.
//
// Multiplied by 2 cos(pi/4m (2j + 1)), y[j] is the DCT-III of X[k] + X[k-1]; its reciprocal goes into the
// windows. A DCT-III of m points is one of m/2 over the even inputs plus a DCT-IV of m/2 over the odd
// ones, which is again a DCT-III.

// Cosines of degrees, for the DCT-III of 9 points.
const (
	cos30 = 0.86602540378443864676
	cos40 = 0.76604444311897803520
	cos50 = 0.64278760968653932632
	cos70 = 0.34202014332566873304
	cos80 = 0.17364817766693034885
)

// Reciprocals of 2 cos(pi/36 (2j + 1)) and 2 cos(pi/12 (2j + 1)).
var (
	half9 = [9]float32{
		0.50190991877167369479, 0.51763809020504152470, 0.55168895948124587825,
		0.61038729438072803416, 0.70710678118654752440, 0.87172339781054900992,
		1.18310079157624925900, 1.93185165257813657350, 5.73685662283492756460,
	}
	half3 = [3]float32{0.51763809020504152470, 0.70710678118654752440, 1.93185165257813657350}
)

// fillIMDCT computes the windows of 2.4.3.4.10.3 in the order in which they are applied, with the signs of
// the unfolding, the factors above, and in the odd subbands 2.4.3.4.10.5's frequency inversion.
// Those of block type 2 are three short windows in their places (2.4.3.4.10.3 d), one after the other.
func (t *tables) fillIMDCT() {
	long := func(i int) float64 { return math.Sin(math.Pi / 36 * (float64(i) + 0.5)) }
	short := func(i int) float64 { return math.Sin(math.Pi / 12 * (float64(i) + 0.5)) }
	shape := [4]func(int) float64{
		0: long,
		1: func(i int) float64 {
			switch {
			case i < 18:
				return long(i)
			case i < 24:
				return 1
			case i < 30:
				return short(i - 18)
			}
			return 0
		},
		2: func(i int) float64 { return short(i % 12) },
		3: func(i int) float64 {
			switch {
			case i < 6:
				return 0
			case i < 12:
				return short(i - 6)
			case i < 18:
				return 1
			}
			return long(i)
		},
	}
	for kind, f := range shape {
		m := 18
		if kind == 2 {
			m = 6
		}
		for i := range 36 {
			at := i % (2 * m)
			sign, y := -1.0, 3*m/2-1-at
			switch {
			case at < m/2:
				sign, y = 1, at+m/2
			case at >= 3*m/2:
				y = at - 3*m/2
			}
			v := f(i) * sign / (2 * math.Cos(math.Pi/float64(4*m)*float64(2*y+1)))
			t.win[0][kind][i] = float32(v)
			if i%2 == 1 {
				v = -v
			}
			t.win[1][kind][i] = float32(v)
		}
	}
}

// dct9 is the DCT-III of 9 points: x[n] = sum of x[m] cos(pi/18 (2n + 1) m).
func dct9(x *[9]float32) {
	// The even inputs make the part that is the same at n and 8-n.
	t0 := x[0] + 0.5*x[6]
	t1 := x[0] - x[6]
	p, q, r := x[2]+x[4], x[2]+x[8], x[4]-x[8]
	u := x[2] - x[4] - x[8]
	e0 := cos40*p + cos80*q
	e3 := cos80*r - cos40*q
	e2 := t0 - e0 - e3
	e0 += t0
	e3 += t0
	e1 := t1 + 0.5*u
	e4 := t1 - u
	// The odd ones make the part that changes sign.
	s := cos30 * x[3]
	a, b, c := x[1]+x[5], x[1]+x[7], x[5]-x[7]
	o1 := cos30 * (x[1] - x[5] - x[7])
	o2 := cos50*b - cos70*c
	o3 := cos70*a + cos50*c
	o0 := o2 + o3 + s
	o2 -= s
	o3 -= s

	x[0], x[8] = e0+o0, e0-o0
	x[1], x[7] = e1+o1, e1-o1
	x[2], x[6] = e2+o2, e2-o2
	x[3], x[5] = e3+o3, e3-o3
	x[4] = e4
}

// imdct36 transforms one subband's 18 lines, adds what the granule before left in over and writes the
// sum to every 32nd place of out (2.4.3.4.10.4); over then holds what is left for the next.
func imdct36(x, over *[18]float32, out *[17*32 + 1]float32, win *[36]float32) {
	var even, odd [9]float32
	c := x[17] + x[16] // X[k] + X[k-1], and of its odd ones the same again
	odd[8] = c
	for i := 8; i > 0; i-- {
		lower := x[2*i-1] + x[2*i-2]
		even[i] = x[2*i] + x[2*i-1]
		odd[i] += lower
		odd[i-1] = lower
	}
	even[0] = x[0]
	dct9(&even)
	dct9(&odd)
	for j := range 9 {
		e, o := even[j], odd[j]*half9[j]
		lo, hi := e+o, e-o // y[j], y[17-j]
		out[(8-j)*32] = over[8-j] + hi*win[8-j]
		out[(9+j)*32] = over[9+j] + hi*win[9+j]
		over[8-j] = lo * win[26-j]
		over[9+j] = lo * win[27+j]
	}
}

// imdct12 does the same with three short windows, whose lines alternate.
func imdct12(x, over *[18]float32, out *[17*32 + 1]float32, win *[36]float32) {
	var sum [36]float32
	for w := range 3 {
		c0, c1, c2 := x[w], x[w+3]+x[w], x[w+6]+x[w+3]
		c3, c4, c5 := x[w+9]+x[w+6], x[w+12]+x[w+9], x[w+15]+x[w+12]
		c5 += c3
		c3 += c1
		t, u := c0+0.5*c4, cos30*c2
		e0, e1, e2 := t+u, c0-c4, t-u
		t, u = c1+0.5*c5, cos30*c3
		o0, o1, o2 := (t+u)*half3[0], (c1-c5)*half3[1], (t-u)*half3[2]
		y := [6]float32{e0 + o0, e1 + o1, e2 + o2, e2 - o2, e1 - o1, e0 - o0}

		s := (*[12]float32)(sum[6+6*w:])
		k := (*[12]float32)(win[12*w:])
		for i := range 3 {
			s[i] += y[3+i] * k[i]
			s[5-i] += y[3+i] * k[5-i]
			s[8-i] += y[i] * k[8-i]
			s[9+i] += y[i] * k[9+i]
		}
	}
	for i := range 18 {
		out[i*32] = over[i] + sum[i]
		over[i] = sum[18+i]
	}
}

// alias are cs and ca of table B.9: 1/sqrt(1 + c*c) and c/sqrt(1 + c*c) for its eight c.
var alias = [8][2]float32{
	{0.85749292571254418689, -0.51449575542752651213},
	{0.88174199731770518177, -0.47173196856497227224},
	{0.94962864910273289204, -0.31337745420390185438},
	{0.98331459249179014599, -0.18191319961098117700},
	{0.99551781606758576382, -0.09457419252642064760},
	{0.99916055817814752090, -0.04096558288530404880},
	{0.99989919524444706340, -0.01419856857247114790},
	{0.99999315507028023570, -0.00369997467375993620},
}

// reduceAlias is 2.4.3.4.10.1 over the first n bounds between subbands.
func reduceAlias(x *[576]float32, n int) {
	for sb := 1; sb <= n && sb < 32; sb++ {
		p := (*[16]float32)(x[sb*18-8:])
		for i := range 8 {
			u, d := p[7-i], p[8+i]
			p[7-i] = u*alias[i][0] - d*alias[i][1]
			p[8+i] = d*alias[i][0] + u*alias[i][1]
		}
	}
}

// hybrid is the IMDCT part of 2.4.3.4.10 for one channel's granule: x, zero from nz on and in the order of
// frequency, becomes the 18 time slots of 32 subband samples in out.
func (t *tables) hybrid(g *granule, nz int, x *[576]float32, over *[32][18]float32, out *[18 * 32]float32) {
	bounds := min((nz+17)/18, 31)
	if g.short() {
		bounds = min(bounds, 1)
		if !g.mixed {
			bounds = 0
		}
	}
	reduceAlias(x, bounds)
	filled := min((nz+17)/18+1, 32) // the butterflies carry into one more
	for sb := range 32 {
		o := (*[17*32 + 1]float32)(out[sb:])
		ov := &over[sb]
		if sb >= filled {
			for i := range ov {
				o[i*32] = ov[i]
			}
			*ov = [18]float32{}
			continue
		}
		kind := g.blockType
		if g.mixed && sb < 2 {
			kind = 0
		}
		in := (*[18]float32)(x[sb*18:])
		win := &t.win[sb&1][kind&3]
		if kind == 2 {
			imdct12(in, ov, o, win)
		} else {
			imdct36(in, ov, o, win)
		}
	}
}
