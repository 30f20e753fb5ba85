package loudness

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// A stereo tone of 997 Hz at -23 dBFS is -23 LUFS (EBU Tech 3341, case 1).
func TestCalibration(t *testing.T) {
	for _, rate := range []int{11025, 32000, 44100, 48000, 96000, 192000} {
		m, err := New(rate, 2)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]float32, 2*rate*2)
		for i := range rate * 2 {
			v := float32(math.Pow(10, -23.0/20) * math.Sin(2*math.Pi*997*float64(i)/float64(rate)))
			buf[2*i], buf[2*i+1] = v, v
		}
		m.Write(buf)
		if l := m.Loudness(); math.Abs(l+23) > 0.1 {
			t.Errorf("%d Hz: %.2f LUFS, want -23", rate, l)
		}
		if r := m.Range(); r > 0.1 {
			t.Errorf("%d Hz: range %.2f of a steady tone", rate, r)
		}
		if p := m.TruePeak(); math.Abs(p+23) > 0.1 {
			t.Errorf("%d Hz: true peak %.2f, want -23", rate, p)
		}
	}
}

// A tone at a quarter of the rate, 45 degrees off, has its peaks 3 dB above its samples.
func TestTruePeakBetweenSamples(t *testing.T) {
	m, _ := New(48000, 1)
	buf := make([]float32, 48000)
	for i := range buf {
		buf[i] = float32(0.5 * math.Sin(math.Pi/2*float64(i)+math.Pi/4))
	}
	for i := range 2000 { // no step at the start and end
		g := float32(i) / 2000
		buf[i] *= g
		buf[len(buf)-1-i] *= g
	}
	m.Write(buf)
	if p, want := m.TruePeak(), 20*math.Log10(0.5); math.Abs(p-want) > 0.1 {
		t.Errorf("true peak %.2f dBTP, want %.2f", p, want)
	}
}

func TestSilenceAndShort(t *testing.T) {
	m, _ := New(44100, 2)
	m.Write(make([]float32, 2*44100*5))
	if l, r, p := m.Loudness(), m.Range(), m.TruePeak(); l != Silence || r != 0 || p != NoPeak {
		t.Errorf("silence: %g LUFS, %g LU, %g dBTP", l, r, p)
	}
	m, _ = New(44100, 1)
	m.Write([]float32{0.5})
	if l, p := m.Loudness(), m.TruePeak(); l != Silence || math.Abs(p+6.02) > 0.1 {
		t.Errorf("one sample: %g LUFS, %g dBTP", l, p)
	}
}

// music is noise under slow swells, tones, and pauses: something to gate and to range.
func music(rate, channels, seconds int, seed uint64) []float32 {
	rnd := rand.New(rand.NewPCG(seed, 5))
	out := make([]float32, rate*seconds*channels)
	low := make([]float64, channels)
	for i := range rate * seconds {
		t := float64(i) / float64(rate)
		env := 0.02 + 0.5*math.Pow(math.Sin(t*0.7+float64(seed)), 2)
		if math.Mod(t, 11) > 9 {
			env *= 0.001
		}
		for c := range channels {
			low[c] += 0.2 * (rnd.Float64()*2 - 1 - low[c])
			v := env * (low[c] + 0.4*math.Sin(2*math.Pi*(220+float64(80*c))*t) + 0.2*math.Sin(2*math.Pi*7001*t))
			out[i*channels+c] = float32(v)
		}
	}
	return out
}

func TestAgainstFFmpeg(t *testing.T) {
	for _, c := range []struct{ rate, channels, seconds int }{{44100, 2, 40}, {48000, 1, 10}, {22050, 2, 40}, {96000, 2, 8}, {32000, 6, 8}} {
		for seed := range uint64(1) {
			t.Run(fmt.Sprintf("%d Hz %d channels %d", c.rate, c.channels, seed), func(t *testing.T) {
				src := music(c.rate, c.channels, c.seconds, seed)
				raw := make([]byte, 0, 4*len(src))
				for _, v := range src {
					raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
				}
				path := filepath.Join(t.TempDir(), "x.f32")
				if err := os.WriteFile(path, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command("ffmpeg", "-nostats", "-f", "f32le", "-ar", strconv.Itoa(c.rate), "-ac", strconv.Itoa(c.channels),
					"-i", path, "-af", "ebur128=peak=true", "-f", "null", "-").CombinedOutput()
				if err != nil {
					t.Fatalf("ffmpeg: %v %s", err, out)
				}
				field := func(re string) float64 {
					all := regexp.MustCompile(re).FindAllSubmatch(out, -1)
					if len(all) == 0 {
						t.Fatalf("ffmpeg says no %s in %s", re, out)
					}
					v, err := strconv.ParseFloat(string(all[len(all)-1][1]), 64)
					if err != nil {
						t.Fatal(err)
					}
					return v
				}
				m, err := New(c.rate, c.channels)
				if err != nil {
					t.Fatal(err)
				}
				for len(src) > 0 {
					n := min(len(src), 1111*c.channels)
					m.Write(src[:n])
					src = src[n:]
				}
				i, lra, tp := m.Loudness(), m.Range(), m.TruePeak()
				wi, wl, wp := field(`I: +(-?[\d.]+) LUFS`), field(`LRA: +(-?[\d.]+) LU`), field(`Peak: +(-?[\d.]+) dBFS`)
				t.Logf("I %.2f/%.1f LUFS, LRA %.2f/%.1f LU, true peak %.2f/%.1f dBTP", i, wi, lra, wl, tp, wp)
				// ffmpeg counts the first three seconds' half-filled windows as well: that fades in long sound only.
				if math.Abs(i-wi) > 0.1 || math.Abs(lra-wl) > 0.2 && c.seconds >= 40 || math.Abs(tp-wp) > 0.3 {
					t.Error("too far from ffmpeg")
				}
			})
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	src := music(44100, 2, 20, 1)
	for b.Loop() {
		m, _ := New(44100, 2)
		m.Write(src)
		m.TruePeak()
	}
	b.ReportMetric(20*float64(b.N)/b.Elapsed().Seconds(), "x")
}
