package resample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// run pushes src through r in pieces of random sizes, and flushes.
func run(t *testing.T, r *Resampler, src []float32, seed uint64) []float32 {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var out []float32
	buf := make([]float32, 5000*r.channels)
	for len(src) > 0 {
		piece := src[:min(len(src), (1+rnd.IntN(3000))*r.channels)]
		for len(piece) > 0 {
			dst := buf[:(1+rnd.IntN(4999))*r.channels]
			n, took := r.Process(dst, piece)
			if n == 0 && took == 0 {
				t.Fatal("no progress")
			}
			out = append(out, dst[:n*r.channels]...)
			piece, src = piece[took*r.channels:], src[took*r.channels:]
		}
	}
	for {
		dst := buf[:(1+rnd.IntN(300))*r.channels]
		n := r.Flush(dst)
		if n == 0 {
			return out
		}
		out = append(out, dst[:n*r.channels]...)
	}
}

func tone(hz float64, rate, frames, channels int) []float32 {
	out := make([]float32, frames*channels)
	for i := range frames {
		for c := range channels {
			out[i*channels+c] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)+float64(c)))
		}
	}
	return out
}

// snr compares y with a tone in exact phase, away from the ends.
func snr(y []float32, hz float64, rate, channels, margin int) float64 {
	var s, n float64
	for i := margin; i < len(y)/channels-margin; i++ {
		for c := range channels {
			want := 0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)+float64(c))
			d := float64(y[i*channels+c]) - want
			s, n = s+want*want, n+d*d
		}
	}
	return 10 * math.Log10(s/n)
}

func TestSNR(t *testing.T) {
	for i, c := range []struct{ in, out int }{{44100, 48000}, {48000, 44100}, {96000, 44100}, {44100, 96000}, {88200, 48000}, {44100, 47999}, {44101, 48000}, {32000, 44100}} {
		for _, hz := range []float64{100, 1000, 10000, 15000} {
			if hz > 0.42*float64(min(c.in, c.out)) || testing.Short() && i%5 != 0 {
				continue
			}
			for _, ch := range []int{1, 2, 3} {
				if ch != 2 && hz != 1000 {
					continue
				}
				r, err := New(c.in, c.out, ch)
				if err != nil {
					t.Fatal(err)
				}
				got := snr(run(t, r, tone(hz, c.in, c.in/8, ch), 7), hz, c.out, ch, 800)
				if ch == 2 {
					t.Logf("%d -> %d at %5.0f Hz: %.1f dB", c.in, c.out, hz, got)
				}
				if got < 100 {
					t.Errorf("%d -> %d at %g Hz, %d channels: SNR %.1f dB, want 100", c.in, c.out, hz, ch, got)
				}
			}
		}
	}
}

// What is above the new half rate must not come back as something else.
func TestNothingFoldsDown(t *testing.T) {
	r, _ := New(96000, 44100, 1)
	y := run(t, r, tone(30000, 96000, 24000, 1), 3)
	peak := 0.0
	for _, v := range y[2000 : len(y)-2000] {
		peak = max(peak, math.Abs(float64(v)))
	}
	if db := 20 * math.Log10(peak/0.5); db > -100 {
		t.Errorf("30 kHz folds to %.1f dB", db)
	}
}

func TestCountsAreExact(t *testing.T) {
	rates := []int{8000, 22050, 44100, 48000, 96000, 47999}
	for i, in := range rates {
		for j, out := range rates {
			if testing.Short() && (len(rates)*i+j)%5 != 0 {
				continue
			}
			r, err := New(in, out, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, 2, 3, 95, 96, 97, 1000, 4095, 4096, 4097, 10007} {
				r.Reset()
				want := int(math.Floor(float64(n)*float64(out)/float64(in) + 0.5))
				if got := len(run(t, r, make([]float32, 2*n), uint64(n))) / 2; got != want {
					t.Fatalf("%d -> %d: %d frames for %d, want %d", in, out, got, n, want)
				}
			}
		}
	}
}

// Cutting the input anywhere changes not one bit of the output: joins cost nothing.
func TestPiecesDoNotMatter(t *testing.T) {
	src := tone(997, 44100, 20000, 2)
	for _, out := range []int{48000, 47999, 22050, 44100} {
		r, _ := New(44100, out, 2)
		a := run(t, r, src, 1)
		r.Reset()
		b := run(t, r, src, 2)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("44100 -> %d depends on how the input was cut", out)
		}
	}
}

func TestEqualRatesAreUntouched(t *testing.T) {
	src := tone(440, 48000, 5000, 2)
	r, _ := New(48000, 48000, 2)
	got := run(t, r, src, 9)
	if len(got) != len(src) {
		t.Fatalf("%d samples, want %d", len(got), len(src))
	}
	for i := range got {
		if got[i] != src[i] {
			t.Fatalf("sample %d changed", i)
		}
	}
}

// A tone that begins and ends in full sound is itself up to its very ends, or nearly.
func TestEndsDoNotClick(t *testing.T) {
	for _, c := range [][2]int{{44100, 48000}, {48000, 44100}} {
		r, _ := New(c[0], c[1], 1)
		n := 5000
		src := make([]float32, n)
		for i := range src {
			src[i] = float32(0.5 * math.Cos(2*math.Pi*1000*float64(i)/float64(c[0])))
		}
		for i, v := range run(t, r, src, 4) {
			want := 0.5 * math.Cos(2*math.Pi*1000*float64(i)/float64(c[1]))
			if math.Abs(float64(v)-want) > 0.02 {
				t.Fatalf("%v: sample %d is %g, want %g", c, i, v, want)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, out := range []int{48000, 47999} {
		r, _ := New(44100, out, 2)
		src, dst := tone(440, 44100, 1024, 2), make([]float32, 4096)
		if n := testing.AllocsPerRun(50, func() { r.Process(dst, src) }); n != 0 {
			t.Errorf("44100 -> %d: %g allocations a block", out, n)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range [][3]int{{0, 48000, 2}, {44100, -1, 2}, {44100, 48000, 0}, {44100, 48000, 9}, {1 << 30, 48000, 2}, {MaxRate, 1, 1}} {
		if _, err := New(c[0], c[1], c[2]); err == nil {
			t.Errorf("New(%v) was accepted", c)
		}
	}
}

func BenchmarkResample(b *testing.B) {
	r, _ := New(44100, 48000, 2)
	src, dst := tone(440, 44100, 44100, 2), make([]float32, 2*48100)
	for b.Loop() {
		r.Process(dst, src)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "x")
}
