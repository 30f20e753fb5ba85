package player

import (
	"bytes"
	"math"
	"testing"
	"time"
)

// A tone that is turned down to -90 dBFS, one step of 16 bits, comes out of a file without harmonics: whatever changes a
// sample, what rounds it adds dither. At full volume the same file has every bit of its source.
func TestQuietToneHasNoHarmonics(t *testing.T) {
	w := newWorld(t)
	tone := sine(1000, 1.5, math.Pow(10, -30.0/20))
	w.publish("main", encoded(t, t.TempDir(), "a.wav", 44100, 2, tone))
	w.grant("main", time.Hour)
	if h := w.play(w.player(), Request{}, nil); h.err != nil || !bytes.Equal(h.pcm, bytes16(tone)) {
		t.Errorf("at full volume what was heard is not what was published: %v", h.err)
	}
	low := 10 // percent: -60 dB
	h := w.play(w.player(), Request{Volume: &low}, nil)
	if h.err != nil {
		t.Fatal(h.err)
	}
	x := left16(h.pcm)[:44100]
	power := func(hz int) float64 {
		var re, im float64
		for i, v := range x {
			s, c := math.Sincos(2 * math.Pi * float64(i*hz%44100) / 44100)
			re, im = re+v*c, im+v*s
		}
		return 10 * math.Log10(2*(re*re+im*im)/44100/44100)
	}
	at := power(1000)
	if math.Abs(at-(-90-10*math.Log10(2))) > 0.2 {
		t.Errorf("the tone is at %.2f dB", at)
	}
	for k := 2; k <= 20; k++ { // each bin has -47 dB of noise
		if p := power(1000*k) - at; p > -37 {
			t.Errorf("harmonic %d is at %.1f dB", k, p)
		}
	}
}
