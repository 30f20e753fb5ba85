package piece

import "math"

// Frames is how many stereo frames Render returns at rate samples a second.
func Frames(rate int) int {
	return int((float64(len(changes))*bar*60/tempo + tail) * float64(rate))
}

// Render returns the whole piece at rate samples a second as interleaved
// stereo, -1 to 1, about -16 LUFS with its true peak below -1 dB. It takes a
// second or two. The caller owns the slice.
func Render(rate int) []float32 {
	frames := Frames(rate)
	centre := func(int) float64 { return 0 }
	spread := func(pitch int) float64 { return .5 * math.Sin(float64(pitch)) }
	bright := func(pitch int) float64 { return float64(pitch-73) * .04 }

	dry := newStem(rate, frames)
	dry.play(electricPiano, chordNotes(), .18, spread)
	dry.play(bass, bassNotes(), .34, centre)
	dry.drums(.42)

	tune := newStem(rate, frames)
	tune.play(vibraphone, melodyNotes(), .26, bright)
	tune.play(pluck, arpeggioNotes(), .19, spread)
	tune.echo(.75*60/tempo, .3)

	wash := newStem(rate, frames)
	wash.play(pad, padNotes(), .085, spread)
	wash.add(tune, .55)
	wash.add(dry, .22)
	wash.reverb(.83, 3400)

	mix := newStem(rate, frames)
	mix.add(dry, 1)
	mix.add(tune, 1)
	mix.add(wash, .5)
	return mix.master(.88)
}

func (s *stem) add(o *stem, gain float64) {
	for i := range s.left {
		s.left[i] += gain * o.left[i]
		s.right[i] += gain * o.right[i]
	}
}

// echo repeats the signal after seconds, each time on the other side.
func (s *stem) echo(seconds, gain float64) {
	d := int(seconds * s.rate)
	for i := d; i < len(s.left); i++ {
		l, r := s.left[i-d], s.right[i-d]
		s.left[i] += gain * r
		s.right[i] += gain * l
	}
}

// reverb replaces the signal by its sound in a room: eight delay lines that feed
// one another through a Householder matrix, each damped above cutoff Hz.
func (s *stem) reverb(feedback, cutoff float64) {
	lengths := [8]float64{.0297, .0371, .0411, .0437, .0533, .0619, .0683, .0797}
	var lines [8][]float64
	var at [8]int
	var low [8]float64
	for k, seconds := range lengths {
		lines[k] = make([]float64, int(seconds*s.rate)|1)
	}
	damp := 1 - math.Exp(-2*math.Pi*cutoff/s.rate)
	for i := range s.left {
		var out [8]float64
		var sum float64
		for k := range lines {
			low[k] += damp * (lines[k][at[k]] - low[k])
			out[k] = low[k]
			sum += out[k]
		}
		in := [2]float64{s.left[i], s.right[i]}
		s.left[i], s.right[i] = 0, 0
		for k := range lines {
			lines[k][at[k]] = in[k%2] + feedback*(out[k]-sum/4)
			at[k] = (at[k] + 1) % len(lines[k])
			sign := float64(1 - k/2%2*2)
			if k%2 == 0 {
				s.left[i] += sign * out[k]
			} else {
				s.right[i] += sign * out[k]
			}
		}
	}
}

// master raises the mix, rounds its highest peaks off and fades the very end.
func (s *stem) master(gain float64) []float32 {
	// Below knee the signal is untouched; above, it approaches the ceiling.
	const knee, ceiling = .5, .84
	shape := func(x float64) float64 {
		a := math.Abs(x)
		if a <= knee {
			return x
		}
		return math.Copysign(knee+(ceiling-knee)*math.Tanh((a-knee)/(ceiling-knee)), x)
	}
	out := make([]float32, 2*len(s.left))
	end := 1.5 * s.rate
	for i := range s.left {
		g := gain
		if left := float64(len(s.left) - 1 - i); left < end {
			g *= .5 - .5*math.Cos(math.Pi*left/end)
		}
		out[2*i] = float32(shape(g * s.left[i]))
		out[2*i+1] = float32(shape(g * s.right[i]))
	}
	return out
}
