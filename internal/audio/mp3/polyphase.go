package mp3

import "math"

// The synthesis of 2.4.3.2.2. Its matrixing, V[i] = sum of cos((16 + i)(2k + 1) pi/64) S[k] for 64 i, holds
// but the 32 values of the DCT-II C[j] = sum of cos(j (2k + 1) pi/64) S[k]:
//
//	V[i] = C[16+i] below 16, 0 at 16, -C[48-i] below 48, -C[i-48] from there.
//
// So a time slot keeps one row of C, and an output sample is 16 products with the window D of the rows of
// ages 0 to 15: at even ages with V[j], at odd ones with V[32+j]. Outputs j and 32-j use the same C, and
// the window's symmetry makes their coefficients the same, reversed. A row holds C[16] to C[31], then
// C[15] down to C[0], so that both halves are read upwards.

const (
	slots   = 18 // of a granule of Layer III, half a frame of Layer II
	history = 15 // rows that outlive it
)

// rows are a channel's history and the granule at work. They are moved, not turned in a ring, so that a
// sample's sum has one order wherever decoding began.
type rows [(history + slots) * 32]float32

// fillDecode computes the coefficients of outputs 0 to 16 by age.
func (t *tables) fillDecode() {
	d := func(i int) float32 {
		v := windowD[min(i, 512-i)]
		if i > 256 && i%64 != 0 {
			v = -v
		}
		return float32(v) / 65536
	}
	for j := range t.decode {
		for age := range 16 {
			i := age / 2 * 64
			if age%2 == 0 {
				t.decode[j][age] = d(i + j) // V[j] is C[16+j]
			} else {
				t.decode[j][age] = -d(i + 32 + j) // V[32+j] is -C[16-j]
			}
		}
	}
}

// Reciprocals of 2 cos(pi/2n (2k + 1)) for the steps of the DCT-II.
var (
	half32 = halves[[16]float32](32)
	half16 = halves[[8]float32](16)
)

func halves[T [16]float32 | [8]float32](n int) (h T) {
	for k := range n / 2 {
		h[k] = float32(0.5 / math.Cos(math.Pi/float64(2*n)*float64(2*k+1)))
	}
	return h
}

const (
	half8a = 0.50979557910415916894 // 1 / (2 cos(pi/16))
	half8b = 0.60134488693504528054 // 1 / (2 cos(3pi/16))
	half8c = 0.89997622313641570464 // 1 / (2 cos(5pi/16))
	half8d = 2.56291544774150617881 // 1 / (2 cos(7pi/16))
	half4a = 0.54119610014619698440 // 1 / (2 cos(pi/8))
	half4b = 1.30656296487637652786 // 1 / (2 cos(3pi/8))
	half2  = 0.70710678118654752440 // 1 / (2 cos(pi/4))
)

// dct8 is the DCT-II of 8 points. As in dct32, x[k] + x[n-1-k] makes the even outputs; the difference over
// 2 cos makes sums of neighbours, which are the odd ones.
func dct8(x *[8]float32) {
	a0, a1, a2, a3 := x[0]+x[7], x[1]+x[6], x[2]+x[5], x[3]+x[4]
	b0, b1 := (x[0]-x[7])*half8a, (x[1]-x[6])*half8b
	b2, b3 := (x[2]-x[5])*half8c, (x[3]-x[4])*half8d

	c0, c1 := a0+a3, a1+a2
	d0, d1 := (a0-a3)*half4a, (a1-a2)*half4b
	x[0] = c0 + c1
	x[4] = (c0 - c1) * half2
	e := (d0 - d1) * half2
	x[2] = d0 + d1 + e
	x[6] = e

	c0, c1 = b0+b3, b1+b2
	d0, d1 = (b0-b3)*half4a, (b1-b2)*half4b
	e = (d0 - d1) * half2
	y0, y2, y1 := c0+c1, (c0-c1)*half2, d0+d1+e
	x[1] = y0 + y1
	x[3] = y1 + y2
	x[5] = y2 + e
	x[7] = e
}

// dct32 writes the DCT-II of s to row.
func dct32(s, row *[32]float32) {
	var t [4][8]float32
	for k := range 8 {
		a, b := s[k], s[31-k]
		c, d := s[15-k], s[16+k]
		p, q := a+b, c+d
		t[0][k], t[1][k] = p+q, (p-q)*half16[k]
		p, q = (a-b)*half32[k], (c-d)*half32[15-k]
		t[2][k], t[3][k] = p+q, (p-q)*half16[k]
	}
	dct8(&t[0])
	dct8(&t[1])
	dct8(&t[2])
	dct8(&t[3])
	// With A and B the DCT-IIs of 16 points: C[2i] = A[i], C[2i+1] = B[i] + B[i+1]; they likewise
	// of the t. C[16+i] goes to row[i], C[15-i] to row[16+i].
	e, o := &t[0], &t[1]
	f, p := &t[2], &t[3]
	for i := range 4 {
		b0, b1, b2 := f[i], p[i]+p[i+1], f[i+1]
		row[31-4*i] = e[i]
		row[30-4*i] = b0 + b1
		row[29-4*i] = o[i] + o[i+1]
		row[28-4*i] = b1 + b2
	}
	for i := range 3 {
		b0, b1, b2 := f[4+i], p[4+i]+p[5+i], f[5+i]
		row[4*i] = e[4+i]
		row[4*i+1] = b0 + b1
		row[4*i+2] = o[4+i] + o[5+i]
		row[4*i+3] = b1 + b2
	}
	row[12] = e[7]
	row[13] = f[7] + p[7]
	row[14] = o[7]
	row[15] = p[7]
}

// synth turns n time slots of subband samples, at most slots, into n*32 samples, every step-th of dst
// (2.4.3.2.2).
func (v *rows) synth(t *tables, sub *[slots * 32]float32, n int, dst []float32, step int) {
	for s := range min(n, slots) {
		dct32((*[32]float32)(sub[s*32:]), (*[32]float32)(v[(history+s)*32:]))
		window(t, (*[16 * 32]float32)(v[s*32:]), dst[s*32*step:], step)
	}
	copy(v[:history*32], v[n*32:])
}

// window computes one slot's 32 samples from 16 rows, the oldest first. x is C[16+j] and y C[16-j] of two
// ages after each other.
func window(t *tables, h *[16 * 32]float32, dst []float32, step int) {
	dst = dst[:31*step+1]
	var first, middle float32
	w, wm := &t.decode[0], &t.decode[16]
	for age := 0; age < 16; age += 2 {
		first += h[(15-age)*32]*w[age] + h[(14-age)*32]*w[age+1]
		middle += h[(14-age)*32+31] * wm[age+1] // V[16] is 0
	}
	dst[0] = first
	dst[16*step] = middle
	lo, hi := step, 31*step
	for j := 1; j < 16; j++ {
		w := &t.decode[j]
		x, y := h[480+j], h[463+j]
		a0, b0 := x*w[0]+y*w[1], y*w[14]-x*w[15]
		var a1, b1 float32
		x, y = h[416+j], h[399+j]
		a1 += x*w[2] + y*w[3]
		b1 += y*w[12] - x*w[13]
		x, y = h[352+j], h[335+j]
		a0 += x*w[4] + y*w[5]
		b0 += y*w[10] - x*w[11]
		x, y = h[288+j], h[271+j]
		a1 += x*w[6] + y*w[7]
		b1 += y*w[8] - x*w[9]
		x, y = h[224+j], h[207+j]
		a0 += x*w[8] + y*w[9]
		b0 += y*w[6] - x*w[7]
		x, y = h[160+j], h[143+j]
		a1 += x*w[10] + y*w[11]
		b1 += y*w[4] - x*w[5]
		x, y = h[96+j], h[79+j]
		a0 += x*w[12] + y*w[13]
		b0 += y*w[2] - x*w[3]
		x, y = h[32+j], h[15+j]
		a1 += x*w[14] + y*w[15]
		b1 += y*w[0] - x*w[1]
		dst[lo] = a0 + a1
		dst[hi] = b0 + b1
		lo += step
		hi -= step
	}
}
