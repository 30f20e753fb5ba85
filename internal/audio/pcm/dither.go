package pcm

import "math/rand/v2"

// Dither makes the error of rounding to 16 bits independent of the sound, so that what lies below a
// step is heard in noise and not as distortion. It is noise of triangular density, two steps wide
// (TPDF): then the error's mean and power are the same whatever the sound is, which no narrower
// noise achieves, at the price of 4.8 dB more noise than rounding alone has (S. P. Lipshitz, R. A.
// Wannamaker and J. Vanderkooy, "Quantization and Dither: A Theoretical Survey", J. Audio Eng. Soc.
// 40, 1992). The zero value is ready; its noise is the same in every run. It allocates nothing, and
// is not for two goroutines at once.
type Dither struct{ noise rand.PCG }

// Add adds noise to samples that S16 will round. Each sample has its own, so the channels differ.
func (d *Dither) Add(samples []float32) {
	const step = 1.0 / (1 << 15)
	for i := range samples {
		u := d.noise.Uint64()
		// The difference of two even ones is triangular.
		samples[i] += float32(int64(u>>32)-int64(uint32(u))) * (step / (1 << 32))
	}
}
