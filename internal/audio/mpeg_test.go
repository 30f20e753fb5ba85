package audio_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

var settings = [][]string{
	{"-b", "128"}, {"-b", "192"}, {"-b", "320"}, {"-V", "2"}, {"-V", "0"}, {"-b", "64", "-m", "m"}, {"-b", "128", "-m", "s", "-p"}, {"--abr", "100"},
}

// Length and samples are mpg123's, gapless, at every rate and for every way of encoding, at odd lengths.
func TestMP3AgainstMpg123(t *testing.T) {
	for i, rate := range []int{44100, 48000, 32000, 22050, 24000, 16000} {
		for j, args := range settings {
			if i > 0 && j != i && args[0] != "-V" {
				continue // every setting at one rate, every rate at some
			}
			if rate < 32000 && args[0] == "-b" && args[1] != "64" {
				args = []string{"-b", "96"}
			}
			t.Run(fmt.Sprint(rate, args), func(t *testing.T) {
				frames := rate/2 + 1237*i + 311*j
				path := encode(t, "mp3", rate, 2, audiotest.Music(rate, 2, frames, uint64(i)), append(args, "--resample", fmt.Sprint(float64(rate)/1000))...)
				s := ingest(t, path)
				if s.Track.Samples != int64(frames) || len(s.Problems) != 0 {
					t.Errorf("%d samples, want %d; problems %q", s.Track.Samples, frames, s.Problems)
				}
				want := floats(tool(t, "mpg123", "-q", "--gapless", "-e", "f32", "-s", path))
				got := audiotest.ReadAll(t, open(t, s, audio.Options{Engine: audio.OwnMP3}))
				if len(got) != len(want) {
					t.Fatalf("%d samples, mpg123 has %d", len(got), len(want))
				}
				if most, rms := distance(got, want); most > 0.5 || rms > 0.02 {
					t.Errorf("at most %.3f LSB from mpg123, RMS %.4f", most, rms)
				}
			})
		}
	}
}

func TestMP3Kit(t *testing.T) {
	for _, args := range [][]string{{"-b", "128"}, {"-V", "2"}, {"-b", "48", "-m", "m"}, {"-b", "8", "--resample", "16"}} {
		path := encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 40003, 5), args...)
		s := ingest(t, path)
		t.Run(fmt.Sprint(args), func(t *testing.T) { audiotest.Decoder(t, sealed(t, s), s.Track, audio.Options{}) })
	}
	s := ingest(t, encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 20003, 5), "-b", "128"))
	t.Run("stock", func(t *testing.T) { audiotest.Decoder(t, sealed(t, s), s.Track, audio.Options{Engine: audio.GoMP3}) })
}

// A continuous piece cut at odd places, encoded in parts, comes out as long as it was, at every setting.
func TestMP3JoinsLoseNothing(t *testing.T) {
	for _, rate := range []int{44100, 48000} {
		piece := audiotest.Music(rate, 2, rate+77, 3)
		for _, args := range [][]string{{"-b", "128"}, {"-b", "192"}, {"-b", "320"}, {"-V", "2"}, {"-V", "0"}} {
			var joined []float32
			cuts := []int{0, rate/3 + 123, 2*rate/3 - 457, len(piece) / 2}
			for i := range 3 {
				s := ingest(t, encode(t, "mp3", rate, 2, piece[2*cuts[i]:2*cuts[i+1]], args...))
				joined = append(joined, audiotest.ReadAll(t, open(t, s, audio.Options{}))...)
			}
			if len(joined) != len(piece) {
				t.Errorf("%d Hz %v: %d samples, want %d", rate, args, len(joined)/2, len(piece)/2)
				continue
			}
			// Aligned to the sample: shifted by one it fits much worse.
			_, rms := distance(joined, piece)
			_, late := distance(joined[2:], piece[:len(piece)-2])
			_, early := distance(joined[:len(joined)-2], piece[2:])
			if rms > 0.8*late || rms > 0.8*early {
				t.Errorf("%d Hz %v: RMS %.0f in place, %.0f and %.0f a sample off", rate, args, rms, late, early)
			}
		}
	}
}

// Tags, junk and the encoder's frame are left out, the frames untouched; ffmpeg's tag is understood.
func TestMP3Normalised(t *testing.T) {
	path := encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 60000, 1), "-b", "128")
	plain := sealed(t, ingest(t, path))
	bare, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tagged := filepath.Join(dir, "tagged.mp3")
	tool(t, "lame", "--quiet", "-b", "128", "--tt", "Tïtel", "--ta", "Künstler", "--tn", "3/9", "--add-id3v2", filepath.Join(filepath.Dir(path), "src.wav"), tagged)
	b, err := os.ReadFile(tagged)
	if err != nil {
		t.Fatal(err)
	}
	ape := append([]byte("APETAGEX\xd0\x07\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), make([]byte, 0)...)
	for name, file := range map[string][]byte{
		"id3":         b,
		"two id3":     append(append([]byte("ID3\x03\x00\x00\x00\x00\x00\x0a0123456789"), []byte{}...), b...),
		"junk before": append([]byte("some junk \xff\xfb\x90 that is no frame"), bare...),
		"junk after":  append(append([]byte{}, bare...), "junk \xff\xfb\x90\x64 and more of it"...),
		"ape":         append(append([]byte{}, bare...), ape...),
	} {
		s := ingestBytes(t, file)
		if string(sealed(t, s)) != string(plain) {
			t.Errorf("%s: what is sealed differs", name)
		}
		if s.Track.Samples != 60000 {
			t.Errorf("%s: %d samples", name, s.Track.Samples)
		}
		if name == "id3" && (s.Tags.Title != "Tïtel" || s.Tags.Artist != "Künstler" || s.Tags.Number != 3) {
			t.Errorf("tags %+v", s.Tags)
		}
	}

	lavc := filepath.Join(dir, "lavc.mp3")
	tool(t, "ffmpeg", "-v", "error", "-i", filepath.Join(filepath.Dir(path), "src.wav"), "-b:a", "160k", lavc)
	if s := ingest(t, lavc); s.Track.Samples != 60000 {
		t.Errorf("ffmpeg's file: %d samples, want 60000", s.Track.Samples)
	}
}

// Without gapless data nothing is trimmed; a cut file keeps its start and ignores its padding.
func TestMP3WithoutItsHeader(t *testing.T) {
	pcm := audiotest.Music(44100, 2, 60000, 1)
	s := ingest(t, encode(t, "mp3", 44100, 2, pcm, "-t", "-b", "128"))
	if s.Track.Delay != 0 || s.Track.Padding != 0 || s.Track.Samples%1152 != 0 || len(s.Problems) != 1 {
		t.Errorf("%+v %q", s.Track, s.Problems)
	}
	path := encode(t, "mp3", 44100, 2, pcm, "-b", "128")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s = ingestBytes(t, b[:len(b)/2])
	if s.Track.Delay != 1105 || s.Track.Padding != 0 || (s.Track.Samples+1105)%1152 != 0 || len(s.Problems) != 1 {
		t.Errorf("cut file: %+v %q", s.Track, s.Problems)
	}
	cut := filepath.Join(t.TempDir(), "cut.mp3")
	if err := os.WriteFile(cut, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	want := floats(tool(t, "mpg123", "-q", "--gapless", "-e", "f32", "-s", cut))
	t.Logf("mpg123 makes %d of the cut file, we %d", len(want)/2, s.Track.Samples)
}

func TestMP3FreeFormat(t *testing.T) {
	path := encode(t, "mp3", 44100, 2, audiotest.Music(44100, 2, 60000, 1), "--freeformat", "-b", "200")
	s := ingest(t, path)
	if s.Track.Samples != 60000 {
		t.Errorf("%d samples, want 60000", s.Track.Samples)
	}
	want := floats(tool(t, "mpg123", "-q", "--gapless", "-e", "f32", "-s", path))
	got := audiotest.ReadAll(t, open(t, s, audio.Options{Engine: audio.OwnMP3}))
	if len(got) != len(want) {
		t.Fatalf("%d samples, mpg123 has %d", len(got), len(want))
	}
	if most, _ := distance(got, want); most > 1 {
		t.Errorf("%.2f LSB from mpg123", most)
	}
}
