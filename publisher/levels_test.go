package publisher

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"playnode/internal/audio"
	"playnode/internal/audio/segment"
	"playnode/manifests"
)

// What comes in is metered as it is: a tone's peak and loudness, where it is cut off, and how long it is silent.
func TestLevelsOfWhatComesIn(t *testing.T) {
	const rate = 48000
	// 4 s of a tone of 1 kHz at half scale on both sides, 4 s of it cut off at full scale on the left, 4 s of nothing.
	pcm := make([]byte, 12*rate*4)
	for i := range 8 * rate {
		x := math.Sin(2 * math.Pi * 1000 * float64(i) / rate)
		l, r := x/2, x/2
		if i >= 4*rate {
			l = max(-1, min(1, 1.2*x))
		}
		for c, v := range []float64{l, r} {
			n := uint16(int16(max(-32768, min(32767, math.Round(v*32768)))))
			pcm[i*4+2*c], pcm[i*4+2*c+1] = byte(n), byte(n>>8)
		}
	}
	path := filepath.Join(t.TempDir(), "x.flac")
	c := exec.Command("flac", "--silent", "--force-raw-format", "--endian=little", "--channels=2", "--bps=16", "--sample-rate=48000", "--sign=signed", "-f", "-o", path, "-")
	c.Stdin = bytes.NewReader(pcm)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := segment.New(bytes.NewReader(file), segment.Config{Target: time.Second, MaxMedia: MaxCut - segment.MaxInit})
	var l levels
	var all []Levels
	for {
		x, err := s.Next()
		if err != nil {
			break
		}
		if x.Begins {
			l.begin(&manifests.MediaInit{Codec: audio.FLAC, Rate: x.Rate, Head: x.Init})
		}
		got := l.take(x.Media)
		if got == nil {
			t.Fatal("it cannot be decoded")
		}
		all = append(all, *got)
	}
	if len(all) < 11 || len(all) > 13 {
		t.Fatalf("%d segments", len(all))
	}
	near := func(v, want float64) bool { return math.Abs(v-want) < 0.1 }
	// A tone of 1 kHz measures its RMS and, for two channels, 3 dB more; K-weighting leaves it as it is.
	if x := all[2]; !near(x.Peak, -6.02) || !near(x.LUFS, -6.02) || x.Clipped != 0 || x.Silent != 0 {
		t.Errorf("of a tone at half scale: %+v", x)
	}
	if x := all[6]; !near(x.Peak, 0) || x.LUFS < -4 || x.Clipped < 1000 || x.Silent != 0 {
		t.Errorf("of one that is cut off: %+v", x)
	}
	end := all[len(all)-1]
	if end.Peak != -100 || end.LUFS > -60 || end.Silent < 3*time.Second || end.Silent > 4*time.Second || end.Clipped < 7900 || end.Clipped > 8000 {
		t.Errorf("of silence: %+v", end)
	}
	// What cannot be decoded has no levels, and hurts nothing.
	l.begin(&manifests.MediaInit{Codec: "webm", Rate: 1000})
	if got := l.take([]byte("no music")); got != nil {
		t.Errorf("of a film: %+v", got)
	}
	l.begin(&manifests.MediaInit{Codec: "mp3", Rate: 44100})
	if got := l.take([]byte("no music either")); got != nil {
		t.Errorf("of what is no mp3: %+v", got)
	}
}
