// Package loudness measures sound as ITU-R BS.1770-4 and EBU R128 do: integrated loudness, loudness
// range (EBU Tech 3342) and true peak.
//
// What comes in: interleaved float32, in pieces of any size. What goes out: three numbers. Memory is
// constant. The samples are trusted to be finite; rate and channels are checked.
package loudness

import (
	"fmt"
	"math"
)

const (
	// Silence is what sound below the absolute gate measures, in LUFS.
	Silence = -70.0
	// NoPeak is the true peak of digital silence, in dBTP.
	NoPeak = -100.0

	top                  = 30 // LUFS, the histograms' upper end
	perLU                = 100
	bins                 = (top - Silence) * perLU
	momentary, shortTerm = 4, 30 // windows in steps of 100 ms
)

// Meter measures one track. It must not be used by two goroutines at once.
type Meter struct {
	rate, channels int
	weight         [8]float64
	shelf, pass    biquad
	pairs          [][2]int // the channels that count, by twos: one that is left is its own partner
	state          [8]cells // of each channel

	step   int64   // index of the present 100 ms
	left   int     // frames still missing in it
	energy float64 // in it so far
	ring   [shortTerm]float64
	blocks histogram // of 400 ms
	shorts histogram // of 3 s
	peak   peak
}

type biquad struct{ b0, b1, b2, a1, a2 float64 }

// cells are what the two filters remember of a channel.
type cells [4]float64

type histogram struct {
	count [bins]int64
	sum   [bins]float64
}

// New returns a Meter. Channels lie in the order of WAVE's mask; of six the fourth is not counted.
func New(rate, channels int) (*Meter, error) {
	if rate < 1000 || rate > 768000 || channels < 1 || channels > 8 {
		return nil, fmt.Errorf("measure %d channels at %d Hz: out of range", channels, rate)
	}
	m := &Meter{rate: rate, channels: channels, peak: newPeak(rate, channels)}
	alone := false
	for c := range channels {
		m.weight[c] = 1
		switch {
		case channels >= 6 && c == 3: // low-frequency effects
			m.weight[c] = 0
		case channels == 4 && c >= 2, channels == 5 && c >= 3, channels >= 6 && c >= 4:
			m.weight[c] = 1.41
		}
		if m.weight[c] == 0 {
			continue
		}
		if alone {
			m.pairs[len(m.pairs)-1][1] = c
		} else {
			m.pairs = append(m.pairs, [2]int{c, c})
		}
		alone = !alone
	}
	// The two filters of BS.1770's annex 1, given there for 48 kHz only, from the analogue prototypes
	// whose bilinear transform they are.
	k, q := math.Tan(math.Pi*min(1681.974450955533/float64(rate), 0.49)), 0.7071752369554196
	vh := math.Pow(10, 3.999843853973347/20)
	vb := math.Pow(vh, 0.4996667741545416)
	a0 := 1 + k/q + k*k
	m.shelf = biquad{(vh + vb*k/q + k*k) / a0, 2 * (k*k - vh) / a0, (vh - vb*k/q + k*k) / a0, 2 * (k*k - 1) / a0, (1 - k/q + k*k) / a0}
	k, q = math.Tan(math.Pi*38.13547087602444/float64(rate)), 0.5003270373238773
	a0 = 1 + k/q + k*k
	m.pass = biquad{1, -2, 1, 2 * (k*k - 1) / a0, (1 - k/q + k*k) / a0}
	m.left = m.frames(0)
	return m, nil
}

// frames is how many frames the i-th step of 100 ms has; rates need not divide by ten.
func (m *Meter) frames(i int64) int {
	r := int64(m.rate)
	return int((i+1)*r/10 - i*r/10)
}

// Write measures interleaved samples.
func (m *Meter) Write(src []float32) {
	m.peak.write(src)
	for len(src) >= m.channels {
		n := min(m.left, len(src)/m.channels)
		for _, p := range m.pairs {
			l, r := m.filter(p[0], p[1], src[:n*m.channels])
			m.energy += m.weight[p[0]] * l
			if p[1] != p[0] {
				m.energy += m.weight[p[1]] * r
			}
		}
		src = src[n*m.channels:]
		if m.left -= n; m.left == 0 {
			m.close()
		}
	}
}

// filter returns the sums of squares of two channels after both filters (transposed direct form II). A
// filter waits for its own last sample, so two channels take no longer than one.
func (m *Meter) filter(l, r int, src []float32) (sumL, sumR float64) {
	f, g := &m.shelf, &m.pass
	l0, l1, l2, l3 := m.state[l][0], m.state[l][1], m.state[l][2], m.state[l][3]
	r0, r1, r2, r3 := m.state[r][0], m.state[r][1], m.state[r][2], m.state[r][3]
	for i := 0; i+m.channels <= len(src); i += m.channels {
		x := float64(src[i+l])
		y := f.b0*x + l0
		l0 = f.b1*x + l1 - f.a1*y
		l1 = f.b2*x - f.a2*y
		z := y + l2
		l2 = l3 - 2*y - g.a1*z
		l3 = y - g.a2*z
		sumL += z * z

		x = float64(src[i+r])
		y = f.b0*x + r0
		r0 = f.b1*x + r1 - f.a1*y
		r1 = f.b2*x - f.a2*y
		z = y + r2
		r2 = r3 - 2*y - g.a1*z
		r3 = y - g.a2*z
		sumR += z * z
	}
	m.state[l], m.state[r] = cells{l0, l1, l2, l3}.tidy(), cells{r0, r1, r2, r3}.tidy()
	return sumL, sumR
}

// tidy has no denormals: they are slow.
func (s cells) tidy() cells {
	for i, v := range s {
		if math.Abs(v) < 1e-30 {
			s[i] = 0
		}
	}
	return s
}

// close ends a step of 100 ms.
func (m *Meter) close() {
	m.ring[m.step%shortTerm] = m.energy / float64(m.frames(m.step))
	m.energy = 0
	m.step++
	m.left = m.frames(m.step)
	if m.step >= momentary {
		m.blocks.add(m.mean(momentary))
	}
	if m.step >= shortTerm {
		m.shorts.add(m.mean(shortTerm))
	}
}

func (m *Meter) mean(steps int64) (sum float64) {
	for i := m.step - steps; i < m.step; i++ {
		sum += m.ring[i%shortTerm]
	}
	return sum / float64(steps)
}

func lufs(energy float64) float64 { return 10*math.Log10(energy) - 0.691 }

// add drops what lies below the absolute gate.
func (h *histogram) add(energy float64) {
	l := lufs(energy)
	if !(l >= Silence) {
		return
	}
	i := min(bins-1, int((l-Silence)*perLU))
	h.count[i]++
	h.sum[i] += energy
}

// above returns number and mean energy of what lies at or above a loudness.
func (h *histogram) above(l float64) (n int64, mean float64) {
	for i := max(0, int(math.Ceil((l-Silence)*perLU))); i < bins; i++ {
		n += h.count[i]
		mean += h.sum[i]
	}
	return n, mean / float64(max(1, n))
}

// Loudness is the integrated loudness in LUFS, Silence where nothing passes the gates.
func (m *Meter) Loudness() float64 {
	n, mean := m.blocks.above(Silence)
	if n == 0 {
		return Silence
	}
	n, mean = m.blocks.above(lufs(mean) - 10)
	if n == 0 {
		return Silence
	}
	return lufs(mean)
}

// ShortTerm is the loudness of the last 3 s that are whole, or of what there is before, in LUFS; Silence
// where that is less.
func (m *Meter) ShortTerm() float64 {
	n := min(m.step, shortTerm)
	if n == 0 {
		return Silence
	}
	return max(Silence, lufs(m.mean(n)))
}

// Range is the loudness range in LU.
func (m *Meter) Range() float64 {
	n, mean := m.shorts.above(Silence)
	if n == 0 {
		return 0
	}
	gate := lufs(mean) - 20
	n, _ = m.shorts.above(gate)
	if n == 0 {
		return 0
	}
	first := max(0, int(math.Ceil((gate-Silence)*perLU)))
	at := func(part float64) float64 {
		want, seen := int64(math.Round(float64(n-1)*part)), int64(0)
		for i := first; i < bins; i++ {
			if seen += m.shorts.count[i]; seen > want {
				return float64(i) / perLU
			}
		}
		return 0
	}
	return at(0.95) - at(0.10)
}

// TruePeak is the highest peak of the waveform between the samples, in dBTP; call it last.
func (m *Meter) TruePeak() float64 {
	m.peak.flush()
	if m.peak.max == 0 {
		return NoPeak
	}
	return max(NoPeak, 20*math.Log10(float64(m.peak.max)))
}
