package audio_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/wav"
)

// tool runs an encoder or decoder and returns what it writes to stdout.
func tool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, stderr.Bytes())
	}
	return out
}

// writeWAV writes samples as a 16-bit file.
func writeWAV(t testing.TB, path string, rate, channels int, pcm []float32) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := wav.NewWriter(f, rate, channels, int64(len(pcm)/channels))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(pcm); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// encode makes a file of the kind that ext names with lame, flac or ffmpeg. What
// they have made of the same sound is taken from PLAYNODE_FIXTURES, where that is
// set: to start them was nearly all that these tests took.
func encode(t testing.TB, ext string, rate, channels int, pcm []float32, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src.wav"), filepath.Join(dir, "track."+ext)
	writeWAV(t, src, rate, channels, pcm)
	if ext == "wav" {
		return src
	}
	kept := fixture(t, src, ext, args)
	if b, err := os.ReadFile(kept); err == nil {
		if err := os.WriteFile(dst, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	switch ext {
	case "mp3":
		tool(t, "lame", append(append([]string{"--quiet"}, args...), src, dst)...)
	case "flac":
		tool(t, "flac", append(append([]string{"--silent", "-f", "-o", dst}, args...), src)...)
	default:
		tool(t, "ffmpeg", append(append([]string{"-v", "error", "-i", src}, args...), dst)...)
	}
	if kept != "" {
		keep(t, dst, kept)
	}
	return dst
}

// fixture is where is kept what src was made into; empty where nothing is kept.
func fixture(t testing.TB, src, ext string, args []string) string {
	t.Helper()
	dir := os.Getenv("PLAYNODE_FIXTURES")
	if dir == "" {
		return ""
	}
	b, err := os.ReadFile(src)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(b, "%q %q", ext, args))
	return filepath.Join(dir, hex.EncodeToString(sum[:])+"."+ext)
}

// keep puts a file there whole or not at all.
func keep(t testing.TB, path, kept string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(filepath.Dir(kept), "new")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), kept)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func ingestBytes(t testing.TB, b []byte) *audio.Source {
	t.Helper()
	s, err := audio.Ingest(context.Background(), bytes.NewReader(b), int64(len(b)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ingest(t testing.TB, path string) *audio.Source {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ingestBytes(t, b)
}

func sealed(t testing.TB, s *audio.Source) []byte {
	t.Helper()
	r, size := s.Sealable()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Fatalf("%d bytes to seal, want %d: %v", len(b), size, err)
	}
	return b
}

func open(t testing.TB, s *audio.Source, opt audio.Options) audio.Decoder {
	t.Helper()
	b := sealed(t, s)
	d, err := audio.Open(bytes.NewReader(b), int64(len(b)), s.Track, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// distance is the greatest and the RMS difference in LSB of 16 bits.
func distance(a, b []float32) (most, rms float64) {
	for i := range a {
		d := math.Abs(float64(a[i])-float64(b[i])) * 32768
		most, rms = max(most, d), rms+d*d
	}
	return most, math.Sqrt(rms / float64(max(1, len(a))))
}

// path0 is where programs are found.
var path0 = os.Getenv("PATH")

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
