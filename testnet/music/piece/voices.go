package piece

import "math"

// A stem is one instrument's stereo signal, left and right apart.
type stem struct {
	rate        float64
	left, right []float64
}

func newStem(rate, frames int) *stem {
	return &stem{float64(rate), make([]float64, frames), make([]float64, frames)}
}

// A voice gives an instrument's value t seconds into a note of frequency f that
// is released after held seconds, and how long it sounds after the release.
type voice struct {
	release float64
	at      func(t, f, held, velocity float64) float64
}

// play renders notes with v, panned by pan (-1 left to 1 right) for each pitch.
func (s *stem) play(v voice, notes []note, gain float64, pan func(pitch int) float64) *stem {
	for _, n := range notes {
		start := n.at * 60 / tempo
		held := n.length * 60 / tempo
		f := 440 * math.Exp2(float64(n.pitch-69)/12)
		angle := (pan(n.pitch) + 1) * math.Pi / 4
		l, r := gain*math.Cos(angle), gain*math.Sin(angle)
		first := int(start * s.rate)
		for i := range int((held + v.release) * s.rate) {
			if first+i >= len(s.left) {
				break
			}
			x := v.at(float64(i)/s.rate, f, held, n.velocity)
			s.left[first+i] += l * x
			s.right[first+i] += r * x
		}
	}
	return s
}

// fade is an attack of a seconds and, once held is over, a release of r
// seconds, both smooth.
func fade(t, held, a, r float64) float64 {
	e := 1.0
	if t < a {
		e = .5 - .5*math.Cos(math.Pi*t/a)
	}
	if t > held {
		x := (t - held) / r
		if x >= 1 {
			return 0
		}
		e *= .5 + .5*math.Cos(math.Pi*x)
	}
	return e
}

func sine(turns float64) float64 { return math.Sin(2 * math.Pi * turns) }

// electricPiano is two operators and a tine: bright when struck, round when it
// rings.
var electricPiano = voice{.35, func(t, f, held, velocity float64) float64 {
	bell := .9 * velocity * math.Exp(-5*t) * sine(f*t*2)
	tine := .14 * velocity * math.Exp(-18*t) * sine(f*t*7.01)
	body := math.Sin(2*math.Pi*f*t + bell + tine)
	tremolo := 1 + .12*sine(4.6*t)
	return velocity * body * math.Exp(-1.1*t) * tremolo * fade(t, held, .004, .35)
}}

// pad is five slightly detuned voices of a few soft harmonics each.
var pad = voice{1.1, func(t, f, held, velocity float64) float64 {
	var x float64
	for i, cents := range [...]float64{-7, -3, 0, 4, 8} {
		g := f * (1 + cents*.000578)
		phase := float64(i) * .37
		x += sine(g*t+phase) + .3*sine(2*g*t+phase) + .11*sine(3*g*t)
	}
	return .2 * velocity * x * fade(t, held, .7, 1.1)
}}

// bass is a plucked sine with just enough harmonics for a small speaker.
var bass = voice{.12, func(t, f, held, velocity float64) float64 {
	x := sine(f*t) + .42*math.Exp(-4*t)*sine(2*f*t) + .2*math.Exp(-7*t)*sine(3*f*t) + .07*math.Exp(-9*t)*sine(5*f*t)
	return velocity * x * math.Exp(-.9*t) * fade(t, held, .007, .12)
}}

// pluck is a kalimba: a quick fundamental and two inharmonic partials.
var pluck = voice{.6, func(t, f, held, velocity float64) float64 {
	x := math.Exp(-5*t)*sine(f*t) + .25*velocity*math.Exp(-16*t)*sine(f*t*2.97) + .06*math.Exp(-30*t)*sine(f*t*5.4)
	return velocity * x * fade(t, held+.2, .002, .4)
}}

// vibraphone is a bar and its fourth harmonic under a slow motor.
var vibraphone = voice{.9, func(t, f, held, velocity float64) float64 {
	x := math.Exp(-1.5*t)*sine(f*t) + .22*velocity*math.Exp(-5*t)*sine(4*f*t) + .05*math.Exp(-12*t)*sine(10*f*t)
	motor := 1 + .16*sine(5.1*t)
	return velocity * x * motor * fade(t, held, .003, .9)
}}

// drums adds a soft kick, a rim and a shaker.
func (s *stem) drums(gain float64) *stem {
	noise := uint32(1)
	hiss := func() float64 {
		noise = noise*1664525 + 1013904223
		return float64(int32(noise)) / (1 << 31)
	}
	hit := func(beat, seconds, pan float64, at func(t float64) float64) {
		first := int(beat * 60 / tempo * s.rate)
		l, r := math.Cos((pan+1)*math.Pi/4), math.Sin((pan+1)*math.Pi/4)
		for i := range int(seconds * s.rate) {
			x := gain * at(float64(i)/s.rate)
			s.left[first+i] += l * x
			s.right[first+i] += r * x
		}
	}
	kick := func(t float64) float64 {
		return 1.05 * math.Exp(-13*t) * math.Sin(2*math.Pi*(47*t+3.4*(1-math.Exp(-26*t)))) * fade(t, .25, .002, .05)
	}
	rim := func(t float64) float64 {
		return math.Exp(-55*t)*(.3*sine(431*t)+.2*sine(1170*t)) + .1*math.Exp(-70*t)*hiss()
	}
	for b := drumsIn; b < drumsOut; b++ {
		start := float64(b) * bar
		hit(start, .3, 0, kick)
		hit(start+swing(2.5), .3, 0, kick)
		hit(start+1, .12, -.25, rim)
		hit(start+3, .12, -.25, rim)
		for eighth := range 8 {
			level := .05
			if eighth%2 == 1 {
				level = .085
			}
			var before float64
			hit(start+swing(float64(eighth)/2), .09, .4, func(t float64) float64 {
				x := hiss()
				bright := x - before
				before = x
				return level * bright * fade(t, .02, .012, .06)
			})
		}
	}
	return s
}
