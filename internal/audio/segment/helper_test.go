package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"playnode/internal/audio/audiotest"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/segment"
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
	// far is the same as RMS, where a decoder never forgets.
	far   float64
	video bool
}

const x264 = "-c:v libx264 -preset ultrafast -bf 2 -x264-params bframes=2:b-adapt=0 -g 20 "

var streams = []stream{
	{name: "mp3 128", format: segment.MP3, args: "-c:a libmp3lame -b:a 128k -f mp3"},
	{name: "mp3 vbr mono 22050", format: segment.MP3, args: "-c:a libmp3lame -q:a 4 -ar 22050 -ac 1 -f mp3"},
	{name: "mp2", format: segment.MP3, args: "-c:a mp2 -b:a 192k -f mp2", close: 4e-5},
	{name: "aac", format: segment.ADTS, args: "-c:a aac -aac_pns 0 -b:a 128k -f adts"},
	{name: "opus", format: segment.Opus, args: "-c:a libopus -b:a 96k -page_duration 200000 -f ogg", far: 1e-3},
	{name: "opus long pages", format: segment.Opus, args: "-c:a libopus -b:a 96k -f ogg", far: 1e-3},
	{name: "vorbis", format: segment.Vorbis, args: "-c:a libvorbis -q:a 4 -page_duration 200000 -f ogg"},
	{name: "ogg flac", format: segment.OggFLAC, args: "-c:a flac -f ogg"},
	{name: "flac", format: segment.FLAC, args: "-c:a flac -f flac"},
	{name: "ts aac", format: segment.TS, args: "-c:a aac -aac_pns 0 -b:a 128k -f mpegts", wait: -1},
	{name: "ts video", format: segment.TS, args: x264 + "-c:a mp2 -b:a 128k -f mpegts", wait: -1, close: 4e-5, video: true},
	{name: "mp4 aac", format: segment.MP4, args: "-c:a aac -aac_pns 0 -b:a 128k -movflags empty_moov+default_base_moof -frag_duration 200000 -f mp4"},
	{name: "mp4 flac", format: segment.MP4, args: "-c:a flac -strict -2 -movflags empty_moov+default_base_moof -frag_duration 500000 -f mp4"},
	{name: "mp4 video", format: segment.MP4, args: x264 + "-c:a aac -aac_pns 0 -b:a 128k -movflags empty_moov+default_base_moof+frag_keyframe -f mp4", wait: -1, video: true},
	{name: "mp4 chunks", format: segment.MP4, args: x264 + "-c:a aac -aac_pns 0 -b:a 128k -movflags empty_moov+default_base_moof+separate_moof+frag_keyframe -frag_duration 100000 -f mp4", wait: -1, video: true},
	{name: "webm opus", format: segment.WebM, args: "-c:a libopus -b:a 96k -live 1 -cluster_time_limit 300 -f webm", wait: -1, far: 1e-3},
	{name: "webm video", format: segment.WebM, args: "-c:v libvpx -deadline realtime -g 20 -c:a libvorbis -live 1 -f webm", wait: -1, video: true},
}

// listed leaves a list of streams out where the race detector runs: a Segmenter has no goroutine.
func listed(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
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

// music is 4.3 s of sound, 16 bits, stereo at 44.1 kHz.
var music = sync.OnceValue(func() []byte {
	samples := audiotest.Music(44100, 2, 43*4410, 1)
	b := make([]byte, 2*len(samples))
	pcm.S16(b, samples)
	return b
})

// encoded is what each stream's encoder has sent, so that it is run once.
var encoded sync.Map

// encode is what the stream's encoder sends of music through a pipe, as a live encoder does.
func (s stream) encode(t testing.TB) []byte {
	t.Helper()
	once, _ := encoded.LoadOrStore(s.name, sync.OnceValues(func() ([]byte, error) {
		args := []string{"-v", "error", "-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-"}
		if s.video {
			args = append(args, "-f", "lavfi", "-i", "testsrc=size=64x48:rate=25", "-shortest")
		}
		cmd := exec.Command("ffmpeg", append(append(args, strings.Fields(s.args)...), "-")...)
		cmd.Stdin = bytes.NewReader(music())
		return cmd.Output()
	}))
	b, err := once.(func() ([]byte, error))()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	return b
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

// pictures are the checksums of what ffmpeg sees.
func pictures(t testing.TB, b []byte) (sums []string) {
	t.Helper()
	for line := range strings.Lines(string(run(t, b, "ffmpeg", "-v", "fatal", "-i", "-", "-map", "0:v", "-vsync", "passthrough", "-f", "framemd5", "-"))) {
		if line[0] != '#' {
			sums = append(sums, line[strings.LastIndex(line, ",")+1:])
		}
	}
	return sums
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
