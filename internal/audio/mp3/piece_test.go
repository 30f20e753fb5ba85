package mp3

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// musicDir is where Debian's wesnoth-1.16-music puts real music.
const musicDir = "/usr/share/games/wesnoth/1.16/data/core/music"

var musicNames = []string{"battle", "frantic", "love_theme", "knolls", "elvish-theme", "the_dangerous_symphony"}

// pcm is 16-bit interleaved stereo at 44.1 kHz.
type pcm struct {
	name    string
	samples []byte
}

const pieceSeconds = 8

// pieces returns six pieces: excerpts of real music where it is installed, synthesised ones elsewhere.
var pieces = sync.OnceValue(func() []pcm {
	var all []pcm
	for i, name := range musicNames {
		ogg := filepath.Join(musicDir, name+".ogg")
		if _, err := os.Stat(ogg); err == nil {
			out, err := exec.Command("ffmpeg", "-v", "error", "-ss", "20", "-t", "8", "-i", ogg,
				"-f", "s16le", "-ar", "44100", "-ac", "2", "-").Output()
			if err == nil && len(out) > 0 {
				all = append(all, pcm{name, out})
				continue
			}
		}
		all = append(all, pcm{"synthesised-" + name, synthesise(uint64(i), pieceSeconds)})
	}
	return all
})

// synthesise makes a piece with what an encoder has to decide about: chords that move between the
// channels, hits out of silence (short blocks), noise (long codes) and one channel on its own.
func synthesise(seed uint64, seconds int) []byte {
	const rate = 44100
	rng := rand.New(rand.NewPCG(seed, 0x6d7033))
	out := make([]float64, 2*rate*seconds)
	for beat := 0; beat < 4*seconds; beat++ {
		start := beat * rate / 4
		if rng.IntN(8) == 0 {
			continue
		}
		for range 1 + rng.IntN(5) { // tones
			freq := 55 * math.Exp2(float64(rng.IntN(72))/12)
			pan, amp, decay := rng.Float64(), 0.02+0.1*rng.Float64(), 1+20*rng.Float64()
			for i := range rate {
				if start+i >= len(out)/2 {
					break
				}
				t := float64(i) / rate
				v := 0.0
				for k := 1.0; k < 6 && k*freq < 20000; k++ {
					v += math.Sin(2*math.Pi*freq*k*t) / k
				}
				v *= amp * math.Exp(-decay*t)
				out[2*(start+i)] += v * pan
				out[2*(start+i)+1] += v * (1 - pan)
			}
		}
		if rng.IntN(3) == 0 { // a hit
			at, amp := start+rng.IntN(rate/8), 0.1+0.4*rng.Float64()
			for i := 0; i < rate/10 && at+i < len(out)/2; i++ {
				v := amp * (2*rng.Float64() - 1) * math.Exp(-float64(i)/600)
				out[2*(at+i)] += v
				out[2*(at+i)+1] += v * 0.7
			}
		}
	}
	b := make([]byte, 2*len(out))
	for i, v := range out {
		binary.LittleEndian.PutUint16(b[2*i:], uint16(int16(32000*math.Tanh(v))))
	}
	return b
}

// tool runs a program that `make test` installs.
func tool(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, diagnosis bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	if err := cmd.Run(); err != nil {
		t.Fatalf("run %s %v: %v: %s (make test installs lame, mpg123 and ffmpeg)", name, args, err, diagnosis.Bytes())
	}
	return out.Bytes()
}

// lame encodes p.
func lame(t testing.TB, p pcm, args ...string) []byte {
	t.Helper()
	return tool(t, p.samples, "lame", append([]string{"--quiet", "-r", "-s", "44.1", "--bitwidth", "16", "--signed", "--little-endian"}, append(args, "-", "-")...)...)
}

// ffmpeg encodes p with one of its encoders.
func ffmpeg(t testing.TB, p pcm, args ...string) []byte {
	t.Helper()
	in := []string{"-v", "error", "-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-"}
	return tool(t, p.samples, "ffmpeg", append(append(in, args...), "-f", "mp3", "-")...)
}

// mpg123 decodes a file to floats, all of it.
func mpg123(t testing.TB, file []byte, args ...string) []float32 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.mp3")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return floats(tool(t, nil, "mpg123", append([]string{"-q", "-e", "f32", "--no-gapless", "-s"}, append(args, path)...)...))
}

func floats(b []byte) []float32 {
	f := make([]float32, len(b)/4)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return f
}

// frames returns the file's frames without the Info frame, which no other decoder plays.
func frames(t testing.TB, file []byte) [][]byte {
	t.Helper()
	var all [][]byte
	r := NewReader(bytes.NewReader(file))
	for {
		f, err := r.Next()
		if err != nil {
			return all
		}
		side := f.Data[f.sideStart()+f.sideSize():]
		if len(all) == 0 && (bytes.HasPrefix(side, []byte("Info")) || bytes.HasPrefix(side, []byte("Xing"))) {
			continue
		}
		all = append(all, bytes.Clone(f.Data))
	}
}

// decodeAll decodes frames one after the other; every one must be whole.
func decodeAll(t testing.TB, d *Decoder, frames [][]byte) []float32 {
	t.Helper()
	var all []float32
	var buf [2 * MaxSamples]float32
	for i, f := range frames {
		n, err := d.Decode(f, buf[:])
		if err != nil {
			t.Fatalf("decode frame %d of %d: %v", i, len(frames), err)
		}
		h, _ := ParseHeader(f)
		all = append(all, buf[:n*h.Channels()]...)
	}
	return all
}

// difference returns the greatest and the mean square difference in units of 1/32768.
func difference(got, want []float32) (peak, rms float64) {
	for i := range got {
		e := math.Abs(float64(got[i])-float64(want[i])) * 32768
		peak = max(peak, e)
		rms += e * e
	}
	return peak, math.Sqrt(rms / float64(max(len(got), 1)))
}
