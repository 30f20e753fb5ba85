package pcm

import (
	"math"
	"testing"
)

const step = 1.0 / 32768

// rounded is what becomes of samples in a 16-bit file.
func rounded(src []float32, d *Dither) []float64 {
	x := append([]float32{}, src...)
	if d != nil {
		d.Add(x)
	}
	b := make([]byte, 2*len(x))
	S16(b, x)
	Float(x, b, I16)
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// power is that of a sine at hz in x, which is a second at 44.1 kHz.
func power(x []float64, hz int) float64 {
	var re, im float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * float64(i*hz%len(x)) / float64(len(x)))
		re, im = re+v*c, im+v*s
	}
	return 2 * (re*re + im*im) / float64(len(x)) / float64(len(x))
}

// A tone of -90 dBFS, which is one step high, has no harmonics when it was dithered, and keeps its level; rounded without
// it does have them.
func TestDitheredToneHasNoHarmonics(t *testing.T) {
	src := make([]float32, 44100)
	amp := math.Pow(10, -90.0/20)
	for i := range src {
		src[i] = float32(amp * math.Sin(2*math.Pi*1000*float64(i)/44100))
	}
	worst := func(x []float64) (db float64, at int) {
		tone := power(x, 1000)
		db = math.Inf(-1)
		for k := 2; k <= 20; k++ {
			if h := 10 * math.Log10(power(x, 1000*k)/tone); h > db {
				db, at = h, k
			}
		}
		return db, at
	}
	x := rounded(src, new(Dither))
	// The noise alone has -47 dB in each of these bins, and one in twenty thousand is 10 dB above that.
	if db, k := worst(x); db > -37 {
		t.Errorf("harmonic %d of the dithered tone is at %.1f dB", k, db)
	}
	if d := 10 * math.Log10(power(x, 1000)/(amp*amp/2)); math.Abs(d) > 0.1 {
		t.Errorf("the dithered tone is off by %.2f dB", d)
	}
	if db, _ := worst(rounded(src, nil)); db < -25 {
		t.Errorf("rounding alone leaves harmonics at %.1f dB: this test would find none", db)
	}
}

// The error's mean is 0 and its power a quarter of a step's square, wherever between two steps the sound lies; without
// dither it depends on that, and with noise of half the width its power would.
func TestDitherErrorIsTheSameForAnySound(t *testing.T) {
	var d Dither
	src := make([]float32, 200_000)
	for _, at := range []float64{0, 0.1, 0.25, 0.5, 0.75, -0.5, 100.3} {
		for i := range src {
			src[i] = float32(at * step)
		}
		var sum, square float64
		for _, v := range rounded(src, &d) {
			e := v/step - at
			sum, square = sum+e, square+e*e
		}
		n := float64(len(src))
		if mean := sum / n; math.Abs(mean) > 0.006 { // 5 times what chance does
			t.Errorf("at %g steps the error's mean is %.4f", at, mean)
		}
		if p := square / n; math.Abs(p-0.25) > 0.006 {
			t.Errorf("at %g steps the error's power is %.4f, want 0.25", at, p)
		}
	}
}

// The channels' noise differs, and is the same in every run.
func TestDitherNoise(t *testing.T) {
	a, b := make([]float32, 20_000), make([]float32, 20_000)
	new(Dither).Add(a)
	new(Dither).Add(b)
	var both, one float64
	for i := 0; i < len(a); i += 2 {
		if a[i] != b[i] || a[i] <= -step || a[i] >= step {
			t.Fatalf("sample %d: %g, and then %g", i, a[i], b[i])
		}
		both, one = both+float64(a[i])*float64(a[i+1]), one+float64(a[i])*float64(a[i])
	}
	if r := both / one; math.Abs(r) > 0.05 {
		t.Errorf("left and right are alike by %.3f", r)
	}
	if n := testing.AllocsPerRun(10, func() { new(Dither).Add(a) }); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func BenchmarkDither(b *testing.B) {
	var d Dither
	x := make([]float32, 2*1024)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		d.Add(x)
	}
}
