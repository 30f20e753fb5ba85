package audio_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"regexp"
	"strconv"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

func TestAnalyse(t *testing.T) {
	for _, ext := range []string{"mp3", "flac", "wav", "aiff", "ogg", "opus", "mp2"} {
		rate := 44100
		if ext == "opus" {
			rate = 48000
		}
		path := encode(t, ext, rate, 2, audiotest.Music(rate, 2, rate*3, 3))
		s := ingest(t, path)
		a, err := s.Analyse(t.Context(), audio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := tool(t, "sh", "-c", `ffmpeg -nostats -i "$0" -af ebur128=peak=true -f null - 2>&1`, path)
		for re, got := range map[string]float64{`I: +(-?[\d.]+) LUFS`: a.Loudness, `Peak: +(-?[\d.]+) dBFS`: a.TruePeak} {
			all := regexp.MustCompile(re).FindAllSubmatch(out, -1)
			want, err := strconv.ParseFloat(string(all[len(all)-1][1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			limit := 0.1
			if got == a.TruePeak {
				limit = 0.3
			}
			if math.Abs(got-want) > limit {
				t.Errorf("%s: %.2f, ffmpeg says %.1f", ext, got, want)
			}
		}
		if len(a.Waveform) != 3000 || len(a.Problems) != 0 {
			t.Errorf("%s: waveform of %d bytes, problems %q", ext, len(a.Waveform), a.Problems)
		}
		for i := 0; i < 3000; i += 3 {
			low, high, rms := int8(a.Waveform[i]), int8(a.Waveform[i+1]), a.Waveform[i+2]
			if ext != "mp2" && low >= high || ext != "mp2" && rms == 0 || float64(rms)/255 > float64(max(-low, high))/127+0.01 {
				t.Fatalf("%s: bucket %d is %d..%d, RMS %d", ext, i/3, low, high, rms)
			}
		}
	}
}

func TestWaveformShort(t *testing.T) {
	for _, n := range []int{1, 3, 999, 1000, 1001} {
		pcm := make([]float32, n)
		pcm[n-1] = 0.5
		a, err := ingest(t, encode(t, "wav", 44100, 1, pcm)).Analyse(t.Context(), audio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		at := (n - 1) * 1000 / n
		if len(a.Waveform) != 3000 || a.Waveform[3*at+1] != 64 {
			t.Errorf("%d samples: bucket %d is %v", n, at, a.Waveform[3*at:3*at+3])
		}
	}
}

// A bucket has the least, the greatest and the RMS of its samples, whatever their sign and number.
func TestWaveformIsTheSamples(t *testing.T) {
	for _, ch := range []int{1, 2} {
		pcm := audiotest.Music(44100, ch, 44100+777, 8)
		for i := range pcm {
			switch i / 9000 {
			case 1:
				pcm[i] = max(pcm[i], -pcm[i])
			case 2:
				pcm[i] = min(pcm[i], -pcm[i])
			case 3:
				pcm[i] = 0
			}
		}
		s := ingest(t, encode(t, "wav", 44100, ch, pcm))
		pcm = audiotest.ReadAll(t, open(t, s, audio.Options{}))
		a, err := s.Analyse(t.Context(), audio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := len(pcm) / ch
		for b := range 1000 {
			var low, high float32
			var sum float64
			in := pcm[ch*((b*n+999)/1000) : ch*(((b+1)*n+999)/1000)]
			for _, v := range in {
				low, high, sum = min(low, v), max(high, v), sum+float64(v)*float64(v)
			}
			want := []byte{byte(int8(math.Round(float64(low) * 127))), byte(int8(math.Round(float64(high) * 127))), byte(math.Round(math.Sqrt(sum/float64(len(in))) * 255))}
			if got := a.Waveform[3*b : 3*b+3]; !bytes.Equal(got, want) {
				t.Fatalf("%d channels, bucket %d: %v, want %v", ch, b, got, want)
			}
		}
	}
}

func TestAnalyseIsCancelled(t *testing.T) {
	s := ingest(t, encode(t, "wav", 44100, 2, audiotest.Music(44100, 2, 44100, 1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Analyse(ctx, audio.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("says %v", err)
	}
}
