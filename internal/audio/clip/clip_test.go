package clip

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/flac"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/wav"
)

// source is a WAV of samples, opened, whose name for itself must not survive.
func source(t *testing.T, samples []float32, rate, channels int) audio.Decoder {
	t.Helper()
	b := wav.Header(wav.Info{Rate: rate, Channels: channels, Layout: pcm.I16}, int64(2*len(samples)))
	at := len(b)
	b = append(b, make([]byte, 2*len(samples))...)
	pcm.S16(b[at:], samples)
	b = append(b, "LIST\x14\x00\x00\x00INFOINAM\x07\x00\x00\x00secret\x00\x00"...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return opened(t, b)
}

func opened(t *testing.T, b []byte) audio.Decoder {
	t.Helper()
	s, err := audio.Ingest(t.Context(), bytes.NewReader(b), int64(len(b)), "test")
	if err != nil {
		t.Fatal(err)
	}
	r, size := s.ReaderAt()
	d, err := audio.Open(r, size, s.Track, audio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tone(frames, rate, channels int) []float32 {
	out := make([]float32, frames*channels)
	for i := range out {
		out[i] = float32(0.5 * math.Sin(2*math.Pi*997*float64(i/channels)/float64(rate)))
	}
	return out
}

func all(t *testing.T, d audio.Decoder) []float32 {
	t.Helper()
	out := make([]float32, int(d.Len())*d.Format().Channels)
	for at := 0; at < len(out); {
		n, err := d.Read(out[at:min(len(out), at+4096*d.Format().Channels)])
		if err != nil || n == 0 {
			t.Fatalf("at %d of %d: %v", at, len(out), err)
		}
		at += n * d.Format().Channels
	}
	return out
}

// ways runs f with Opus, and with no ffmpeg to be found.
func ways(t *testing.T, f func(t *testing.T, codec string)) {
	t.Run("opus", func(t *testing.T) { f(t, audio.Opus) })
	t.Run("flac", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		f(t, audio.FLAC)
	})
}

func TestClipIsTheStretchFaded(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	ways(t, func(t *testing.T, codec string) {
		for _, x := range []struct{ rate, channels int }{{44_100, 2}, {22_050, 1}, {96_000, 2}, {48_000, 6}} {
			c, err := Make(t.Context(), source(t, tone(12*x.rate, x.rate, x.channels), x.rate, x.channels), int64(x.rate), int64(10*x.rate))
			if err != nil || c.Codec != codec {
				t.Fatalf("%+v: %q, %v (%v)", x, c.Codec, err, c.Why)
			}
			if (c.Why == nil) != (codec == audio.Opus) {
				t.Errorf("%+v: why is %v", x, c.Why)
			}
			d := opened(t, c.Data)
			f := d.Format()
			if f != c.Format || f.Channels != min(2, x.channels) || d.Len() != c.Frames || d.Len() != int64(10*f.Rate) {
				t.Errorf("%+v: %+v, %d frames of %+v", x, f, d.Len(), c.Format)
			}
			s := all(t, d)
			loud := func(from, to float64) (most float64) {
				for _, v := range s[int(from*float64(f.Rate))*f.Channels : int(to*float64(f.Rate))*f.Channels] {
					most = max(most, math.Abs(float64(v)))
				}
				return most
			}
			for _, want := range []struct{ from, to, low, high float64 }{
				{0, 0.02, 0, 0.05}, {0.2, 0.25, 0.1, 0.4}, {1, 7.5, 0.45, 0.55}, {8.9, 9.1, 0.2, 0.35}, {9.95, 10, 0, 0.05},
			} {
				if got := loud(want.from, want.to); got < want.low || got > want.high {
					t.Errorf("%+v: %.3f at %.2f s, not %.2f to %.2f", x, got, want.from, want.low, want.high)
				}
			}
		}
	})
}

// No more than half a minute, never over the cap, and nothing but sound.
func TestClipCaps(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]float32, 2*40*44_100)
	for i := range noise {
		noise[i] = 2*rnd.Float32() - 1
	}
	ways(t, func(t *testing.T, codec string) {
		c, err := Make(t.Context(), source(t, noise, 44_100, 2), 0, 1<<40)
		if err != nil || len(c.Data) > MaxBytes || c.Frames != int64(30*c.Format.Rate) {
			t.Errorf("%d bytes, %d frames: %v", len(c.Data), c.Frames, err)
		}
		for _, word := range []string{"secret", "Lavf", "Lavc", "libopus", "INAM"} {
			if bytes.Contains(c.Data, []byte(word)) {
				t.Errorf("%s has %q in it", codec, word)
			}
		}
		// As much as there is.
		for _, n := range []int{1, 2, 100, 4097} {
			if c, err := Make(t.Context(), source(t, tone(n, 44_100, 2), 44_100, 2), 0, 44_100); err != nil || c.Frames < 1 {
				t.Errorf("of %d frames %d: %v", n, c.Frames, err)
			}
		}
		if _, err := Make(t.Context(), source(t, tone(100, 44_100, 2), 44_100, 2), 100, 44_100); err == nil {
			t.Error("a clip of nothing")
		}
	})
}

// What our FLAC encoder writes is FLAC to others, whole, to the last sample.
func TestStockFLACReadsIt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 15, 16, 4096, 4097, 50_000} {
		for _, channels := range []int{1, 2} {
			noise := make([]float32, n*channels)
			for i := range noise {
				noise[i] = []float32{0, 1, -1, 2*rnd.Float32() - 1}[min(3, i/20)]
			}
			data, err := flac.Encode(noise, 32_000, channels)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "x.flac")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("flac", "-d", "-s", "-c", "--force-raw-format", "--endian=little", "--sign=signed", path).Output()
			want := make([]byte, 2*len(noise))
			pcm.S16(want, noise)
			if err != nil || !bytes.Equal(out, want) {
				t.Errorf("%d frames, %d channels: flac gives %d bytes, %v", n, channels, len(out), err)
			}
		}
	}
}

func TestLoudest(t *testing.T) {
	wave := make([]byte, 3000)
	for i := range 1000 {
		wave[3*i+2] = 50
	}
	for i := 600; i < 700; i++ {
		wave[3*i+2] = 200
	}
	for name, x := range map[string]struct {
		wave                 []byte
		samples, frames, min int64
	}{
		"the loud stretch":     {wave, 100_000, 10_000, 60_000},
		"no waveform":          {nil, 90_000, 30_000, 30_000},
		"longer than it":       {wave, 100, 1000, 0},
		"all of it":            {wave, 100, 100, 0},
		"near the end":         {nil, 90_000, 80_000, 10_000},
		"even":                 {bytes.Repeat([]byte{0, 0, 9}, 1000), 100_000, 10_000, 0},
		"at its very end":      {slices.Concat(make([]byte, 2970), bytes.Repeat([]byte{0, 0, 9}, 10)), 100_000, 1_000, 99_000},
		"no samples":           {wave, 0, 1000, 0},
		"less than one bucket": {wave, 100_000, 10, 60_000},
	} {
		if got := Loudest(x.wave, x.samples, x.frames); got != x.min {
			t.Errorf("%s: begins at %d, not %d", name, got, x.min)
		}
	}
}
