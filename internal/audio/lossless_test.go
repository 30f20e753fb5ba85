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
	"playnode/internal/audio/pcm"
)

// ffmpegWAV makes a file by ffmpeg out of 16-bit music with detail below 16 bits where the codec has room.
func ffmpegFile(t *testing.T, ext string, rate, channels, frames int, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src.f32"), filepath.Join(dir, "x."+ext)
	var raw []byte
	for i, v := range audiotest.Music(rate, channels, frames, 2) {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(int32((float64(v)*0.99+float64(i%251)/8388608)*(1<<31))))
	}
	if err := os.WriteFile(src, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"-v", "error", "-f", "s32le", "-ar", fmt.Sprint(rate), "-ac", fmt.Sprint(channels), "-i", src}
	tool(t, "ffmpeg", append(append(all, args...), dst)...)
	return dst
}

func TestLosslessIsBitExact(t *testing.T) {
	for _, c := range []struct {
		ext  string
		rate int
		ch   int
		args []string
	}{
		{"flac", 44100, 2, []string{"-sample_fmt", "s16"}},
		{"flac", 48000, 1, []string{"-sample_fmt", "s16", "-compression_level", "0"}},
		{"flac", 96000, 2, []string{"-sample_fmt", "s32", "-bits_per_raw_sample", "24", "-compression_level", "12"}},
		{"flac", 192000, 2, []string{"-sample_fmt", "s32", "-bits_per_raw_sample", "24"}},
		{"flac", 44100, 6, []string{"-sample_fmt", "s16"}},
		{"wav", 44100, 2, []string{"-c:a", "pcm_s16le"}},
		{"wav", 44100, 1, []string{"-c:a", "pcm_u8"}},
		{"wav", 48000, 2, []string{"-c:a", "pcm_s24le"}},
		{"wav", 48000, 6, []string{"-c:a", "pcm_s24le"}},
		{"wav", 44100, 2, []string{"-c:a", "pcm_s32le"}},
		{"wav", 44100, 2, []string{"-c:a", "pcm_f32le"}},
		{"wav", 44100, 3, []string{"-c:a", "pcm_s16le", "-rf64", "always"}},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			path := ffmpegFile(t, c.ext, c.rate, c.ch, 30001, c.args...)
			s := ingest(t, path)
			if s.Track.Samples != 30001 || len(s.Problems) != 0 {
				t.Fatalf("%+v %q", s.Track, s.Problems)
			}
			got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
			want := floats(tool(t, "ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"))
			if !slices.Equal(got, want) {
				t.Fatal("not what ffmpeg decodes")
			}
			// What is sealed is a file that stock tools play to the same samples.
			file := filepath.Join(t.TempDir(), "sealed."+c.ext)
			if err := os.WriteFile(file, sealed(t, s), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.ext == "flac" {
				tool(t, "flac", "-t", "--silent", file)
			}
			if again := floats(tool(t, "ffmpeg", "-v", "error", "-i", file, "-f", "f32le", "-")); !slices.Equal(again, want) {
				t.Error("what is sealed plays otherwise")
			}
			if c.ch == 2 && c.rate < 96000 {
				audiotest.Decoder(t, sealed(t, s), s.Track, audio.Options{})
			}
		})
	}
}

// flac -d writes the same 16 bits as we round to.
func TestFLACAgainstFlac(t *testing.T) {
	src := audiotest.Music(44100, 2, 50000, 9)
	for _, args := range [][]string{{"-0"}, {"-5"}, {"-8"}, {"-8", "--blocksize=576"}, {"-5", "--no-mid-side", "--blocksize=4608"}} {
		path := encode(t, "flac", 44100, 2, src, args...)
		want := tool(t, "flac", "-d", "--silent", "--force-raw-format", "--endian=little", "--sign=signed", "-c", path)
		f := audiotest.ReadAll(t, open(t, ingest(t, path), audio.Options{}))
		got := make([]byte, 2*len(f))
		pcm.S16(got, f)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: not what flac -d writes", args)
		}
	}
}

func TestFLACOddFiles(t *testing.T) {
	src := audiotest.Music(44100, 2, 300000, 4)
	path := encode(t, "flac", 44100, 2, src, "-5", "-T", "TITLE=Über", "-T", "ARTIST=x", "-T", "ISRC=DE-A12-34-56789")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := ingestBytes(t, b)
	if whole.Tags.Title != "Über" || whole.Tags.ISRC != "DEA123456789" {
		t.Errorf("tags %+v", whole.Tags)
	}
	want := audiotest.ReadAll(t, open(t, whole, audio.Options{}))

	// ID3 before, junk behind: the same frames.
	odd := append(append([]byte("ID3\x04\x00\x00\x00\x00\x00\x05hello"), b...), "TAG and more that is no frame"...)
	if s := ingestBytes(t, odd); !bytes.Equal(sealed(t, s), sealed(t, whole)) || len(s.Problems) > 1 {
		t.Errorf("tags around FLAC: %+v %q", s.Track, s.Problems)
	}
	// Unknown length in the header, as a pipe leaves it.
	pipe := bytes.Clone(b)
	pipe[21] &= 0xf0
	clear(pipe[22:26])
	if s := ingestBytes(t, pipe); s.Track.Samples != 300000 {
		t.Errorf("piped: %d samples", s.Track.Samples)
	}
	// Cut: what is whole is kept and named, and plays as in the whole file.
	cut := ingestBytes(t, b[:2*len(b)/3])
	if cut.Track.Samples == 0 || cut.Track.Samples%4096 != 0 || len(cut.Problems) == 0 || !strings.Contains(cut.Problems[0], "cut") {
		t.Fatalf("cut: %+v %q", cut.Track, cut.Problems)
	}
	if got := audiotest.ReadAll(t, open(t, cut, audio.Options{})); !slices.Equal(got, want[:len(got)]) || int64(len(got)) != 2*cut.Track.Samples {
		t.Error("cut: other samples")
	}
	// One frame broken in the middle: counted, silent until the index knows on, right after.
	bad := bytes.Clone(b)
	bad[len(b)/2] ^= 0x55
	s := ingestBytes(t, bad)
	if s.Track.Samples != 300000 || len(s.Problems) != 1 {
		t.Fatalf("broken frame: %+v %q", s.Track, s.Problems)
	}
	got := audiotest.ReadAll(t, open(t, s, audio.Options{}))
	wrong := 0
	for i := range got {
		if got[i] != want[i] {
			wrong++
			if got[i] != 0 {
				t.Fatalf("sample %d is wrong and not silent", i)
			}
		}
	}
	if wrong == 0 || wrong > 2*50000 {
		t.Errorf("%d samples silent", wrong)
	}
}

func TestIngestRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": {}, "text": []byte(strings.Repeat("no sound in here. ", 1000)), "ogg": []byte("OggS\x00\x02 and so on"), "short": {0xff},
		"m4a": []byte("\x00\x00\x00\x20ftypM4A more"), "zeros": make([]byte, 10000), "wav without data": []byte("RIFF\x04\x00\x00\x00WAVE"),
		"flac without frames": []byte("fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x00\x00\x00\x00\x0a\xc4\x42\xf0\x00\x00\x00\x00aaaaaaaaaaaaaaaa"),
	} {
		_, err := audio.Ingest(t.Context(), bytes.NewReader(b), int64(len(b)), name)
		if !errors.Is(err, audio.ErrUnsupported) && !errors.Is(err, audio.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
