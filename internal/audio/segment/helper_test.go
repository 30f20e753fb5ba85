package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"playnode/internal/audio/audiotest"
	"playnode/internal/audio/segment"
	"playnode/internal/audio/wav"
)

// A stream is what a stock encoder sends.
type stream struct {
	name   string
	format segment.Format
	// args are ffmpeg's, behind its input.
	args string
	// wait is how many bytes behind a segment's end must be seen to know it; -1 where that is not told.
	wait int
	// close is how far apart samples may be that are decoded from the middle on, as a part of full scale.
	close float64
	video bool
}

var streams = []stream{
	{name: "mp3 128", format: segment.MP3, args: "-c:a libmp3lame -b:a 128k -f mp3"},
	{name: "mp3 vbr mono 22050", format: segment.MP3, args: "-c:a libmp3lame -q:a 4 -ar 22050 -ac 1 -f mp3"},
	{name: "mp2", format: segment.MP3, args: "-c:a mp2 -b:a 192k -f mp2", close: 4e-5},
	{name: "aac", format: segment.ADTS, args: "-c:a aac -aac_pns 0 -b:a 128k -f adts"},
	{name: "opus", format: segment.Opus, args: "-c:a libopus -b:a 96k -page_duration 200000 -f ogg", close: 2e-3},
	{name: "opus long pages", format: segment.Opus, args: "-c:a libopus -b:a 96k -f ogg", close: 2e-3},
	{name: "vorbis", format: segment.Vorbis, args: "-c:a libvorbis -q:a 4 -page_duration 200000 -f ogg"},
	{name: "ogg flac", format: segment.OggFLAC, args: "-c:a flac -f ogg"},
	{name: "flac", format: segment.FLAC, args: "-c:a flac -f flac"},
}

// run runs a program and returns what it writes to stdout.
func run(t testing.TB, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, stderr.Bytes())
	}
	return out
}

// music is a WAV file of so many seconds.
func music(t testing.TB, seconds float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "music.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := int(seconds * 44100)
	w, err := wav.NewWriter(f, 44100, 2, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(audiotest.Music(44100, 2, n, 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// encode sends a stream through a pipe, as a live encoder does.
func (s stream) encode(t testing.TB, seconds float64, more ...string) []byte {
	t.Helper()
	args := []string{"-v", "error", "-i", music(t, seconds)}
	if s.video {
		args = append(args, "-f", "lavfi", "-i", "testsrc=size=64x48:rate=25", "-shortest")
	}
	args = append(append(args, more...), strings.Fields(s.args)...)
	return run(t, nil, "ffmpeg", append(args, "-")...)
}

// cut cuts all of a stream, which must end well.
func cut(t testing.TB, r io.Reader, c segment.Config) []segment.Segment {
	t.Helper()
	out, err := cutAll(r, c)
	if err != io.EOF {
		t.Fatalf("after %d segments: %v", len(out), err)
	}
	return out
}

func cutAll(r io.Reader, c segment.Config) (out []segment.Segment, err error) {
	s := segment.New(r, c)
	for {
		x, err := s.Next()
		if err != nil {
			if _, again := s.Next(); !errors.Is(again, err) {
				return out, errors.New("the error does not stay")
			}
			return out, err
		}
		out = append(out, x)
	}
}

// join puts segments behind one another, an Init where a run begins, and that of the first's run before it.
func join(all []segment.Segment, from int) []byte {
	var out, init []byte
	for i, s := range all {
		if s.Begins {
			init = s.Init
		}
		if i == from && !s.Begins || i >= from && s.Begins {
			out = append(out, init...)
		}
		if i >= from {
			out = append(out, s.Media...)
		}
	}
	return out
}

// decode is what ffmpeg hears.
func decode(t testing.TB, b []byte) []float32 {
	t.Helper()
	raw := run(t, b, "ffmpeg", "-v", "fatal", "-i", "-", "-map", "0:a", "-f", "f32le", "-")
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
