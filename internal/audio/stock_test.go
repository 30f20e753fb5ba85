package audio_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

// What the stock decoder gets wrong, exactly: an encoding is listed with its fault, or must be right. It
// always gives as many samples as there are, and truncates, so 3 LSB are right.
func TestStockEngine(t *testing.T) {
	const (
		right     = ""
		midSide   = "mid/side stereo with short blocks"
		padding   = "MPEG-2 with padded frames"
		refused   = "not read: silence"
		intensity = "intensity stereo"
	)
	for _, c := range []struct {
		fault string
		rate  int
		args  string
	}{
		{right, 44100, "-b 128 -m s"},
		{right, 44100, "-b 320 -m s"},
		{right, 44100, "-V 2 -m s"},
		{right, 44100, "-b 64 -m m"},
		{right, 48000, "-b 192 -m s"},
		{right, 32000, "-b 96 -m s"},
		{right, 44100, "-b 128 -m s -p"},
		{right, 44100, "-b 128 -m f --noshort"},
		{right, 44100, "-b 128 -m s --allshort"},
		{midSide, 44100, "-b 64 -m f --allshort"},
		{midSide, 44100, "-b 96 -m f"},
		{right, 44100, "-b 128 -m j"},
		{right, 44100, "-V 5 -m j"},
		{midSide, 48000, "-b 80 -m f --allshort"},
		{right, 22050, "-b 64 -m s"},
		{padding, 22050, "-b 32 -m m"},
		{padding, 22050, "-b 80 -m s"},
		{padding, 22050, "-b 96 -m s"},
		{padding, 22050, "-b 144 -m s"},
		{padding, 22050, "-b 160 -m s"},
		{right, 24000, "-b 96 -m s"},
		{right, 16000, "-b 48 -m m"},
		{refused, 11025, "-b 24 -m m"},
		{refused, 8000, "-b 16 -m m"},
		{refused, 44100, "-b 200 -m s --freeformat"},
		{intensity, 44100, "intensity"},
	} {
		t.Run(fmt.Sprint(c.rate, " ", c.args), func(t *testing.T) {
			var path string
			if c.args == "intensity" {
				path = intensityFile(t)
			} else {
				args := append(strings.Fields(c.args), "--resample", fmt.Sprint(float64(c.rate)/1000))
				path = encode(t, "mp3", c.rate, 2, audiotest.Music(c.rate, 2, c.rate/2, 1), args...)
			}
			want := floats(tool(t, "mpg123", "-q", "--gapless", "-e", "f32", "-s", path))
			got := audiotest.ReadAll(t, open(t, ingest(t, path), audio.Options{Engine: audio.GoMP3}))
			if len(got) != len(want) {
				t.Fatalf("%d samples, mpg123 has %d", len(got), len(want))
			}
			most, rms := distance(got, want)
			t.Logf("%.1f LSB, RMS %.2f: %s", most, rms, c.fault)
			if c.fault == right && most > 3 {
				t.Errorf("%.1f LSB from mpg123, and no fault is known", most)
			}
			if c.fault != right && most <= 16 {
				t.Errorf("right within %.1f LSB: it is no longer wrong on %s", most, c.fault)
			}
			if c.fault == refused {
				for _, v := range got {
					if v != 0 {
						t.Fatal("a frame that it cannot read is not silent")
					}
				}
			}
		})
	}
}

// What the stock decoder cannot read is its problem, not the file's.
func TestProblemsAreTheEngines(t *testing.T) {
	s := ingest(t, encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 20000, 1), "-b", "200", "--freeformat"))
	exact, err := s.Analyse(t.Context(), audio.Options{})
	if err != nil || len(exact.Problems) != 0 {
		t.Errorf("exact: %q, %v", exact.Problems, err)
	}
	stock, err := s.Analyse(t.Context(), audio.Options{Engine: audio.GoMP3})
	if err != nil || len(stock.Problems) != 1 || !strings.Contains(stock.Problems[0], "go-mp3") {
		t.Errorf("go-mp3: %q, %v", stock.Problems, err)
	}
}

// intensityFile is a joint stereo file whose frames claim intensity stereo.
func intensityFile(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 20000, 1), "-b", "128", "-m", "s", "--noshort", "-t"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+4 < len(b); i += 417 {
		if b[i+2]&2 != 0 && i+418 <= len(b) && b[i+418] == 0xff {
			i++
		}
		for i+1 < len(b) && (b[i] != 0xff || b[i+1] != 0xfb) {
			i++
		}
		if i+3 < len(b) {
			b[i+3] = b[i+3]&^0xf0 | 0x50 // joint, intensity
		}
	}
	path := filepath.Join(t.TempDir(), "intensity.mp3")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
