package audio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

// lossy are formats as ffmpeg encodes them, and how near to a reference ours must come, in LSB of 16 bits:
// at most, and RMS. libopus rounds to 16 bits, which alone is an RMS of 0.29; of what is not CELT, speech and
// low rates, the stock decoder makes something that sounds the same and is not.
var lossy = []struct {
	ext       string
	rate, ch  int
	args      string
	most, rms float64
}{
	{"ogg", 44100, 2, "-c:a libvorbis -q:a 4", 0.1, 0.01},
	{"ogg", 48000, 1, "-c:a libvorbis -q:a 8", 0.1, 0.01},
	{"ogg", 22050, 2, "-c:a libvorbis -q:a 1", 0.1, 0.01},
	{"opus", 48000, 2, "-c:a libopus -b:a 128k", 1, 0.3},
	{"opus", 48000, 1, "-c:a libopus -b:a 96k", 1, 0.3},
	{"opus", 48000, 2, "-c:a libopus -b:a 96k -frame_duration 5", 1, 0.3},
	{"opus", 48000, 1, "-c:a libopus -b:a 24k", 200, 40},
	{"mp2", 44100, 2, "-c:a mp2 -b:a 192k", 1, 0.05},
	{"mp2", 48000, 1, "-c:a libtwolame -b:a 96k", 1, 0.05},
	{"mp2", 24000, 2, "-c:a libtwolame -b:a 96k", 1, 0.05},
}

func TestLossyAgainstReferences(t *testing.T) {
	for _, c := range lossy {
		t.Run(fmt.Sprint(c.ext, " ", c.rate, " ", c.ch, " ", c.args), func(t *testing.T) {
			path := ffmpegFile(t, c.ext, c.rate, c.ch, 30011, strings.Fields(c.args)...)
			s := ingest(t, path)
			problems := 0
			if c.most > 1 {
				problems = 1 // it is said
			}
			if n := int64(30011); c.ext != "mp2" && (s.Track.Samples != n || len(s.Problems) != problems) {
				t.Fatalf("%+v %q", s.Track, s.Problems)
			}
			want := reference(t, c.ext, path)
			got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
			if c.ext == "ogg" && len(want) > len(got) {
				want = want[:len(got)] // ffmpeg leaves padding where there is one page
			}
			if len(got) != len(want) {
				t.Fatalf("%d samples, the reference has %d", len(got)/c.ch, len(want)/c.ch)
			}
			most, rms := distance(got, want)
			t.Logf("at most %.3f LSB from the reference, RMS %.4f", most, rms)
			if most > c.most || rms > c.rms {
				t.Errorf("at most %.3f LSB from the reference, RMS %.4f", most, rms)
			}
			// What is sealed is a file that stock tools play to the same samples.
			file := filepath.Join(t.TempDir(), "sealed."+c.ext)
			if err := os.WriteFile(file, sealed(t, s), 0o600); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(reference(t, c.ext, file), reference(t, c.ext, path)) {
				t.Error("what is sealed plays otherwise")
			}
		})
	}
}

// reference decodes by libopus, mpg123 or ffmpeg, whose own Opus is 20 LSB and more from libopus.
func reference(t *testing.T, ext, path string) []float32 {
	t.Helper()
	switch ext {
	case "mp2":
		return floats(tool(t, "mpg123", "-q", "-e", "f32", "-s", path))
	case "opus":
		return floats(tool(t, "ffmpeg", "-v", "error", "-xerror", "-c:a", "libopus", "-i", path, "-f", "f32le", "-"))
	}
	return floats(tool(t, "ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "f32le", "-"))
}

func TestLossyKit(t *testing.T) {
	for _, c := range []struct{ ext, args string }{
		{"ogg", "-c:a libvorbis -q:a 2"}, {"ogg", "-c:a libvorbis -q:a 4 -page_duration 20000"},
		{"opus", "-c:a libopus -b:a 64k"}, {"opus", "-c:a libopus -b:a 64k -page_duration 60000"}, {"mp2", "-c:a mp2 -b:a 64k"},
	} {
		s := ingest(t, ffmpegFile(t, c.ext, 48000, 1, 40013, strings.Fields(c.args)...))
		t.Run(fmt.Sprint(c), func(t *testing.T) { audiotest.Decoder(t, sealed(t, s), s.Track, audio.Options{}) })
	}
}

// A long stream of Opus is decoded in stretches: none of their joins can be heard, and a seek hears the same.
func TestOpusStretches(t *testing.T) {
	for _, c := range []struct {
		rate      string
		most, rms float64
	}{{"80k", 1, 0.3}, {"12k", 700, 60}} { // the second is all SILK, whose memory is longer
		path := ffmpegFile(t, "opus", 48000, 1, 48000*21, "-c:a", "libopus", "-b:a", c.rate)
		s := ingest(t, path)
		got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
		if len(s.Track.Index) < 6 || len(got) != 48000*21 {
			t.Fatalf("%s: index of %d bytes, %d samples", c.rate, len(s.Track.Index), len(got))
		}
		if most, rms := distance(got, reference(t, "opus", path)); most > c.most || rms > c.rms {
			t.Errorf("%s: at most %.3f LSB from libopus, RMS %.4f", c.rate, most, rms)
		} else {
			t.Logf("%s: at most %.3f LSB from libopus, RMS %.4f", c.rate, most, rms)
		}
		d := open(t, s, audio.Options{})
		buf := make([]float32, 500)
		for _, at := range []int{0, 479999, 480000, 480500, 483000, 500000, 900000, 960000, 970000, 48000*21 - 500, 300} {
			if err := d.SeekFrame(int64(at)); err != nil {
				t.Fatal(err)
			}
			if n, err := d.Read(buf); n != 500 || err != nil || !slices.Equal(buf, got[at:at+500]) {
				t.Errorf("%s: seek to %d: other samples (%d, %v)", c.rate, at, n, err)
			}
		}
	}
}

// Opus's modes for speech and low rates are not exact, and told by their share; music at its rates is.
func TestOpusRoughModes(t *testing.T) {
	for _, c := range []struct {
		args string
		says string
	}{
		{"-b:a 12k", "100 % of it is in a mode"}, {"-b:a 24k -application voip", "100 % of it is in a mode"},
		{"-b:a 16k -frame_duration 60 -page_duration 60000", "100 % of it is in a mode"},
		{"-b:a 64k", ""}, {"-b:a 24k -application lowdelay", ""}, {"-b:a 256k -page_duration 2000000", ""},
	} {
		s := ingest(t, ffmpegFile(t, "opus", 48000, 1, 48000, append(strings.Fields(c.args), "-c:a", "libopus")...))
		if got := strings.Join(s.Problems, ""); c.says == "" && got != "" || !strings.HasPrefix(got, c.says) {
			t.Errorf("%s: %q, want %q", c.args, got, c.says)
		}
	}
}

// Low qualities of Vorbis overshoot full scale, which stays: ffmpeg's floats do the same, and what clips
// differs from both by just that.
func TestVorbisAboveFullScale(t *testing.T) {
	pcm := audiotest.Music(44100, 2, 60000, 4)
	for i, v := range pcm {
		pcm[i] = max(-1, min(0.99996, 1.5*v))
	}
	for _, q := range []string{"-1", "0"} {
		path := encode(t, "ogg", 44100, 2, pcm, "-c:a", "libvorbis", "-q:a", q)
		got := audiotest.ReadAll(t, open(t, ingest(t, path), audio.Options{}))
		want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"))[:len(got)]
		most, rms := distance(got, want)
		t.Logf("-q %s: peak %.3f, at most %.3f LSB from ffmpeg", q, slices.Max(got), most)
		if slices.Max(got) < 1.01 {
			t.Errorf("-q %s: peak %g, nothing overshoots", q, slices.Max(got))
		}
		if most > 0.1 || rms > 0.01 {
			t.Errorf("-q %s: at most %.3f LSB from ffmpeg, RMS %.4f", q, most, rms)
		}
	}
}

// A picture in the comment neither delays the sound nor is lost; stock tools miss no page.
func TestOggTags(t *testing.T) {
	for _, ext := range []string{"ogg", "opus"} {
		codec := map[string]string{"ogg": "libvorbis", "opus": "libopus"}[ext]
		picture := append([]byte{0, 0, 0, 3, 0, 0, 0, 9}, "image/png\x00\x00\x00\x00"...)
		picture = append(picture, make([]byte, 16)...)
		png := tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:d=0.04", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-compression_level", "0", "-")
		picture = append(binary.BigEndian.AppendUint32(picture, uint32(len(png))), png...)
		meta := filepath.Join(t.TempDir(), "meta")
		if err := os.WriteFile(meta, []byte(";FFMETADATA1\ntitle=Tïtel\nartist=Künstler\nTRACKNUMBER=3/9\nMETADATA_BLOCK_PICTURE="+strings.ReplaceAll(b64(picture), "=", "\\=")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		path := ffmpegFile(t, ext, 48000, 2, 20000, "-i", meta, "-map", "0:a", "-map_metadata", "1", "-c:a", codec)
		s := ingest(t, path)
		if s.Tags.Title != "Tïtel" || s.Tags.Artist != "Künstler" || s.Tags.Number != 3 || s.Tags.CoverType == "" || len(s.Problems) != 0 {
			t.Errorf("%s: title %q, artist %q, number %d, cover %q, problems %q", ext, s.Tags.Title, s.Tags.Artist, s.Tags.Number, s.Tags.CoverType, s.Problems)
		}
		b := sealed(t, s)
		if len(b) > 60000 || bytes.Contains(b, []byte("Künstler")) {
			t.Errorf("%s: %d bytes sealed, the tags among them", ext, len(b))
		}
		file := filepath.Join(t.TempDir(), "sealed."+ext)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-f", "f32le", "-"))
		if again := floats(tool(t, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "f32le", "-")); !slices.Equal(again, want) {
			t.Errorf("%s: what is sealed plays otherwise", ext)
		}
	}
}

// Lost pages are silence of their length; a cut file ends where it is cut; a second stream is named.
func TestOggOddFiles(t *testing.T) {
	path := ffmpegFile(t, "ogg", 44100, 1, 60000, "-c:a", "libvorbis", "-q:a", "3", "-page_duration", "50000")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := ingestBytes(t, b)
	want := audiotest.ReadAll(t, open(t, whole, audio.Options{}))
	bad := bytes.Clone(b)
	bad[len(b)/2] ^= 1
	s := ingestBytes(t, bad)
	got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
	if len(got) != len(want) || len(s.Problems) != 1 {
		t.Fatalf("a broken page: %d samples, %q", len(got), s.Problems)
	}
	wrong := 0
	for i := range got {
		if got[i] != want[i] {
			wrong++
			if got[i] != 0 {
				t.Fatalf("sample %d is wrong and not silent", i)
			}
		}
	}
	if wrong == 0 || wrong > 8000 {
		t.Errorf("%d samples are silent", wrong)
	}
	cut := ingestBytes(t, b[:len(b)*2/3])
	if got := audiotest.ReadAll(t, open(t, cut, audio.Options{})); len(cut.Problems) != 1 || !slices.Equal(got, want[:len(got)]) || len(got) < 20000 {
		t.Errorf("cut: %d samples, %q", len(got), cut.Problems)
	}
	two := ingestBytes(t, append(bytes.Clone(b), b...))
	if !bytes.Equal(sealed(t, two), sealed(t, whole)) || len(two.Problems) != 1 {
		t.Errorf("two streams: %q", two.Problems)
	}
}

func TestAIFFIsBitExact(t *testing.T) {
	for _, args := range []string{"-c:a pcm_s16be", "-c:a pcm_s8", "-c:a pcm_s24be", "-c:a pcm_s32be", "-c:a pcm_s16le", "-c:a pcm_f32be", "-c:a pcm_f64be"} {
		for _, ch := range []int{1, 2} {
			path := ffmpegFile(t, "aiff", 44100, ch, 20001, append(strings.Fields(args), "-write_id3v2", "1", "-metadata", "title=Tïtel", "-metadata", "artist=x")...)
			s := ingest(t, path)
			if s.Track.Codec != audio.AIFF || s.Track.Samples != 20001 || len(s.Problems) != 0 || s.Tags.Title != "Tïtel" {
				t.Fatalf("%s: %+v %q %+v", args, s.Track, s.Problems, s.Tags)
			}
			want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"))
			if !slices.Equal(audiotest.ReadAll(t, open(t, s, audio.Options{})), want) {
				t.Errorf("%s: not what ffmpeg decodes", args)
			}
			file := filepath.Join(t.TempDir(), "sealed.aiff")
			if err := os.WriteFile(file, sealed(t, s), 0o600); err != nil {
				t.Fatal(err)
			}
			if again := floats(tool(t, "ffmpeg", "-v", "error", "-i", file, "-f", "f32le", "-")); !slices.Equal(again, want) {
				t.Errorf("%s: what is sealed plays otherwise", args)
			}
			if ch == 2 && args == "-c:a pcm_s24be" {
				audiotest.Decoder(t, sealed(t, s), s.Track, audio.Options{})
			}
		}
	}
}

// AAC and Apple Lossless come in as FLAC by ffmpeg, and the file is told so; without ffmpeg it is told
// what to do.
func TestM4A(t *testing.T) {
	tmp := t.TempDir()
	for _, c := range []struct{ ext, args, says string }{
		{"m4a", "-c:a aac -b:a 128k", "AAC"}, {"m4a", "-c:a alac", "Apple Lossless"}, {"aac", "-c:a aac -b:a 96k", "AAC"},
	} {
		path := ffmpegFile(t, c.ext, 44100, 2, 30000, append(strings.Fields(c.args), "-metadata", "title=Tïtel", "-metadata", "track=4/7")...)
		t.Setenv("TMPDIR", tmp)
		s := ingest(t, path)
		if s.Track.Codec != audio.FLAC || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], c.says) || !strings.Contains(s.Problems[0], "ffmpeg") {
			t.Errorf("%v: %+v %q", c, s.Track, s.Problems)
		}
		if c.ext == "m4a" && (s.Tags.Title != "Tïtel" || s.Tags.Number != 4) {
			t.Errorf("%v: tags %+v", c, s.Tags)
		}
		got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
		want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"))
		if c.ext == "m4a" && len(got) == 60000 {
			want = want[:len(got)] // ffmpeg leaves the last frame's padding
		}
		if most, _ := distance(got, want); len(got) != len(want) || most > 1 || c.says == "Apple Lossless" && most != 0 {
			t.Errorf("%v: %d samples, ffmpeg has %d, at most %.1f LSB apart", c, len(got), len(want), most)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
			t.Errorf("%v: %d files left behind, %v", c, len(left), err)
		}
		t.Setenv("PATH", tmp)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = audio.Ingest(t.Context(), bytes.NewReader(b), int64(len(b)), "x.m4a")
		if !errors.Is(err, audio.ErrUnsupported) || !strings.Contains(err.Error(), "install") {
			t.Errorf("without ffmpeg: %v", err)
		}
		os.Setenv("PATH", path0)
	}
}
