// Package resample changes the rate of PCM by a polyphase windowed sinc.
//
// What comes in: interleaved float32 of one rate, in pieces of any size. What goes out: the same sound
// at another rate, in time with it to the sample, round(n*out/in) frames for n. The sound is trusted
// to be finite; rates and channels are checked.
package resample

import (
	"fmt"
	"math"
)

const (
	// MaxRate is the highest sample rate taken, in Hz.
	MaxRate = 768000
	// MaxChannels is the most channels taken.
	MaxChannels = 8

	taps      = 96    // a phase, at the lower of both rates: 4 kHz of transition at 44.1 kHz
	beta      = 12.27 // Kaiser's: 120 dB
	edge      = 0.955 // the cutoff, -6 dB, as a part of the lower rate's half
	exact     = 1280  // up to so many phases, each has its own row
	rows      = 2048  // of the table, where rows between are interpolated: -130 dB
	chunk     = 4096  // frames of input buffered beyond the window
	maxWindow = 1 << 14
)

// Resampler streams. It must not be used by two goroutines at once. After New it allocates nothing.
type Resampler struct {
	in, out  int // reduced by their greatest common divisor
	channels int
	width    int       // taps of a row, even
	table    []float32 // rows of width, and one more row where interpolated
	lerp     bool

	buf   []float32 // window of input: frames first.. of the stream
	have  int       // frames in buf
	first int64     // stream position of buf's first frame; may be negative (silence before the start)
	fed   int64     // frames taken in
	given int64     // frames handed out
	next  int64     // input frame at or before the next output's time
	phase int       // its remainder, in 1/out-ths of an input frame
	lead  bool      // what lies before the start is filled in
	tail  int       // frames filled in after the end
	row   []float32 // an interpolated row
}

// New returns a Resampler from in to out Hz.
func New(in, out, channels int) (*Resampler, error) {
	if in <= 0 || out <= 0 || in > MaxRate || out > MaxRate || channels <= 0 || channels > MaxChannels {
		return nil, fmt.Errorf("resample %d Hz to %d Hz, %d channels: out of range", in, out, channels)
	}
	d := gcd(in, out)
	r := &Resampler{in: in / d, out: out / d, channels: channels}
	if r.in == r.out {
		r.reset()
		return r, nil
	}
	scale := min(1, float64(out)/float64(in))
	r.width = int(math.Ceil(taps/scale/4)) * 4
	if r.width > maxWindow {
		return nil, fmt.Errorf("resample %d Hz to %d Hz: ratio too small", in, out)
	}
	n := r.out
	if r.lerp = n > exact; r.lerp {
		n = rows
		r.row = make([]float32, r.width)
	}
	r.table = make([]float32, (n+1)*r.width)
	half := float64(r.width) / 2
	for p := range n + 1 {
		row, sum := r.table[p*r.width:(p+1)*r.width], 0.0
		for k := range row {
			x := float64(k) - half + 1 - float64(p)/float64(n) // input frames from the output's time
			sum += kernel(x, scale*edge, half)
		}
		for k := range row {
			x := float64(k) - half + 1 - float64(p)/float64(n)
			row[k] = float32(kernel(x, scale*edge, half) / sum)
		}
	}
	r.buf = make([]float32, (r.width+chunk)*channels)
	r.reset()
	return r, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// kernel is a sinc of cutoff c (1 is half the rate) under a Kaiser window that ends at ±half.
func kernel(x, c, half float64) float64 {
	w := x / half
	if w <= -1 || w >= 1 {
		return 0
	}
	s := c
	if x != 0 {
		s = math.Sin(math.Pi*c*x) / (math.Pi * x)
	}
	return s * bessel(beta*math.Sqrt(1-w*w)) / bessel(beta)
}

// bessel is I0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-17; k++ {
		term *= x * x / (4 * k * k)
		sum += term
	}
	return sum
}

// Reset begins a new stream.
func (r *Resampler) Reset() { r.reset() }

func (r *Resampler) reset() {
	r.fed, r.given, r.next, r.phase, r.lead, r.tail = 0, 0, 0, 0, false, 0
	r.have = max(0, r.width/2-1)
	r.first = -int64(r.have)
	clear(r.buf[:r.have*r.channels])
}

// Length is how many frames come out, in all, for n that went in: round(n*out/in), halves up.
func (r *Resampler) Length(n int64) int64 {
	hi, lo := n/int64(r.in), n%int64(r.in)
	return hi*int64(r.out) + (2*lo*int64(r.out)+int64(r.in))/(2*int64(r.in))
}

// Process takes frames from src and writes frames to dst, as many of both as it can. It returns how
// many it wrote and took; both are 0 only if src is empty or dst is. The next track's sound may follow
// without anything between: joined tracks share one state.
func (r *Resampler) Process(dst, src []float32) (wrote, took int) {
	if r.in == r.out {
		n := min(len(dst), len(src)) / r.channels
		copy(dst[:n*r.channels], src)
		r.fed, r.given = r.fed+int64(n), r.given+int64(n)
		return n, n
	}
	for {
		n := r.fill(src[took*r.channels:])
		took += n
		m := r.drain(dst[wrote*r.channels:], math.MaxInt64)
		wrote += m
		if n == 0 && m == 0 {
			return wrote, took
		}
	}
}

// Flush writes what is still owed after the last Process, as much as dst holds, and returns how many
// frames; 0 says that the stream has ended with exactly Length frames. Reset makes it ready again.
func (r *Resampler) Flush(dst []float32) (wrote int) {
	total := r.Length(r.fed)
	for r.given < total && (wrote+1)*r.channels <= len(dst) {
		if r.in == r.out {
			break
		}
		m := r.drain(dst[wrote*r.channels:], total)
		wrote += m
		if m == 0 { // the window reaches beyond the end
			r.slide()
			r.extend()
		}
	}
	return wrote
}

// fill takes input into the window.
func (r *Resampler) fill(src []float32) int {
	if len(src) < r.channels {
		return 0
	}
	r.slide()
	n := min(len(src)/r.channels, len(r.buf)/r.channels-r.have)
	copy(r.buf[r.have*r.channels:], src[:n*r.channels])
	r.have += n
	r.fed += int64(n)
	return n
}

// extend fills in what the window needs after the end, by turning the sound about its last sample: a
// track that is cut in full sound ends without the click of a fall to silence.
func (r *Resampler) extend() {
	ch, end := r.channels, r.have-r.tail
	n := min(len(r.buf)/ch-r.have, r.width)
	for i := r.have; i < r.have+n; i++ {
		for c := range ch {
			if k := 2*(end-1) - i; k >= 0 && end > 0 {
				r.buf[i*ch+c] = 2*r.buf[(end-1)*ch+c] - r.buf[k*ch+c]
			} else {
				r.buf[i*ch+c] = 0
			}
		}
	}
	r.have, r.tail = r.have+n, r.tail+n
}

// begin fills in what the window needs before the start likewise, once half of it is there.
func (r *Resampler) begin() {
	r.lead = true
	ch, start := r.channels, int(-r.first)
	for i := range start {
		if k := 2*start - i; k < r.have {
			for c := range ch {
				r.buf[i*ch+c] = 2*r.buf[start*ch+c] - r.buf[k*ch+c]
			}
		}
	}
}

// slide drops the frames that no output needs any more, once half of the buffer is such.
func (r *Resampler) slide() {
	drop := int(min(int64(r.have), r.next-int64(r.width/2)+1-r.first))
	if drop < chunk/2 && r.have*r.channels < len(r.buf) {
		return
	}
	copy(r.buf, r.buf[drop*r.channels:r.have*r.channels])
	r.have -= drop
	r.first += int64(drop)
}

// drain writes output while the window reaches and no more than total frames in all.
func (r *Resampler) drain(dst []float32, total int64) (wrote int) {
	ch, half := r.channels, int64(r.width/2)
	for (wrote+1)*ch <= len(dst) && r.given < total {
		at := int(r.next - half + 1 - r.first)
		if at+r.width > r.have {
			break
		}
		if !r.lead {
			r.begin()
		}
		w := r.buf[at*ch : (at+r.width)*ch]
		row := r.coefficients()
		o := dst[wrote*ch : (wrote+1)*ch]
		switch ch {
		case 1:
			o[0] = dot(row, w)
		case 2:
			o[0], o[1] = dot2(row, w)
		default:
			clear(o)
			for k, c := range row {
				for i := range o {
					o[i] += c * w[k*ch+i]
				}
			}
		}
		wrote++
		r.given++
		r.phase += r.in
		r.next += int64(r.phase / r.out)
		r.phase %= r.out
	}
	return wrote
}

func (r *Resampler) coefficients() []float32 {
	if !r.lerp {
		return r.table[r.phase*r.width : (r.phase+1)*r.width]
	}
	p := float64(r.phase) * rows / float64(r.out)
	i := int(p)
	f := float32(p - float64(i))
	a, b := r.table[i*r.width:(i+1)*r.width], r.table[(i+1)*r.width:(i+2)*r.width]
	for k := range r.row {
		r.row[k] = a[k] + f*(b[k]-a[k])
	}
	return r.row
}

func dot(c, x []float32) float32 {
	var s0, s1, s2, s3 float32
	x = x[:len(c)]
	for len(c) >= 4 && len(x) >= 4 {
		s0 += c[0] * x[0]
		s1 += c[1] * x[1]
		s2 += c[2] * x[2]
		s3 += c[3] * x[3]
		c, x = c[4:], x[4:]
	}
	return (s0 + s1) + (s2 + s3)
}

func dot2(c, x []float32) (l, r float32) {
	var l0, l1, r0, r1 float32
	for len(c) >= 2 && len(x) >= 4 {
		l0 += c[0] * x[0]
		r0 += c[0] * x[1]
		l1 += c[1] * x[2]
		r1 += c[1] * x[3]
		c, x = c[2:], x[4:]
	}
	return l0 + l1, r0 + r1
}
