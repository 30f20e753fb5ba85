package segment_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"playnode/internal/audio/segment"
)

// What comes out of segments is taken by each format's own player, from the beginning and from the middle on.
func TestStockPlayers(t *testing.T) {
	listed(t)
	for _, c := range []struct{ stream, player string }{
		{"mp3 128", "mpg123 -q -s FILE"},
		{"mp3 vbr mono 22050", "mpg123 -q -s FILE"},
		{"flac", "flac -s -d -c --force-raw-format --endian=little --sign=signed FILE"},
		{"ogg flac", "flac -s --ogg -d -c --force-raw-format --endian=little --sign=signed FILE"},
		{"opus", "opusdec --quiet --no-dither --rate 48000 FILE /dev/stdout"},
		{"vorbis", "oggdec -Q -R -o /dev/stdout FILE"},
	} {
		t.Run(c.stream, func(t *testing.T) {
			t.Parallel()
			b := named(t, c.stream).encode(t)
			all := cut(t, bytes.NewReader(b), segment.Config{})
			play := func(b []byte) []byte {
				t.Helper()
				file := filepath.Join(t.TempDir(), "live")
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Fatal(err)
				}
				args := strings.Fields(strings.ReplaceAll(c.player, "FILE", file))
				return run(t, nil, args[0], args[1:]...)
			}
			whole, rest := play(join(all, 0)), play(join(all, 2))
			last := all[len(all)-1]
			// What is heard from the middle on is what was heard from there on: its end is the same, as long as a
			// decoder needs to begin put aside.
			want := len(whole) * int(last.At+last.Length-all[2].At-all[2].Lead) / int(last.At+last.Length) &^ 3
			want -= 4 * 9600 // and Opus' forgetting
			if want < len(whole)/5 || len(rest) < want {
				t.Fatalf("%d bytes of %d, want %d", len(rest), len(whole), want)
			}
			whole, rest = whole[len(whole)-want:], rest[len(rest)-want:]
			far := 0
			for i := 0; i < want; i += 2 {
				d := int(int16(uint16(whole[i])|uint16(whole[i+1])<<8)) - int(int16(uint16(rest[i])|uint16(rest[i+1])<<8))
				far = max(far, d, -d)
			}
			if far > 1 && c.stream != "opus" || far > 300 {
				t.Errorf("samples differ by up to %d", far)
			}
		})
	}
}
