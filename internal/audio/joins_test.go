package audio_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

// pieces are the ways in which a continuous set's tracks come.
func joinSettings() (out []struct {
	ext  string
	rate int
	args string
}) {
	add := func(ext string, rates []int, args ...string) {
		for _, r := range rates {
			for _, a := range args {
				out = append(out, struct {
					ext  string
					rate int
					args string
				}{ext, r, a})
			}
		}
	}
	add("mp3", []int{44100, 48000, 32000}, "-b 128", "-b 192 -m s", "-b 320 -m f", "-V 2", "-V 0", "-b 128 --nores", "-b 96 -m m", "--abr 150")
	add("mp3", []int{22050, 24000, 16000}, "-b 64", "-V 4", "-b 64 -m m")
	add("flac", []int{44100, 48000, 96000}, "-5", "-0 --blocksize=576")
	add("wav", []int{44100, 48000}, "")
	add("ogg", []int{44100, 48000}, "-c:a libvorbis -q:a 2", "-c:a libvorbis -q:a 6")
	add("opus", []int{48000}, "-c:a libopus -b:a 64k", "-c:a libopus -b:a 128k -frame_duration 10")
	add("m4a", []int{44100, 48000}, "-c:a aac -b:a 128k", "-c:a alac")
	add("aiff", []int{44100}, "-c:a pcm_s16be", "-c:a pcm_s24be")
	return out
}

// A continuous piece cut at odd places, each part encoded alone, comes out as long as it was: no sample is
// added or lost at any join, and none moves. mpg123 and ffmpeg count the same.
func TestJoinsLoseNothing(t *testing.T) {
	joins := 0
	for i, c := range joinSettings() {
		if testing.Short() && i%5 != 0 {
			continue
		}
		ch := 2 - i%2
		if strings.Contains(c.args, "-m ") && c.args != "-b 96 -m m" {
			ch = 2
		}
		piece := audiotest.Music(c.rate, ch, c.rate/4+77+i, uint64(i))
		n := len(piece) / ch
		cuts := []int{0, n/4 + 123 + i, n/2 - 57*i%300, 3*n/4 + 31, n}
		var joined []float32
		for k := range len(cuts) - 1 {
			part := piece[ch*cuts[k] : ch*cuts[k+1]]
			path := encode(t, c.ext, c.rate, ch, part, strings.Fields(c.args)...)
			s := ingest(t, path)
			got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if len(got)/s.Track.Channels != cuts[k+1]-cuts[k] || len(s.Problems) > 0 && c.ext != "m4a" {
				t.Errorf("%v: part %d has %d samples, want %d; %q", c, k, len(got)/s.Track.Channels, cuts[k+1]-cuts[k], s.Problems)
			}
			if k == 1 && c.ext == "mp3" {
				if want := floats(tool(t, "mpg123", "-q", "--gapless", "-e", "f32", "-s", path)); len(want) != len(got) {
					t.Errorf("%v: %d samples, mpg123 has %d", c, len(got), len(want))
				}
			}
			if k == 2 && (c.ext == "mp3" && c.rate >= 32000 || c.ext == "opus") { // at lower rates ffmpeg 5 is no oracle
				if want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-")); len(want) != len(got) {
					t.Errorf("%v: %d samples, ffmpeg has %d", c, len(got), len(want))
				}
			}
			if s.Track.Channels < ch { // down to mono by its encoder
				for _, v := range got {
					joined = append(joined, v, v)
				}
				continue
			}
			joined = append(joined, got...)
		}
		joins += len(cuts) - 2
		if len(joined) != len(piece) {
			continue
		}
		if c.ext == "flac" || c.ext == "wav" || c.ext == "aiff" {
			if !slices.Equal(joined, piece) {
				t.Errorf("%v: other samples", c)
			}
			continue
		}
		// Aligned to the sample: shifted by one it fits worse.
		_, rms := distance(joined, piece)
		_, late := distance(joined[ch:], piece[:len(piece)-ch])
		_, early := distance(joined[:len(joined)-ch], piece[ch:])
		if rms > 0.98*late || rms > 0.98*early {
			t.Errorf("%v: RMS %.0f in place, %.0f and %.0f a sample off", c, rms, late, early)
		}
	}
	if joins < 100 && !testing.Short() {
		t.Errorf("%d joins only", joins)
	}
	t.Logf("%d joins", joins)
}

// A thousand seeks by the index in every format hear what linear decoding does: around the start and the
// index's entries.
func TestSeeks(t *testing.T) {
	for _, c := range []struct{ ext, args string }{
		{"mp3", "-b 128"}, {"mp3", "-V 2"}, {"mp2", "-c:a mp2"}, {"flac", "-8"}, {"wav", ""}, {"aiff", ""}, {"ogg", "-c:a libvorbis -page_duration 50000"}, {"opus", "-c:a libopus"},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			frames, seeks := 75001, 1000
			if c.ext == "opus" {
				frames = 23 * 48000 // its index has an entry every ten seconds
			}
			if testing.Short() {
				seeks /= 5
			}
			piece := audiotest.Music(48000, 1, frames, 7)
			path := encode(t, c.ext, 48000, 1, piece, strings.Fields(c.args)...)
			s := ingest(t, path)
			want := audiotest.ReadAll(t, open(t, s, audio.Options{}))
			d := open(t, s, audio.Options{})
			rnd := rand.New(rand.NewPCG(1, uint64(len(c.ext))))
			buf := make([]float32, 64)
			wrong := 0
			for i := range seeks {
				at := rnd.IntN(6000) + 33000*rnd.IntN(3)
				if c.ext == "opus" { // decoding begins a second before an entry: one seek in ten goes there
					at = rnd.IntN(1000)
					if i%10 == 0 {
						at += 48000 * (10 + i%20 + rnd.IntN(2))
					}
				}
				if err := d.SeekFrame(int64(at)); err != nil {
					t.Fatal(err)
				}
				if n, err := d.Read(buf); n != len(buf) || err != nil || !slices.Equal(buf, want[at:at+n]) {
					wrong++
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d seeks are wrong", wrong, seeks)
			}
		})
	}
}
